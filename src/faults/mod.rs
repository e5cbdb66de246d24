//! Ways to break the lab: one file each with descriptor, inject, confirm, revert. [`ALL`] is the catalogue.

use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::finding::FindingKind;
use crate::domain::ids::InjectionId;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::ports::runtime::RuntimeKind;
use crate::targets::Server;

pub mod spec;
pub mod state;
pub mod watchdog;

mod abilities;
mod clients;
mod denial;
mod filling;
mod full_volume;
mod keys;
mod listening;
mod marks;
mod params;
mod pg_setting;
mod process_limit;
mod reach;
mod redis_state;
mod script;
mod sessions;
mod snapshot;
mod sockets;
mod standing;
mod stroke;
mod tables;
mod wal;
mod words;

mod acl_no_write;
mod aof_enospc;
mod archive_fails;
mod auth_connect;
mod auth_expired;
mod auth_nologin;
mod auth_table;
mod autovacuum_off;
mod big_key;
mod bind;
mod blocking_command;
mod busy_script;
mod busy_script_wrote;
mod cgroup_oom;
mod client_pause;
mod container_killed;
mod container_paused;
mod container_sigstop;
mod cpu_throttled;
mod data_full;
mod db_closed;
mod dead_slot;
mod deadlock;
mod eviction;
mod exhaust;
mod fd_limit;
mod flushall;
mod fork_fails;
mod frozen_backend;
mod ghost_client;
mod hba_reject;
mod idle_in_transaction;
mod idle_leak;
mod invalid_index;
mod leak_oom;
mod list_backlog;
mod lock_pile;
mod lock_table_full;
mod maxclients;
mod maxmemory_lowered;
mod min_replicas;
mod network_disconnected;
mod output_buffers;
mod pids_limit;
mod planner_setting;
mod port;
mod prepared_orphan;
mod query_buffers;
mod rdb_enospc;
mod re_leak;
mod read_only;
mod replicaof_dead;
mod requirepass;
mod role_limit;
mod segv;
mod sequence_end;
mod slow_pile;
mod spill;
mod sync_standby_missing;
mod timeouts;
mod user_off;
mod xmin_held;

pub use abilities::{Ability, abilities};
pub use marks::Marks;
pub use params::complete_params;

/// No injection may ask for a later deadline.
pub const LONGEST_TTL_S: u64 = 3_600;

/// Every fault there is.
pub const ALL: &[&dyn Fault] = &[
    &leak_oom::LeakOom,
    &maxmemory_lowered::MaxmemoryLowered,
    &big_key::BigKey,
    &output_buffers::OutputBuffers,
    &query_buffers::QueryBuffers,
    &list_backlog::ListBacklog,
    &maxclients::Maxclients,
    &flushall::Flushall,
    &busy_script::FAULT,
    &busy_script_wrote::FAULT,
    &client_pause::ClientPause,
    &blocking_command::BlockingCommand,
    &eviction::Eviction,
    &rdb_enospc::RdbEnospc,
    &aof_enospc::AofEnospc,
    &fork_fails::ForkFails,
    &requirepass::Requirepass,
    &user_off::UserOff,
    &acl_no_write::AclNoWrite,
    &bind::FAULT,
    &port::FAULT,
    &fd_limit::FdLimit,
    &replicaof_dead::ReplicaofDead,
    &min_replicas::MinReplicas,
    &idle_leak::IdleLeak,
    &exhaust::Exhaust,
    &re_leak::ReLeak,
    &idle_in_transaction::IdleInTransaction,
    &lock_pile::LockPile,
    &slow_pile::SlowPile,
    &prepared_orphan::PreparedOrphan,
    &frozen_backend::FrozenBackend,
    &ghost_client::GhostClient,
    &role_limit::RoleLimit,
    &xmin_held::XminHeld,
    &autovacuum_off::AutovacuumOff,
    &archive_fails::ArchiveFails,
    &dead_slot::DeadSlot,
    &invalid_index::InvalidIndex,
    &deadlock::Deadlock,
    &lock_table_full::LockTableFull,
    &spill::Spill,
    &sequence_end::SequenceEnd,
    &planner_setting::PlannerSetting,
    &read_only::FAULT,
    &data_full::DataFull,
    &sync_standby_missing::FAULT,
    &timeouts::FAULT,
    &pids_limit::PidsLimit,
    &db_closed::FAULT,
    &hba_reject::HbaReject,
    &auth_nologin::FAULT,
    &auth_expired::FAULT,
    &auth_connect::FAULT,
    &auth_table::FAULT,
    &container_paused::FAULT,
    &container_sigstop::FAULT,
    &container_killed::FAULT,
    &cgroup_oom::CgroupOom,
    &segv::FAULT,
    &network_disconnected::NetworkDisconnected,
    &cpu_throttled::CpuThrottled,
];

/// Both runtimes a lab can be in.
pub const ANYWHERE: &[RuntimeKind] = &[RuntimeKind::Docker, RuntimeKind::Process];
/// What needs a container: its limits, its network, its volumes.
pub const IN_CONTAINERS: &[RuntimeKind] = &[RuntimeKind::Docker];

/// How common a fault is in practice, and how dangerous to play with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    First,
    Practical,
    /// Dangerous, or depends on the environment: only by name.
    Dangerous,
}

/// How a fault ends when nobody undoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Held by the injector's sockets; dies with it.
    Held,
    /// Expires by itself.
    Expires,
    /// A runtime setting; gone at a restart.
    Setting,
    /// Stays until undone.
    Persists,
    /// Needs what was saved before.
    Restores,
}

