//! `pg slow`: which statements cost most, over the window between two looks, without resetting anything.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::pg_performance::{self, Activity, activity, first_line};
use super::postgres::PgDesk;
use super::report::{Check, Column, Content, Draft, Grade, Table, Unit};
use super::unknown::Unknown;
use super::words::value;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "analyze_slow_queries",
    verb: "slow",
    title: "Slow statements",
    about: "Statements by their share of the time spent in a window, out of pg_stat_statements: since the look before \
            (--watch), over --window-s seconds, else since the statistics began. Nobody's statistics are reset.",
    args: &[
        Arg {
            name: "min-ms",
            about: "a statement is slow when it takes so many milliseconds on average",
            kind: ArgKind::Whole { default: 1_000, least: 0, most: 86_400_000 },
        },
        Arg {
            name: "limit",
            about: "show at most so many statements",
            kind: ArgKind::Whole { default: 10, least: 1, most: 500 },
        },
        Arg {
            name: "window-s",
            about: "look twice, so many seconds apart, and tell what happened between",
            kind: ArgKind::Whole { default: 0, least: 0, most: 300 },
        },
    ],
    needs: &[Need::PgRole("pg_read_all_stats"), Need::PgRole("pg_read_all_settings")],
    offers: &["cancel_query"],
    budget: Duration::from_secs(320),
    example: "simctl pg slow --min-ms 200 --limit 20 --window-s 10",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

const EXTENSION: &str = "pg_stat_statements";
/// One slow call may be chance.
const CALLS: i64 = 5;

/// The counters of one normalised statement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Statement {
    userid: String,
    dbid: String,
    queryid: i64,
    toplevel: bool,
    c_calls: i64,
    c_exec_ms: f64,
    c_rows: i64,
    c_hit: i64,
    c_read: i64,
    c_temp_written: i64,
    c_wal_bytes: Option<i64>,
    entry_since: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Info {
    c_evicted: i64,
    stats_reset: Option<String>,
    max_entries: i64,
}

#[derive(Clone, Debug, Deserialize)]
struct Text {
    queryid: i64,
    query: String,
}

/// A statement over a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Slow {
    #[serde(skip)]
    queryid: i64,
    share_pct: f64,
    calls: i64,
    mean_ms: f64,
    total_ms: f64,
    rows: i64,
    blocks_read: i64,
    temp_blocks: i64,
    wal_bytes: Option<i64>,
    query: String,
}

const COLUMNS: &[Column] = &[
    ("share_pct", Unit::Percent),
    ("calls", Unit::Count),
    ("mean_ms", Unit::Millis),
    ("total_ms", Unit::Millis),
    ("rows", Unit::Count),
    ("blocks_read", Unit::Count),
    ("temp_blocks", Unit::Count),
    ("wal_bytes", Unit::Bytes),
    ("query", Unit::None),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let least_ms = given.whole("min-ms") as f64;
    match statements(desk).await {
        Ok(first) => {
            let (window, before, now) = window(desk, first, given.whole("window-s")).await;
            let mut slow = now.map(|now| rank(&before, &now));
            let limit = usize::try_from(given.whole("limit")).unwrap_or(usize::MAX);
            if let Ok(slow) = &mut slow {
                let all = slow.len() as u64;
                slow.truncate(limit);
                texts(desk, slow).await;
                draft.judge([judge(slow, least_ms, &window)]);
                let table = Table::of(slow, COLUMNS).out_of(all);
                draft.part(
                    "statements",
                    format!("Statements, {window}"),
                    Ok(Content::Table(table)),
                );
            } else if let Err(unknown) = slow {
                draft.part("statements", "Statements", Err(unknown));
            }
            info(desk, &mut draft).await;
        }
        Err(missing) => draft.part("statements", "Statements", Err(missing)),
    }
    running(desk, least_ms, &mut draft).await;
    draft
}

