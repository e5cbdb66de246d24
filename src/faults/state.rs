//! What a server is like, as far as a fault could change it: taken before, taken after, compared.
//!
//! Only what must be the same is in here. Keys with a TTL, other people's clients and growing data come and go.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};

use super::{FaultError, Marks, keys, reach, redis_state, sessions, standing, tables};
use crate::domain::unit::{UnitLimits, pids_text};
use crate::ports::runtime::UnitStatus;
use crate::targets::{Link, Server};

mod postgres;

/// Redis settings a fault of the catalogue, or a wrong fix of one, changes.
const REDIS_SETTINGS: [&str; 14] = [
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-clients",
    "maxclients",
    "save",
    "appendonly",
    "stop-writes-on-bgsave-error",
    "client-output-buffer-limit",
    "busy-reply-threshold",
    "min-replicas-to-write",
    "replicaof",
    "bind",
    "port",
    PASSWORD,
];
/// Only whether there is one.
const PASSWORD: &str = "requirepass";

/// A server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateOfServer {
    pub unit: Option<UnitFacts>,
    /// Settings and limits by name, as the server gives them.
    pub settings: BTreeMap<String, String>,
    /// Keys that do not expire and are not the fault's; `None` where there are no keys.
    pub lasting_keys: Option<u64>,
    /// Keys and sessions that carry the fault's marks.
    pub own_keys: u64,
    pub own_sessions: u64,
    /// Whether the table that the fault made for itself is there.
    #[serde(default)]
    pub own_table: bool,
    /// Why the server could not be asked.
    pub unanswered: Option<String>,
}

/// What it runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitFacts {
    pub name: String,
    pub status: UnitStatus,
    pub id: String,
    pub started_at: Option<DateTime<Utc>>,
    pub memory_limit: Option<u64>,
    #[serde(default)]
    pub networks: Option<Vec<String>>,
    #[serde(default)]
    pub limits: Option<UnitLimits>,
    /// How many files a local process may have open.
    #[serde(default)]
    pub files: Option<u64>,
}

/// Looks at the server. A server that does not answer is a state too.
pub async fn capture(server: &Server, marks: &Marks) -> StateOfServer {
    let mut state = StateOfServer { unit: unit_facts(server).await, ..StateOfServer::default() };
    let asked = match &server.link {
        Link::Redis(_) => ask_redis(server, marks, &mut state).await,
        Link::Postgres(_) => ask_postgres(server, marks, &mut state).await,
    };
    state.unanswered = asked.err().map(|error| error.in_words());
    state
}

async fn unit_facts(server: &Server) -> Option<UnitFacts> {
    let name = server.place.as_ref()?.unit.name.clone();
    let seen = standing::unit(server).await.ok()?;
    Some(UnitFacts {
        name,
        status: seen.status,
        id: seen.id,
        started_at: seen.started_at,
        memory_limit: seen.memory_limit,
        networks: seen.networks.map(|all| all.into_iter().map(|on| on.network).collect()),
        limits: seen.limits,
        files: seen.files.map(|files| files.soft),
    })
}

async fn ask_redis(
    server: &Server,
    marks: &Marks,
    state: &mut StateOfServer,
) -> Result<(), FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    for name in REDIS_SETTINGS {
        // A setting this version does not have is simply not answered.
        let answer: BTreeMap<String, String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(&mut con)
            .await
            .map_err(|e| FaultError::failed(format!("read setting {name}"), e))?;
        state.settings.extend(answer.into_iter().map(|(name, value)| {
            let value = if name == PASSWORD && !value.is_empty() { "(set)".into() } else { value };
            (name, value)
        }));
    }
    state.settings.extend(redis_state::users(&mut con).await?);
    state.settings.extend(redis_state::saving(&mut con).await?);
    state.settings.extend(redis_state::files(server, &mut con).await?);
    let prefixes: Vec<&str> = marks.prefix.iter().chain(&marks.stays).map(String::as_str).collect();
    let counts = keys::count(&mut con, &prefixes).await?;
    let marked: u64 = counts.iter().sum();
    state.own_keys = if marks.prefix.is_some() { counts.first().copied().unwrap_or(0) } else { 0 };
    let all = keys::fullness(&mut con).await?.lasting_keys;
    state.lasting_keys = Some(all.saturating_sub(marked));
    state.own_sessions = own_clients(&mut con, marks).await?;
    Ok(())
}

