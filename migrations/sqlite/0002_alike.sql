-- What helped before: incidents of one finding and cause, or of one finding on one target, newest first.

create index incidents_alike on incidents (finding_kind, cause, number) where cause is not null;
create index incidents_alike_on_target on incidents (affected_system, finding_kind, number);
