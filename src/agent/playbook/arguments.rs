//! Arguments of actions, out of the same facts the cause was judged by.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::diagnose::facts::{Facts, PgSession};
use crate::diagnose::{
    postgres_connections, postgres_rows, postgres_transactions, redis_clients, redis_memory,
    redis_refusals,
};
use crate::domain::proposal::Args;
use crate::domain::unit::pids_text;

/// A client whose buffers hold less by then is not cut.
const SPARED_BUFFERS: u64 = 131_072;

pub(super) mod postgres_access;
pub(super) mod postgres_settings;
pub(super) mod postgres_upkeep;
pub(super) mod postgres_volumes;

/// An action without arguments.
#[expect(clippy::unnecessary_wraps, reason = "the table wants one signature")]
pub(super) fn none(_facts: &Facts) -> Result<Args, String> {
    Ok(Args::new())
}

/// The connections of the one client that adds data.
pub(super) fn writer_ids(facts: &Facts) -> Result<Args, String> {
    let writers = redis_memory::writers(facts)
        .ok_or("no single client can be told to be the one that writes now")?;
    let ids: Vec<u64> = writers.iter().map(|client| client.id).collect();
    Ok(args([("ids", json!(ids))]))
}

/// The leaking prefix, and a bound on how many keys may go: a fifth more than were estimated.
pub(super) fn leaking_prefix(facts: &Facts) -> Result<Args, String> {
    let (share, keys) = redis_memory::leaking_prefix(facts)
        .ok_or("the leaking keys have no prefix that sets them apart from the others")?;
    let most = keys.saturating_add(keys / 5);
    Ok(args([("prefix", json!(share.prefix)), ("max", json!(most))]))
}

/// The key that fills the server, by name and type.
pub(super) fn giant_key(facts: &Facts) -> Result<Args, String> {
    let key =
        redis_memory::giant_key(facts).ok_or("no single key can be named that holds the memory")?;
    Ok(args([("key", json!(key.name)), ("type", json!(key.kind))]))
}

/// The clients that do not read their answers.
pub(super) fn unread_answers(facts: &Facts) -> Result<Args, String> {
    buffer_holders(facts, redis_memory::Side::Output)
}

/// The clients that do not finish their commands.
pub(super) fn half_sent_commands(facts: &Facts) -> Result<Args, String> {
    buffer_holders(facts, redis_memory::Side::Query)
}

/// Replicas, monitors and subscribers are not ordinary clients: cutting them is another decision.
fn buffer_holders(facts: &Facts, side: redis_memory::Side) -> Result<Args, String> {
    let holders = redis_memory::holders(facts, side);
    let ordinary = holders.iter().filter(|client| !client.flags.contains(['S', 'M', 'O', 'P']));
    let ids: Vec<u64> = ordinary.map(|client| client.id).collect();
    if ids.is_empty() {
        return Err("none of the clients that hold the buffers may be cut".into());
    }
    Ok(args([("ids", json!(ids)), ("min_buffers", json!(SPARED_BUFFERS))]))
}

/// Idle connections of the one client that has most of them: the longest idle ones, until a fifth of the slots is free.
pub(super) fn idle_client_ids(facts: &Facts) -> Result<Args, String> {
    let idle = redis_clients::idle_to_end(facts);
    if idle.is_empty() {
        return Err("none of the idle connections may be cut".into());
    }
    let ids: Vec<u64> = idle.iter().map(|client| client.id).collect();
    Ok(args([("ids", json!(ids)), ("min_idle_s", json!(redis_clients::IDLE_S))]))
}

/// The client limit of the healthy server.
pub(super) fn healthy_maxclients(facts: &Facts) -> Result<Args, String> {
    let was = redis_clients::limit_to_restore(facts)
        .ok_or("the limit of the healthy server is not known")?;
    Ok(args([("name", json!("maxclients")), ("value", json!(was.to_string()))]))
}

/// The memory limit of the healthy server.
pub(super) fn healthy_maxmemory(facts: &Facts) -> Result<Args, String> {
    let was = redis_memory::limit_to_restore(facts)
        .ok_or("the limit of the healthy server is not known")?;
    Ok(args([("name", json!("maxmemory")), ("value", json!(was.to_string()))]))
}

/// A setting of the healthy server.
fn healthy(facts: &Facts, name: &str) -> Result<Args, String> {
    let was = redis_refusals::healthy_setting(facts, name)
        .ok_or_else(|| format!("what {name} was on the healthy server is not known"))?;
    Ok(args([("name", json!(name)), ("value", json!(was))]))
}

/// That there was no password.
pub(super) fn healthy_password(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "requirepass")
}

/// The memory limit of the healthy server, whatever is full.
pub(super) fn healthy_room(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "maxmemory")
}

/// The policy of the healthy server, beside its limit or after it.
pub(super) fn healthy_policy(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "maxmemory-policy")
}

/// The same, where the limit is as it was: under less room, a policy that refuses to evict would refuse writes.
pub(super) fn healthy_policy_alone(facts: &Facts) -> Result<Args, String> {
    match healthy(facts, "maxmemory") {
        Ok(_) => Err("the limit is not what it was; that comes first".into()),
        Err(_) => healthy_policy(facts),
    }
}

