//! Rows on standard output as they come, as one JSON document or as a table, in memory that does not grow with them.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::print::{clean, json_text};
use crate::database::query::Facts;
use crate::database::read::{Given, Go};
use crate::database::{Failure, Row};

/// The widths of a table's columns are taken from so many rows.
const FIRST: usize = 200;
/// A cell of a table is cut here; `--json` has all of it.
const WIDEST: usize = 60;

/// Where bytes go.
type Out = Box<dyn Write + Send>;

/// Takes rows and prints them.
pub(super) enum Rows {
    Json(JsonRows),
    Table(TableRows),
}

impl Rows {
    pub(super) fn new(json: bool, out: Out) -> Self {
        if json {
            Self::Json(JsonRows { out, rows: 0, begun: false, left: false })
        } else {
            let (head, first) = (Vec::new(), Vec::new());
            Self::Table(TableRows { out, head, first, widths: None, left: false })
        }
    }

    pub(super) fn give(&mut self, given: Given<'_>) -> io::Result<Go> {
        match self {
            Self::Json(rows) => rows.give(given),
            Self::Table(rows) => rows.give(given),
        }
    }

    /// The end, well or not. Returns whether anything was printed before.
    pub(super) fn end(&mut self, outcome: Result<&Facts, &Failure>) -> io::Result<bool> {
        match self {
            Self::Json(rows) => rows.end(outcome),
            Self::Table(rows) => rows.end(outcome),
        }
    }

    /// Whoever read our output went away.
    pub(super) fn reader_left(&self) -> bool {
        match self {
            Self::Json(rows) => rows.left,
            Self::Table(rows) => rows.left,
        }
    }
}

/// Remembers that nobody reads any more.
fn noting<T>(left: &mut bool, written: io::Result<T>) -> io::Result<T> {
    *left |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    written
}

/// `{"rows":[…],"success":true,…}`, written row by row.
pub(super) struct JsonRows {
    out: Out,
    rows: u64,
    begun: bool,
    left: bool,
}

impl JsonRows {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        let comma = if self.rows == 0 { "\n  " } else { ",\n  " };
        self.rows += 1;
        write!(self.out, "{comma}{}", json_text(row)?)
    }

    fn close(&mut self, outcome: Result<&Facts, &Failure>) -> io::Result<()> {
        let rest = match outcome {
            Ok(facts) => json_text(facts)?,
            Err(failure) => json_text(failure)?,
        };
        let rest = rest.strip_prefix('{').unwrap_or_default();
        writeln!(self.out, "\n],{rest}")?;
        self.out.flush()
    }

    fn give(&mut self, given: Given<'_>) -> io::Result<Go> {
        let written = match given {
            Given::Columns(_) => {
                self.begun = true;
                write!(self.out, "{{\"rows\":[")
            }
            Given::Row(row) => self.row(&row),
        };
        noting(&mut self.left, written).map(|()| Go::On)
    }

    fn end(&mut self, outcome: Result<&Facts, &Failure>) -> io::Result<bool> {
        if !self.begun {
            return Ok(false);
        }
        let closed = self.close(outcome);
        noting(&mut self.left, closed).map(|()| true)
    }
}

/// A table whose widths fit its first rows.
pub(super) struct TableRows {
    out: Out,
    head: Vec<String>,
    first: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    left: bool,
}

impl TableRows {
    /// Prints what was held back to find the widths.
    fn open(&mut self) -> io::Result<()> {
        if self.widths.is_some() || self.head.is_empty() {
            return Ok(());
        }
        let all = || std::iter::once(&self.head).chain(&self.first);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> =
            (0..self.head.len()).map(|column| width(column).unwrap_or(0)).collect();
        line(&mut self.out, &self.head, &widths)?;
        for row in std::mem::take(&mut self.first) {
            line(&mut self.out, &row, &widths)?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        let cells: Vec<String> = row.values.iter().map(cell).collect();
        if let Some(widths) = &self.widths {
            return line(&mut self.out, &cells, widths);
        }
        self.first.push(cells);
        if self.first.len() == FIRST { self.open() } else { Ok(()) }
    }

    fn close(&mut self, outcome: Result<&Facts, &Failure>) -> io::Result<()> {
        self.open()?;
        if let Ok(facts) = outcome {
            let rows = if facts.row_count == 1 { "row" } else { "rows" };
            let by =
                if facts.from_cache { "the cache".to_owned() } else { clean(&facts.served_by) };
            let lsn = facts.lsn.as_ref().map_or(String::new(), |lsn| format!(", lsn {lsn}"));
            writeln!(
                self.out,
                "{} {} {rows}, {:.1} ms, {by}{lsn}",
                facts.query_type, facts.row_count, facts.execution_time_ms
            )?;
        }
        self.out.flush()
    }

    fn give(&mut self, given: Given<'_>) -> io::Result<Go> {
        let written = match given {
            Given::Columns(columns) => {
                self.head =
                    columns.iter().map(|column| clean(&column.name).to_uppercase()).collect();
                Ok(())
            }
            Given::Row(row) => self.row(&row),
        };
        noting(&mut self.left, written).map(|()| Go::On)
    }

    fn end(&mut self, outcome: Result<&Facts, &Failure>) -> io::Result<bool> {
        let begun = self.widths.is_some();
        let closed = self.close(outcome);
        noting(&mut self.left, closed).map(|()| begun)
    }
}

/// What a server wrote is made harmless on the way.
pub(super) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return "∅".to_owned(),
        Value::String(text) => text.lines().collect::<Vec<_>>().join(" | "),
        other => other.to_string(),
    };
    let clean = clean(&text);
    if clean.chars().count() <= WIDEST {
        return clean;
    }
    clean.chars().take(WIDEST - 1).chain(['…']).collect()
}

fn line(out: &mut impl Write, cells: &[String], widths: &[usize]) -> io::Result<()> {
    let cells: Vec<String> =
        cells.iter().zip(widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
    writeln!(out, "{}", cells.join("  ").trim_end())
}
