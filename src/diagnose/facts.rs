//! What an investigation has observed, typed; the only thing a judgement may rest on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::diagnosis::Evidence;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{RuntimeEvent, Sample};
use crate::domain::unit::UnitState;

/// Everything observed for one incident. A part that could not be observed is `None`, and says why in the
/// evidence; it is never an empty list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    pub finding: FindingKind,
    /// The newest samples, oldest first.
    pub samples: Vec<Sample>,
    pub runtime_events: Vec<RuntimeEvent>,
    /// The target's settings when it was healthy.
    pub baseline: BTreeMap<String, String>,
    pub unit: Option<UnitState>,
    /// The newest lines of the server's own log, oldest first.
    #[serde(default)]
    pub log: Option<Vec<String>>,
    /// What the server runs in, seen in other ways than by looking at its state.
    #[serde(default)]
    pub place: PlaceFacts,
    /// The newest commands that Redis itself found slow, newest first.
    #[serde(default)]
    pub slow_commands: Option<Vec<SlowCommand>>,
    /// What earlier attempts of this incident were told when they failed.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    /// The file system the server keeps its data on; looked at where it says that it cannot write.
    #[serde(default)]
    pub disk: Option<Disk>,
    pub redis: Option<RedisFacts>,
    pub postgres: Option<PostgresFacts>,
    pub evidence: Vec<Evidence>,
}

/// More about what a server runs in. Each is observed only where the symptom asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaceFacts {
    pub inside: Option<Inside>,
    /// The state of a container's first process, in the kernel's letter: `T` is stopped by a signal.
    #[serde(default)]
    pub first_process: Option<char>,
    pub throttling: Option<Throttling>,
}

/// What the server's own client got inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "text")]
pub enum Inside {
    Answered(String),
    /// An error of the server or the connection.
    Refused(String),
    Silent,
}

/// How often the CPU limit stopped it, between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throttling {
    pub seconds: f64,
    /// Periods of the limit in which it wanted to run, and those in which it was stopped.
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_ms: u64,
}

/// An entry of Redis's SLOWLOG.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlowCommand {
    /// How long before the look.
    pub age_s: f64,
    pub took_ms: f64,
    /// In lower case.
    pub command: String,
    pub argument: String,
    pub client: String,
}

/// An action that failed, and the server's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub action: String,
    pub said: String,
}

/// A file system, and what of simctl's own lies on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The server's data directory.
    pub dir: String,
    pub total: u64,
    pub available: u64,
    /// Ballast and reserve of the lab: files that hold nothing.
    pub spare: Vec<SpareFile>,
}

/// A file of simctl's that only takes room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpareFile {
    pub path: String,
    pub bytes: u64,
}

/// A Redis server from inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RedisFacts {
    pub run_id: String,
    pub maxmemory: u64,
    pub policy: String,
    pub used_memory: u64,
    pub dataset_bytes: u64,
    pub overhead_bytes: u64,
    /// Buffers of ordinary clients.
    pub client_bytes: u64,
    pub keys: u64,
    pub maxclients: u64,
    /// Connections in all, ours too.
    #[serde(default)]
    pub connected: u64,
    pub clients: Vec<RedisClient>,
    pub prefixes: Vec<PrefixShare>,
    /// How many keys the prefixes were counted over; fewer than `keys` means a sample.
    pub keys_seen: u64,
    /// Whether anything was ever saved to disk, and changes since.
    pub persists: bool,
    pub changes_since_save: u64,
    /// The settings as they are now, by the names of the baseline; empty when they could not be read.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The user we are logged in as.
    #[serde(default)]
    pub login: String,
    /// `master` or `slave`, and whether the link to the master is up.
    #[serde(default)]
    pub role: String,
    #[serde(default)]
    pub master_link: Option<String>,
    /// Clients, ours too, that are kept waiting in a command that never waits by itself.
    #[serde(default)]
    pub held_back: u64,
    /// Whether it hands over to a replica just now.
    #[serde(default)]
    pub fails_over: bool,
    /// `ok` or `err`, as INFO says it of the last snapshot and the last write to the append-only file.
    #[serde(default)]
    pub last_save: String,
    #[serde(default)]
    pub last_append: String,
    /// The largest keys found, the largest first.
    #[serde(default)]
    pub biggest: Vec<BigKey>,
    /// What may be on its way, a moment after the first look; `None` when that gave no reason for another.
    #[serde(default)]
    pub again: Option<SecondLook>,
}

