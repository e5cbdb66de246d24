//! Help as rows: the keys of each group in columns, then what the marks and words mean and why keys are off.

use super::{Help, keys_of};
use crate::domain::execution::Phase;
use crate::tui::desk::Desk;
use crate::tui::keymap::{Binding, Group};
use crate::tui::text::{Align, fit, wrap};
use crate::tui::theme::Role;

/// The narrowest column: keys and a few words.
const COLUMN: usize = 37;
/// The keys' part of it.
const KEYS: usize = 15;

/// A row of pieces, each with its role.
pub(super) type Row = Vec<(String, Role)>;

enum Cell {
    Heading(&'static str),
    Key(&'static Binding),
    Blank,
}

/// The whole page for so many columns, and the row on which the selected key stands.
pub(super) fn of(help: &Help, desk: &Desk, width: u16) -> (Vec<Row>, usize) {
    let width = usize::from(width);
    let count = (width / COLUMN).max(1);
    let columns = flow(cells(&help.listed(desk)), count);
    let wide = width / count;
    let height = columns.iter().map(Vec::len).max().unwrap_or(0);
    let (mut page, mut selected) = (Vec::new(), 0);
    for at in 0..height {
        let mut row = Row::new();
        for column in &columns {
            let cell = column.get(at).unwrap_or(&Cell::Blank);
            if matches!(cell, Cell::Key(binding) if binding.action == help.selected) {
                selected = at;
            }
            row.extend(draw(cell, help, desk, wide));
        }
        page.push(row);
    }
    page.extend(legend(help, desk, width));
    (page, selected)
}

fn cells(listed: &[&'static Binding]) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut group: Option<Group> = None;
    for binding in listed {
        if group != Some(binding.group) {
            if group.is_some() {
                cells.push(Cell::Blank);
            }
            group = Some(binding.group);
            cells.push(Cell::Heading(binding.group.title()));
        }
        cells.push(Cell::Key(binding));
    }
    cells
}

/// The cells in so many columns of equal height; no heading ends a column, no blank starts one.
fn flow(cells: Vec<Cell>, count: usize) -> Vec<Vec<Cell>> {
    let least = cells.len().div_ceil(count).max(1);
    let height = (least..=cells.len().max(1)).find(|height| needed(&cells, *height) <= count);
    let height = height.unwrap_or(least);
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new()];
    for cell in cells {
        let filled = columns.last().map_or(0, Vec::len);
        if breaks(&cell, filled, height) {
            columns.push(Vec::new());
        }
        if let Some(column) = columns.last_mut()
            && !(column.is_empty() && matches!(cell, Cell::Blank))
        {
            column.push(cell);
        }
    }
    columns
}

fn breaks(cell: &Cell, filled: usize, height: usize) -> bool {
    match cell {
        Cell::Heading(_) => filled + 2 > height,
        Cell::Key(_) => filled + 1 > height,
        Cell::Blank => false,
    }
}

fn needed(cells: &[Cell], height: usize) -> usize {
    let (mut columns, mut filled) = (1, 0);
    for cell in cells {
        if breaks(cell, filled, height) {
            columns += 1;
            filled = 0;
        }
        if filled > 0 || !matches!(cell, Cell::Blank) {
            filled += 1;
        }
    }
    columns
}

fn draw(cell: &Cell, help: &Help, desk: &Desk, wide: usize) -> Row {
    let cut = desk.theme.glyphs.cut;
    match cell {
        Cell::Blank => vec![(" ".repeat(wide), Role::Text)],
        Cell::Heading(title) => vec![(fit(title, wide, Align::Left, cut), Role::Title)],
        Cell::Key(binding) => {
            let more = if binding.asks { desk.theme.glyphs.more } else { "" };
            let keys = format!(" {}", fit(&keys_of(binding, desk), KEYS - 2, Align::Left, cut));
            let words = format!(" {}{more}", binding.hint);
            let words = fit(&words, wide.saturating_sub(KEYS - 1), Align::Left, cut);
            let is_off = help.why_not(binding, desk).is_some();
            let (of_keys, of_words) = match (binding.action == help.selected, is_off) {
                (true, _) => (Role::Selection, Role::Selection),
                (false, true) => (Role::Muted, Role::Muted),
                (false, false) => (Role::Key, Role::Text),
            };
            vec![(keys, of_keys), (words, of_words)]
        }
    }
}

// ---- legend ---------------------------------------------------------------------------------------------

const PHASES: [Phase; 9] = [
    Phase::Thinking,
    Phase::Command,
    Phase::Executing,
    Phase::Result,
    Phase::Verifying,
    Phase::Verification,
    Phase::Complete,
    Phase::Error,
    Phase::Operator,
];
const STATES: &str = "triage investig. APPROVE? fixing verifying resolved FAILED";
const TARGETS: &str = "targets: ok DEGRADED DOWN HUNG REFUSED starting inconclusive";

fn legend(help: &Help, desk: &Desk, width: usize) -> Vec<Row> {
    let phase = |phase: Phase| format!("{} {}", desk.theme.phase(phase).0, phase.as_str());
    let phases: Vec<_> = PHASES.into_iter().map(phase).collect();
    let mut page = vec![Row::new()];
    section(&mut page, "Phases", &[phases.join("  ")], width);
    section(&mut page, "States", &[format!("{STATES}   {TARGETS}")], width);
    let off = off(help, desk);
    if !off.is_empty() {
        section(&mut page, "Dimmed keys", &off, width);
    }
    page
}

fn section(page: &mut Vec<Row>, title: &str, lines: &[String], width: usize) {
    page.push(vec![(title.to_owned(), Role::Title)]);
    for line in lines {
        let rows = wrap(line, width.saturating_sub(1), 0);
        page.extend(rows.map(|row| vec![(format!(" {row}"), Role::Text)]));
    }
}

/// The keys that do nothing now, together by their reason.
fn off(help: &Help, desk: &Desk) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for binding in help.listed(desk) {
        let Some(reason) = help.why_not(binding, desk) else { continue };
        let key = desk.keys.of(binding.action).next();
        let key = key.map_or_else(|| format!(":{}", binding.name), str::to_owned);
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, keys)) => keys.push(key),
            None => reasons.push((reason, vec![key])),
        }
    }
    reasons.into_iter().map(|(reason, keys)| format!("{}: {reason}", keys.join(" "))).collect()
}

/// The keys as so many columns hold them, for tests.
#[cfg(test)]
pub(super) fn keys_in(count: usize, listed: &[&'static Binding]) -> Vec<super::Action> {
    let columns = flow(cells(listed), count);
    assert!(columns.len() <= count, "{} columns of {count}", columns.len());
    let key = |cell: Cell| match cell {
        Cell::Key(binding) => Some(binding.action),
        Cell::Heading(_) | Cell::Blank => None,
    };
    columns.into_iter().flatten().filter_map(key).collect()
}
