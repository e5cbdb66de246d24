//! Remedies: one file each with descriptor, preview, run, verify, undo. [`ALL`] is the closed set.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::execution::{Check, Output, PhaseLine};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

mod access;
mod arg;
mod args;
mod channel;
mod checks;
mod concurrently;
mod connection_limit;
mod copy;
mod limit;
mod needs;
mod pg_setting;
mod postgres;
mod redis;
mod sessions;
mod undo_file;
mod unit;

mod analyze_table;
mod cancel_query;
mod clear_redis_cache;
mod connect_network;
mod continue_process;
mod create_index;
mod detach_replica;
mod drop_index;
mod drop_invalid_index;
mod drop_replication_slot;
mod end_prepared;
mod free_space;
mod kill_blocker;
mod kill_idle_connections;
mod kill_idle_transactions;
mod kill_redis_clients;
mod kill_redis_script;
mod limit_role;
mod move_table;
mod open_database;
mod raise_fd_limit;
mod reindex_index;
mod remove_hba_line;
mod reset_connection_limit;
mod reset_cpu_quota;
mod reset_memory_limit;
mod reset_pg_setting;
mod reset_pids_limit;
mod reset_redis_acl;
mod reset_redis_setting;
mod reset_role_db_setting;
mod restart_postgres;
mod restart_redis;
mod restore_role_access;
mod save_redis;
mod set_pg_setting;
mod start_container;
mod stop_redis_nosave;
mod terminate_query;
mod tune_autovacuum;
mod unlink_big_key;
mod unlink_keys;
mod unpause_container;
mod unpause_redis_clients;
mod vacuum_table;

pub use arg::{Arg, Form};
pub use needs::{Need, Rights, WATCHING, rights};
pub use undo_file::set_undo_dir;

/// Every action there is.
pub const ALL: &[&dyn Action] = &[
    &analyze_table::AnalyzeTable,
    &cancel_query::CancelQuery,
    &clear_redis_cache::ClearRedisCache,
    &connect_network::ConnectNetwork,
    &continue_process::ContinueProcess,
    &create_index::CreateIndex,
    &detach_replica::DetachReplica,
    &drop_index::DropIndex,
    &drop_invalid_index::DropInvalidIndex,
    &drop_replication_slot::DropReplicationSlot,
    &end_prepared::EndPrepared,
    &free_space::FreeSpace,
    &kill_blocker::KillBlocker,
    &kill_idle_connections::KillIdleConnections,
    &kill_idle_transactions::KillIdleTransactions,
    &kill_redis_clients::KillRedisClients,
    &kill_redis_script::KillRedisScript,
    &limit_role::ACTION,
    &move_table::MoveTable,
    &open_database::OpenDatabase,
    &raise_fd_limit::ACTION,
    &reindex_index::ReindexIndex,
    &remove_hba_line::RemoveHbaLine,
    &reset_connection_limit::ACTION,
    &reset_cpu_quota::ACTION,
    &reset_memory_limit::ACTION,
    &reset_pg_setting::ACTION,
    &reset_pids_limit::ACTION,
    &reset_redis_acl::ResetRedisAcl,
    &reset_redis_setting::ResetRedisSetting,
    &reset_role_db_setting::ResetRoleDbSetting,
    &restart_postgres::RestartPostgres,
    &restart_redis::RestartRedis,
    &restore_role_access::RestoreRoleAccess,
    &save_redis::SaveRedis,
    &set_pg_setting::ACTION,
    &start_container::StartContainer,
    &unlink_big_key::UnlinkBigKey,
    &stop_redis_nosave::StopRedisNosave,
    &terminate_query::TerminateQuery,
    &tune_autovacuum::TuneAutovacuum,
    &unlink_keys::UnlinkKeys,
    &unpause_container::UnpauseContainer,
    &unpause_redis_clients::UnpauseRedisClients,
    &vacuum_table::VacuumTable,
];

/// What menus, CLI, policy and models need to know about an action.
#[derive(Debug)]
pub struct Descriptor {
    pub id: &'static str,
    /// Other names accepted when parsing.
    pub aliases: &'static [&'static str],
    /// `None`: any target with a runtime.
    pub engine: Option<Engine>,
    /// Works only where simctl can reach what the server runs in.
    pub needs_runtime: bool,
    pub risk: Risk,
    pub title: &'static str,
    /// One or two sentences: what it does and when it is right.
    pub about: &'static str,
    pub args: &'static [Arg],
    /// The rights it takes, no more; `simctl grants` adds them up.
    pub needs: &'static [Need],
    /// What is measured afterwards, in words.
    pub verify: &'static str,
}

/// Why an action does not run, or how it broke.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error("argument {name}: {reason}")]
    Argument { name: &'static str, reason: String },
    /// The world is not as the action needs it; nothing was done.
    #[error("{0}")]
    Precondition(String),
    #[error("{doing}")]
    Failed {
        doing: String,
        #[source]
        source: anyhow::Error,
    },
}

/// Where a running action reports what it does, as it happens.
pub type Report<'a> = &'a (dyn Fn(PhaseLine) + Send + Sync);

/// What undo needs, saved before acting.
pub type Saved = BTreeMap<String, Value>;

/// A remedy.
#[async_trait]
pub trait Action: Send + Sync {
    fn descriptor(&self) -> &'static Descriptor;

    /// Checks arguments and precondition against the live server and computes what would happen. Read-only.
    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError>;

