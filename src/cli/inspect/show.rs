//! A report as a person reads it in a terminal.

use std::fmt::Write as _;

use crate::cli::print::table;
use crate::inspect::{Check, Column, Content, Figure, Grade, Part, Report, Table, Unit, cell};

/// A cell of a table is cut here; `--json` has all of it.
const WIDEST: usize = 60;

/// Head, parts, then what was found, the worst first.
pub(super) fn report(report: &Report) -> String {
    let mut text = format!(
        "{}  {}  {}  {:.0} ms\n",
        report.target,
        report.verb,
        report.grade.as_str(),
        report.took_ms
    );
    for part in &report.parts {
        let _ = write!(text, "\n{}", self::part(part));
    }
    text.push_str(&checks(&report.checks));
    text
}

fn part(part: &Part) -> String {
    let body = match &part.content {
        Content::Unknown(unknown) => {
            format!("{}\n  to do: {}\n", unknown.sentence(), unknown.remedy())
        }
        Content::Figures(figures) => self::figures(figures),
        Content::Table(shown) if shown.rows.is_empty() => "none\n".to_owned(),
        Content::Table(shown) => rows(shown),
    };
    let mut text = format!("{}\n", part.title);
    for line in body.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn figures(figures: &[Figure]) -> String {
    let names: Vec<String> = figures.iter().map(|figure| name(figure.name, figure.unit)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (figure, name) in figures.iter().zip(names) {
        let _ = writeln!(text, "{name:<width$}  {}", cell(&figure.value, figure.unit));
    }
    text
}

/// The columns that hold something.
fn rows(shown: &Table) -> String {
    let filled = |column: &usize| {
        shown.rows.iter().any(|row| row.get(*column).is_some_and(|value| !value.is_null()))
    };
    let columns: Vec<usize> = (0..shown.columns.len()).filter(filled).collect();
    let head: Vec<String> = columns.iter().map(|&column| title(&shown.columns[column])).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let line = |row: &Vec<serde_json::Value>| -> Vec<String> {
        let text = |&column: &usize| short(&cell(&row[column], shown.columns[column].1));
        columns.iter().map(text).collect()
    };
    let lines: Vec<Vec<String>> = shown.rows.iter().map(line).collect();
    let mut text = table(&head, &lines);
    if let Some(total) = shown.total {
        let _ = writeln!(text, "{} of {total} are shown", lines.len());
    }
    text
}

fn title((name, unit): &Column) -> String {
    self::name(name, *unit).to_uppercase()
}

/// The unit stands with each value.
fn name(name: &str, unit: Unit) -> String {
    let suffix = match unit {
        Unit::Bytes => "_bytes",
        Unit::Seconds => "_s",
        Unit::Millis => "_ms",
        Unit::Percent => "_pct",
        Unit::Count | Unit::None => "",
    };
    let name = name.strip_prefix("c_").unwrap_or(name);
    name.strip_suffix(suffix).unwrap_or(name).replace('_', " ")
}

fn short(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        return text.to_owned();
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

fn checks(all: &[Check]) -> String {
    let mut found: Vec<&Check> = all.iter().filter(|check| check.grade != Grade::Ok).collect();
    found.sort_by_key(|check| std::cmp::Reverse(check.grade));
    let well = all.len() - found.len();
    let mut text = String::from("\nChecks\n");
    for check in &found {
        text.push_str(&self::check(check));
    }
    let others = if found.is_empty() { "" } else { "others " };
    let _ = writeln!(text, "  {well} {others}ok");
    text
}

fn check(check: &Check) -> String {
    let held =
        if check.threshold.is_empty() { String::new() } else { format!(" ({})", check.threshold) };
    let value = check.value.map(|value| cell(&value.into(), check.unit));
    let value = value.map_or_else(String::new, |value| format!("{value}{held}; "));
    let mut text = format!("  {}  {}: {value}{}\n", check.grade.as_str(), check.id, check.evidence);
    if !check.advice.is_empty() {
        let _ = writeln!(text, "        to do: {}", check.advice);
    }
    for offer in &check.leads_to {
        let _ = writeln!(text, "        action: {} {}", offer.action, offer.args);
    }
    text
}

/// `CRIT check_postgres_health slots_used: …; 2 more`.
pub(super) fn one_line(reports: &[Report], grade: Grade) -> String {
    let all =
        reports.iter().flat_map(|report| report.checks.iter().map(move |check| (report, check)));
    let mut worst = all.filter(|(_, check)| check.grade == grade && grade != Grade::Ok);
    let word = grade.as_str().to_uppercase();
    let Some((report, check)) = worst.next() else {
        let names: Vec<&str> = reports.iter().map(|report| report.inspection).collect();
        return format!("{word} {}", names.join(", "));
    };
    let more = worst.count();
    let more = if more == 0 { String::new() } else { format!("; {more} more") };
    format!("{word} {} {}: {}{more}", report.inspection, check.id, check.evidence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inspect::{Draft, Unknown};

    fn made() -> Report {
        let mut draft = Draft::default();
        let rows = Ok(vec![
            json!({"pid": 7, "state_s": 71.0, "note": null, "query": "x".repeat(80)}),
            json!({"pid": 12_345, "state_s": 0.4, "note": null, "query": "y"}),
        ]);
        let columns = &[
            ("pid", Unit::None),
            ("state_s", Unit::Seconds),
            ("note", Unit::None),
            ("query", Unit::None),
        ];
        draft.table("sessions", "Sessions", &rows, columns);
        let row = Ok(json!({"c_timed": 1_200, "heap_bytes": 2_048}));
        draft.figures(
            "f",
            "Figures",
            &row,
            &[("c_timed", Unit::Count), ("heap_bytes", Unit::Bytes)],
        );
        let missing = Unknown::NotInstalled { what: "x", remedy: "CREATE EXTENSION x" };
        draft.part("x", "Missing", Err(missing));
        let check = Check::over("age", 71.0, Unit::Seconds, (Some(60.0), None))
            .because("one rests")
            .offer("kill_idle_transactions", json!({"min_age_s": 60}));
        draft.judge([check, Check::graded("well", Grade::Ok)]);
        Report {
            inspection: "check_x",
            verb: "x",
            target: "shop".into(),
            at: chrono::DateTime::from_timestamp(1_769_868_000, 0).expect("a time"),
            took_ms: 12.3,
            grade: draft.grade(),
            parts: draft.parts,
            checks: draft.checks,
        }
    }

    #[test]
    fn a_report_reads_from_top_to_bottom() {
        insta::assert_snapshot!(report(&made()));
    }

    #[test]
    fn a_monitoring_system_gets_the_worst_in_one_line() {
        let made = made();
        let line = one_line(std::slice::from_ref(&made), Grade::Warn);
        assert_eq!(line, "WARN check_x age: one rests");
        assert_eq!(one_line(&[], Grade::Ok), "OK ");
    }
}