/// What menus, CLI and documentation need to know about a fault.
#[derive(Debug)]
pub struct Descriptor {
    pub id: &'static str,
    /// Other names accepted: the trigger names of the old simulator.
    pub aliases: &'static [&'static str],
    pub tier: Tier,
    /// Where it can be done; capabilities beyond that are the business of [`Fault::available`].
    pub runtimes: &'static [RuntimeKind],
    /// `None`: any lab target.
    pub engine: Option<Engine>,
    pub class: Class,
    pub title: &'static str,
    pub about: &'static str,
    /// The finding it leads to, and the cause the diagnosis should name.
    pub finding: FindingKind,
    pub cause: &'static str,
    /// The actions that end it, in order; none: the agent hands over to a person with advice.
    pub fixed_by: &'static [&'static str],
    pub params: &'static [Param],
    /// Low: clients notice nothing yet. Medium: they are refused or hang until it is undone. High: what is only
    /// in memory is lost.
    pub risk: Risk,
    /// What it leaves alone, in words.
    pub untouched: &'static [&'static str],
    /// What reverting does, in words.
    pub undo: &'static [&'static str],
    /// Its own symptom must show within this.
    pub takes_within: Duration,
}

/// A parameter of a fault: a whole number between two bounds.
#[derive(Debug)]
pub struct Param {
    pub name: &'static str,
    pub about: &'static str,
    pub default: u64,
    pub min: u64,
    pub max: u64,
}

/// Why a fault was not injected or not undone.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error("there is no fault `{name}`; `simctl faults` lists them")]
    Unknown { name: String },
    #[error("parameter {name}: {reason}")]
    Param { name: String, reason: String },
    #[error("{0}")]
    Precondition(String),
    /// Nothing was changed, and nothing will be.
    #[error("injection {id} did nothing: it has no journal")]
    NothingDone { id: InjectionId },
    #[error("{doing}")]
    Failed {
        doing: String,
        #[source]
        source: anyhow::Error,
    },
}

impl FaultError {
    fn failed(doing: impl Into<String>, source: impl Into<anyhow::Error>) -> Self {
        Self::Failed { doing: doing.into(), source: source.into() }
    }

    /// The whole chain as one line for a person.
    pub fn in_words(&self) -> String {
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !words.contains(&text) {
                words.push_str(": ");
                words.push_str(&text);
            }
            cause = error.source();
        }
        words
    }
}

/// Parameters by name, complete and within bounds.
pub type Params = BTreeMap<String, u64>;

/// Originals saved before the first call; what `revert` needs.
pub type Saved = BTreeMap<String, Value>;

/// Sockets and tasks that are the fault; dropping it lets go of them.
pub type Grip = Box<dyn Any + Send>;

/// Where a running injection reports how far it is.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

/// A way to break a lab target.
#[async_trait]
pub trait Fault: Send + Sync {
    fn descriptor(&self) -> &'static Descriptor;

    /// Why this server cannot be broken this way, if so: what it runs in, or what it lacks. Changes nothing.
    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, self.descriptor().runtimes)
    }

    /// The exact calls, for a dry run; in general words where the server is not at hand.
    fn calls(&self, server: Option<&Server>, params: &Params) -> Vec<String>;

    /// Reads the originals that `revert` needs, and picks the names it will use by `seed`. Changes nothing.
    async fn save(&self, server: &Server, params: &Params, seed: u64) -> Result<Saved, FaultError>;

    /// Breaks it. Stops at its caps.
    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError>;

    /// Looks for the fault's own symptom once; what was seen, or why it is not there (yet).
    async fn took(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError>;

    /// Undoes it from what was saved. Idempotent; the grip is gone already. Touches only its own marks.
    async fn revert(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError>;
}

/// The fault of that name or alias; an error that says how to see them all.
pub fn named(name: &str) -> Result<&'static dyn Fault, FaultError> {
    find(name).ok_or_else(|| FaultError::Unknown { name: name.to_owned() })
}

/// The fault of that name or alias.
pub fn find(name: &str) -> Option<&'static dyn Fault> {
    ALL.iter().copied().find(|fault| {
        let d = fault.descriptor();
        d.id == name || d.aliases.contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_aliases_are_unique_and_the_old_trigger_names_are_known() {
        let mut seen = BTreeSet::new();
        for d in ALL.iter().map(|fault| fault.descriptor()) {
            for name in std::iter::once(&d.id).chain(d.aliases) {
                assert!(seen.insert(*name), "{name} names two faults");
            }
        }
        assert_eq!(find("redis-memory").unwrap().descriptor().id, "leak-oom");
        assert_eq!(find("postgres-connections").unwrap().descriptor().id, "idle-leak");
        assert!(named("nonsense").err().unwrap().to_string().contains("simctl faults"));
    }

    #[test]
    fn every_descriptor_is_complete() {
        for d in ALL.iter().map(|fault| fault.descriptor()) {
            assert!(
                !d.title.is_empty()
                    && d.about.ends_with('.')
                    && !d.undo.is_empty()
                    && !d.untouched.is_empty(),
                "{}",
                d.id
            );
            assert!(d.takes_within <= Duration::from_secs(10), "{}", d.id);
            for param in d.params {
                assert!(
                    (param.min..=param.max).contains(&param.default),
                    "{} {}",
                    d.id,
                    param.name
                );
            }
        }
    }

    #[test]
    fn every_fault_tells_its_calls_also_where_the_server_is_not_at_hand() {
        for fault in ALL {
            let params = complete_params(*fault, &BTreeMap::new()).unwrap();
            let calls = fault.calls(None, &params);
            assert!(!calls.is_empty() && calls.iter().all(|call| !call.is_empty()));
        }
        let fault = find("idle-leak").unwrap();
        let params = Params::from([("connections".to_owned(), 7)]);
        assert_eq!(
            fault.calls(None, &params),
            [
                "connect 7 times as the application's role, run `select 1` in each, and leave them idle"
            ]
        );
    }
}
