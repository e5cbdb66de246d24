//! `pg indexes`: which are never used, made superfluous by another, invalid, or missing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::postgres::PgDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::subject::{IndexState, Subject};
use super::unknown::Unknown;
use super::versions::quoted;
use super::words::value;
use super::{Arg, ArgKind, Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_index_health",
    verb: "indexes",
    title: "Indexes",
    about: "Indexes nobody scans and that protect nothing, those another index replaces with the statement that makes \
            them again, invalid ones, foreign keys without one, and big tables that are read from end to end.",
    args: &[
        Arg {
            name: "table",
            about: "only indexes of this table, as schema.table",
            kind: ArgKind::Text,
        },
        Arg {
            name: "min-mb",
            about: "an unused index smaller than so many MB is not worth a word",
            kind: ArgKind::Whole { default: 10, least: 0, most: 10_000_000 },
        },
        Arg {
            name: "observed-days",
            about: "call an index unused only after so many days of statistics",
            kind: ArgKind::Whole { default: 14, least: 0, most: 3_650 },
        },
    ],
    needs: &[Need::PgRole("pg_read_all_stats")],
    offers: &["create_index", "drop_invalid_index", "reindex_index", "drop_index"],
    budget: Duration::from_secs(15),
    example: "simctl pg indexes --table public.orders",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

const MB: u64 = 1_048_576;
const DAY_S: f64 = 86_400.0;
/// A sequential scan of fewer rows is the right plan.
const MANY_ROWS: f64 = 10_000.0;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Index {
    schema: String,
    name: String,
    index: String,
    table: String,
    method: String,
    bytes: Option<i64>,
    c_scans: i64,
    last_scan: Option<String>,
    c_index_writes: i64,
    indisunique: bool,
    indisprimary: bool,
    indisexclusion: bool,
    indisreplident: bool,
    indisclustered: bool,
    indisvalid: bool,
    backs_constraint: bool,
    partition_child: bool,
    serves_foreign_key: bool,
    ddl: Option<String>,
}

impl Index {
    /// What it does besides being scanned.
    fn duty(&self) -> Option<&'static str> {
        let duties = [
            (self.indisprimary, "primary key"),
            (self.indisunique, "keeps values unique"),
            (self.indisexclusion, "exclusion constraint"),
            (self.backs_constraint, "backs a constraint"),
            (self.indisreplident, "replica identity"),
            (self.indisclustered, "clusters the table"),
            (self.partition_child, "part of a partitioned index"),
            (self.serves_foreign_key, "serves a foreign key"),
        ];
        duties.into_iter().find(|(has, _)| *has).map(|(_, duty)| duty)
    }
}