/// Where the healthy server listened.
pub(super) fn healthy_place(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "bind").or_else(|_| healthy(facts, "port"))
}

pub(super) fn healthy_min_replicas(facts: &Facts) -> Result<Args, String> {
    healthy(facts, "min-replicas-to-write")
}

/// The rule of the user clients log in as, from the healthy server.
pub(super) fn healthy_rule(facts: &Facts) -> Result<Args, String> {
    let (user, rule) = redis_refusals::healthy_rule(facts)
        .ok_or("the user's rule on the healthy server is not known")?;
    Ok(args([("user", json!(user)), ("rule", json!(rule))]))
}

/// The master that is not there.
pub(super) fn dead_master(facts: &Facts) -> Result<Args, String> {
    let master = redis_refusals::dead_master(facts)
        .ok_or("it is not sure that its master is gone and that it had none")?;
    Ok(args([("master", json!(master))]))
}

/// A file of simctl's own on the full disk.
pub(super) fn spare_file(facts: &Facts) -> Result<Args, String> {
    let file = redis_refusals::spare_file(facts)
        .ok_or("the disk is not full, or nothing on it is simctl's own")?;
    Ok(args([("file", json!(file.path)), ("bytes", json!(file.bytes))]))
}

/// No arguments, once there is room on the disk.
pub(super) fn with_room(facts: &Facts) -> Result<Args, String> {
    match redis_refusals::has_room(facts) {
        Some(true) => Ok(Args::new()),
        Some(false) => Err("the disk is full, so another attempt would fail too".into()),
        None => Err("how full the disk is is not known".into()),
    }
}

/// The leaking program's idle sessions, each by pid and start, so that no later session is hit.
pub(super) fn leaking_sessions(facts: &Facts) -> Result<Args, String> {
    let sessions = named(&postgres_connections::leaking_sessions(facts));
    if sessions.is_empty() {
        return Err("none of the idle sessions may be ended".into());
    }
    Ok(args([("sessions", Value::Array(sessions))]))
}

/// The network the container was made for.
pub(super) fn home_network(facts: &Facts) -> Result<Args, String> {
    let unit = facts.unit.as_ref();
    let home = unit.and_then(|unit| unit.home_network.as_ref());
    let home = home.ok_or("the network it was made for is not known")?;
    Ok(args([("network", json!(home))]))
}

/// The CPU limit of the healthy server.
pub(super) fn healthy_cpu(facts: &Facts) -> Result<Args, String> {
    let was = crate::diagnose::cpu_to_restore(facts)
        .ok_or("the CPU limit of the healthy server is not known, or is no higher")?;
    Ok(args([("limit", json!(was.to_string()))]))
}

/// The limit of processes of the healthy server.
pub(super) fn healthy_pids(facts: &Facts) -> Result<Args, String> {
    let was = crate::diagnose::pids_to_restore(facts)
        .ok_or("the limit of processes of the healthy server is not known, or is no higher")?;
    Ok(args([("limit", json!(pids_text(was)))]))
}

/// No arguments, once there is room on the disk and nothing is known to keep a child from being started.
pub(super) fn with_room_and_a_child(facts: &Facts) -> Result<Args, String> {
    if crate::diagnose::pids_to_restore(facts).is_some() {
        return Err(
            "the limit of processes is lower than it was, so no child could be started".into()
        );
    }
    with_room(facts)
}

/// The limit of open files of the healthy server.
pub(super) fn healthy_files(facts: &Facts) -> Result<Args, String> {
    let was = crate::diagnose::files_to_restore(facts)
        .ok_or("the limit of open files of the healthy server is not known, or is no higher")?;
    Ok(args([("limit", json!(was.to_string()))]))
}

/// The container's memory limit of the healthy server.
pub(super) fn healthy_memory(facts: &Facts) -> Result<Args, String> {
    let was = crate::diagnose::memory_to_restore(facts)
        .ok_or("the memory limit of the healthy server is not known, or is no higher")?;
    Ok(args([("limit", json!(was.to_string()))]))
}

/// No arguments, where its memory is what it was: started under less, it would end the same way.
pub(super) fn with_its_memory(facts: &Facts) -> Result<Args, String> {
    match crate::diagnose::memory_to_restore(facts) {
        Some(_) => Err("it has less memory than it had, and would end the same way".into()),
        None => Ok(Args::new()),
    }
}

/// The sessions that left their transactions open.
pub(super) fn open_transactions(facts: &Facts) -> Result<Args, String> {
    let sessions = named(&postgres_connections::open_transactions(facts));
    if sessions.is_empty() {
        return Err("none of the sessions with an open transaction may be ended".into());
    }
    Ok(args([("sessions", Value::Array(sessions))]))
}

/// The idle sessions whose snapshots keep dead rows.
pub(super) fn row_holders(facts: &Facts) -> Result<Args, String> {
    Ok(args([("sessions", Value::Array(named(&postgres_rows::idle_holders(facts)?)))]))
}

