//! Handmade observations for tests: what the lab showed, as plain values to bend.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::diagnosis::Evidence;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Origin, RuntimeEvent, RuntimeEventKind, Sample, reading};
use crate::domain::unit::{UnitState, UnitStatus};

use super::facts::{
    BigKey, Facts, PgSession, PostgresFacts, PrefixShare, RedisClient, RedisFacts, SecondLook,
};
use super::source;

pub(crate) const MB: u64 = 1_048_576;

/// The start of every story.
pub(crate) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_763_640_000, 0).unwrap()
}

pub(crate) fn after(seconds: f64) -> DateTime<Utc> {
    start() + TimeDelta::milliseconds((seconds * 1_000.0) as i64)
}

/// Facts with every source on record and nothing observed yet.
pub(crate) fn facts(finding: FindingKind) -> Facts {
    let sources = [
        source::REDIS_INFO,
        source::REDIS_CONFIG,
        source::REDIS_CLIENTS,
        source::REDIS_KEYS,
        source::PG_SESSIONS,
        source::PG_LIMITS,
        source::UNIT,
        source::CLIENT_VIEW,
        source::BASELINE,
        source::RUNTIME_EVENTS,
        source::LOG,
        source::INSIDE,
        source::FIRST_PROCESS,
        source::THROTTLING,
        source::REDIS_SLOWLOG,
        source::DISK,
        source::EARLIER,
        source::PG_SETTINGS,
        source::REDIS_AGAIN,
        source::PG_TABLES,
        source::PG_HOLDERS,
        source::PG_STANDING,
        source::PG_VOLUMES,
        source::PG_HBA,
        source::PG_WAL,
        source::PG_INDEXES,
        source::PG_DEADLOCKS,
        source::PG_BLOCKERS,
        source::PG_SEQUENCES,
        source::PG_LOCKS,
    ];
    let evidence = sources.iter().enumerate().map(|(at, source)| Evidence {
        id: format!("e{}", at + 1),
        source: (*source).into(),
        text: "as in the facts".into(),
    });
    Facts {
        finding,
        samples: Vec::new(),
        runtime_events: Vec::new(),
        baseline: [].into(),
        unit: None,
        log: None,
        place: Default::default(),
        slow_commands: None,
        refusals: Vec::new(),
        disk: None,
        redis: None,
        postgres: None,
        evidence: evidence.collect(),
    }
}

/// A held sample of a Redis under this limit.
pub(crate) fn redis_sample(at: f64, limit: u64, keys: u64, write: Answer) -> Sample {
    let readings = [
        (reading::KEYS, keys as f64),
        (reading::MAXMEMORY_BYTES, limit as f64),
        (reading::DATASET_BYTES, keys as f64 * 1_000.0),
    ];
    Sample {
        at: after(at),
        origin: Origin::Held,
        took_ms: 1.0,
        connect: Answer::Ok,
        read: Answer::Ok,
        write,
        readings: readings.into(),
    }
}

pub(crate) fn error(code: &str, text: &str) -> Answer {
    Answer::Error { code: code.into(), text: text.into() }
}

pub(crate) fn oom() -> Answer {
    error("OOM", "OOM command not allowed when used memory > 'maxmemory'.")
}

pub(crate) fn prefix(prefix: &str, keys: u64, bytes: u64, without_ttl_percent: u8) -> PrefixShare {
    PrefixShare { prefix: prefix.into(), keys, bytes, without_ttl_percent }
}

pub(crate) fn client(id: u64, addr: &str, cmd: &str, idle_s: u64) -> RedisClient {
    RedisClient {
        id,
        addr: addr.into(),
        user: "default".into(),
        idle_s,
        cmd: cmd.into(),
        flags: "N".into(),
        ..RedisClient::default()
    }
}