/// An index as it is shown.
#[derive(Clone, Debug, Serialize)]
struct Shown<'a> {
    #[serde(skip)]
    schema: &'a str,
    #[serde(skip)]
    name: &'a str,
    index: &'a str,
    table: &'a str,
    method: &'a str,
    bytes: Option<i64>,
    scans: i64,
    last_scan: &'a Option<String>,
    writes: i64,
    duty: Option<&'static str>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Redundant {
    schema: String,
    name: String,
    drop_candidate: String,
    keep: String,
    identical_keys: bool,
    scans: i64,
    bytes: Option<i64>,
    undo_ddl: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Invalid {
    schema: String,
    name: String,
    index: String,
    table: String,
    bytes: Option<i64>,
    reindex_leftover: bool,
    being_built: bool,
    ddl: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct ForeignKey {
    schema: String,
    name: String,
    child: String,
    child_kind: String,
    conname: String,
    parent: String,
    child_rows: Option<i64>,
    columns: Vec<String>,
    c_parent_writes: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Scanned {
    oid: String,
    table: String,
    heap_bytes: i64,
    live: i64,
    c_seq_scans: i64,
    c_seq_rows_read: i64,
    c_index_scans: i64,
}

const INDEXES: &[Column] = &[
    ("index", Unit::None),
    ("table", Unit::None),
    ("bytes", Unit::Bytes),
    ("scans", Unit::Count),
    ("writes", Unit::Count),
    ("duty", Unit::None),
    ("method", Unit::None),
    ("last_scan", Unit::None),
];
const REDUNDANT: &[Column] = &[
    ("drop_candidate", Unit::None),
    ("keep", Unit::None),
    ("identical_keys", Unit::None),
    ("bytes", Unit::Bytes),
    ("scans", Unit::Count),
    ("undo_ddl", Unit::None),
];
const INVALID: &[Column] = &[
    ("index", Unit::None),
    ("table", Unit::None),
    ("bytes", Unit::Bytes),
    ("reindex_leftover", Unit::None),
    ("being_built", Unit::None),
    ("ddl", Unit::None),
];
const FOREIGN_KEYS: &[Column] = &[
    ("child", Unit::None),
    ("columns", Unit::None),
    ("conname", Unit::None),
    ("parent", Unit::None),
    ("child_rows", Unit::Count),
    ("c_parent_writes", Unit::Count),
];
const SCANNED: &[Column] = &[
    ("table", Unit::None),
    ("heap_bytes", Unit::Bytes),
    ("live", Unit::Count),
    ("c_seq_scans", Unit::Count),
    ("c_seq_rows_read", Unit::Count),
    ("c_index_scans", Unit::Count),
];

async fn look(desk: &mut PgDesk, given: &Given) -> Draft {
    let mut draft = Draft::default();
    let only = given.text("table");
    let wanted =
        |table: &str| only.is_none_or(|only| only == table || table.ends_with(&format!(".{only}")));
    usage(desk, given, &wanted, &mut draft).await;
    let redundant = desk.rows::<Redundant>(questions::INDEX_REDUNDANT, &[]).await;
    draft.judge(redundant.iter().flatten().map(superfluous));
    draft.table_about("redundant", "Made superfluous by another", &redundant, REDUNDANT, |one| {
        Some(about(&one.schema, &one.name, IndexState::Superfluous))
    });
    let invalid = desk.rows::<Invalid>(questions::INDEX_INVALID, &[]).await;
    draft.judge(invalid.iter().flatten().filter(|one| !one.being_built).map(broken));
    draft.table_about("invalid", "Invalid", &invalid, INVALID, |one| {
        (!one.being_built).then(|| about(&one.schema, &one.name, IndexState::Invalid))
    });
    let keys = desk.rows::<ForeignKey>(questions::FK_WITHOUT_INDEX, &[]).await;
    draft.judge(keys.iter().flatten().map(unsupported));
    let title = "Foreign keys without an index";
    draft.table_about("foreign_keys", title, &keys, FOREIGN_KEYS, ForeignKey::subject);
    let scanned = desk.rows::<Scanned>(questions::SCAN_RATIO, &[]).await;
    if let Ok(scanned) = &scanned {
        let before = desk.earlier.since("scan_ratio", scanned).map(|(_, before)| before);
        draft.judge(before.and_then(|before| read_through(&before, scanned)));
    }
    let scanned =
        scanned.map(|all| all.into_iter().filter(|one| wanted(&one.table)).collect::<Vec<_>>());
    draft.table("scans", "Big tables by rows read from end to end", &scanned, SCANNED);
    draft
}

async fn usage(
    desk: &mut PgDesk,
    given: &Given,
    wanted: &impl Fn(&str) -> bool,
    draft: &mut Draft,
) {
    let all = desk.rows::<Index>(questions::INDEX_USAGE, &[]).await;
    let all = all.map(|all| all.into_iter().filter(|one| wanted(&one.table)).collect::<Vec<_>>());
    // What was never reset counts since it began, which is not told; the server's start is the sure part of it.
    let observed_s = desk.capabilities.stats_age_s.unwrap_or(desk.capabilities.uptime_s);
    let need_s = given.whole("observed-days") as f64 * DAY_S;
    if let Ok(all) = &all {
        let least = given.whole("min-mb").saturating_mul(MB);
        let unused: Vec<&Index> = all.iter().filter(|one| is_unused(one, least)).collect();
        if observed_s >= need_s {
            draft.judge(unused.iter().map(|index| unused_since(index, observed_s)));
        } else if !unused.is_empty() {
            let unknown = Unknown::NotEnoughHistory { have_s: observed_s, need_s };
            let title = format!("{} indexes not scanned yet", unused.len());
            draft.part("unused", title, Err(unknown));
        }
    }
    let shown =
        all.as_ref().map_err(Clone::clone).map(|all| all.iter().map(shown).collect::<Vec<_>>());
    draft.table_about("indexes", "Indexes of 1 MB and more", &shown, INDEXES, |one| {
        let is_idle = one.scans == 0 && one.duty.is_none();
        let state = if is_idle { IndexState::Superfluous } else { IndexState::Used };
        Some(about(one.schema, one.name, state))
    });
}

fn about(schema: &str, name: &str, state: IndexState) -> Subject {
    Subject::Index { schema: schema.to_owned(), index: name.to_owned(), state }
}

impl ForeignKey {
    /// A partitioned table takes no index beside its users.
    fn subject(&self) -> Option<Subject> {
        (self.child_kind != "p").then(|| Subject::ForeignKey {
            schema: self.schema.clone(),
            table: self.name.clone(),
            columns: self.columns.clone(),
        })
    }
}

fn shown(index: &Index) -> Shown<'_> {
    Shown {
        schema: &index.schema,
        name: &index.name,
        index: &index.index,
        table: &index.table,
        method: &index.method,
        bytes: index.bytes,
        scans: index.c_scans,
        last_scan: &index.last_scan,
        writes: index.c_index_writes,
        duty: index.duty(),
    }
}

fn is_unused(index: &Index, least: u64) -> bool {
    let bytes = u64::try_from(index.bytes.unwrap_or_default()).unwrap_or_default();
    index.c_scans == 0 && index.indisvalid && index.duty().is_none() && bytes >= least
}

fn unused_since(index: &Index, observed_s: f64) -> Check {
    let observed = value(observed_s, Unit::Seconds);
    let mut check = Check::graded("unused_index", Grade::Warn)
        .because(format!(
            "{} on {} ({}) was not scanned here for {observed}, and written {} times",
            index.index,
            index.table,
            value(index.bytes.unwrap_or_default() as f64, Unit::Bytes),
            index.c_index_writes
        ))
        .advise(format!(
            "see that it is older than that and that no replica uses it, then DROP INDEX CONCURRENTLY; again by: {}",
            index.ddl.as_deref().unwrap_or("its definition, which was not readable")
        ))
        .offer("drop_index", json!({ "schema": index.schema, "index": index.name }));
    (check.value, check.unit) = (index.bytes.map(|bytes| bytes as f64), Unit::Bytes);
    check
}

fn superfluous(one: &Redundant) -> Check {
    let how = if one.identical_keys { "the same as" } else { "the beginning of" };
    let Redundant { drop_candidate, keep, .. } = one;
    let again = one.undo_ddl.as_deref().unwrap_or("its definition, which was not readable");
    Check::graded("redundant_index", Grade::Warn)
        .because(format!("{drop_candidate} is {how} {keep}"))
        .advise(format!("DROP INDEX CONCURRENTLY {drop_candidate}; again by: {again}"))
        .offer("drop_index", json!({ "schema": one.schema, "index": one.name }))
}

fn broken(one: &Invalid) -> Check {
    let why = if one.reindex_leftover {
        "left over by a REINDEX CONCURRENTLY"
    } else {
        "its build failed"
    };
    Check::graded("invalid_index", Grade::Warn)
        .because(format!("{} on {} is invalid: {why}", one.index, one.table))
        .advise(format!(
            "it is written on every change and serves no query: DROP INDEX CONCURRENTLY {}, then build it again",
            one.index
        ))
        .offer("drop_invalid_index", json!({ "schema": one.schema, "index": one.name }))
}

/// A name as SQL has it: in quotes where it needs them.
fn spelled(name: &str) -> String {
    let is_plain = name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.to_owned() } else { quoted(name) }
}

