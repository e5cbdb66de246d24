//! `pg vacuum`: which tables are past their own thresholds, what vacuum does now, and what holds it back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::types::Type;

use super::postgres::PgDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::subject::{Session, Subject, rests};
use super::unknown::Unknown;
use super::words::value;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "monitor_vacuum_status",
    verb: "vacuum",
    title: "Vacuum",
    about: "Each table held against its own thresholds (its options, else the server's), running vacuums, and every \
            session, slot, prepared transaction and standby that keeps dead rows from being removed.",
    args: &[Arg {
        name: "limit",
        about: "show at most so many tables, the most overdue first",
        kind: ArgKind::Whole { default: 20, least: 1, most: 1_000 },
    }],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &[
        "kill_idle_transactions",
        "terminate_query",
        "end_prepared",
        "vacuum_table",
        "analyze_table",
    ],
    budget: Duration::from_secs(10),
    example: "simctl pg vacuum --limit 50",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

/// Fewer dead rows cost nobody anything, whatever the ratio.
const DEAD_FLOOR: i64 = 1_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Due {
    oid: String,
    schema: String,
    name: String,
    relation: String,
    dead: i64,
    threshold: Value,
    due_x: Option<f64>,
    insert_due_x: Option<f64>,
    freeze_pct: Option<f64>,
    multixact_pct: Option<f64>,
    autovacuum_on: bool,
    last_vacuum: Option<String>,
    last_analyze: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    pid: i32,
    datname: Option<String>,
    relid: String,
    relation: Option<String>,
    phase: String,
    heap_blks_total: i64,
    heap_blks_scanned: i64,
    dead_items: Option<i64>,
    prevents_wraparound: Option<bool>,
    running_s: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Workers {
    running: i64,
    against_wraparound: i64,
    max_workers: i64,
}

/// What keeps dead rows from being removed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Holder {
    kind: String,
    ident: String,
    since: Option<String>,
    datname: Option<String>,
    state: Option<String>,
    age: Option<i64>,
    seconds: Option<f64>,
    /// Holds rows of ordinary tables of this database, not only of the catalogue or of another database.
    pub(super) pins_tables: bool,
    detail: Option<String>,
}

impl Holder {
    fn subject(&self) -> Option<Subject> {
        match (self.kind.as_str(), self.ident.parse::<i32>()) {
            ("session", Ok(pid)) => Some(Subject::Session(Session {
                pid,
                backend_start: self.since.clone(),
                in_transaction: rests(self.state.as_deref()),
                ..Session::default()
            })),
            ("prepared transaction", _) => {
                let (gid, prepared) = (self.ident.clone(), self.since.clone());
                Some(Subject::Prepared { gid, prepared })
            }
            _ => None,
        }
    }
}

const DUE: &[Column] = &[
    ("relation", Unit::None),
    ("dead", Unit::Count),
    ("due_x", Unit::Count),
    ("insert_due_x", Unit::Count),
    ("freeze_pct", Unit::Percent),
    ("multixact_pct", Unit::Percent),
    ("autovacuum_on", Unit::None),
    ("last_vacuum", Unit::None),
    ("last_analyze", Unit::None),
];

const PROGRESS: &[Column] = &[
    ("pid", Unit::None),
    ("datname", Unit::None),
    ("relation", Unit::None),
    ("phase", Unit::None),
    ("heap_blks_scanned", Unit::Count),
    ("heap_blks_total", Unit::Count),
    ("dead_items", Unit::Count),
    ("running_s", Unit::Seconds),
    ("prevents_wraparound", Unit::None),
];

pub(super) const HOLDERS: &[Column] = &[
    ("kind", Unit::None),
    ("ident", Unit::None),
    ("datname", Unit::None),
    ("state", Unit::None),
    ("age", Unit::Count),
    ("seconds", Unit::Seconds),
    ("pins_tables", Unit::None),
    ("detail", Unit::None),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let limit = given.int4("limit");
    let due = desk.rows::<Due>(questions::VACUUM_DUE, &[(&limit, Type::INT4)]).await;
    let progress = desk.rows::<Progress>(questions::VACUUM_PROGRESS, &[]).await;
    let workers = desk.row::<Workers>(questions::VACUUM_WORKERS, &[]).await;
    let holders = holders(desk).await;
    if let Ok(holders) = &holders {
        let waiting = due.as_ref().is_ok_and(|due| due.iter().any(is_due));
        draft.judge([judge_holders(holders, waiting)]);
    }
    if let Ok(due) = &due {
        let running = progress.as_deref().unwrap_or_default();
        let held = holders.as_deref().unwrap_or_default().iter().any(|holder| holder.pins_tables);
        draft.judge(judge_due(due, running, held));
    }
    if let Ok(workers) = &workers {
        draft.judge([judge_workers(workers)]);
    }
    draft.table_about("due", "Tables, the most overdue first", &due, DUE, |due| {
        Some(Subject::Table { schema: due.schema.clone(), table: due.name.clone() })
    });
    draft.table("progress", "Vacuums that run now", &progress, PROGRESS);
    show_holders(&holders, &mut draft);
    draft
}

