//! Arguments of actions, out of the same facts the cause was judged by.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::diagnose::facts::Facts;
use crate::diagnose::{postgres_connections, redis_clients, redis_memory};
use crate::domain::proposal::Args;

/// A client whose buffers hold less by then is not cut.
const SPARED_BUFFERS: u64 = 131_072;

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

/// The leaking program's idle sessions, each by pid and start, so that no later session is hit.
pub(super) fn leaking_sessions(facts: &Facts) -> Result<Args, String> {
    let sessions: Vec<Value> = postgres_connections::leaking_sessions(facts)
        .into_iter()
        .filter_map(|session| {
            let start = session.backend_start?.to_rfc3339_opts(SecondsFormat::Micros, true);
            Some(json!({"pid": session.pid, "backend_start": start}))
        })
        .collect();
    if sessions.is_empty() {
        return Err("none of the idle sessions may be ended".into());
    }
    Ok(args([("sessions", Value::Array(sessions))]))
}

fn args<const N: usize>(named: [(&str, Value); N]) -> Args {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