/// The counters, or what is missing for them.
async fn statements(desk: &mut PgDesk) -> Result<Vec<Statement>, Unknown> {
    let preloaded = desk.capabilities.statements_preloaded;
    if preloaded == Some(false) {
        return Err(Unknown::NotInstalled {
            what: "pg_stat_statements is not loaded",
            remedy: "add it to shared_preload_libraries and restart the server, then CREATE EXTENSION pg_stat_statements",
        });
    }
    if desk.capabilities.schema_of(EXTENSION).is_none() {
        return Err(Unknown::NotInstalled {
            what: "pg_stat_statements is loaded but not created in this database",
            remedy: "CREATE EXTENSION pg_stat_statements",
        });
    }
    desk.capabilities.sees_others()?;
    desk.rows_of(questions::STATEMENTS, EXTENSION, &[]).await
}

/// What the counters are held against: the look before, one made now, or nothing.
async fn window(
    desk: &mut PgDesk,
    first: Vec<Statement>,
    seconds: u64,
) -> (String, Vec<Statement>, Result<Vec<Statement>, Unknown>) {
    if seconds > 0 {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let now = statements(desk).await;
        return (format!("in {seconds} s"), first, now);
    }
    match desk.earlier.since("statements", &first) {
        Some((age, before)) => (format!("in {age:.0} s"), before, Ok(first)),
        None => ("since the statistics began".to_owned(), Vec::new(), Ok(first)),
    }
}

/// By the time they took, what did not run left out.
fn rank(before: &[Statement], now: &[Statement]) -> Vec<Slow> {
    let key = |s: &Statement| (s.userid.clone(), s.dbid.clone(), s.queryid, s.toplevel);
    let before: HashMap<_, _> = before.iter().map(|s| (key(s), s)).collect();
    let nothing = Statement::default();
    let grown = now.iter().map(|s| {
        let was = before.get(&key(s)).copied();
        // Evicted and entered again: its counters began anew.
        let same = was.filter(|was| was.c_calls <= s.c_calls && was.entry_since == s.entry_since);
        since(same.unwrap_or(&nothing), s)
    });
    let mut ranked: Vec<Slow> = grown.filter(|slow| slow.calls > 0).collect();
    let all: f64 = ranked.iter().map(|slow| slow.total_ms).sum();
    for slow in &mut ranked {
        slow.share_pct = if all > 0.0 { 100.0 * slow.total_ms / all } else { 0.0 };
    }
    ranked.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    ranked
}

fn since(was: &Statement, now: &Statement) -> Slow {
    let calls = now.c_calls - was.c_calls;
    let total_ms = (now.c_exec_ms - was.c_exec_ms).max(0.0);
    Slow {
        queryid: now.queryid,
        share_pct: 0.0,
        calls,
        mean_ms: if calls > 0 { total_ms / calls as f64 } else { 0.0 },
        total_ms,
        rows: now.c_rows - was.c_rows,
        blocks_read: now.c_read - was.c_read,
        temp_blocks: now.c_temp_written - was.c_temp_written,
        wal_bytes: now.c_wal_bytes.map(|bytes| bytes - was.c_wal_bytes.unwrap_or_default()),
        query: String::new(),
    }
}

/// Only of those that are shown: reading texts is dear.
async fn texts(desk: &mut PgDesk, slow: &mut [Slow]) {
    let ids: Vec<i64> = slow.iter().map(|one| one.queryid).collect();
    let params = &[(&ids as _, Type::INT8_ARRAY)];
    let texts = desk.rows_of::<Text>(questions::STATEMENT_TEXTS, EXTENSION, params).await;
    for one in slow.iter_mut() {
        let text = match &texts {
            Ok(texts) => texts.iter().find(|text| text.queryid == one.queryid),
            Err(_) => None,
        };
        one.query = first_line(text.map(|text| text.query.as_str()));
    }
}

