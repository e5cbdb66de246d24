//! The simulated servers: what is true about them, what a probe and an investigation see of it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use simctl::diagnose::facts::{
    Facts, PgSession, PostgresFacts, PrefixShare, RedisClient, RedisFacts,
};
use simctl::diagnose::source;
use simctl::domain::diagnosis::Evidence;
use simctl::domain::effect::Known;
use simctl::domain::finding::FindingKind;
use simctl::domain::ids::TargetId;
use simctl::domain::readings::Readings;
use simctl::domain::sample::{Answer, Origin, Sample, reading};
use simctl::domain::unit::{UnitState, UnitStatus};

use super::What;

const MB: u64 = 1 << 20;
const KEY: u64 = 1_070;
const EMPTY: u64 = 1_300_000;
pub(super) const REDIS: &str = "redis-test";
pub(super) const POSTGRES: &str = "postgres-test";

/// What is true about the two servers.
pub(super) struct Bench {
    pub(super) now: DateTime<Utc>,
    limit: u64,
    /// What the limit was before it was put back.
    limit_before: u64,
    keys: u64,
    leaked: u64,
    leak_per_second: u64,
    idle: u32,
    idle_since: DateTime<Utc>,
    busy: u32,
    units: BTreeMap<&'static str, UnitStatus>,
    started_at: DateTime<Utc>,
}

