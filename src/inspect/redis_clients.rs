//! `redis clients`: who is connected, by name and address, and whose buffers hold memory.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::redis::RedisDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::unknown::Unknown;
use super::words::value;
use super::{Ask, Given, Inspection};
use crate::actions::Need;
use crate::diagnose::facts::RedisClient;
use crate::targets::redis::{Info, clients};

pub(super) static INSPECTION: Inspection = Inspection {
    id: "monitor_redis_clients",
    verb: "clients",
    title: "Clients",
    about: "Clients grouped by name, user and address, with their memory; connections against maxclients, and the one \
            whose unread answers or half-sent commands hold most memory.",
    args: &[],
    needs: &[Need::Redis(&["info", "client|list", "config|get"])],
    offers: &["kill_redis_clients"],
    budget: Duration::from_secs(5),
    example: "simctl redis clients",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

/// A client that reads its answers holds less.
const NOTABLE: u64 = 10 * 1_048_576;
const MOST: usize = 50;

#[derive(Clone, Debug, Default, Serialize)]
struct Totals {
    connected: u64,
    maxclients: u64,
    blocked: u64,
    rejected: u64,
}

/// Clients of one kind.
#[derive(Clone, Debug, Default, Serialize)]
struct Group {
    name: String,
    user: String,
    host: String,
    clients: u64,
    youngest_idle_s: u64,
    longest_idle_s: u64,
    memory_bytes: u64,
    output_bytes: u64,
}

const TOTALS: &[Column] = &[
    ("connected", Unit::Count),
    ("maxclients", Unit::Count),
    ("blocked", Unit::Count),
    ("rejected", Unit::Count),
];
const GROUPS: &[Column] = &[
    ("clients", Unit::Count),
    ("name", Unit::None),
    ("user", Unit::None),
    ("host", Unit::None),
    ("youngest_idle_s", Unit::Seconds),
    ("longest_idle_s", Unit::Seconds),
    ("memory_bytes", Unit::Bytes),
    ("output_bytes", Unit::Bytes),
];

async fn look(desk: &mut RedisDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    let totals = totals(desk).await;
    if let Ok(totals) = &totals {
        draft.judge([used(totals)]);
        let before = desk.earlier.since("clients", totals);
        draft.judge(before.map(|(seconds, before)| rejected(&before, totals, seconds)));
    }
    draft.figures("totals", "Connections", &totals, TOTALS);
    let list: Result<String, Unknown> = desk.ask(redis::cmd("CLIENT").arg("LIST")).await;
    let list = list.map(|list| clients::parse(&list));
    if let Ok(list) = &list {
        draft.judge([largest(list)]);
    }
    draft.table("groups", "Clients", &list.map(|list| groups(&list)), GROUPS);
    draft
}

async fn totals(desk: &mut RedisDesk) -> Result<Totals, Unknown> {
    let info: Info = desk.info().await?;
    let whole = |field: &str| info.whole(field).unwrap_or_default();
    let told = match info.whole("maxclients") {
        Some(told) => told,
        // Before Redis 7 INFO does not say it.
        None => desk.setting("maxclients").await?.and_then(|n| n.parse().ok()).unwrap_or_default(),
    };
    Ok(Totals {
        connected: whole("connected_clients"),
        maxclients: told,
        blocked: whole("blocked_clients"),
        rejected: whole("rejected_connections"),
    })
}

fn used(t: &Totals) -> Check {
    let pct = 100.0 * t.connected as f64 / t.maxclients.max(1) as f64;
    Check::over("clients_used", pct, Unit::Percent, (Some(75.0), Some(90.0)))
        .because(format!("{} of {} clients, {} blocked", t.connected, t.maxclients, t.blocked))
        .advise("find out which name grows before disconnecting any")
}

fn rejected(before: &Totals, now: &Totals, seconds: f64) -> Check {
    let more = now.rejected.saturating_sub(before.rejected);
    Check::graded("clients_rejected", if more > 0 { Grade::Crit } else { Grade::Ok })
        .because(format!("{more} turned away in {seconds:.0} s"))
        .advise("clients that only stay are in the way of those that work")
}

fn largest(list: &[RedisClient]) -> Check {
    let buffers = |client: &RedisClient| client.omem + client.qbuf;
    let Some(one) = list.iter().max_by_key(|client| buffers(client)) else {
        return Check::graded("client_memory", Grade::Ok).because("no clients besides simctl");
    };
    let held = buffers(one);
    let limit = (Some(NOTABLE as f64), None);
    Check::over("client_memory", held as f64, Unit::Bytes, limit)
        .because(format!(
            "in the buffers of {} ({}), whose last command was {}",
            one.id, one.addr, one.cmd
        ))
        .advise(format!(
            "it does not read what it asked for; idle for {}",
            value(one.idle_s as f64, Unit::Seconds)
        ))
        .offer("kill_redis_clients", json!({ "ids": [one.id], "min_buffers": NOTABLE }))
}

fn groups(list: &[RedisClient]) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, &str, &str), Group> = BTreeMap::new();
    for client in list {
        let host = client.addr.rsplit_once(':').map_or(client.addr.as_str(), |(host, _)| host);
        let key = (client.name.as_str(), client.user.as_str(), host);
        let group = groups.entry(key).or_insert_with(|| Group {
            name: client.name.clone(),
            user: client.user.clone(),
            host: host.to_owned(),
            youngest_idle_s: u64::MAX,
            ..Group::default()
        });
        group.clients += 1;
        group.youngest_idle_s = group.youngest_idle_s.min(client.idle_s);
        group.longest_idle_s = group.longest_idle_s.max(client.idle_s);
        group.memory_bytes += client.total_mem;
        group.output_bytes += client.omem;
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.clients, group.memory_bytes)));
    groups.truncate(MOST);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: u64, name: &str, omem: u64) -> RedisClient {
        RedisClient {
            id,
            name: name.into(),
            addr: "10.0.0.1:5".into(),
            omem,
            ..RedisClient::default()
        }
    }

    #[test]
    fn clients_are_counted_by_kind_the_most_first() {
        let list = [client(1, "web", 0), client(2, "job", 9), client(3, "web", 0)];
        let told: Vec<_> = groups(&list).into_iter().map(|g| (g.name, g.clients, g.host)).collect();
        assert_eq!(
            told,
            [("web".into(), 2, "10.0.0.1".into()), ("job".into(), 1, "10.0.0.1".into())]
        );
    }

    #[test]
    fn the_client_that_does_not_read_is_offered_to_be_disconnected() {
        assert_eq!(largest(&[client(1, "a", NOTABLE - 1)]).grade, Grade::Ok);
        let check = largest(&[client(1, "a", 5), client(2, "b", NOTABLE)]);
        assert_eq!((check.grade, &check.leads_to[0].args["ids"]), (Grade::Warn, &json!([2])));
    }

    #[test]
    fn being_turned_away_counts_between_looks() {
        let at = |rejected| Totals { rejected, ..Totals::default() };
        assert_eq!(rejected(&at(5), &at(5), 1.0).grade, Grade::Ok);
        assert_eq!(rejected(&at(5), &at(6), 1.0).grade, Grade::Crit);
    }
}
