//! What a server is like, as far as a fault could change it: taken before, taken after, compared.
//!
//! Only what must be the same is in here. Keys with a TTL, other people's clients and growing data come and go.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};

use super::{FaultError, Marks, keys, reach, sessions, standing};
use crate::ports::runtime::UnitStatus;
use crate::targets::{Link, Server};

/// Redis settings a fault of the catalogue, or a wrong fix of one, changes.
const REDIS_SETTINGS: [&str; 8] = [
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-clients",
    "maxclients",
    "save",
    "appendonly",
    "stop-writes-on-bgsave-error",
    "client-output-buffer-limit",
];

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
        state.settings.extend(answer);
    }
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
    let session = reach::superuser(server).await?;
    let sql = "select 'connection limit of role ' || rolname, rolconnlimit::text \
                 from pg_roles where rolname !~ '^pg_' \
               union all select 'connection limit of database ' || datname, datconnlimit::text \
                 from pg_database \
               union all select 'settings of role ' || coalesce(setrole::regrole::text, '*') || \
                 ' in database ' || coalesce((select datname from pg_database d \
                 where d.oid = setdatabase), '*'), array_to_string(setconfig, ', ') \
                 from pg_db_role_setting \
               union all select name, setting from pg_settings \
                 where sourcefile like '%postgresql.auto.conf' or name in \
                 ('max_connections', 'default_transaction_read_only')";
    let rows = session
        .client
        .query(sql, &[])
        .await
        .map_err(|e| reach::sql_failed("read settings and limits", e))?;
    state.settings.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> StateOfServer {
        StateOfServer {
            unit: Some(UnitFacts {
                name: "redis-test".into(),
                status: UnitStatus::Running,
                id: "c1".into(),
                started_at: DateTime::from_timestamp(1, 0),
                memory_limit: Some(400),
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
        let table: [(Vec<String>, &str); 8] = [
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
