//! A report as the console keeps and draws it: every answer a table of cells, with what can be done about each row.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::{clean, width};
use crate::actions;
use crate::domain::proposal::{Args, Risk};
use crate::inspect::{self, Content, Grade, Offer, Report, Table, Unit};

/// The longest cell that is kept; the rest of a statement is for `simctl pg`.
const LONGEST_CELL: usize = 400;
/// The widest column.
const WIDEST: usize = 48;

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    pub at: DateTime<Utc>,
    pub took_ms: f64,
    pub grade: Grade,
    /// The last one has the checks.
    pub parts: Vec<Part>,
    /// The checks that are not ok, worst first: grade and sentence.
    pub troubles: Vec<(Grade, String)>,
}

/// One question's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub title: String,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Rows(Rows),
    /// Why it is not known, and what to do about it.
    Unknown {
        sentence: String,
        remedy: String,
    },
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// How many there are when these are not all.
    pub total: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub title: String,
    pub width: u16,
    /// Numbers stand on the right.
    pub is_number: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What tells it from the others, also in the next answer.
    pub id: String,
    pub cells: Vec<String>,
    /// What is sorted by.
    pub values: Vec<Value>,
    pub grade: Option<Grade>,
    pub remedies: Vec<Remedy>,
}

/// An action that fits a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    pub action: String,
    pub title: String,
    pub risk: Risk,
    pub args: Args,
}

impl Inspected {
    /// A report for the screen.
    pub fn of(report: &Report) -> Self {
        let mut parts: Vec<Part> = report.parts.iter().map(part).collect();
        parts.push(Part { title: "Findings".into(), body: Body::Rows(findings(report)) });
        let mut troubles: Vec<_> = report
            .checks
            .iter()
            .filter(|check| check.grade != Grade::Ok)
            .map(|check| (check.grade, one_line(&format!("{}: {}", check.id, check.evidence))))
            .collect();
        troubles.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
        let Report { at, took_ms, grade, .. } = report;
        Self { at: *at, took_ms: *took_ms, grade: *grade, parts, troubles }
    }
}

fn part(part: &inspect::Part) -> Part {
    let body = match &part.content {
        Content::Table(table) => Body::Rows(rows(table)),
        Content::Figures(figures) => {
            let pairs = figures.iter().map(|figure| {
                let text = one_line(&inspect::cell(&figure.value, figure.unit));
                (vec![words(figure.name), text], vec![figure.name.into(), figure.value.clone()])
            });
            let rows = pairs.map(|(cells, values)| row(cells, values, None, Vec::new()));
            Body::Rows(laid_out(&[("figure", Unit::None), ("value", Unit::None)], rows.collect()))
        }
        Content::Unknown(unknown) => {
            Body::Unknown { sentence: unknown.sentence(), remedy: unknown.remedy() }
        }
    };
    Part { title: one_line(&part.title), body }
}

fn rows(table: &Table) -> Rows {
    let cells = |values: &[Value]| -> Vec<String> {
        let pairs = values.iter().zip(&table.columns);
        pairs.map(|(value, (_, unit))| one_line(&inspect::cell(value, *unit))).collect()
    };
    let all = table.rows.iter().enumerate().map(|(at, values)| {
        let subject = table.subjects.get(at).and_then(Option::as_ref);
        let remedies = subject.map(|subject| remedies(&subject.offers())).unwrap_or_default();
        row(cells(values), values.clone(), None, remedies)
    });
    Rows { total: table.total, ..laid_out(&table.columns, all.collect()) }
}

