//! `pg bloat`: how much of each big table could be had back, measured as exactly as what is installed allows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::types::Type;

use super::pg_vacuum::{holders, judge_holders, show_holders};
use super::postgres::PgDesk;
use super::report::{Check, Column, Content, Draft, Grade, Table, Unit};
use super::subject::Subject;
use super::unknown::Unknown;
use super::words::value;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_table_bloat",
    verb: "bloat",
    title: "Bloat of tables",
    about: "Free and dead space in tables, TOAST included: by pgstattuple, which reads only pages not known to be \
            all visible, else by the free space map; less what fillfactor keeps free on purpose.",
    args: &[
        Arg {
            name: "min-mb",
            about: "complain about tables with at least so many MB to be had back",
            kind: ArgKind::Whole { default: 100, least: 0, most: 10_000_000 },
        },
        Arg {
            name: "budget-mb",
            about: "read at most so many MB of tables, the cheapest first",
            kind: ArgKind::Whole { default: 256, least: 1, most: 1_000_000 },
        },
    ],
    needs: &[Need::PgRole("pg_read_all_stats"), Need::PgRole("pg_stat_scan_tables")],
    offers: &[
        "vacuum_table",
        "analyze_table",
        "kill_idle_transactions",
        "terminate_query",
        "end_prepared",
    ],
    budget: Duration::from_secs(60),
    example: "simctl pg bloat --min-mb 50",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

/// Candidates looked at closely.
const CANDIDATES: i32 = 50;
const MB: u64 = 1_048_576;
/// Less than this share to be had back is what tables in use look like.
const NOTABLE_PCT: f64 = 30.0;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Candidate {
    oid: String,
    schema: String,
    name: String,
    relation: String,
    toast_of: Option<String>,
    heap_bytes: i64,
    live: i64,
    dead: i64,
    dead_pct: Option<f64>,
    read_cost_bytes: i64,
    locked: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Exact {
    table_len: i64,
    scanned_percent: f64,
    dead_tuple_len: i64,
    approx_free_space: f64,
    fillfactor: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct FreeSpace {
    table_len: i64,
    approx_free_space: i64,
}

/// A table as closely as it was looked at.
#[derive(Clone, Debug, Serialize)]
struct Seen {
    relation: String,
    #[serde(skip)]
    schema: String,
    #[serde(skip)]
    name: String,
    heap_bytes: i64,
    dead_rows: i64,
    /// `pgstattuple`, `free space map`, or `counters` when it was not measured.
    measured_by: &'static str,
    free_bytes: Option<i64>,
    dead_bytes: Option<i64>,
    reclaimable_bytes: Option<i64>,
    reclaimable_pct: Option<f64>,
    note: Option<String>,
}

const SEEN: &[Column] = &[
    ("relation", Unit::None),
    ("heap_bytes", Unit::Bytes),
    ("reclaimable_bytes", Unit::Bytes),
    ("reclaimable_pct", Unit::Percent),
    ("free_bytes", Unit::Bytes),
    ("dead_bytes", Unit::Bytes),
    ("dead_rows", Unit::Count),
    ("measured_by", Unit::None),
    ("note", Unit::None),
];

/// What there is to measure with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Exact,
    FreeSpaceMap,
    Counters,
}

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let candidates = desk.rows(questions::BLOAT_CANDIDATES, &[(&CANDIDATES, Type::INT4)]).await;
    let holders = holders(desk).await;
    let means = match means(desk) {
        Ok(means) => means,
        Err(missing) => {
            draft.part("means", "Measuring", Err(missing));
            Means::Counters
        }
    };
    let budget = given.whole("budget-mb").saturating_mul(MB);
    let seen = match candidates {
        Ok(candidates) => Ok(measure(desk, candidates, means, budget).await),
        Err(unknown) => Err(unknown),
    };
    let pinned = holders.as_deref().unwrap_or_default().iter().any(|holder| holder.pins_tables);
    if let Ok(seen) = &seen {
        draft.judge(judge(seen, given.whole("min-mb").saturating_mul(MB), pinned));
        let dead = seen.iter().any(|one| one.dead_bytes.unwrap_or_default() > 0);
        draft.judge(holders.as_deref().ok().map(|holders| judge_holders(holders, dead)));
    }
    let table = seen.map(|seen| {
        Content::Table(Table::of(&seen, SEEN).about(&seen, |one| {
            let is_table = one.schema != "pg_toast";
            is_table.then(|| Subject::Table { schema: one.schema.clone(), table: one.name.clone() })
        }))
    });
    draft.part("tables", "Tables of 10 MB and more", table);
    show_holders(&holders, &mut draft);
    draft
}

