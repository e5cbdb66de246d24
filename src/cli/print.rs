//! Printing: lines, aligned tables, JSON. Text that servers wrote is made harmless on the way.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

pub(super) use crate::narrate::clean;

/// How a command prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Print {
    pub(super) json: bool,
}

impl Print {
    /// One or more lines on standard output; whatever is in them, only newlines control the terminal.
    pub(super) fn line(self, text: impl Display) -> anyhow::Result<()> {
        let text = text.to_string();
        let mut out = io::stdout().lock();
        for line in text.split('\n') {
            writeln!(out, "{}", clean(line))?;
        }
        Ok(out.flush()?)
    }

    /// A page in place of the one before, where a terminal shows it.
    pub(super) fn page(self, text: impl Display) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            write!(out, "\x1b[H\x1b[2J")?;
        }
        drop(out);
        self.line(text)
    }

    /// A value as JSON on standard output.
    pub(super) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
        Ok(out.flush()?)
    }

    /// A table, or `nothing` when there is no row.
    pub(super) fn table(
        self,
        head: &[&str],
        rows: &[Vec<String>],
        nothing: &str,
    ) -> anyhow::Result<()> {
        if rows.is_empty() { self.line(nothing) } else { self.line(table(head, rows).trim_end()) }
    }

    /// What goes on meanwhile: on standard error, so that it never mixes with an answer.
    pub(super) fn progress(self, text: &str) {
        to_stderr(text);
    }
}

/// A value as JSON on one line, which like [`clean`] text controls no terminal.
pub(super) fn json_text(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    let is_plain =
        |c: char| matches!(c, ' '..='~') || clean(c.encode_utf8(&mut [0; 4])).starts_with(c);
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_plain(c) {
            text.push(c);
        } else {
            // JSON itself is ASCII, so this one stands in a string; all of them have four digits.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        }
    }
    Ok(text)
}

/// A line on standard error. Nobody is there to be told when that fails.
pub(super) fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", clean(text));
}

/// Whether the reader of our output went away (`simctl … | head`).
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    }) && error.chain().count() == 1
}

/// Columns of equal width, two spaces apart.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let cleaned: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(&cleaned).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn one_line(cell: &str) -> String {
    clean(&cell.lines().collect::<Vec<_>>().join(" | "))
}

/// A number or `-`.
pub(super) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A time as people read it, in UTC.
pub(super) fn time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|&cell| cell.to_owned()).collect()
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [row(&["redis-test", "ok", ""]), row(&["p", "DEGRADED", "→ 3"])];
        let expected = "TARGET      STATE     NOTE\nredis-test  ok\np           DEGRADED  → 3\n";
        assert_eq!(table(&["TARGET", "STATE", "NOTE"], &rows), expected);
    }

    #[test]
    fn a_cell_cannot_control_the_terminal_or_break_the_table() {
        let text = table(&["A"], &[row(&["x\u{1b}[31m\r\ny\u{202e}z\u{7f}"])]);
        assert_eq!(text, "A\nx\\x1b[31m | y\\u{202e}z\\x7f\n");
    }

    #[test]
    fn only_our_own_output_counts_as_a_broken_pipe() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&pipe().into()));
        assert!(!is_broken_pipe(&anyhow::Error::from(pipe()).context("ask redis-test")));
        assert!(!is_broken_pipe(&anyhow::anyhow!("another")));
    }
}