/// The table with the most dead rows, once the sessions that keep them are ended.
pub(super) fn table_after_holders(facts: &Facts) -> Result<Args, String> {
    let table = postgres_rows::worst_table(facts).ok_or("no table is known to have dead rows")?;
    Ok(args([
        ("schema", json!(table.schema)),
        ("table", json!(table.name)),
        ("after", Value::Array(named(&postgres_rows::idle_holders(facts)?))),
    ]))
}

/// The table with the most dead rows.
pub(super) fn worst_table(facts: &Facts) -> Result<Args, String> {
    let table = postgres_rows::worst_table(facts).ok_or("no table is known to have dead rows")?;
    Ok(args([("schema", json!(table.schema)), ("table", json!(table.name))]))
}

/// The session at the head of the queue, when it stopped inside its transaction.
pub(super) fn idle_blocker(facts: &Facts) -> Result<Args, String> {
    let root = postgres_connections::blocker(facts)?;
    if !root.state.starts_with("idle") {
        return Err(format!("pid {} is at work; its query can be cancelled first", root.pid));
    }
    any_blocker(facts)
}

/// The session at the head of the queue.
pub(super) fn any_blocker(facts: &Facts) -> Result<Args, String> {
    let root = postgres_connections::blocker(facts)?;
    let session = named(&[root]).pop().ok_or("it has no start to tell it by")?;
    Ok(args([("session", session)]))
}

/// The query at the head of the queue.
pub(super) fn blocking_query(facts: &Facts) -> Result<Args, String> {
    let root = postgres_connections::blocker(facts)?;
    if root.state != "active" {
        return Err(format!("pid {} runs no query ({})", root.pid, root.state));
    }
    queries(&[root])
}

/// The session whose locks leave no room for those of others.
pub(super) fn hoarder(facts: &Facts) -> Result<Args, String> {
    let session = postgres_transactions::hoarder(facts)?;
    Ok(args([("sessions", Value::Array(named(&[session])))]))
}

/// The process of the session at the head of the queue, which stands still.
pub(super) fn frozen_process(facts: &Facts) -> Result<Args, String> {
    let session =
        postgres_connections::frozen(facts).ok_or("no process is known to stand still")?;
    Ok(args([("pid", json!(session.pid))]))
}

/// The role of the program that leaks, and how many connections it is left.
pub(super) fn leaking_role(facts: &Facts) -> Result<Args, String> {
    let (role, limit) = postgres_connections::role_to_limit(facts)?;
    Ok(args([("role", json!(role)), ("limit", json!(limit))]))
}

/// The prepared transaction that nobody came back for, rolled back: what it wrote was never committed anywhere here.
pub(super) fn orphan(facts: &Facts) -> Result<Args, String> {
    let (gid, prepared) = postgres_connections::orphan(facts)?;
    let prepared = prepared.to_rfc3339_opts(SecondsFormat::Micros, true);
    Ok(args([("gid", json!(gid)), ("prepared", json!(prepared)), ("end", json!("rollback"))]))
}

/// The slow queries.
pub(super) fn slow_queries(facts: &Facts) -> Result<Args, String> {
    queries(&postgres_connections::slow_queries(facts))
}

/// Their sessions, which are idle once the queries are cancelled.
pub(super) fn slow_sessions(facts: &Facts) -> Result<Args, String> {
    let sessions = named(&postgres_connections::slow_queries(facts));
    Ok(args([("sessions", Value::Array(sessions)), ("cancelled", json!(true))]))
}

/// The role or database at its limit, and the limit of the healthy server.
pub(super) fn healthy_limit(facts: &Facts) -> Result<Args, String> {
    let limited = postgres_connections::limited(facts).ok_or("no limit is known to be used up")?;
    if facts.baseline.is_empty() {
        return Err("the limits of the healthy server are not known".into());
    }
    let word = limited.of.word();
    let before = facts.baseline.get(&format!("{word}.{}.connection_limit", limited.name));
    let before: i32 = before.map_or(Ok(-1), |text| text.trim().parse()).unwrap_or(-1);
    if before == limited.limit {
        return Err(format!("the {word} had the same limit when the server was healthy"));
    }
    Ok(args([(word, json!(limited.name)), ("limit", json!(before))]))
}

fn queries(sessions: &[&PgSession]) -> Result<Args, String> {
    let micros =
        |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let queries: Vec<Value> = sessions
        .iter()
        .filter_map(|session| {
            let (start, query) = (micros(session.backend_start?), micros(session.query_start?));
            Some(json!({"pid": session.pid, "backend_start": start, "query_start": query}))
        })
        .collect();
    if queries.is_empty() {
        return Err("none of the queries may be cancelled".into());
    }
    Ok(args([("queries", Value::Array(queries))]))
}

/// Sessions by what names each for good.
fn named(sessions: &[&PgSession]) -> Vec<Value> {
    let named = sessions.iter().filter_map(|session| {
        let start = session.backend_start?.to_rfc3339_opts(SecondsFormat::Micros, true);
        Some(json!({"pid": session.pid, "backend_start": start}))
    });
    named.collect()
}

fn args<const N: usize>(named: [(&str, Value); N]) -> Args {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
