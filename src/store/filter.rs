//! Listings of incidents that stay quick at any size: every narrowing field walks its own index in the order
//! of numbers and stops at the limit.

use super::sql::{Cell, Sql};
use super::words;
use crate::domain::finding::FindingKind;
use crate::ports::store::IncidentFilter;

/// More lines than anybody reads at once.
const MOST_LINES: u32 = 10_000;

/// Nobody types more.
const MOST_WORDS: usize = 16;

/// When an incident opened, so that no index on it is used: its number bounds are what narrows.
const OPENED: &str = "coalesce(i.created_at, i.updated_at)";

const COLUMNS: &str = "i.id, i.number, i.affected_system, i.finding_kind, i.cause, i.status, i.severity, \
                       i.message, i.created_at, i.resolved_at, i.occurrences";

/// The query of a filter, or `None` when nothing can match.
///
/// Values of one field are separate branches of a UNION ALL, because an index gives numbers in order for one
/// value only.
pub(super) fn query(filter: &IncidentFilter) -> Option<(Sql, Vec<Cell>)> {
    let mut cells = Vec::new();
    let mut bind = |cell: Cell| {
        cells.push(cell);
        cells.len()
    };
    let words = filter.text.as_deref().map(words::of).unwrap_or_default();
    let (tables, number) = if words.is_empty() {
        ("incidents i", "i.number")
    } else {
        ("incident_words w join incidents i on i.number = w.number", "w.number")
    };
    let mut shared = having_words(words, &mut bind);
    if let Some(target) = &filter.target {
        shared.push(format!("i.affected_system = ${}", bind(Cell::text(target))));
    }
    if let Some(before) = filter.before_number {
        shared.push(format!("{number} < ${}", bind(Cell::count(before))));
    }
    if let Some(after) = filter.created_after {
        let n = bind(Cell::time(after));
        shared.push(format!("{OPENED} >= ${n} and {number} >= {}", first_since(n)));
    }
    if let Some(before) = filter.created_before {
        let n = bind(Cell::time(before));
        shared.push(format!("{OPENED} < ${n} and {number} <= {}", last_until(n)));
    }
    let limit = bind(Cell::count(filter.limit.min(MOST_LINES)));
    let fault_types = fault_types(filter.fault_type.as_deref(), &mut bind);
    let statuses: Vec<_> =
        filter.status.iter().map(|s| format!("i.status = '{}'", s.as_str())).collect();
    let severities: Vec<_> =
        filter.severity.iter().map(|s| format!("i.severity = '{}'", s.as_str())).collect();

    let mut branches = vec![shared];
    for alternatives in [unique(statuses), unique(severities), fault_types] {
        branches = crossed(&branches, &alternatives);
    }
    let selects: Vec<_> = branches
        .iter()
        .map(|conditions| {
            let condition = if conditions.is_empty() { "true".into() } else { conditions.join(" and ") };
            format!(
                "select * from (select {COLUMNS} from {tables} where {condition} order by {number} desc limit ${limit}) as b"
            )
        })
        .collect();
    let sql = format!("{} order by number desc limit ${limit}", selects.join(" union all "));
    (filter.limit > 0).then_some((sql.into(), cells))
}

/// The incidents with all the words: a walk along the longest, likely the rarest, that looks up the others.
fn having_words(mut words: Vec<String>, bind: &mut impl FnMut(Cell) -> usize) -> Vec<String> {
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut conditions = Vec::new();
    for (place, word) in words.into_iter().take(MOST_WORDS).enumerate() {
        let n = bind(Cell::text(word));
        conditions.push(if place == 0 {
            format!("w.word = ${n}")
        } else {
            format!(
                "exists (select 1 from incident_words o where o.word = ${n} and o.number = w.number)"
            )
        });
    }
    conditions
}

/// Numbers are given in the order of opening, so a time is found as a number in one step and the walk in the
/// order of numbers starts right there.
fn first_since(n: usize) -> String {
    format!(
        "(select t.number from incidents t where t.created_at >= ${n} order by t.created_at, t.number limit 1)"
    )
}

fn last_until(n: usize) -> String {
    format!(
        "(select t.number from incidents t where t.created_at < ${n} order by t.created_at desc, t.number desc limit 1)"
    )
}

/// A finding kind or a cause.
fn fault_types(asked: Option<&str>, bind: &mut impl FnMut(Cell) -> usize) -> Vec<String> {
    let Some(asked) = asked else { return Vec::new() };
    let n = bind(Cell::text(asked));
    if FindingKind::named(asked).is_some() {
        vec![format!("i.finding_kind = ${n}"), format!("i.cause = ${n} and i.finding_kind <> ${n}")]
    } else {
        vec![format!("i.cause = ${n}")]
    }
}

fn unique(mut alternatives: Vec<String>) -> Vec<String> {
    alternatives.sort();
    alternatives.dedup();
    alternatives
}

/// Every branch with every alternative; no alternatives narrow nothing.
fn crossed(branches: &[Vec<String>], alternatives: &[String]) -> Vec<Vec<String>> {
    if alternatives.is_empty() {
        return branches.to_vec();
    }
    branches
        .iter()
        .flat_map(|branch| {
            alternatives.iter().map(|alternative| {
                let mut narrowed = branch.clone();
                narrowed.push(alternative.clone());
                narrowed
            })
        })
        .collect()
}
