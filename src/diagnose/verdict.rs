//! Putting a judgement together: the grade, its sentence, and the evidence it rests on.

use crate::domain::diagnosis::{Grade, JudgedCause};
use crate::domain::ids::CauseId;

use super::facts::Facts;

/// How the sources of evidence begin; gatherers and judges agree on these.
pub mod source {
    pub const REDIS_INFO: &str = "redis-cli INFO";
    pub const REDIS_CONFIG: &str = "redis-cli CONFIG GET";
    pub const REDIS_CLIENTS: &str = "redis-cli CLIENT LIST";
    pub const REDIS_KEYS: &str = "redis-cli SCAN, MEMORY USAGE, PTTL";
    pub const REDIS_AGAIN: &str =
        "a moment later: redis-cli CLIENT LIST, TYPE and length of the largest keys";
    pub const PG_SESSIONS: &str = r#"psql -c "SELECT … FROM pg_stat_activity""#;
    pub const PG_LIMITS: &str = r#"psql -c "SELECT rolname, rolconnlimit FROM pg_roles; SELECT datname, datconnlimit FROM pg_database; SHOW max_connections""#;
    pub const PG_STANDING: &str = r#"psql -c "SELECT pg_is_in_recovery(), … FROM pg_stat_replication, pg_db_role_setting, pg_roles, pg_database""#;
    pub const PG_VOLUMES: &str = r#"df -P -k; psql -c "SELECT … FROM pg_tablespace, pg_class""#;
    pub const PG_WAL: &str =
        r#"psql -c "SELECT … FROM pg_stat_archiver; SELECT … FROM pg_replication_slots""#;
    pub const PG_INDEXES: &str = r#"psql -c "SELECT … FROM pg_index WHERE NOT indisvalid""#;
    pub const PG_DEADLOCKS: &str = r#"psql -c "SELECT datname, deadlocks FROM pg_stat_database""#;
    pub const PG_SEQUENCES: &str = r#"psql -c "SELECT … FROM pg_sequences""#;
    pub const PG_LOCKS: &str =
        r#"psql -c "SELECT … FROM pg_locks; SELECT count(pg_try_advisory_xact_lock_shared(…))""#;
    pub const PG_HBA: &str =
        r#"psql -c "SELECT … FROM pg_hba_file_rules, pg_read_file(current_setting('hba_file'))""#;
    pub const PG_BLOCKERS: &str = "processes of blockers: cat /proc/<pid>/stat /proc/net/tcp";
    pub const UNIT: &str = "inspect unit";
    pub const CLIENT_VIEW: &str = "client's view";
    pub const BASELINE: &str = "baseline";
    pub const RUNTIME_EVENTS: &str = "runtime events";
    pub const INSIDE: &str = "inside:";
    pub const FIRST_PROCESS: &str = "state of its first process:";
    pub const THROTTLING: &str = "periods of the CPU limit";
    pub const REDIS_SLOWLOG: &str = "redis-cli SLOWLOG GET";
    pub const LOG: &str = "server log";
    pub const DISK: &str = "df";
    pub const EARLIER: &str = "earlier attempt";
    pub const PG_SETTINGS: &str = "psql -U";
    pub const PG_TABLES: &str = r#"psql -c "SELECT … FROM pg_class, pg_stat_get_dead_tuples(oid)""#;
    pub const PG_HOLDERS: &str =
        r#"psql -c "SELECT … FROM pg_prepared_xacts; SELECT … FROM pg_replication_slots""#;
}

/// A judgement about one cause, before it is graded.
pub(super) struct Verdict<'a> {
    facts: &'a Facts,
    cause: &'static str,
    sources: &'a [&'a str],
}

impl<'a> Verdict<'a> {
    /// About `cause`, resting on the evidence of these sources as far as it was gathered.
    pub(super) fn on(facts: &'a Facts, cause: &'static str, sources: &'a [&'a str]) -> Self {
        Self { facts, cause, sources }
    }

    /// Observed, and so is what rules out its look-alikes.
    pub(super) fn confirmed(&self, because: impl Into<String>) -> JudgedCause {
        self.graded(Grade::Confirmed, because.into(), None)
    }

    /// Indirect; `missing` would settle it.
    pub(super) fn likely(
        &self,
        because: impl Into<String>,
        missing: impl Into<String>,
    ) -> JudgedCause {
        self.graded(Grade::Likely, because.into(), Some(missing.into()))
    }

    /// Cannot tell; `missing` is the cheapest next question.
    pub(super) fn inconclusive(
        &self,
        because: impl Into<String>,
        missing: impl Into<String>,
    ) -> JudgedCause {
        self.graded(Grade::Inconclusive, because.into(), Some(missing.into()))
    }

    /// Confirmed when nothing is missing, else likely.
    pub(super) fn confirmed_unless(
        &self,
        because: impl Into<String>,
        missing: Option<String>,
    ) -> JudgedCause {
        match missing {
            None => self.confirmed(because),
            Some(missing) => self.likely(because, missing),
        }
    }

    fn graded(&self, grade: Grade, because: String, missing: Option<String>) -> JudgedCause {
        let cited: Vec<String> =
            self.sources.iter().filter_map(|source| self.facts.cite(source)).collect();
        let in_order = self.facts.evidence.iter().map(|evidence| &evidence.id);
        let evidence = in_order.filter(|id| cited.contains(id)).cloned().collect();
        JudgedCause { cause: CauseId::of(self.cause), grade, because, evidence, missing }
    }
}