/// 46,201 keys under one prefix filled an unchanged 50 MB.
pub(crate) fn leak() -> Facts {
    let mut facts = facts(FindingKind::WritesRefused);
    facts.baseline.insert("maxmemory".into(), (50 * MB).to_string());
    facts.samples = vec![
        redis_sample(0.0, 50 * MB, 4_157, Answer::Ok),
        redis_sample(20.0, 50 * MB, 26_000, Answer::Ok),
        redis_sample(40.0, 50 * MB, 50_358, oom()),
    ];
    facts.redis = Some(RedisFacts {
        maxmemory: 50 * MB,
        policy: "noeviction".into(),
        used_memory: 50 * MB - 90_000,
        dataset_bytes: 47 * MB,
        overhead_bytes: 3 * MB,
        client_bytes: MB / 10,
        keys: 50_358,
        maxclients: 10_000,
        clients: vec![
            client(77, "172.18.0.1:40212", "set", 0),
            client(12, "172.18.0.9:1", "get", 0),
        ],
        prefixes: vec![prefix("order:", 46_201, 44 * MB, 100), prefix("user:", 4_157, 4 * MB, 10)],
        keys_seen: 50_358,
        ..RedisFacts::default()
    });
    facts
}

/// One key of this type holds 42 of 47 MB, at both looks; there are two more keys.
pub(crate) fn giant(kind: &str) -> Facts {
    let mut facts = leak();
    let redis = facts.redis.as_mut().unwrap();
    (redis.keys, redis.keys_seen) = (3, 3);
    redis.prefixes = vec![prefix("report:", 3, 42 * MB, 100)];
    redis.clients = vec![client(12, "172.18.0.9:1", "get", 0)];
    let key = BigKey { name: "report:1".into(), kind: kind.into(), bytes: 42 * MB, length: 1_000 };
    redis.biggest = vec![key.clone()];
    redis.again =
        Some(SecondLook { after_ms: 400, clients: redis.clients.clone(), biggest: vec![key] });
    facts
}

/// A queue that is pushed to: the data grew to the limit while three keys stayed three.
pub(crate) fn fed_queue() -> Facts {
    let mut facts = giant("list");
    for (sample, megabytes) in facts.samples.iter_mut().zip([10.0, 30.0, 47.0]) {
        let readings = sample.readings.with(reading::KEYS, 3.0);
        sample.readings = readings.with(reading::DATASET_BYTES, megabytes * 1e6);
    }
    facts.redis.as_mut().unwrap().clients = vec![client(5, "10.0.0.1:1", "lpush", 0)];
    facts
}

/// Three clients hold 45 MB in these buffers, at both looks; the data is 2 MB.
pub(crate) fn hoarding(omem: u64, qbuf: u64) -> Facts {
    let mut facts = leak();
    let redis = facts.redis.as_mut().unwrap();
    (redis.dataset_bytes, redis.client_bytes, redis.overhead_bytes) = (2 * MB, 47 * MB, 48 * MB);
    redis.clients = (1..=3)
        .map(|id| RedisClient { omem, qbuf, ..client(id, "10.0.0.1:1", "get", 9) })
        .collect();
    redis.again =
        Some(SecondLook { after_ms: 400, clients: redis.clients.clone(), biggest: Vec::new() });
    facts
}

/// A Redis with 30 slots, all taken by idle clients of one program, and as many at the second look.
pub(crate) fn crowded() -> Facts {
    let mut facts = facts(FindingKind::ClientsRefused);
    facts.baseline.insert("maxclients".into(), "30".into());
    let mut refused = redis_sample(0.0, 50 * MB, 10, Answer::NotAsked);
    refused.origin = Origin::Fresh;
    refused.connect = error("ERR", "ERR max number of clients reached");
    refused.read = Answer::NotAsked;
    facts.samples = vec![refused];
    let clients: Vec<RedisClient> =
        (1..=28).map(|id| client(id, "10.0.0.1:1", "ping", 60 - id)).collect();
    facts.redis = Some(RedisFacts {
        maxclients: 30,
        connected: 30,
        clients: clients.clone(),
        again: Some(SecondLook { after_ms: 400, clients, biggest: Vec::new() }),
        ..RedisFacts::default()
    });
    facts
}