async fn own_clients(con: &mut MultiplexedConnection, marks: &Marks) -> Result<u64, FaultError> {
    let Some(name) = &marks.session else { return Ok(0) };
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed("list clients", e))?;
    let named = format!("name={name}");
    Ok(list.lines().filter(|line| line.split(' ').any(|field| field == named)).count() as u64)
}

async fn ask_postgres(
    server: &Server,
    marks: &Marks,
    state: &mut StateOfServer,
) -> Result<(), FaultError> {
    if let Some(name) = &marks.session {
        state.own_sessions = sessions::count(server, name).await?.0;
    }
    if let Some(table) = &marks.table {
        state.own_table = tables::exists(server, table).await?;
    }
    state.settings.extend(postgres::standing(server).await?);
    Ok(())
}

/// What is left over: each difference in words, nothing when the server is as it was.
pub fn difference(before: &StateOfServer, after: &StateOfServer) -> Vec<String> {
    let mut found = Vec::new();
    unit_difference(before, after, &mut found);
    if let Some(words) = &after.unanswered {
        found.push(format!("the server does not answer, so it could not be compared: {words}"));
        return found;
    }
    for (name, was) in &before.settings {
        match after.settings.get(name) {
            Some(is) if is == was => {}
            Some(is) => found.push(format!("{name} is `{is}`, was `{was}`")),
            None => found.push(format!("{name} is not set, was `{was}`")),
        }
    }
    for (name, is) in after.settings.iter().filter(|(name, _)| !before.settings.contains_key(*name))
    {
        found.push(format!("{name} is `{is}`, was not set"));
    }
    if after.own_keys > before.own_keys {
        found.push(format!("{} keys of the fault are still there", after.own_keys));
    }
    if after.own_sessions > before.own_sessions {
        found.push(format!("{} sessions of the fault are still open", after.own_sessions));
    }
    if after.own_table && !before.own_table {
        found.push("the table of the fault is still there".to_owned());
    }
    if let (Some(was), Some(is)) = (before.lasting_keys, after.lasting_keys)
        && is < was
        && same_life(before, after)
    {
        found.push(format!("{} keys that are not the fault's are gone ({was} before)", was - is));
    }
    found
}

/// What is only in memory does not outlive a restart; that is no trace of the fault.
fn same_life(before: &StateOfServer, after: &StateOfServer) -> bool {
    let life = |state: &StateOfServer| state.unit.as_ref().map(|u| (u.id.clone(), u.started_at));
    life(before) == life(after)
}

fn unit_difference(before: &StateOfServer, after: &StateOfServer, found: &mut Vec<String>) {
    let (Some(was), Some(is)) = (&before.unit, &after.unit) else {
        if let Some(was) = &before.unit {
            found.push(format!("{} could not be looked at", was.name));
        }
        return;
    };
    if is.status != was.status {
        let (is, was_word) = (standing::word(is.status), standing::word(was.status));
        found.push(format!("{} is {is}, was {was_word}", was.name));
    }
    if is.memory_limit != was.memory_limit {
        let words = |limit: Option<u64>| {
            limit.map_or_else(|| "none".to_owned(), |bytes| format!("{bytes} bytes"))
        };
        found.push(format!(
            "the memory limit of {} is {}, was {}",
            was.name,
            words(is.memory_limit),
            words(was.memory_limit)
        ));
    }
    if is.networks != was.networks {
        let words = |networks: &Option<Vec<String>>| match networks.as_deref() {
            None => "unknown".to_owned(),
            Some([]) => "none".to_owned(),
            Some(names) => names.join(", "),
        };
        let (is, was_on) = (words(&is.networks), words(&was.networks));
        found.push(format!("the network of {} is {is}, was {was_on}", was.name));
    }
    limit_difference(was, is, found);
}