fn means(desk: &PgDesk) -> Result<Means, Unknown> {
    let has = |extension: &str| desk.capabilities.schema_of(extension).is_some();
    let means = match (has("pgstattuple"), has("pg_freespacemap")) {
        (true, _) => Means::Exact,
        (false, true) => Means::FreeSpaceMap,
        (false, false) => {
            return Err(Unknown::NotInstalled {
                what: "pgstattuple, so free space cannot be measured",
                remedy: "CREATE EXTENSION pgstattuple in this database",
            });
        }
    };
    desk.capabilities.may_scan()?;
    Ok(means)
}

/// The cheapest first, until the budget is read.
async fn measure(
    desk: &mut PgDesk,
    mut candidates: Vec<Candidate>,
    means: Means,
    budget: u64,
) -> Vec<Seen> {
    candidates.sort_by_key(|candidate| candidate.read_cost_bytes);
    let (mut seen, mut read) = (Vec::new(), 0_u64);
    for candidate in candidates {
        let cost = u64::try_from(candidate.read_cost_bytes).unwrap_or_default();
        let one = match means {
            _ if candidate.locked => {
                not_measured(&candidate, "held by somebody; `simctl pg locks`")
            }
            Means::Counters => not_measured(&candidate, "not measured"),
            _ if read + cost > budget => not_measured(&candidate, "beyond --budget-mb"),
            Means::Exact => exact(desk, &candidate).await,
            Means::FreeSpaceMap => by_map(desk, &candidate).await,
        };
        read += cost;
        seen.push(one);
    }
    seen.sort_by_key(|one| std::cmp::Reverse(one.reclaimable_bytes.unwrap_or(-1)));
    seen
}

async fn exact(desk: &mut PgDesk, candidate: &Candidate) -> Seen {
    let oid = candidate.oid.parse::<u32>().unwrap_or_default();
    let params = &[(&oid as _, Type::OID)];
    let rows = desk.rows_of::<Exact>(questions::BLOAT_EXACT, "pgstattuple", params).await;
    match rows.map(|mut rows| rows.pop()) {
        Ok(Some(exact)) => {
            let mut seen = weigh(
                candidate,
                "pgstattuple",
                exact.table_len,
                exact.approx_free_space as i64,
                Some(exact.dead_tuple_len),
                exact.fillfactor,
            );
            seen.note = Some(format!("{:.0} % of it read", exact.scanned_percent));
            seen
        }
        Ok(None) => not_measured(candidate, "dropped meanwhile"),
        Err(unknown) => not_measured(candidate, &unknown.sentence()),
    }
}

async fn by_map(desk: &mut PgDesk, candidate: &Candidate) -> Seen {
    let oid = candidate.oid.parse::<u32>().unwrap_or_default();
    let params = &[(&oid as _, Type::OID)];
    let rows = desk.rows_of::<FreeSpace>(questions::BLOAT_FSM, "pg_freespacemap", params).await;
    match rows.map(|mut rows| rows.pop()) {
        Ok(Some(map)) => {
            let mut seen =
                weigh(candidate, "free space map", map.table_len, map.approx_free_space, None, 100);
            seen.note = Some("as of its last vacuum; dead rows not counted".into());
            seen
        }
        Ok(None) => not_measured(candidate, "dropped meanwhile"),
        Err(unknown) => not_measured(candidate, &unknown.sentence()),
    }
}

fn not_measured(candidate: &Candidate, why: &str) -> Seen {
    Seen {
        relation: called(candidate),
        schema: candidate.schema.clone(),
        name: candidate.name.clone(),
        heap_bytes: candidate.heap_bytes,
        dead_rows: candidate.dead,
        measured_by: "counters",
        free_bytes: None,
        dead_bytes: None,
        reclaimable_bytes: None,
        reclaimable_pct: None,
        note: Some(why.to_owned()),
    }
}

fn called(candidate: &Candidate) -> String {
    match &candidate.toast_of {
        Some(owner) => format!("{} (TOAST of {owner})", candidate.relation),
        None => candidate.relation.clone(),
    }
}

