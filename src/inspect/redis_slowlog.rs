//! `redis slowlog`: the commands Redis itself found slow, by command and kind of key.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value;
use serde::Serialize;

use super::redis::RedisDesk;
use super::report::{Check, Column, Content, Draft, Grade, Table, Unit};
use super::unknown::Unknown;
use super::words::value;
use super::{Arg, ArgKind, Ask, Given, Inspection};
use crate::actions::Need;
use crate::diagnose::facts::SlowCommand;
use crate::targets::redis::slowlog;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "analyze_redis_slowlog",
    verb: "slowlog",
    title: "Slow commands",
    about: "What SLOWLOG holds, grouped by command and kind of key, arguments left out; commands whose cost grows with \
            the data are told apart. The log is not reset. Time on the network is not in it.",
    args: &[
        Arg {
            name: "limit",
            about: "show at most so many groups",
            kind: ArgKind::Whole { default: 10, least: 1, most: 128 },
        },
        Arg {
            name: "min-us",
            about: "only commands that took at least so many microseconds",
            kind: ArgKind::Whole { default: 10_000, least: 0, most: 3_600_000_000 },
        },
    ],
    needs: &[Need::Redis(&["slowlog|get", "time"])],
    offers: &[],
    budget: Duration::from_secs(5),
    example: "simctl redis slowlog --min-us 1000",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

/// As many as the log holds by default.
const ENTRIES: u32 = 128;
/// Their cost grows with the data.
const LINEAR: [&str; 9] =
    ["keys", "smembers", "hgetall", "lrange", "sort", "sunion", "sinter", "zrange", "flushall"];

/// Slow commands of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Group {
    command: String,
    keys: String,
    times: u64,
    longest_ms: f64,
    total_ms: f64,
    newest_s: f64,
    client: String,
}

const COLUMNS: &[Column] = &[
    ("command", Unit::None),
    ("keys", Unit::None),
    ("times", Unit::Count),
    ("longest_ms", Unit::Millis),
    ("total_ms", Unit::Millis),
    ("newest_s", Unit::Seconds),
    ("client", Unit::None),
];

async fn look(desk: &mut RedisDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let least_ms = given.whole("min-us") as f64 / 1_000.0;
    let limit = usize::try_from(given.whole("limit")).unwrap_or(usize::MAX);
    match read(desk).await {
        Ok(slow) => {
            let slow: Vec<SlowCommand> =
                slow.into_iter().filter(|one| one.took_ms >= least_ms).collect();
            let mut groups = grouped(&slow);
            draft.judge([judge(&groups)]);
            let all = groups.len() as u64;
            groups.truncate(limit);
            let table = Table::of(&groups, COLUMNS).out_of(all);
            draft.part("commands", "Slow commands", Ok(Content::Table(table)));
        }
        Err(unknown) => draft.part("commands", "Slow commands", Err(unknown)),
    }
    draft
}

async fn read(desk: &mut RedisDesk) -> Result<Vec<SlowCommand>, Unknown> {
    let time: Value = desk.ask(&redis::cmd("TIME")).await?;
    let log: Value = desk.ask(redis::cmd("SLOWLOG").arg("GET").arg(ENTRIES)).await?;
    Ok(slowlog::parse(&time, &log))
}

/// A key without what makes it one of many; it may carry somebody's name.
fn kind_of_key(argument: &str) -> String {
    let parts = argument
        .split(':')
        .map(|part| if part.bytes().any(|b| b.is_ascii_digit()) { "*" } else { part });
    parts.collect::<Vec<_>>().join(":")
}

fn grouped(slow: &[SlowCommand]) -> Vec<Group> {
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for one in slow {
        let keys = kind_of_key(&one.argument);
        let group = groups.entry((one.command.clone(), keys.clone())).or_insert_with(|| Group {
            command: one.command.clone(),
            keys,
            newest_s: f64::INFINITY,
            ..Group::default()
        });
        group.times += 1;
        group.total_ms += one.took_ms;
        group.longest_ms = group.longest_ms.max(one.took_ms);
        if one.age_s < group.newest_s {
            group.newest_s = one.age_s;
            group.client.clone_from(&one.client);
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    groups
}

fn judge(groups: &[Group]) -> Check {
    let linear = |group: &&Group| LINEAR.contains(&group.command.as_str());
    let longest = groups.iter().max_by(|a, b| a.longest_ms.total_cmp(&b.longest_ms));
    let Some(longest) = longest else {
        return Check::graded("slow_command", Grade::Ok)
            .because("the log holds none as slow as that");
    };
    let worst =
        groups.iter().find(linear).filter(|_| longest.longest_ms < 100.0).unwrap_or(longest);
    let grade = match () {
        () if longest.longest_ms >= 100.0 => Grade::Crit,
        () if groups.iter().any(|group| linear(&group) && group.longest_ms >= 10.0) => Grade::Warn,
        () => Grade::Ok,
    };
    let mut check = Check::graded("slow_command", grade).because(format!(
        "{} {}: {} times, the longest {}, the newest {} ago, by {}",
        worst.command,
        worst.keys,
        worst.times,
        value(worst.longest_ms, Unit::Millis),
        value(worst.newest_s, Unit::Seconds),
        worst.client,
    ));
    check.threshold = "warn 10 ms where the cost grows with the data, crit 100 ms".into();
    check.advise(
        "everybody waits meanwhile: use SCAN, smaller ranges or smaller keys in that application",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(command: &str, argument: &str, ms: f64) -> SlowCommand {
        SlowCommand {
            age_s: 5.0,
            took_ms: ms,
            command: command.into(),
            argument: argument.into(),
            client: "report".into(),
        }
    }

    #[test]
    fn commands_are_grouped_by_kind_of_key_without_anybodys_number() {
        let groups = grouped(&[
            slow("get", "user:17", 5.0),
            slow("get", "user:18", 7.0),
            slow("keys", "a*", 1.0),
        ]);
        let told: Vec<_> =
            groups.iter().map(|g| (g.keys.as_str(), g.times, g.longest_ms)).collect();
        assert_eq!(told, [("user:*", 2, 7.0), ("a*", 1, 1.0)]);
    }

    #[test]
    fn what_grows_with_the_data_is_told_sooner() {
        let grade = |command, ms| judge(&grouped(&[slow(command, "x", ms)])).grade;
        assert_eq!(grade("keys", 11.0), Grade::Warn);
        assert_eq!(grade("get", 11.0), Grade::Ok);
        assert_eq!(grade("get", 101.0), Grade::Crit);
        assert_eq!(judge(&[]).grade, Grade::Ok);
    }
}