/// One key that takes much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BigKey {
    pub name: String,
    /// As TYPE says it: `string`, `list`, `stream` …
    pub kind: String,
    pub bytes: u64,
    /// Bytes of a string, items of anything else.
    pub length: u64,
}

/// The same things a moment later: what stays, what grows, what was only passing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondLook {
    pub after_ms: u64,
    pub clients: Vec<RedisClient>,
    pub biggest: Vec<BigKey>,
}

/// One client of a Redis server, other than our own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RedisClient {
    pub id: u64,
    pub addr: String,
    pub name: String,
    pub user: String,
    pub age_s: u64,
    pub idle_s: u64,
    /// The last command, in lower case, as CLIENT LIST says it.
    pub cmd: String,
    pub flags: String,
    /// Output and query buffers.
    pub omem: u64,
    pub qbuf: u64,
    pub total_mem: u64,
}

/// Commands that wait for something by themselves; those of modules may.
const WAIT: [&str; 14] = [
    "blmove",
    "blmpop",
    "blpop",
    "brpop",
    "brpoplpush",
    "bzmpop",
    "bzpopmax",
    "bzpopmin",
    "shutdown",
    "wait",
    "waitaof",
    "xread",
    "xreadgroup",
    "debug",
];

impl RedisClient {
    /// Whether the server keeps it waiting in a command that never waits by itself.
    pub fn is_held_back(&self) -> bool {
        let may_wait = WAIT.contains(&self.cmd.as_str()) || self.cmd.contains('.');
        self.flags.contains('b') && !may_wait
    }
}

/// A family of keys: everything before the first separator of the name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PrefixShare {
    /// With its separator: `leak:`.
    pub prefix: String,
    pub keys: u64,
    /// Estimated from a sample of MEMORY USAGE.
    pub bytes: u64,
    /// Of the sampled keys, in percent.
    pub without_ttl_percent: u8,
}

/// A PostgreSQL server from inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PostgresFacts {
    pub started_at: Option<DateTime<Utc>>,
    pub max_connections: u32,
    /// Slots only superusers may take.
    pub reserved: u32,
    pub own_sessions: u32,
    /// Client backends other than our own.
    pub sessions: Vec<PgSession>,
    /// (role, limit) where there is one.
    pub role_limits: Vec<(String, i32)>,
    /// (database, limit) where there is one.
    pub database_limits: Vec<(String, i32)>,
    /// The settings as the application has them now, by the names of the baseline; `None` when it was not let in.
    #[serde(default)]
    pub settings: Option<BTreeMap<String, String>>,
    /// Tables of the application's database with dead rows, most first; `None` when they were not asked for, or
    /// could not be read.
    #[serde(default)]
    pub tables: Option<Vec<PgTable>>,
    /// What is no session and holds old rows or locks; `None` when it could not be read.
    #[serde(default)]
    pub holders: Option<Vec<PgHolder>>,
    /// `None`: not observed.
    #[serde(default)]
    pub standing: Option<PgStanding>,
    /// Volumes of tablespaces; looked at only where one may be full.
    #[serde(default)]
    pub volumes: Option<Vec<PgVolume>>,
    /// Who keeps WAL; looked at only where it piles up.
    #[serde(default)]
    pub wal: Option<PgWal>,
    /// Indexes that no query may use; looked at only where there are some.
    #[serde(default)]
    pub invalid_indexes: Option<Vec<PgInvalidIndex>>,
    /// Deadlocks ever broken, by database; looked at only where there are new ones.
    #[serde(default)]
    pub deadlocks: Option<Vec<(String, u64)>>,
    /// Sequences that can give no further number; looked at only where transactions fail.
    #[serde(default)]
    pub ended_sequences: Option<Vec<PgSequence>>,
    /// The table of locks; looked at only where transactions fail.
    #[serde(default)]
    pub promised_locks: Option<PgLocks>,
    /// How pg_hba.conf meets the application; looked at only where it is turned away at the door.
    #[serde(default)]
    pub hba: Option<PgHba>,
}