/// What fillfactor keeps free is no bloat.
fn weigh(
    candidate: &Candidate,
    measured_by: &'static str,
    length: i64,
    free: i64,
    dead: Option<i64>,
    fillfactor: i64,
) -> Seen {
    let kept_free = length * (100 - fillfactor.clamp(10, 100)) / 100;
    let reclaimable = (free + dead.unwrap_or_default() - kept_free).max(0);
    Seen {
        measured_by,
        heap_bytes: length,
        free_bytes: Some(free),
        dead_bytes: dead,
        reclaimable_bytes: Some(reclaimable),
        reclaimable_pct: Some(100.0 * reclaimable as f64 / length.max(1) as f64),
        ..not_measured(candidate, "")
    }
}

fn judge(seen: &[Seen], least: u64, pinned: bool) -> Vec<Check> {
    let notable = |one: &&Seen| {
        one.reclaimable_pct.is_some_and(|pct| pct >= NOTABLE_PCT)
            && one.reclaimable_bytes.is_some_and(|bytes| bytes > 0 && bytes as u64 >= least)
    };
    let found: Vec<Check> = seen.iter().filter(notable).map(|one| bloated(one, pinned)).collect();
    if found.is_empty() {
        let measured = seen.iter().filter(|one| one.reclaimable_bytes.is_some()).count();
        let of = seen.len();
        let grade = if measured == of { Grade::Ok } else { Grade::Inconclusive };
        return vec![
            Check::graded("bloat", grade)
                .because(format!("none among the {measured} of {of} tables that were measured")),
        ];
    }
    found
}

/// The cure follows the cause.
fn bloated(one: &Seen, pinned: bool) -> Check {
    let (bytes, pct) =
        (one.reclaimable_bytes.unwrap_or_default(), one.reclaimable_pct.unwrap_or_default());
    let dead = one.dead_bytes.unwrap_or_default();
    let mut check = Check::graded("bloat", Grade::Warn).because(format!(
        "{}: {} of {} could be had back ({pct:.0} %, by {})",
        one.relation,
        value(bytes as f64, Unit::Bytes),
        value(one.heap_bytes as f64, Unit::Bytes),
        one.measured_by,
    ));
    check.value = Some(bytes as f64);
    check.unit = Unit::Bytes;
    check.threshold = "30 % and --min-mb".into();
    match () {
        () if dead * 3 >= bytes && pinned => {
            check.advise("its rows are dead and held: end the holder first, then vacuum")
        }
        () if dead * 3 >= bytes => {
            check.offer("vacuum_table", json!({ "schema": one.schema, "table": one.name }))
        }
        () => check.advise(
            "free already: new rows will use it; only if the table has shrunk for good, pg_repack, or VACUUM FULL in a window",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Candidate {
        Candidate {
            oid: "1".into(),
            schema: "public".into(),
            name: "t".into(),
            relation: "public.t".into(),
            ..Candidate::default()
        }
    }

    fn table(free: i64, dead: i64, fillfactor: i64) -> Seen {
        let mb = MB as i64;
        weigh(&candidate(), "pgstattuple", 100 * mb, free * mb, Some(dead * mb), fillfactor)
    }

    #[test]
    fn what_was_deleted_and_vacuumed_is_found_though_nothing_is_dead() {
        let check = judge(&[table(60, 0, 100)], 50 * MB, false).remove(0);
        assert_eq!(check.grade, Grade::Warn);
        assert!(check.leads_to.is_empty(), "a vacuum would do nothing for it");
        assert!(check.advice.contains("pg_repack"));
        let unless_big = judge(&[table(60, 0, 100)], 61 * MB, false);
        assert_eq!(unless_big[0].grade, Grade::Ok);
    }

    #[test]
    fn dead_rows_are_cured_by_a_vacuum_unless_somebody_holds_them() {
        let free = judge(&[table(5, 40, 100)], 0, false).remove(0);
        assert_eq!(free.leads_to[0].action, "vacuum_table");
        let held = judge(&[table(5, 40, 100)], 0, true).remove(0);
        assert!(held.leads_to.is_empty() && held.advice.contains("holder"));
    }

    #[test]
    fn what_fillfactor_keeps_free_is_no_bloat() {
        assert_eq!(judge(&[table(40, 0, 70)], 0, false)[0].grade, Grade::Ok);
        assert_eq!(judge(&[table(40, 0, 100)], 0, false)[0].grade, Grade::Warn);
    }

    #[test]
    fn a_table_that_was_not_measured_is_not_well() {
        let unread = not_measured(&candidate(), "beyond --budget-mb");
        assert_eq!(judge(&[unread], 0, false)[0].grade, Grade::Inconclusive);
    }
}