/// Every holder with what can be done about it.
pub(super) fn show_holders(holders: &Result<Vec<Holder>, Unknown>, draft: &mut Draft) {
    let title = "What holds back the removal of dead rows";
    draft.table_about("holders", title, holders, HOLDERS, Holder::subject);
}

/// Everything that holds the horizon, what matters for tables here first.
pub(super) async fn holders(desk: &mut PgDesk) -> Result<Vec<Holder>, Unknown> {
    desk.capabilities.sees_others()?;
    desk.rows(questions::XMIN_HOLDERS, &[]).await
}

fn is_due(due: &Due) -> bool {
    due.due_x.is_some_and(|times| times >= 1.0) && due.dead >= DEAD_FLOOR
}

fn judge_due(all: &[Due], running: &[Progress], held: bool) -> Vec<Check> {
    let worked_on = |due: &&Due| running.iter().any(|progress| progress.relid == due.oid);
    let overdue = all.iter().filter(|due| is_due(due) && !worked_on(due));
    let worst = overdue.max_by(|a, b| a.due_x.unwrap_or(0.0).total_cmp(&b.due_x.unwrap_or(0.0)));
    let mut checks = vec![match worst {
        None => Check::graded("vacuum_due", Grade::Ok).because("no table is past its threshold"),
        Some(due) => vacuum_due(due, held),
    }];
    for (id, pct) in [
        ("freeze_due", all.iter().filter_map(|due| due.freeze_pct).fold(0.0, f64::max)),
        ("multixact_due", all.iter().filter_map(|due| due.multixact_pct).fold(0.0, f64::max)),
    ] {
        checks.push(
            Check::over(id, pct, Unit::Percent, (Some(110.0), Some(200.0)))
                .because("of the age at which autovacuum must freeze a table")
                .advise("let the vacuum against wraparound run; never cancel it"),
        );
    }
    checks
}

fn vacuum_due(due: &Due, held: bool) -> Check {
    let times = due.due_x.unwrap_or_default();
    let off = if due.autovacuum_on { "" } else { "; autovacuum is off for it" };
    let check = Check::over("vacuum_due", times, Unit::Count, (Some(1.0), Some(5.0))).because(
        format!("{} has {} dead rows, {times:.1} times its threshold{off}", due.relation, due.dead),
    );
    if held {
        return check.advise("vacuum would remove little: end what holds it back first");
    }
    check.offer("vacuum_table", json!({ "schema": due.schema, "table": due.name }))
}

fn judge_workers(workers: &Workers) -> Check {
    let busy = workers.running >= workers.max_workers && workers.max_workers > 0;
    Check::graded("vacuum_workers", if busy { Grade::Warn } else { Grade::Ok })
        .because(format!(
            "{} of {} autovacuum workers are at work, {} against wraparound",
            workers.running, workers.max_workers, workers.against_wraparound
        ))
        .advise("if it stays so, raise autovacuum_max_workers and autovacuum_vacuum_cost_limit together")
}

/// The oldest that matters here. Young ones are ordinary work, unless dead rows wait for them.
pub(super) fn judge_holders(all: &[Holder], waiting: bool) -> Check {
    let pinning = all.iter().filter(|holder| holder.pins_tables);
    let Some(oldest) = pinning.max_by_key(|holder| holder.age.unwrap_or_default()) else {
        return Check::graded("xmin_held", Grade::Ok)
            .because("nothing holds back the removal of dead rows");
    };
    let (age, seconds) = (oldest.age.unwrap_or_default(), oldest.seconds.unwrap_or_default());
    // A slot or a standby has no transaction whose age could be told: what it holds is old by itself.
    let grade = match () {
        () if age >= 10_000_000 || seconds >= 3_600.0 => Grade::Crit,
        () if seconds >= 300.0 || (waiting && age > 0) => Grade::Warn,
        () => Grade::Ok,
    };
    let mut check = Check::graded("xmin_held", grade);
    check.threshold =
        "warn 5 min, or dead rows wait for it; crit 1 h or 10,000,000 transactions".into();
    let open =
        oldest.seconds.map_or_else(String::new, |s| format!(", {} old", value(s, Unit::Seconds)));
    check = check.because(format!("{}, {age} transactions behind{open}", named(oldest)));
    cure(oldest, check)
}