/// A sequence at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgSequence {
    pub schema: String,
    pub name: String,
    /// The number it cannot pass.
    pub end: i64,
    /// As `integer`.
    pub kind: String,
    /// Whose column it is for; empty: nobody's.
    pub table: String,
}

/// Who holds the locks, and whether there is room for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgLocks {
    /// Every transaction is promised so many (max_locks_per_transaction) …
    pub promised: u32,
    /// … and whether one gets them now; `None`: that could not be tried.
    #[serde(default)]
    pub are_given: Option<bool>,
    /// In the shared table.
    pub taken: u64,
    /// Processes with the most of them, most first.
    pub holders: Vec<(i32, u64)>,
}

/// The archive and the replication slots: who must have taken WAL before it may go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgWal {
    pub archives: bool,
    /// Attempts of the archive that failed, and how long ago the newest and the newest success were.
    pub failed: i64,
    pub failed_s: Option<f64>,
    pub archived_s: Option<f64>,
    /// The file it could not take.
    pub stuck_at: Option<String>,
    /// Furthest back first.
    pub slots: Vec<PgSlot>,
}

/// A replication slot that keeps WAL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgSlot {
    pub name: String,
    /// `physical` or `logical`.
    pub kind: String,
    /// Somebody is connected and reads it.
    pub active: bool,
    /// Its restart_lsn.
    pub position: String,
    pub retained: u64,
}

/// An index that is not valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgInvalidIndex {
    pub schema: String,
    pub name: String,
    pub table: String,
    pub definition: String,
    pub bytes: u64,
    pub is_unique: bool,
    /// Somebody builds or drops it, or another index of its table.
    pub is_worked_on: bool,
}

/// The lines of pg_hba.conf that fit the application's next connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgHba {
    /// Where its connections come from; empty: not known.
    pub address: String,
    /// Lines that the server cannot read.
    pub errors: u32,
    /// The first decides.
    pub rules: Vec<PgHbaRule>,
}

/// One line of pg_hba.conf.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgHbaRule {
    pub line: u32,
    /// As it stands there; `None`: in a file that pg_hba.conf includes.
    pub text: Option<String>,
    /// `reject`, `scram-sha-256` …
    pub method: String,
    /// Whether its address surely fits: a host name may or may not.
    pub is_sure: bool,
}

/// A table with dead rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgTable {
    pub schema: String,
    pub name: String,
    pub live: u64,
    pub dead: u64,
    /// How many seconds ago a vacuum of it last ended, whoever began it.
    pub vacuumed_s: Option<f64>,
    /// Switched off for this table.
    pub autovacuum_off: bool,
    pub is_being_vacuumed: bool,
}

/// A prepared transaction or a replication slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PgHolder {
    pub kind: HolderKind,
    pub name: String,
    /// How many transactions ago its horizon was.
    pub horizon_age: i32,
    /// Of a prepared transaction.
    pub age_s: Option<f64>,
    /// With the name, names a prepared transaction for good.
    #[serde(default)]
    pub prepared: Option<DateTime<Utc>>,
    pub owner: String,
    /// The first few relations a prepared transaction has locked.
    pub locked: Vec<String>,
}

/// What kind of holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HolderKind {
    Prepared,
    Slot,
}

/// A tablespace other than the default ones, and the volume below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgVolume {
    pub tablespace: String,
    pub dir: String,
    pub total: u64,
    pub available: u64,
    /// The largest tables of the application's database there, largest first.
    pub tables: Vec<SizedTable>,
}