impl Bench {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            limit: 50 * MB,
            limit_before: 50 * MB,
            keys: 500,
            leaked: 0,
            leak_per_second: 0,
            idle: 0,
            idle_since: now,
            busy: 2,
            units: BTreeMap::from([(REDIS, UnitStatus::Running), (POSTGRES, UnitStatus::Running)]),
            started_at: now - TimeDelta::hours(3),
        }
    }

    pub(super) fn pass(&mut self, time: TimeDelta) {
        self.now += time;
        let grown =
            self.leak_per_second * u64::try_from(time.num_milliseconds()).unwrap_or(0) / 1_000;
        let room = self.limit.saturating_sub(self.used()) / KEY;
        self.leaked += grown.min(room);
    }

    pub(super) fn suffer(&mut self, what: &What) {
        match what {
            What::Leak { keys_per_second } => self.leak_per_second = *keys_per_second,
            What::LeakEnds => (self.leak_per_second, self.leaked) = (0, 0),
            What::Keys { count } => self.keys = *count,
            What::LowerMaxmemory { megabytes } => self.limit = megabytes * MB,
            What::IdleSessions { count } => {
                if self.idle == 0 {
                    self.idle_since = self.now;
                }
                self.idle = *count;
            }
            What::BusySessions { count } => self.busy = *count,
            What::Pause { target } => self.put(target, UnitStatus::Paused),
            What::Kill { target } => self.put(target, UnitStatus::Exited),
            What::Revive { target } => self.put(target, UnitStatus::Running),
            _ => {}
        }
    }

    fn put(&mut self, target: &str, status: UnitStatus) {
        let unit =
            self.units.iter_mut().find(|(name, _)| **name == target).expect("a known target");
        *unit.1 = status;
    }

    /// What an action does to the truth.
    pub(super) fn treat(&mut self, target: &str, action: &str) {
        match action {
            "kill_redis_clients" => self.leak_per_second = 0,
            "unlink_keys" => self.leaked = 0,
            "clear_redis_cache" => (self.keys, self.leaked) = (0, 0),
            "reset_redis_setting" => {
                self.limit_before = self.limit;
                self.limit = 50 * MB;
            }
            "kill_idle_connections" => self.idle = 0,
            "unpause_container" | "start_container" => self.put(target, UnitStatus::Running),
            "restart_postgres" => (self.idle, self.busy) = (0, 0),
            other => panic!("the bench does not know {other}"),
        }
    }

    /// What taking an action back does to the truth; keys that come back are ordinary ones.
    pub(super) fn take_back(&mut self, action: &str) {
        if action == "reset_redis_setting" {
            self.limit = self.limit_before;
        }
    }

    fn used(&self) -> u64 {
        EMPTY + (self.keys + self.leaked) * KEY
    }

    fn is_full(&self) -> bool {
        self.used() + KEY >= self.limit
    }

    pub(super) fn sample(&self, target: &str, origin: Origin) -> Sample {
        let bad = match self.units[target] {
            UnitStatus::Running => None,
            UnitStatus::Paused => Some(Answer::Hung { after_ms: 1_000 }),
            UnitStatus::Exited | UnitStatus::Restarting | UnitStatus::Absent => {
                Some(Answer::Gone { text: "connection refused".into() })
            }
        };
        if let Some(bad) = bad {
            let (read, write) = (Answer::NotAsked, Answer::NotAsked);
            return Sample {
                at: self.now,
                origin,
                took_ms: 1.0,
                connect: bad,
                read,
                write,
                readings: Readings::default(),
            };
        }
        if target == REDIS { self.redis_sample(origin) } else { self.postgres_sample(origin) }
    }

    fn redis_sample(&self, origin: Origin) -> Sample {
        let text = "OOM command not allowed when used memory > 'maxmemory'.";
        let write = if self.is_full() {
            Answer::Error { code: "OOM".into(), text: text.into() }
        } else {
            Answer::Ok
        };
        let readings = [
            (reading::USED_MEMORY_BYTES, self.used() as f64),
            (reading::MAXMEMORY_BYTES, self.limit as f64),
            (reading::DATASET_BYTES, (self.used() - EMPTY) as f64),
            (reading::REFUSES_WHEN_FULL, 1.0),
            (reading::KEYS, (self.keys + self.leaked) as f64),
        ];
        let readings = if origin == Origin::Held { readings.into() } else { Readings::default() };
        Sample {
            at: self.now,
            origin,
            took_ms: 0.4,
            connect: Answer::Ok,
            read: Answer::Ok,
            write,
            readings,
        }
    }

    fn postgres_sample(&self, origin: Origin) -> Sample {
        let refused = self.idle + self.busy >= 15 && origin == Origin::Fresh;
        let connect = if refused {
            let text = "remaining connection slots are reserved";
            Answer::Error { code: "53300".into(), text: text.into() }
        } else {
            Answer::Ok
        };
        let (read, write) = match (refused, origin) {
            (true, _) => (Answer::NotAsked, Answer::NotAsked),
            (false, Origin::Held) => (Answer::Ok, Answer::NotAsked),
            (false, Origin::Fresh) => (Answer::Ok, Answer::Ok),
        };
        let readings = [
            (reading::SESSIONS, f64::from(self.idle + self.busy)),
            (reading::IDLE_SESSIONS, f64::from(self.idle)),
            (reading::IDLE_IN_TRANSACTION, 0.0),
            (reading::ACTIVE_SESSIONS, f64::from(self.busy)),
            (reading::OWN_SESSIONS, 2.0),
            (reading::MAX_CONNECTIONS, 20.0),
            (reading::RESERVED_CONNECTIONS, 3.0),
            (reading::LOCK_WAITS, 0.0),
        ];
        let readings = if origin == Origin::Held { readings.into() } else { Readings::default() };
        Sample { at: self.now, origin, took_ms: 1.5, connect, read, write, readings }
    }

    pub(super) fn settings(&self, target: &str) -> BTreeMap<String, String> {
        let all =
            if target == REDIS { [("maxmemory", self.limit)] } else { [("max_connections", 20)] };
        all.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
    }

    /// What an investigation would gather.
    pub(super) fn facts(&self, target: &TargetId, finding: FindingKind, known: &Known) -> Facts {
        let status = self.units[target.as_str()];
        let runs = status == UnitStatus::Running;
        let is_redis = *target == REDIS;
        Facts {
            finding,
            samples: known.samples.clone(),
            runtime_events: known.runtime_events.clone(),
            baseline: known.baseline.clone(),
            unit: Some(UnitState {
                status,
                id: "abc".into(),
                lab: Some("lab".into()),
                exit_code: (status == UnitStatus::Exited).then_some(137),
                started_at: Some(self.started_at),
                ..UnitState::default()
            }),
            log: None,
            place: Default::default(),
            slow_commands: None,
            refusals: Vec::new(),
            disk: None,
            redis: (runs && is_redis).then(|| self.redis_facts()),
            postgres: (runs && !is_redis).then(|| self.postgres_facts()),
            evidence: evidence(),
        }
    }

    fn redis_facts(&self) -> RedisFacts {
        let share = |prefix: &str, keys| PrefixShare {
            prefix: prefix.into(),
            keys,
            bytes: keys * 1_050,
            without_ttl_percent: 100,
        };
        let writer = RedisClient {
            id: 7,
            addr: "10.0.0.9:4242".into(),
            name: "importer".into(),
            age_s: 30,
            cmd: "set".into(),
            flags: "N".into(),
            total_mem: 22_000,
            ..RedisClient::default()
        };
        let mut prefixes = vec![share("cart:", self.leaked), share("user:", self.keys)];
        prefixes.retain(|share| share.keys > 0);
        RedisFacts {
            run_id: "run".into(),
            maxmemory: self.limit,
            policy: "noeviction".into(),
            used_memory: self.used(),
            dataset_bytes: self.used() - EMPTY,
            overhead_bytes: EMPTY,
            client_bytes: 22_000,
            keys: self.keys + self.leaked,
            maxclients: 10_000,
            clients: if self.leak_per_second > 0 { vec![writer] } else { vec![] },
            prefixes,
            keys_seen: self.keys + self.leaked,
            persists: false,
            changes_since_save: self.keys,
            ..RedisFacts::default()
        }
    }

    fn postgres_facts(&self) -> PostgresFacts {
        // The agent looks a second time, 1.2 s later, before it calls a session untouched.
        let idle_for = (self.now - self.idle_since).num_milliseconds() as f64 / 1_000.0 + 1.2;
        let session = |pid: u32, state: &str, age: f64, application: &str| PgSession {
            pid: i32::try_from(pid).expect("a small number"),
            backend_start: Some(self.idle_since),
            user: "app".into(),
            database: "app".into(),
            application: application.into(),
            client: "10.0.0.7".into(),
            state: state.into(),
            state_age_s: age,
            ..PgSession::default()
        };
        let idle = (0..self.idle).map(|n| session(100 + n, "idle", idle_for, "orders"));
        let busy = (0..self.busy).map(|n| session(200 + n, "active", 0.02, "web"));
        PostgresFacts {
            holders: Some(Vec::new()),
            started_at: Some(self.started_at),
            max_connections: 20,
            reserved: 3,
            own_sessions: 2,
            sessions: idle.chain(busy).collect(),
            ..PostgresFacts::default()
        }
    }
}

fn evidence() -> Vec<Evidence> {
    let sources = [
        source::CLIENT_VIEW,
        source::BASELINE,
        source::RUNTIME_EVENTS,
        source::UNIT,
        source::REDIS_INFO,
        source::REDIS_CONFIG,
        source::REDIS_CLIENTS,
        source::REDIS_KEYS,
        source::PG_SESSIONS,
        source::PG_LIMITS,
    ];
    let numbered = sources.iter().enumerate();
    numbered
        .map(|(n, source)| Evidence {
            id: format!("e{}", n + 1),
            source: (*source).into(),
            text: "seen".into(),
        })
        .collect()
}