/// 20,000 keys that were there before, and a limit that came down from 50 MB to 10 MB.
pub(crate) fn lowered() -> Facts {
    let mut facts = facts(FindingKind::WritesRefused);
    facts.baseline.insert("maxmemory".into(), (50 * MB).to_string());
    facts.samples = vec![
        redis_sample(0.0, 50 * MB, 0, Answer::Ok),
        redis_sample(5.0, 50 * MB, 20_000, Answer::Ok),
        redis_sample(5.3, 10 * MB, 20_000, oom()),
        redis_sample(5.6, 10 * MB, 20_001, oom()),
    ];
    facts.redis = Some(RedisFacts {
        maxmemory: 10 * MB,
        policy: "noeviction".into(),
        used_memory: 22 * MB,
        dataset_bytes: 20 * MB,
        overhead_bytes: 2 * MB,
        client_bytes: MB / 20,
        keys: 20_001,
        clients: vec![client(3, "172.18.0.1:40212", "get", 0)],
        prefixes: vec![prefix("item:", 20_000, 20 * MB, 100)],
        keys_seen: 20_001,
        ..RedisFacts::default()
    });
    facts
}

/// The limit came down to 10 MB first, and a leak filled what was left.
pub(crate) fn lowered_and_leaking() -> Facts {
    let mut facts = lowered();
    facts.samples = vec![
        redis_sample(0.0, 50 * MB, 100, Answer::Ok),
        redis_sample(5.0, 10 * MB, 110, Answer::Ok),
        redis_sample(9.0, 10 * MB, 9_000, oom()),
    ];
    let redis = facts.redis.as_mut().unwrap();
    redis.used_memory = 10 * MB;
    redis.dataset_bytes = 9 * MB;
    redis.keys = 9_000;
    redis.keys_seen = 9_000;
    redis.prefixes = vec![prefix("item:", 8_900, 8 * MB, 100), prefix("user:", 100, MB / 2, 0)];
    facts
}

pub(crate) fn session(pid: i32, state: &str, state_age_s: f64) -> PgSession {
    PgSession {
        pid,
        backend_start: Some(after(f64::from(pid) / 1_000.0)),
        user: "app".into(),
        database: "app".into(),
        application: "orders".into(),
        client: "172.18.0.1".into(),
        state: state.into(),
        state_age_s,
        query_age_s: Some(state_age_s),
        ..PgSession::default()
    }
}

/// `n` sessions in one state, numbered from `from`.
pub(crate) fn sessions(from: i32, n: i32, state: &str, state_age_s: f64) -> Vec<PgSession> {
    (from..from + n).map(|pid| session(pid, state, state_age_s)).collect()
}

/// A PostgreSQL of the lab with these sessions: 20 slots, 3 reserved, 2 ours.
pub(crate) fn postgres(finding: FindingKind, sessions: Vec<PgSession>) -> Facts {
    let mut facts = facts(finding);
    facts.postgres = Some(PostgresFacts {
        started_at: Some(start()),
        max_connections: 20,
        reserved: 3,
        own_sessions: 2,
        sessions,
        ..PostgresFacts::default()
    });
    facts
}

pub(crate) fn unit(status: UnitStatus, exit_code: Option<i64>) -> UnitState {
    UnitState {
        status,
        id: "0f3c".into(),
        lab: Some("lab-1".into()),
        exit_code,
        started_at: Some(start()),
        memory_limit: Some(256 * MB),
        ..UnitState::default()
    }
}

/// What a server runs in, and what the runtime reported, oldest first.
pub(crate) fn in_unit(
    finding: FindingKind,
    unit: Option<UnitState>,
    events: &[RuntimeEventKind],
) -> Facts {
    let mut facts = facts(finding);
    facts.unit = unit;
    facts.runtime_events = events
        .iter()
        .zip(1i32..)
        .map(|(kind, at)| RuntimeEvent {
            at: after(f64::from(at)),
            kind: *kind,
            detail: String::new(),
        })
        .collect();
    facts
}

/// `cause: grade` of a diagnosis, in its order.
pub(crate) fn graded(facts: &Facts) -> Vec<String> {
    let causes = super::diagnose(facts).causes;
    causes.iter().map(|judged| format!("{}: {}", judged.cause, judged.grade)).collect()
}