/// A table and what it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizedTable {
    pub schema: String,
    pub name: String,
    pub bytes: u64,
}

/// What a PostgreSQL server is to its clients: what it lets in, what it lets write, whom a commit waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PgStanding {
    pub in_recovery: Option<bool>,
    /// Standbys that confirm commits now.
    pub sync_standbys: Option<u32>,
    /// Sessions, ours too, whose commit waits for a standby.
    pub commit_waits: u32,
    /// Settings of roles and databases.
    pub overrides: Vec<PgOverride>,
    /// The application's role; `None`: there is no such role.
    pub role: Option<PgRole>,
    /// The application's database; `None`: there is none of that name.
    pub database: Option<PgDatabase>,
    /// What the application may do to the heartbeat table, where there is one and it could be looked at.
    pub heartbeat: Option<PgTableRights>,
}

/// A setting for a role, a database or both, which beats the server's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgOverride {
    /// Empty: every role.
    pub role: String,
    /// Empty: every database.
    pub database: String,
    pub name: String,
    pub value: String,
}

/// A role as pg_roles says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgRole {
    pub name: String,
    pub can_login: bool,
    pub valid_until: Option<String>,
    pub expired: bool,
}

/// A database as pg_database says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgDatabase {
    pub name: String,
    pub is_open: bool,
    /// Whether the application's role has CONNECT, by itself or through another role.
    pub may_connect: bool,
    /// Whether every role has it.
    pub everybody_may_connect: bool,
}

/// Rights on a table, by whatever way they are held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgTableRights {
    pub name: String,
    pub select: bool,
    pub insert: bool,
    pub update: bool,
}

/// One session of a PostgreSQL server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PgSession {
    pub pid: i32,
    pub backend_start: Option<DateTime<Utc>>,
    pub user: String,
    pub database: String,
    pub application: String,
    pub client: String,
    /// Of its connection; `None` over a local socket.
    #[serde(default)]
    pub client_port: Option<u16>,
    /// As pg_stat_activity says it: `idle`, `active`, `idle in transaction` …
    pub state: String,
    pub state_age_s: f64,
    pub xact_age_s: Option<f64>,
    pub query_age_s: Option<f64>,
    /// With the pid, names the query.
    #[serde(default)]
    pub query_start: Option<DateTime<Utc>>,
    /// How many transactions ago the oldest row version it may need was current; `None`: it needs none.
    #[serde(default)]
    pub horizon_age: Option<i32>,
    pub wait_type: Option<String>,
    #[serde(default)]
    pub wait_event: Option<String>,
    /// The state of its process, in the kernel's letter; looked at only where it keeps others waiting.
    #[serde(default)]
    pub process: Option<char>,
    /// Whether its client is still at the other end of the connection; looked at where its process is.
    #[serde(default)]
    pub has_client: Option<bool>,
    /// Has written: ending it rolls work back.
    pub has_written: bool,
    pub blocked_by: Vec<i32>,
    /// Advisory locks held: somebody counts on this session.
    pub holds_advisory_lock: bool,
    pub is_superuser: bool,
}

impl Facts {
    /// The id of the evidence whose source starts with `source`.
    pub fn cite(&self, source: &str) -> Option<String> {
        self.evidence.iter().find(|e| e.source.starts_with(source)).map(|e| e.id.clone())
    }

    /// The newest value of a reading.
    pub fn newest(&self, reading: &str) -> Option<f64> {
        self.samples.iter().rev().find_map(|sample| sample.reading(reading))
    }

    /// How much a reading grew over the samples at hand, and over how many seconds.
    pub fn growth(&self, reading: &str) -> Option<(f64, f64)> {
        let given = || self.samples.iter().filter_map(|s| s.reading(reading).map(|v| (s.at, v)));
        let (first_at, first) = given().next()?;
        let (last_at, last) = given().next_back()?;
        let seconds = (last_at - first_at).num_milliseconds() as f64 / 1_000.0;
        (seconds > 0.0).then_some((last - first, seconds))
    }
}