    /// The risk of this use of it; never below the descriptor's.
    fn risk(&self, _server: &Server, _args: &Args, _preview: &Preview) -> Risk {
        self.descriptor().risk
    }

    /// How this use of it is undone.
    fn undo_kind(&self, args: &Args) -> Undo;

    /// Saves what `undo` needs. Called after the approval, right before `run`, and stored before `run` starts.
    async fn save(&self, _server: &Server, _args: &Args) -> Result<Saved, ActionError> {
        Ok(Saved::new())
    }

    /// Does it, precondition in the same statement as the effect. A command's failure is an `Output`.
    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError>;

    /// It was broken off midway and nobody waits for it any more: ends what may still run on the server, and removes
    /// what that left. What is true then is measured apart.
    async fn broken_off(&self, _server: &Server, _args: &Args) {}

    /// Measures whether the cause is gone and nothing else was harmed. The base check (a fresh client reads and
    /// writes, health) is not its business.
    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check>;

    /// What [`Self::undo`] would run with what was saved, as a person would type it; empty where that is not known
    /// beforehand or more than a person would read.
    fn undo_commands(&self, _server: &Server, _args: &Args, _saved: &Saved) -> Vec<String> {
        Vec::new()
    }

    /// Takes it back from what was saved. Says in one sentence what was restored.
    async fn undo(
        &self,
        _server: &Server,
        _args: &Args,
        _saved: &Saved,
    ) -> Result<String, ActionError> {
        Err(ActionError::Precondition("this action cannot be undone".into()))
    }
}

/// The action of that name, or the only one with that alias.
pub fn find(name: &str) -> Option<&'static dyn Action> {
    only_one(name, |_| true)
}

/// The action of that name or alias for this kind of server: `restart` is another one for each.
pub fn find_for(name: &str, engine: Engine) -> Option<&'static dyn Action> {
    only_one(name, |d| d.engine.is_none_or(|own| own == engine))
}

fn only_one(name: &str, fits: impl Fn(&Descriptor) -> bool) -> Option<&'static dyn Action> {
    let fitting = || ALL.iter().copied().filter(|action| fits(action.descriptor()));
    let mut aliased = fitting().filter(|action| action.descriptor().aliases.contains(&name));
    fitting().find(|action| action.descriptor().id == name).or_else(|| {
        let first = aliased.next()?;
        aliased.next().is_none().then_some(first)
    })
}

/// The action that somebody asks for by name, when it fits this kind of server and takes these arguments. What only the
/// live server can tell, its preview tells.
pub fn fitting(
    name: &str,
    engine: Engine,
    args: &Args,
) -> Result<&'static dyn Action, ActionError> {
    let Some(action) = find_for(name, engine) else {
        let reason = match find(name) {
            Some(other) => {
                let own = other.descriptor().engine.map_or("other", Engine::as_str);
                format!("{name} is for {own} targets, and this one is a {}", engine.as_str())
            }
            None => format!("there is no action `{name}`; `simctl actions` lists them"),
        };
        return Err(ActionError::Precondition(reason));
    };
    arg::check(action.descriptor(), args)?;
    Ok(action)
}

/// What a step failed at, with its cause.
fn failed(doing: impl Into<String>, source: impl Into<anyhow::Error>) -> ActionError {
    ActionError::Failed { doing: doing.into(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_means_one_action_per_kind_of_server() {
        for engine in [Engine::Redis, Engine::Postgres] {
            let mut names = BTreeSet::new();
            for action in ALL.iter().map(|action| action.descriptor()) {
                if action.engine.is_some_and(|own| own != engine) {
                    continue;
                }
                for name in std::iter::once(&action.id).chain(action.aliases) {
                    assert!(names.insert(*name), "`{name}` names two actions for {engine:?}");
                    let found = find_for(name, engine).map(|found| found.descriptor().id);
                    assert_eq!(found, Some(action.id), "{name}");
                }
            }
        }
    }

    #[test]
    fn names_of_the_old_simulator_find_their_action() {
        let id = |found: Option<&'static dyn Action>| found.map(|action| action.descriptor().id);
        for (name, expected) in [
            ("flush", "clear_redis_cache"),
            ("clear_cache", "clear_redis_cache"),
            ("kill-connections", "kill_idle_connections"),
            ("unlink_keys", "unlink_keys"),
        ] {
            assert_eq!(id(find(name)), Some(expected));
        }
        assert_eq!(id(find("restart")), None, "it means two things");
        assert_eq!(id(find_for("restart", Engine::Redis)), Some("restart_redis"));
        assert_eq!(id(find_for("restart", Engine::Postgres)), Some("restart_postgres"));
        assert_eq!(id(find_for("flush", Engine::Postgres)), None);
        assert_eq!(id(find("reboot")), None);
    }

    #[test]
    fn every_descriptor_is_complete() {
        for d in ALL.iter().map(|action| action.descriptor()) {
            for text in [d.title, d.about, d.verify] {
                assert!(text.len() > 10, "{}: {text:?}", d.id);
            }
            assert!(d.about.ends_with('.'), "{}", d.id);
            for arg in d.args {
                assert!(!arg.name.is_empty() && arg.about.len() > 10, "{} {}", d.id, arg.name);
            }
            assert!(d.engine.is_some() || d.needs_runtime, "{}: what does it act on?", d.id);
        }
    }
}
