//! `redis replication`: how each replica stands in bytes, and whether this one's link is up.

use std::time::Duration;

use serde::Serialize;

use super::redis::RedisDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::words::value;
use super::{Ask, Given, Inspection};
use crate::actions::Need;
use crate::targets::redis::Info;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_redis_replication",
    verb: "replication",
    title: "Replication",
    about: "The role; on a master each replica's state and distance in bytes against the backlog, on a replica its \
            link; with --watch whether a replica had to be copied anew.",
    args: &[],
    needs: &[Need::Redis(&["info"])],
    offers: &[],
    budget: Duration::from_secs(5),
    example: "simctl redis replication --watch 1",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

#[derive(Clone, Debug, Default, Serialize)]
struct Replication {
    role: String,
    master: Option<String>,
    link: Option<String>,
    link_down_s: Option<f64>,
    last_heard_s: Option<f64>,
    offset: u64,
    backlog_bytes: u64,
    full_copies: u64,
    partial_copies_refused: u64,
    #[serde(skip)]
    replicas: Vec<Replica>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Replica {
    address: String,
    state: String,
    behind_bytes: u64,
    lag_s: Option<f64>,
}

const FIGURES: &[Column] = &[
    ("role", Unit::None),
    ("master", Unit::None),
    ("link", Unit::None),
    ("link_down_s", Unit::Seconds),
    ("last_heard_s", Unit::Seconds),
    ("offset", Unit::None),
    ("backlog_bytes", Unit::Bytes),
    ("full_copies", Unit::Count),
    ("partial_copies_refused", Unit::Count),
];
const REPLICAS: &[Column] = &[
    ("address", Unit::None),
    ("state", Unit::None),
    ("behind_bytes", Unit::Bytes),
    ("lag_s", Unit::Seconds),
];

async fn look(desk: &mut RedisDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    let replication = desk.info().await.map(|info| read(&info));
    draft.figures("replication", "Replication", &replication, FIGURES);
    if let Ok(replication) = &replication {
        draft.judge(judge(replication));
        let before = desk.earlier.since("replication", replication);
        draft.judge(before.map(|(_, before)| copied(&before, replication)));
    }
    draft.table("replicas", "Replicas of this server", &replication.map(|r| r.replicas), REPLICAS);
    draft
}

fn read(info: &Info) -> Replication {
    let whole = |field: &str| info.whole(field).unwrap_or_default();
    let seconds = |field: &str| info.text(field)?.parse().ok().filter(|s: &f64| *s >= 0.0);
    let offset = whole("master_repl_offset");
    let replicas = (0..whole("connected_slaves"))
        .filter_map(|nth| Some(replica(info.text(&format!("slave{nth}"))?, offset)))
        .collect();
    Replication {
        role: info.text("role").unwrap_or_default().to_owned(),
        master: info.text("master_host").map(|host| format!("{host}:{}", whole("master_port"))),
        link: info.text("master_link_status").map(str::to_owned),
        link_down_s: seconds("master_link_down_since_seconds"),
        last_heard_s: seconds("master_last_io_seconds_ago"),
        offset,
        backlog_bytes: whole("repl_backlog_size"),
        full_copies: whole("sync_full"),
        partial_copies_refused: whole("sync_partial_err"),
        replicas,
    }
}

/// `ip=10.0.0.2,port=6379,state=online,offset=14,lag=1`.
fn replica(line: &str, master_offset: u64) -> Replica {
    let field = |name: &str| {
        let mut pairs = line.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let offset: u64 = field("offset").and_then(|text| text.parse().ok()).unwrap_or_default();
    Replica {
        address: format!("{}:{}", field("ip").unwrap_or("?"), field("port").unwrap_or("?")),
        state: field("state").unwrap_or("?").to_owned(),
        behind_bytes: master_offset.saturating_sub(offset),
        lag_s: field("lag").and_then(|text| text.parse().ok()),
    }
}

fn judge(r: &Replication) -> Vec<Check> {
    let mut checks: Vec<Check> =
        r.replicas.iter().map(|one| stands(one, r.backlog_bytes)).collect();
    if r.role == "slave" {
        checks.push(link(r));
    }
    checks
}

fn stands(one: &Replica, backlog: u64) -> Check {
    let behind = value(one.behind_bytes as f64, Unit::Bytes);
    let grade = match () {
        () if one.state != "online" => Grade::Warn,
        () if backlog > 0 && one.behind_bytes * 2 > backlog => Grade::Warn,
        () => Grade::Ok,
    };
    Check::graded("replica", grade)
        .because(format!("{} is {}, {behind} behind", one.address, one.state))
        .advise("beyond the backlog it must be copied anew: find out what slows it, or raise repl-backlog-size")
}

fn link(r: &Replication) -> Check {
    let down = r.link.as_deref() != Some("up");
    let since = r.link_down_s.unwrap_or_default();
    let grade = match () {
        () if down && since > 30.0 => Grade::Crit,
        () if down => Grade::Warn,
        () => Grade::Ok,
    };
    let master = r.master.as_deref().unwrap_or("its master");
    let state =
        if down { format!("down for {}", value(since, Unit::Seconds)) } else { "up".to_owned() };
    Check::graded("master_link", grade)
        .because(format!("the link to {master} is {state}"))
        .advise("look whether the master runs and lets it in (masterauth, network)")
}

fn copied(before: &Replication, now: &Replication) -> Check {
    let more = now.full_copies.saturating_sub(before.full_copies);
    Check::graded("full_copies", if more > 0 { Grade::Warn } else { Grade::Ok })
        .because(format!("{more} replicas had to be copied anew since the look before"))
        .advise("raise repl-backlog-size if links drop for a while")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_is_not_online_is_not_well() {
        let one = replica("ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0", 100);
        assert_eq!((one.address.as_str(), one.behind_bytes), ("10.0.0.2:6379", 100));
        assert_eq!(stands(&one, 1 << 20).grade, Grade::Warn);
        let online = replica("ip=10.0.0.2,port=6379,state=online,offset=90,lag=0", 100);
        assert_eq!(stands(&online, 1 << 20).grade, Grade::Ok);
        assert_eq!(stands(&online, 15).grade, Grade::Warn, "more than half of the backlog");
    }

    #[test]
    fn a_link_is_bad_when_it_stays_down() {
        let down = |s| Replication {
            role: "slave".into(),
            link: Some("down".into()),
            link_down_s: Some(s),
            ..Replication::default()
        };
        assert_eq!(judge(&down(5.0))[0].grade, Grade::Warn);
        assert_eq!(judge(&down(31.0))[0].grade, Grade::Crit);
        let up = Replication { link: Some("up".into()), ..down(0.0) };
        assert_eq!(judge(&up)[0].grade, Grade::Ok);
    }
}