fn judge(slow: &[Slow], least_ms: f64, window: &str) -> Check {
    let slowest = slow
        .iter()
        .filter(|one| one.mean_ms >= least_ms && one.calls >= CALLS)
        .max_by(|a, b| a.total_ms.total_cmp(&b.total_ms));
    let limit = value(least_ms, Unit::Millis);
    let Some(one) = slowest else {
        let none =
            format!("no statement with {CALLS} calls or more took {limit} on average {window}");
        return Check::graded("slow_statement", Grade::Ok).because(none);
    };
    let mut check = Check::graded("slow_statement", Grade::Warn)
        .because(format!(
            "{} on average in {} calls {window}, {:.0} % of all time: {}",
            value(one.mean_ms, Unit::Millis),
            one.calls,
            one.share_pct,
            one.query
        ))
        .advise("look at its plan with EXPLAIN, and at `simctl pg indexes`");
    (check.value, check.unit, check.threshold) = (Some(one.mean_ms), Unit::Millis, limit);
    check
}

async fn info(desk: &mut PgDesk, draft: &mut Draft) {
    let info = desk.rows_of::<Info>(questions::STATEMENTS_INFO, EXTENSION, &[]).await;
    let info = info.map(|mut info| info.pop().unwrap_or_default());
    // Before 14 there is none, and the list tells the same without it.
    let Ok(info) = info else { return };
    let before = desk.earlier.since("statements_info", &info);
    let evicted = before.map_or(0, |(_, before)| info.c_evicted - before.c_evicted);
    if evicted > 0 {
        let said =
            format!("{evicted} entries were evicted since the look before: the list is incomplete");
        draft.judge([Check::graded("evicted", Grade::Inconclusive)
            .because(said)
            .advise("raise pg_stat_statements.max")]);
    }
    let fields =
        &[("stats_reset", Unit::None), ("max_entries", Unit::Count), ("c_evicted", Unit::Count)];
    draft.figures("info", "pg_stat_statements", &Ok::<_, Unknown>(info), fields);
}

/// What is slow at this moment needs no extension.
async fn running(desk: &mut PgDesk, least_ms: f64, draft: &mut Draft) {
    let slow = |one: &Activity| one.query_s.is_some_and(|s| s * 1_000.0 >= least_ms);
    let running = activity(desk).await.map(|all| all.into_iter().filter(slow).collect::<Vec<_>>());
    draft.table("running", "Slow ones that run now", &running, pg_performance::COLUMNS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(queryid: i64, calls: i64, ms: f64) -> Statement {
        Statement { queryid, c_calls: calls, c_exec_ms: ms, ..Statement::default() }
    }

    #[test]
    fn last_months_batch_is_not_on_top_of_this_minute() {
        let before = [counters(1, 10, 900_000.0), counters(2, 100, 500.0)];
        let now = [counters(1, 10, 900_000.0), counters(2, 110, 1_500.0)];
        let ranked = rank(&before, &now);
        let told: Vec<_> = ranked.iter().map(|s| (s.queryid, s.calls, s.mean_ms)).collect();
        assert_eq!(told, [(2, 10, 100.0)]);
        assert!((ranked[0].share_pct - 100.0).abs() < 1e-9);
        assert_eq!(rank(&[], &now)[0].queryid, 1, "without a window everything counts");
    }

    #[test]
    fn an_entry_that_was_evicted_and_came_back_counts_from_nothing() {
        let ranked = rank(&[counters(1, 1_000, 9_000.0)], &[counters(1, 3, 30.0)]);
        assert_eq!((ranked[0].calls, ranked[0].total_ms), (3, 30.0));
        let entered = |at: &str, calls| Statement {
            entry_since: Some(at.into()),
            ..counters(1, calls, 50.0)
        };
        let ranked = rank(&[entered("a", 2)], &[entered("b", 4)]);
        assert_eq!(ranked[0].calls, 4, "17 and later tell when it was entered");
    }

    #[test]
    fn a_statement_is_slow_by_its_mean_over_some_calls() {
        let ranked = |calls, ms| rank(&[], &[counters(1, calls, ms)]);
        let grade = |calls, ms| judge(&ranked(calls, ms), 1_000.0, "in 10 s").grade;
        assert_eq!(grade(5, 5_000.0), Grade::Warn);
        assert_eq!(grade(5, 4_999.0), Grade::Ok);
        assert_eq!(grade(4, 40_000.0), Grade::Ok, "one slow call may be chance");
    }
}