fn unsupported(key: &ForeignKey) -> Check {
    let columns = key.columns.iter().map(|column| spelled(column)).collect::<Vec<_>>().join(", ");
    let concurrently = if key.child_kind == "p" { "" } else { " CONCURRENTLY" };
    let check = Check::graded("foreign_key_without_index", Grade::Warn)
        .because(format!(
            "{} ({columns}) refers to {}: each delete there reads all of it",
            key.child, key.parent
        ))
        .advise(format!("CREATE INDEX{concurrently} ON {} ({columns})", key.child));
    match key.subject() {
        Some(subject) => {
            let offers = subject.offers().into_iter();
            offers.fold(check, |check, offer| check.offer(offer.action, offer.args))
        }
        None => check,
    }
}

/// The table that most rows were read of from end to end, when that is a good part of all rows so read.
fn read_through(before: &[Scanned], now: &[Scanned]) -> Option<Check> {
    let grown = now.iter().filter_map(|one| {
        let was = before.iter().find(|was| was.oid == one.oid)?;
        let scans = one.c_seq_scans - was.c_seq_scans;
        let rows = one.c_seq_rows_read - was.c_seq_rows_read;
        (scans > 0).then_some((one, rows as f64, scans as f64))
    });
    let grown: Vec<_> = grown.collect();
    let all: f64 = grown.iter().map(|(_, rows, _)| rows).sum();
    let (one, rows, scans) = grown.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (rows / scans > MANY_ROWS && rows >= 0.1 * all).then(|| {
        Check::graded("missing_index", Grade::Warn)
            .because(format!(
                "{} was read from end to end {scans:.0} times since the look before, {:.0} rows each",
                one.table,
                rows / scans
            ))
            .advise("`simctl pg slow` tells by which statement; an index for its condition may help")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index {
            index: "public.i".into(),
            table: "public.t".into(),
            bytes: Some(20 << 20),
            indisvalid: true,
            ..Index::default()
        }
    }

    #[test]
    fn only_an_index_without_any_duty_can_be_unused() {
        let least = 10 * MB;
        assert!(is_unused(&index(), least));
        let dutiful: [fn(&mut Index); 8] = [
            |i| i.indisunique = true,
            |i| i.indisprimary = true,
            |i| i.indisexclusion = true,
            |i| i.indisreplident = true,
            |i| i.indisclustered = true,
            |i| i.backs_constraint = true,
            |i| i.partition_child = true,
            |i| i.serves_foreign_key = true,
        ];
        for change in dutiful {
            let mut one = index();
            change(&mut one);
            assert!(!is_unused(&one, least), "{:?}", one.duty());
        }
        assert!(!is_unused(&Index { c_scans: 1, ..index() }, least));
        assert!(!is_unused(&Index { bytes: Some(9 << 20), ..index() }, least));
    }

    #[test]
    fn a_dropped_index_can_be_made_again() {
        let one = Redundant {
            drop_candidate: "i".into(),
            keep: "j".into(),
            undo_ddl: Some("CREATE INDEX i ON t (a)".into()),
            ..Redundant::default()
        };
        assert!(superfluous(&one).advice.contains("again by: CREATE INDEX i ON t (a)"));
    }

    #[test]
    fn a_partitioned_table_has_no_concurrent_build() {
        let key = |kind: &str| ForeignKey { child_kind: kind.into(), ..ForeignKey::default() };
        assert!(unsupported(&key("r")).advice.contains("CONCURRENTLY"));
        assert!(!unsupported(&key("p")).advice.contains("CONCURRENTLY"));
    }

    #[test]
    fn reading_a_big_table_through_again_and_again_is_told_with_figures() {
        let at = |scans, rows| Scanned {
            oid: "1".into(),
            table: "public.t".into(),
            c_seq_scans: scans,
            c_seq_rows_read: rows,
            ..Scanned::default()
        };
        assert_eq!(read_through(&[at(5, 9_000_000)], &[at(5, 9_000_000)]), None, "long ago");
        assert_eq!(read_through(&[at(0, 0)], &[at(10, 10_000)]), None, "a small one");
        let check = read_through(&[at(0, 0)], &[at(10, 1_000_000)]).unwrap();
        assert!(check.evidence.contains("10 times") && check.evidence.contains("100000 rows each"));
    }
}
