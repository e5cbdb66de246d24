-- The store in one file. `events` is the truth; every other table is derived from it in the same transaction.
-- Times are microseconds since 1970; ids and JSON are text.
-- References are checked at commit, so that rows of one transaction may come in any order.

create table events (
    seq integer primary key check (seq > 0),
    at integer not null,
    kind text not null,
    incident_id text,
    target text,
    actor text not null,
    body text not null,
    prev_hash text not null,
    hash text not null
) strict;
create index events_by_incident on events (incident_id, seq) where incident_id is not null;

-- The end of the chain, apart from the events, so that a cut tail shows.
create table chain_head (
    one integer primary key default 1 check (one = 1),
    seq integer not null,
    hash text not null
) strict;

insert into chain_head (seq, hash) values (0, '0000000000000000000000000000000000000000000000000000000000000000');

create table leases (
    name text primary key not null,
    holder text not null,
    token integer not null,
    expires_at integer not null
) strict;

-- What was observed or received. The observation that opened an incident shares the incident's id.
create table fault_events (
    fault_id text primary key not null,
    target text not null,
    resource text not null,
    fault_type text not null,
    severity text not null,
    context text not null,
    received_at integer not null
) strict;
create index fault_events_by_time on fault_events (received_at desc);

create table incidents (
    number integer primary key,
    id text not null unique,
    revision integer not null,
    fault_id text not null,
    message text not null,
    source text not null,
    status text not null,
    severity text not null,
    team text,
    notes text not null,
    affected_system text not null,
    error_logs text not null,
    metrics_snapshot text not null,
    incident_type text not null,
    remediation_mode text not null,
    finding_kind text not null,
    cause text,
    health_at_open integer,
    occurrences integer not null,
    first_bad_at integer not null,
    last_seen integer not null,
    created_at integer not null,
    updated_at integer not null,
    acknowledged_at integer,
    resolved_at integer,
    failure_reason text,
    -- The words of message, cause and notes; `incident_words` finds them.
    words text not null,
    -- The whole incident, as a restarted engine continues with it.
    body text not null
) strict;
create unique index incidents_one_open on incidents (affected_system, finding_kind) where status <> 'resolved';
create index incidents_by_status on incidents (status, number);
create index incidents_by_severity on incidents (severity, number);
create index incidents_by_target on incidents (affected_system, number);
create index incidents_by_finding on incidents (finding_kind, number);
create index incidents_by_cause on incidents (cause, number) where cause is not null;
create index incidents_by_creation on incidents (created_at, number);
create index incidents_by_end on incidents (status, resolved_at, number) where status = 'resolved';

-- One row per word of each incident: any word's incidents come in the order of numbers at once, which no
-- full-text index gives.
create table incident_words (
    word text not null,
    number integer not null,
    primary key (word, number)
) strict, without rowid;
create trigger incidents_inserted after insert on incidents begin
    insert into incident_words (word, number) select value, new.number from json_each(new.words);
end;
create trigger incidents_reworded after update on incidents
when old.words <> new.words or old.number <> new.number begin
    delete from incident_words
    where number = old.number and word in (select value from json_each(old.words));
    insert into incident_words (word, number) select value, new.number from json_each(new.words);
end;

create table incident_status_history (
    id text primary key not null,
    incident_id text not null references incidents (id) deferrable initially deferred,
    at integer not null,
    from_status text,
    to_status text not null,
    actor text not null,
    reason text not null
) strict;
create index incident_status_history_by_incident on incident_status_history (incident_id, at);

create table incident_analysis (
    id text primary key not null,
    incident_id text not null references incidents (id) deferrable initially deferred,
    at integer not null,
    provider text not null,
    severity text not null,
    diagnosis text not null,
    solution text,
    confidence text not null,
    evidence text not null
) strict;
create index incident_analysis_by_incident on incident_analysis (incident_id, at);

create table agent_executions (
    id text primary key not null,
    incident_id text not null references incidents (id) deferrable initially deferred,
    state text not null,
    agent text not null,
    proposal text,
    fingerprint text,
    approval text,
    started_at integer not null,
    completed_at integer,
    error text,
    verification_checks text,
    rollback_performed integer not null,
    dry_run integer not null default 0
) strict;
create index agent_executions_by_incident on agent_executions (incident_id, started_at);

create table agent_actions (
    id text primary key not null,
    incident_id text not null references incidents (id) deferrable initially deferred,
    execution_id text not null references agent_executions (id) deferrable initially deferred,
    action text not null,
    command text not null,
    executed_at integer not null,
    result text not null check (result in ('running', 'success', 'failed')),
    exit_code integer,
    stdout text not null,
    stderr text not null,
    duration_ms integer,
    health_before integer,
    health_after integer
) strict;
create index agent_actions_by_incident on agent_actions (incident_id, executed_at desc, id desc);
create index agent_actions_by_time on agent_actions (executed_at desc, id desc);

create table approvals (
    id text primary key not null,
    incident_id text not null references incidents (id) deferrable initially deferred,
    execution_id text not null references agent_executions (id) deferrable initially deferred,
    fingerprint text not null,
    decision text not null,
    detail text not null,
    actor text not null,
    at integer not null
) strict;
create index approvals_by_incident on approvals (incident_id, at);

create table triage_reports (
    id text primary key not null,
    incident_id text not null references incidents (id) deferrable initially deferred,
    execution_id text references agent_executions (id) deferrable initially deferred,
    generated_at integer not null,
    markdown text not null
) strict;
create index triage_reports_by_incident on triage_reports (incident_id, generated_at desc);

create table injections (
    id text primary key not null,
    number integer not null unique,
    fault text not null,
    target text not null,
    params text not null,
    actor text not null,
    undo text not null,
    started_at integer not null,
    deadline integer not null,
    state text not null,
    reverted_at integer,
    body text not null
) strict;
create index injections_live on injections (number) where state not in ('did_not_take', 'reverted');
create index injections_ended on injections (number) where state in ('did_not_take', 'reverted');

-- What a restarted engine needs besides incidents and injections: baselines and breakers.
create table engine_state (
    key text primary key not null,
    value text not null
) strict;

-- The downsampled history of each target.
create table samples (
    target text not null,
    at integer not null,
    health integer,
    readings text not null,
    primary key (target, at)
) strict;
create index samples_by_time on samples (at);