/// The checks as a table, the worst first.
fn findings(report: &Report) -> Rows {
    const COLUMNS: [(&str, Unit); 5] = [
        ("grade", Unit::None),
        ("check", Unit::None),
        ("found", Unit::None),
        ("held against", Unit::None),
        ("to do", Unit::None),
    ];
    let mut checks: Vec<_> = report.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.grade));
    let rows = checks.into_iter().map(|check| {
        let cells: Vec<String> =
            [check.grade.as_str(), check.id, &check.evidence, &check.threshold, &check.advice]
                .map(one_line)
                .into();
        let values = cells.iter().map(|cell| Value::from(cell.as_str())).collect();
        let id = format!("{}\u{1f}{}", check.id, check.evidence);
        Row { id, ..row(cells, values, Some(check.grade), remedies(&check.leads_to)) }
    });
    laid_out(&COLUMNS, rows.collect())
}

fn row(cells: Vec<String>, values: Vec<Value>, grade: Option<Grade>, remedies: Vec<Remedy>) -> Row {
    // What an action would be told names it best; else what its first columns say.
    let named = remedies.last().map(|remedy| serde_json::json!(remedy.args).to_string());
    let id =
        named.unwrap_or_else(|| cells.iter().take(3).cloned().collect::<Vec<_>>().join("\u{1f}"));
    Row { id, cells, values, grade, remedies }
}

fn laid_out(columns: &[(&str, Unit)], rows: Vec<Row>) -> Rows {
    let column = |(at, (name, _)): (usize, &(&str, Unit))| {
        let title = words(name);
        let cells = rows.iter().filter_map(|row| row.cells.get(at));
        let widest = cells.map(|cell| width(cell)).max().unwrap_or(0).max(width(&title));
        let values = || rows.iter().filter_map(|row| row.values.get(at));
        let is_number = values().any(Value::is_number)
            && values().all(|value| value.is_number() || value.is_null());
        let width = u16::try_from(widest.clamp(3, WIDEST)).unwrap_or(u16::MAX);
        Column { title, width, is_number }
    };
    let columns = columns.iter().enumerate().map(column).collect();
    Rows { columns, rows, total: None }
}

fn remedies(offers: &[Offer]) -> Vec<Remedy> {
    let known = offers.iter().filter_map(|offer| {
        let d = actions::find(offer.action)?.descriptor();
        let args = serde_json::from_value(offer.args.clone()).ok()?;
        Some(Remedy { action: d.id.into(), title: d.title.into(), risk: d.risk, args })
    });
    known.collect()
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    clean(&line).chars().take(LONGEST_CELL).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inspect::{Check, Draft, Subject, Unknown};

    fn report() -> Report {
        let mut draft = Draft::default();
        let tables = [json!({"relation": "public.\"T\u{1b}\"", "dead": 12_000})];
        let columns = &[("relation", Unit::None), ("dead", Unit::Count)];
        let about = |_: &Value| Some(Subject::Table { schema: "public".into(), table: "T".into() });
        let table = Table::of(&tables, columns).about(&tables, about);
        draft.part("due", "Tables", Ok(Content::Table(table)));
        draft.part("free", "Free space", Err(Unknown::TimedOut { after_ms: 5_000 }));
        draft.judge([
            Check::graded("fine", Grade::Ok),
            Check::graded("vacuum_due", Grade::Warn)
                .because("public.T is late")
                .offer("vacuum_table", json!({"schema": "public", "table": "T"})),
        ]);
        Report {
            inspection: "x",
            verb: "vacuum",
            target: "postgres-test".into(),
            at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            took_ms: 12.0,
            grade: draft.grade(),
            parts: draft.parts,
            checks: draft.checks,
        }
    }

    #[test]
    fn a_report_becomes_tables_with_what_can_be_done() {
        let seen = Inspected::of(&report());
        let titles: Vec<&str> = seen.parts.iter().map(|part| part.title.as_str()).collect();
        assert_eq!(titles, ["Tables", "Free space", "Findings"]);
        let Body::Rows(tables) = &seen.parts[0].body else { panic!("{:?}", seen.parts[0]) };
        let row = &tables.rows[0];
        assert_eq!(row.cells, ["public.\"T\\x1b\"", "12,000"]);
        let actions: Vec<&str> = row.remedies.iter().map(|r| r.action.as_str()).collect();
        assert_eq!(actions, ["vacuum_table", "analyze_table"]);
        assert!(tables.columns[1].is_number && !tables.columns[0].is_number);
        assert!(matches!(&seen.parts[1].body, Body::Unknown { remedy, .. } if !remedy.is_empty()));
        let Body::Rows(findings) = &seen.parts[2].body else { panic!("{:?}", seen.parts[2]) };
        let grades: Vec<_> = findings.rows.iter().map(|row| row.grade).collect();
        assert_eq!(grades, [Some(Grade::Warn), Some(Grade::Inconclusive), Some(Grade::Ok)]);
        assert_eq!(seen.troubles.len(), 2);
    }

    #[test]
    fn what_a_screen_keeps_reads_back() {
        let seen = Inspected::of(&report());
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<Inspected>(&text).unwrap(), seen);
    }
}

