//! `redis bigkeys`: the keys and families of keys that hold most memory, by a paced SCAN within a time budget.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{FromRedisValue as _, Value};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::redis::RedisDesk;
use super::report::{Check, Column, Content, Draft, Grade, Table, Unit};
use super::subject::Subject;
use super::unknown::Unknown;
use super::{Arg, ArgKind, Ask, Given, Inspection};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "find_big_keys",
    verb: "bigkeys",
    title: "Big keys",
    about: "The biggest keys and families of keys, by SCAN and MEMORY USAGE, at a pace other clients do not feel. Stopped \
            by its time budget it says how much it saw and extrapolates. It never uses KEYS and changes no idle time.",
    args: &[
        Arg {
            name: "match",
            about: "only keys of this pattern, like session:*",
            kind: ArgKind::Text,
        },
        Arg {
            name: "top",
            about: "show at most so many keys and families",
            kind: ArgKind::Whole { default: 20, least: 1, most: 1_000 },
        },
        Arg {
            name: "budget-s",
            about: "stop after so many seconds",
            kind: ArgKind::Whole { default: 30, least: 1, most: 3_600 },
        },
    ],
    needs: &[
        Need::Redis(&["info", "scan", "type", "pttl", "memory|usage", "dbsize"]),
        Need::RedisKeys,
    ],
    offers: &["unlink_big_key"],
    budget: Duration::from_secs(3_610),
    example: "simctl redis bigkeys --match session:* --budget-s 10",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

