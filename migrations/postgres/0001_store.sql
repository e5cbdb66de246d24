-- The store. `events` is the truth; every other table is derived from it in the same transaction.
-- References are checked at commit, so that rows of one transaction may come in any order.

create table events (
    seq bigint primary key check (seq > 0),
    at timestamptz not null,
    kind text not null,
    incident_id uuid,
    target text,
    actor text not null,
    body jsonb not null,
    prev_hash text not null,
    hash text not null
);
create index events_by_incident on events (incident_id, seq) where incident_id is not null;

-- The end of the chain, apart from the events, so that a cut tail shows.
create table chain_head (
    one boolean primary key default true check (one),
    seq bigint not null,
    hash text not null
);

insert into chain_head (seq, hash) values (0, repeat('0', 64));

create table leases (
    name text primary key,
    holder text not null,
    token bigint not null,
    expires_at timestamptz not null
);

-- What was observed or received. The observation that opened an incident shares the incident's id.
create table fault_events (
    fault_id uuid primary key,
    target text not null,
    resource text not null,
    fault_type text not null,
    severity text not null,
    context jsonb not null,
    received_at timestamptz not null
);
create index fault_events_by_time on fault_events (received_at desc);

create table incidents (
    id uuid primary key,
    number bigint not null unique,
    revision bigint not null,
    fault_id uuid not null,
    message text not null,
    source text not null,
    status text not null,
    severity text not null,
    team text,
    notes jsonb not null,
    affected_system text not null,
    error_logs jsonb not null,
    metrics_snapshot jsonb not null,
    incident_type text not null,
    remediation_mode text not null,
    finding_kind text not null,
    cause text,
    health_at_open bigint,
    occurrences bigint not null,
    first_bad_at timestamptz not null,
    last_seen timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    acknowledged_at timestamptz,
    resolved_at timestamptz,
    failure_reason text,
    -- The words of message, cause and notes; `incident_words` finds them.
    words jsonb not null,
    -- The whole incident, as a restarted engine continues with it.
    body jsonb not null
);
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
    number bigint not null,
    primary key (word, number)
);
create function note_incident_words() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        delete from incident_words
        where number = old.number and word in (select jsonb_array_elements_text(old.words));
    end if;
    insert into incident_words (word, number) select jsonb_array_elements_text(new.words), new.number;
    return null;
end $$;
create trigger incidents_inserted after insert on incidents
    for each row execute function note_incident_words();
create trigger incidents_reworded after update on incidents
    for each row when (old.words <> new.words or old.number <> new.number)
    execute function note_incident_words();

create table incident_status_history (
    id uuid primary key,
    incident_id uuid not null references incidents deferrable initially deferred,
    at timestamptz not null,
    from_status text,
    to_status text not null,
    actor text not null,
    reason text not null
);
create index incident_status_history_by_incident on incident_status_history (incident_id, at);

create table incident_analysis (
    id uuid primary key,
    incident_id uuid not null references incidents deferrable initially deferred,
    at timestamptz not null,
    provider text not null,
    severity text not null,
    diagnosis text not null,
    solution text,
    confidence text not null,
    evidence jsonb not null
);
create index incident_analysis_by_incident on incident_analysis (incident_id, at);

create table agent_executions (
    id uuid primary key,
    incident_id uuid not null references incidents deferrable initially deferred,
    state text not null,
    agent text not null,
    proposal jsonb,
    fingerprint text,
    approval jsonb,
    started_at timestamptz not null,
    completed_at timestamptz,
    error text,
    verification_checks jsonb,
    rollback_performed boolean not null,
    dry_run boolean not null default false
);
create index agent_executions_by_incident on agent_executions (incident_id, started_at);

create table agent_actions (
    id uuid primary key,
    incident_id uuid not null references incidents deferrable initially deferred,
    execution_id uuid not null references agent_executions deferrable initially deferred,
    action text not null,
    command text not null,
    executed_at timestamptz not null,
    result text not null check (result in ('running', 'success', 'failed')),
    exit_code bigint,
    stdout text not null,
    stderr text not null,
    duration_ms bigint,
    health_before bigint,
    health_after bigint
);
create index agent_actions_by_incident on agent_actions (incident_id, executed_at desc, id desc);
create index agent_actions_by_time on agent_actions (executed_at desc, id desc);

create table approvals (
    id uuid primary key,
    incident_id uuid not null references incidents deferrable initially deferred,
    execution_id uuid not null references agent_executions deferrable initially deferred,
    fingerprint text not null,
    decision text not null,
    detail jsonb not null,
    actor text not null,
    at timestamptz not null
);
create index approvals_by_incident on approvals (incident_id, at);

create table triage_reports (
    id uuid primary key,
    incident_id uuid not null references incidents deferrable initially deferred,
    execution_id uuid references agent_executions deferrable initially deferred,
    generated_at timestamptz not null,
    markdown text not null
);
create index triage_reports_by_incident on triage_reports (incident_id, generated_at desc);

create table injections (
    id uuid primary key,
    number bigint not null unique,
    fault text not null,
    target text not null,
    params jsonb not null,
    actor text not null,
    undo jsonb not null,
    started_at timestamptz not null,
    deadline timestamptz not null,
    state text not null,
    reverted_at timestamptz,
    body jsonb not null
);
create index injections_live on injections (number) where state not in ('did_not_take', 'reverted');
create index injections_ended on injections (number) where state in ('did_not_take', 'reverted');

-- What a restarted engine needs besides incidents and injections: baselines and breakers.
create table engine_state (
    key text primary key,
    value jsonb not null
);

-- The downsampled history of each target.
create table samples (
    target text not null,
    at timestamptz not null,
    health bigint,
    readings jsonb not null,
    primary key (target, at)
);
create index samples_by_time on samples (at);