fn limit_difference(was: &UnitFacts, is: &UnitFacts, found: &mut Vec<String>) {
    if let (Some(before), Some(after)) = (was.files, is.files)
        && after != before
    {
        found.push(format!("{} may have {after} files open, was {before}", was.name));
    }
    let (Some(before), Some(after)) = (was.limits, is.limits) else { return };
    if after.cpu.percent() != before.cpu.percent() {
        let (is, was_cpu) = (after.cpu.words(), before.cpu.words());
        found.push(format!("the CPU limit of {} is {is}, was {was_cpu}", was.name));
    }
    if after.pids != before.pids {
        let (is, was_pids) = (pids_text(after.pids), pids_text(before.pids));
        found.push(format!("the process limit of {} is {is}, was {was_pids}", was.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::unit::CpuLimit;

    fn healthy() -> StateOfServer {
        StateOfServer {
            unit: Some(UnitFacts {
                name: "redis-test".into(),
                status: UnitStatus::Running,
                id: "c1".into(),
                started_at: DateTime::from_timestamp(1, 0),
                memory_limit: Some(400),
                networks: Some(vec!["lab".into()]),
                limits: Some(UnitLimits {
                    cpu: CpuLimit::of(Some(200_000), None),
                    pids: Some(128),
                }),
                files: Some(10_032),
            }),
            settings: BTreeMap::from([("maxmemory".into(), "50".into())]),
            lasting_keys: Some(500),
            ..StateOfServer::default()
        }
    }

    fn after(change: impl FnOnce(&mut StateOfServer)) -> Vec<String> {
        let mut state = healthy();
        change(&mut state);
        difference(&healthy(), &state)
    }

    #[test]
    fn what_comes_and_goes_is_no_difference() {
        assert_eq!(after(|_| ()), Vec::<String>::new());
        assert_eq!(after(|s| s.lasting_keys = Some(900)), Vec::<String>::new());
    }

    #[test]
    fn each_trace_is_said_in_words() {
        let unit = |s: &mut StateOfServer, change: fn(&mut UnitFacts)| {
            change(s.unit.as_mut().unwrap());
        };
        let table: [(Vec<String>, &str); 13] = [
            (
                after(|s| s.settings = [("maxmemory".into(), "10".into())].into()),
                "maxmemory is `10`, was `50`",
            ),
            (after(|s| s.settings.clear()), "maxmemory is not set, was `50`"),
            (
                after(|s| drop(s.settings.insert("save".into(), "5 1".into()))),
                "save is `5 1`, was not set",
            ),
            (after(|s| s.own_keys = 3), "3 keys of the fault are still there"),
            (after(|s| s.own_sessions = 2), "2 sessions of the fault are still open"),
            (after(|s| s.own_table = true), "the table of the fault is still there"),
            (
                after(|s| s.lasting_keys = Some(380)),
                "120 keys that are not the fault's are gone (500 before)",
            ),
            (
                after(|s| unit(s, |u| u.status = UnitStatus::Paused)),
                "redis-test is paused, was running",
            ),
            (
                after(|s| unit(s, |u| u.memory_limit = None)),
                "the memory limit of redis-test is none, was 400 bytes",
            ),
            (
                after(|s| unit(s, |u| u.networks = Some(Vec::new()))),
                "the network of redis-test is none, was lab",
            ),
            (
                after(|s| {
                    let few = |u: &mut UnitFacts| {
                        u.limits.as_mut().unwrap().cpu = CpuLimit::of(Some(1_000), None);
                    };
                    unit(s, few);
                }),
                "the CPU limit of redis-test is 1 % of a core, was 2.0 cores",
            ),
            (
                after(|s| unit(s, |u| u.limits.as_mut().unwrap().pids = None)),
                "the process limit of redis-test is none, was 128",
            ),
            (
                after(|s| unit(s, |u| u.files = Some(16))),
                "redis-test may have 16 files open, was 10032",
            ),
        ];
        for (found, expected) in table {
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn keys_in_memory_that_a_restart_took_are_no_trace() {
        let found = after(|s| {
            s.lasting_keys = Some(0);
            s.unit.as_mut().unwrap().started_at = DateTime::from_timestamp(2, 0);
        });
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_silent_server_is_said_to_be_not_compared() {
        let found = after(|s| {
            s.settings.clear();
            s.unanswered = Some("connection refused".into());
        });
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("could not be compared: connection refused"));
    }
}