/// Answers to draw in tests.
#[cfg(test)]
pub(crate) mod example {
    use serde_json::{Value, json};

    use super::{Body, Inspected};
    use crate::inspect::{
        Check, Column, Content, Draft, Grade, Report, Subject, SubjectSession, Table, Unit, Unknown,
    };
    use crate::tui::example::now;

    /// Three sessions, a part that is not known, a warning.
    pub(crate) fn sessions() -> Inspected {
        let rows = [
            session(11, "orders-web", "active", "select * from orders where id = $1", 0.2),
            session(
                22,
                "orders-web",
                "idle in transaction",
                "update orders set state = 'x'",
                812.0,
            ),
            session(33, "report", "active", "select count(*) from \"Größe 漢字\"", 41.0),
        ];
        report(&rows, "pid 22 rests in an open transaction that has written")
    }

    /// A hundred, with what a hostile server could say.
    pub(crate) fn worst() -> Inspected {
        let text = "\u{1b}[2J\u{1b}]52;c;AAAA\u{7} \u{202e}evil\r\nsecond e\u{301}🙂 ".repeat(40);
        let rows: Vec<Value> =
            (0..100).map(|pid| session(pid, &text, "active", &text, 1e9)).collect();
        report(&rows, &text)
    }

    /// The rows the other way round.
    pub(crate) fn reverse(seen: &mut Inspected) {
        if let Body::Rows(rows) = &mut seen.parts[0].body {
            rows.rows.reverse();
        }
    }

    fn session(pid: i32, application: &str, state: &str, query: &str, seconds: f64) -> Value {
        json!({
            "pid": pid, "application_name": application, "state": state, "xact_s": seconds,
            "query": query,
        })
    }

    const COLUMNS: &[Column] = &[
        ("pid", Unit::None),
        ("application_name", Unit::None),
        ("state", Unit::None),
        ("xact_s", Unit::Seconds),
        ("query", Unit::None),
    ];

    fn report(rows: &[Value], trouble: &str) -> Inspected {
        let about = |row: &Value| {
            let runs = row["state"] == "active";
            let start = || Some("2026-01-31T14:00:00+00:00".to_owned());
            Some(Subject::Session(SubjectSession {
                pid: i32::try_from(row["pid"].as_i64()?).ok()?,
                backend_start: start(),
                query_start: start().filter(|_| runs),
                in_transaction: !runs,
                blocks: false,
            }))
        };
        let mut draft = Draft::default();
        let table = Table::of(rows, COLUMNS).about(rows, about);
        draft.part("sessions", "Sessions that are not idle", Ok(Content::Table(table)));
        draft.part("waits", "Wait events", Err(Unknown::TimedOut { after_ms: 5_000 }));
        draft.judge([Check::graded("harmful_idle_transaction", Grade::Warn).because(trouble)]);
        Inspected::of(&Report {
            inspection: "query_database_performance",
            verb: "performance",
            target: "postgres-test".into(),
            at: now().at,
            took_ms: 4.2,
            grade: draft.grade(),
            parts: draft.parts,
            checks: draft.checks,
        })
    }
}