fn named(holder: &Holder) -> String {
    match holder.kind.as_str() {
        "session" => {
            format!("session {} ({})", holder.ident, holder.state.as_deref().unwrap_or("no state"))
        }
        kind => format!("{kind} `{}`", holder.ident),
    }
}

fn cure(holder: &Holder, check: Check) -> Check {
    let idle = rests(holder.state.as_deref());
    match (holder.kind.as_str(), holder.ident.parse::<i32>()) {
        ("session", Ok(pid)) if idle => {
            let session = json!({ "pid": pid, "backend_start": holder.since });
            check.offer("kill_idle_transactions", json!({ "sessions": [session] }))
        }
        ("session", _) => check.advise("it is at work; ask its owner, or cancel it"),
        ("prepared transaction", _) => {
            let args = json!({ "gid": holder.ident, "prepared": holder.since, "end": "rollback" });
            check
                .advise("only its transaction manager knows whether it is to be committed")
                .offer("end_prepared", args)
        }
        ("replication slot", _) => {
            check.advise("bring its reader back; drop the slot when that is gone for good")
        }
        _ => check.advise("a query on that standby, by hot_standby_feedback; end it there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(due_x: f64, dead: i64) -> Due {
        Due {
            oid: "1".into(),
            schema: "public".into(),
            name: "T".into(),
            relation: "public.\"T\"".into(),
            dead,
            due_x: Some(due_x),
            autovacuum_on: true,
            ..Due::default()
        }
    }

    fn holder(kind: &str, ident: &str) -> Holder {
        Holder {
            kind: kind.into(),
            ident: ident.into(),
            since: Some("t".into()),
            age: Some(1_000),
            seconds: Some(400.0),
            pins_tables: true,
            ..Holder::default()
        }
    }

    #[test]
    fn a_table_past_its_threshold_offers_a_vacuum_of_its_plain_name() {
        let check = judge_due(&[due(1.5, 5_000)], &[], false).remove(0);
        assert_eq!(check.grade, Grade::Warn);
        assert_eq!(check.leads_to[0].args, json!({"schema": "public", "table": "T"}));
        assert_eq!(judge_due(&[due(6.0, 5_000)], &[], false)[0].grade, Grade::Crit);
        assert_eq!(judge_due(&[due(0.9, 5_000)], &[], false)[0].grade, Grade::Ok);
        assert_eq!(judge_due(&[due(9.0, 999)], &[], false)[0].grade, Grade::Ok, "a tiny table");
    }

    #[test]
    fn a_table_that_is_worked_on_is_not_overdue_and_one_held_back_gets_no_vacuum() {
        let running = Progress { relid: "1".into(), ..Progress::default() };
        assert_eq!(judge_due(&[due(6.0, 5_000)], &[running], false)[0].grade, Grade::Ok);
        assert!(judge_due(&[due(6.0, 5_000)], &[], true)[0].leads_to.is_empty());
    }

    #[test]
    fn the_holder_is_named_with_its_own_cure() {
        let idle = Holder { state: Some("idle in transaction".into()), ..holder("session", "42") };
        let check = judge_holders(&[idle], false);
        assert!(
            check.evidence.starts_with("session 42 (idle in transaction)"),
            "{}",
            check.evidence
        );
        assert_eq!(check.leads_to[0].args["sessions"][0]["pid"], 42);
        let prepared = judge_holders(&[holder("prepared transaction", "gid-1")], false);
        assert_eq!(prepared.leads_to[0].args["gid"], "gid-1");
        let slot =
            judge_holders(&[Holder { seconds: None, ..holder("replication slot", "s") }], true);
        assert!(slot.evidence.contains("replication slot `s`") && slot.grade == Grade::Warn);
    }

    #[test]
    fn a_snapshot_elsewhere_is_not_blamed() {
        let elsewhere = Holder { pins_tables: false, age: Some(1 << 30), ..holder("session", "1") };
        assert_eq!(judge_holders(&[elsewhere], true).grade, Grade::Ok);
    }

    #[test]
    fn a_young_transaction_is_ordinary_work() {
        let young = Holder { seconds: Some(2.0), ..holder("session", "1") };
        assert_eq!(judge_holders(std::slice::from_ref(&young), false).grade, Grade::Ok);
        assert_eq!(judge_holders(&[young], true).grade, Grade::Warn, "dead rows wait for it");
    }
}