const BATCH: u32 = 200;
/// Elements of a collection that are weighed; all of them would take as long as the key is big.
const SAMPLES: u32 = 5;
/// The server works for us at most this share of the time.
const SHARE: f64 = 0.2;
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
const MB: u64 = 1_048_576;

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Key {
    key: String,
    r#type: String,
    bytes: u64,
    /// `None`: it never expires.
    ttl_s: Option<f64>,
    /// Whether the name is text, so that an action can name it.
    #[serde(skip)]
    is_text: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Family {
    family: String,
    keys: u64,
    bytes: u64,
}

/// What was seen so far: the biggest, and sums by family.
#[derive(Debug, Default)]
struct Seen {
    keys: u64,
    bytes: u64,
    biggest: Vec<Key>,
    families: BTreeMap<String, (u64, u64)>,
}

#[derive(Clone, Debug, Serialize)]
struct Coverage {
    database: i64,
    keys: u64,
    keys_seen: u64,
    seen_pct: f64,
    bytes_seen: u64,
    /// Of all keys, were the others like those that were seen.
    bytes_estimated: u64,
    stopped_by_budget: bool,
}

const KEYS: &[Column] =
    &[("key", Unit::None), ("type", Unit::None), ("bytes", Unit::Bytes), ("ttl_s", Unit::Seconds)];
const FAMILIES: &[Column] =
    &[("family", Unit::None), ("keys", Unit::Count), ("bytes", Unit::Bytes)];
const COVERAGE: &[Column] = &[
    ("database", Unit::None),
    ("keys", Unit::Count),
    ("keys_seen", Unit::Count),
    ("seen_pct", Unit::Percent),
    ("bytes_seen", Unit::Bytes),
    ("bytes_estimated", Unit::Bytes),
    ("stopped_by_budget", Unit::None),
];

async fn look(desk: &mut RedisDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let top = usize::try_from(given.whole("top")).unwrap_or(usize::MAX);
    match walk(desk, given, top).await {
        Ok((seen, coverage, used)) => {
            draft.judge([judge(&seen, &coverage, used)]);
            draft.figures("coverage", "Seen", &Ok(coverage), COVERAGE);
            let families = families(&seen, top);
            let all = seen.families.len() as u64;
            draft.table_about("keys", "Biggest keys", &Ok(seen.biggest), KEYS, |one| {
                let (key, kind) = (one.key.clone(), one.r#type.clone());
                one.is_text.then_some(Subject::Key { key, kind })
            });
            let table = Table::of(&families, FAMILIES).out_of(all);
            draft.part("families", "Biggest families", Ok(Content::Table(table)));
        }
        Err(unknown) => draft.part("keys", "Biggest keys", Err(unknown)),
    }
    draft
}

async fn walk(
    desk: &mut RedisDesk,
    given: &Given,
    top: usize,
) -> Result<(Seen, Coverage, u64), Unknown> {
    let end = Instant::now() + Duration::from_secs(given.whole("budget-s"));
    let used = desk.info().await?.whole("used_memory").unwrap_or_default();
    let keys: u64 = desk.ask(&redis::cmd("DBSIZE")).await?;
    let (mut seen, mut cursor, mut stopped) = (Seen::default(), 0_u64, false);
    loop {
        let began = Instant::now();
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(BATCH);
        if let Some(pattern) = given.text("match") {
            scan.arg("MATCH").arg(pattern);
        }
        let (next, names): (u64, Vec<Vec<u8>>) = desk.ask(&scan).await?;
        weigh(desk, &names, &mut seen, top).await?;
        cursor = next;
        if cursor == 0 {
            break;
        }
        if Instant::now() >= end {
            stopped = true;
            break;
        }
        sleep(began.elapsed().mul_f64(1.0 / SHARE - 1.0).min(LONGEST_PAUSE)).await;
    }
    let coverage = coverage(desk.database(), keys, &seen, stopped, given.text("match").is_none());
    Ok((seen, coverage, used))
}

/// Whole databases are extrapolated to; what a pattern would still have found nobody knows.
fn coverage(database: i64, keys: u64, seen: &Seen, stopped: bool, whole: bool) -> Coverage {
    let factor = keys as f64 / seen.keys.max(1) as f64;
    let estimated = if stopped && whole { seen.bytes as f64 * factor } else { seen.bytes as f64 };
    Coverage {
        database,
        keys,
        keys_seen: seen.keys,
        seen_pct: if keys == 0 { 100.0 } else { (100.0 / factor).min(100.0) },
        bytes_seen: seen.bytes,
        bytes_estimated: estimated as u64,
        stopped_by_budget: stopped,
    }
}

async fn weigh(
    desk: &mut RedisDesk,
    names: &[Vec<u8>],
    seen: &mut Seen,
    top: usize,
) -> Result<(), Unknown> {
    if names.is_empty() {
        return Ok(());
    }
    let mut questions = redis::pipe();
    for name in names {
        questions.cmd("MEMORY").arg("USAGE").arg(name).arg("SAMPLES").arg(SAMPLES);
        questions.cmd("TYPE").arg(name);
        questions.cmd("PTTL").arg(name);
    }
    let answers = desk.ask_all(&questions).await?;
    for (name, told) in names.iter().zip(answers.chunks_exact(3)) {
        // One that is gone by now weighs nothing.
        if let Some(key) = key(name, told) {
            seen.add(key, top);
        }
    }
    Ok(())
}

fn key(name: &[u8], told: &[Value]) -> Option<Key> {
    let [bytes, kind, ttl] = told else { return None };
    let bytes = u64::from_redis_value(bytes.clone()).ok()?;
    let ttl = i64::from_redis_value(ttl.clone()).unwrap_or(-1);
    Some(Key {
        key: String::from_utf8_lossy(name).into_owned(),
        r#type: String::from_redis_value(kind.clone()).unwrap_or_default(),
        bytes,
        ttl_s: (ttl >= 0).then_some(ttl as f64 / 1_000.0),
        is_text: std::str::from_utf8(name).is_ok(),
    })
}

impl Seen {
    fn add(&mut self, key: Key, top: usize) {
        self.keys += 1;
        self.bytes += key.bytes;
        let family = self.families.entry(family(&key.key)).or_default();
        family.0 += 1;
        family.1 += key.bytes;
        let place = self.biggest.partition_point(|other| other.bytes >= key.bytes);
        if place < top {
            self.biggest.insert(place, key);
            self.biggest.truncate(top);
        }
    }
}

/// Everything before the last separator, numbers made alike: `user:1041:cart` and `user:7:cart` are one family.
fn family(key: &str) -> String {
    let Some((head, _)) = key.rsplit_once([':', '/', '|']) else { return "(no separator)".into() };
    let parts = head
        .split(':')
        .map(|part| if part.bytes().any(|b| b.is_ascii_digit()) { "*" } else { part });
    parts.collect::<Vec<_>>().join(":") + ":*"
}

fn families(seen: &Seen, top: usize) -> Vec<Family> {
    let mut all: Vec<Family> = seen
        .families
        .iter()
        .map(|(family, (keys, bytes))| Family {
            family: family.clone(),
            keys: *keys,
            bytes: *bytes,
        })
        .collect();
    all.sort_by_key(|family| std::cmp::Reverse(family.bytes));
    all.truncate(top);
    all
}

fn judge(seen: &Seen, coverage: &Coverage, used: u64) -> Check {
    let Some(one) = seen.biggest.first() else {
        return Check::graded("big_key", Grade::Ok).because("there are no keys");
    };
    let limit = (64 * MB).min((used / 10).max(MB));
    let mut check =
        Check::over("big_key", one.bytes as f64, Unit::Bytes, (Some(limit as f64), None));
    if check.grade == Grade::Ok && coverage.stopped_by_budget {
        check.grade = Grade::Inconclusive;
    }
    let check = check
        .because(format!(
            "{} `{}`, the biggest of {} seen",
            one.r#type, one.key, coverage.keys_seen
        ))
        .advise("look at what it holds before removing anything; --budget-s looks longer");
    if check.grade == Grade::Warn && one.is_text {
        return check.offer("unlink_big_key", json!({ "key": one.key, "type": one.r#type }));
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, bytes: u64) -> Key {
        Key { key: name.into(), r#type: "list".into(), bytes, ttl_s: None, is_text: true }
    }

    fn seen(keys: &[(&str, u64)], top: usize) -> Seen {
        let mut seen = Seen::default();
        for (name, bytes) in keys {
            seen.add(self::key(name, *bytes), top);
        }
        seen
    }

    #[test]
    fn the_biggest_are_kept_in_order_and_everything_is_summed() {
        let seen = seen(&[("a", 5), ("b", 9), ("c", 7), ("d", 1)], 2);
        let names: Vec<&str> = seen.biggest.iter().map(|key| key.key.as_str()).collect();
        assert_eq!((names, seen.keys, seen.bytes), (vec!["b", "c"], 4, 22));
    }

    #[test]
    fn keys_of_one_make_are_one_family() {
        assert_eq!(family("user:1041:cart"), "user:*:*");
        assert_eq!(family("session:ab12"), "session:*");
        assert_eq!(family("counter"), "(no separator)");
        let seen = seen(&[("user:1:cart", 5), ("user:2:cart", 5), ("x", 1)], 5);
        assert_eq!(families(&seen, 1)[0].bytes, 10);
    }

    #[test]
    fn one_key_that_holds_a_tenth_is_told_with_what_would_remove_it() {
        let seen = seen(&[("queue", 6 * MB), ("a", 1)], 5);
        let whole = coverage(0, 2, &seen, false, true);
        let check = judge(&seen, &whole, 50 * MB);
        assert_eq!((check.grade, check.leads_to[0].action), (Grade::Warn, "unlink_big_key"));
        assert_eq!(judge(&seen, &whole, 80 * MB).grade, Grade::Ok);
    }

    #[test]
    fn what_was_not_seen_is_extrapolated_and_leaves_doubt() {
        let seen = seen(&[("a", 100), ("b", 100)], 5);
        let part = coverage(0, 10, &seen, true, true);
        assert_eq!((part.bytes_estimated, part.seen_pct), (1_000, 20.0));
        assert_eq!(judge(&seen, &part, 50 * MB).grade, Grade::Inconclusive);
        assert_eq!(coverage(0, 10, &seen, true, false).bytes_estimated, 200);
    }
}
