//! The targets as cards: one line each where there is little room, else every reading with its bar.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::desk::Desk;
use super::readings::{self, Reading};
use super::text::{Align, fit, width};
use super::theme::Role;
use super::widgets::bar::bar;
use super::widgets::draw::{put, rows};
use super::widgets::pane::Pane;
use super::widgets::spark::{Scale, spark};
use crate::engine::handle::TargetView;

/// Columns of a reading's label and number.
const LABEL: usize = 10;
const NUMBER: usize = 14;

/// Draws the pane of all targets.
pub fn draw(desk: &Desk, area: Rect, buf: &mut Buffer) {
    let inner = Pane::new(title(desk)).draw(area, buf, &desk.theme);
    let mut targets: Vec<&TargetView> = desk.snapshot.targets.iter().map(|view| &**view).collect();
    if targets.len() > usize::from(inner.height) {
        // Where not all fit, those in trouble do.
        targets.sort_by_key(|view| view.state == "ok");
    }
    let mut lines = rows(inner);
    let roomy = area.width >= 40 && usize::from(inner.height) > targets.len() + 2;
    for (index, &view) in targets.iter().enumerate() {
        let left = lines.size_hint().0;
        let more = targets.len() - index;
        if left == 1 && more > 1 {
            if let Some(row) = lines.next() {
                let text = format!("{more} more targets");
                put(buf, row, 0, &text, desk.theme.style(Role::Muted));
            }
            return;
        }
        let Some(row) = lines.next() else { return };
        if !roomy {
            one_line(desk, view, row, buf);
            continue;
        }
        head(desk, view, row, buf);
        let room = left.saturating_sub(more);
        for line in details(desk, view, usize::from(inner.width)).into_iter().take(room) {
            if let Some(row) = lines.next() {
                put(buf, row, 0, &line, desk.theme.style(Role::Text));
            }
        }
    }
    if targets.is_empty()
        && let Some(row) = lines.next()
    {
        put(buf, row, 0, "nothing is watched yet", desk.theme.style(Role::Muted));
    }
}

/// `Targets  2 degraded  1 hung`.
fn title(desk: &Desk) -> String {
    let mut title = String::from("Targets");
    for word in ["DEGRADED", "DOWN", "HUNG", "REFUSED", "starting", "inconclusive"] {
        let count = desk.snapshot.targets.iter().filter(|view| view.state == word).count();
        if count > 0 {
            let _ = write!(title, "  {count} {}", word.to_lowercase());
        }
    }
    title
}

/// The glyph and the role of a state word.
pub fn mark(desk: &Desk, state: &str) -> (&'static str, Role) {
    let glyphs = desk.theme.glyphs;
    match state {
        "ok" => (glyphs.target_ok, Role::Ok),
        "DOWN" | "HUNG" | "REFUSED" => (glyphs.target_bad, Role::Bad),
        _ => (glyphs.target_warn, Role::Warn),
    }
}

/// Draws mark, name, state and health; returns the columns used.
fn head(desk: &Desk, view: &TargetView, row: Rect, buf: &mut Buffer) -> u16 {
    let theme = &desk.theme;
    let (glyph, role) = mark(desk, &view.state);
    let mut x = put(buf, row, 0, glyph, theme.style(role));
    let name = fit(view.target.id.as_str(), 13, Align::Left, theme.glyphs.cut);
    x += put(buf, row, x, &format!(" {name} "), theme.style(Role::Title));
    let state = fit(&view.state, 8, Align::Left, theme.glyphs.cut);
    x += put(buf, row, x, &state, theme.style(role));
    let health = fit(&view.health.to_string(), 4, Align::Right, theme.glyphs.cut);
    x += put(buf, row, x, &health, theme.style(Role::Text));
    let latency = format!("  {}", readings::latency(view));
    if usize::from(row.width) >= usize::from(x) + width(&latency) && row.width < 70 {
        x += put(buf, row, x, &latency, theme.style(Role::Muted));
    }
    x
}

/// Everything of a target on one line: the reading that matters, a bar, ten minutes.
fn one_line(desk: &Desk, view: &TargetView, row: Rect, buf: &mut Buffer) {
    let theme = &desk.theme;
    let used = {
        let head_row = Rect { width: row.width.min(29), ..row };
        head(desk, view, head_row, buf).min(29)
    };
    let Some(first) = readings::of(view).into_iter().next() else { return };
    let mut x = used + 1;
    let label = format!("{:LABEL$}", first.label);
    x += put(buf, row, x, &label, theme.style(Role::Muted));
    let number = fit(&first.text, NUMBER, Align::Right, theme.glyphs.cut);
    x += put(buf, row, x, &number, theme.style(Role::Text));
    let left = usize::from(row.width.saturating_sub(x));
    if desk.settings.compact || left < 8 {
        return;
    }
    let bar_columns = 8.min(left.saturating_sub(1));
    let shown = bar(bar_columns, first.percent.map(|percent| percent / 100.0), theme.glyphs);
    x += 1 + put(buf, row, x + 1, &shown, theme.style(Role::Text));
    let left = usize::from(row.width.saturating_sub(x));
    if left > 4 {
        let course = course(desk, view, left - 1);
        put(buf, row, x + 1, &course, theme.style(Role::Text));
    }
}

/// Readings with bars and the course of ten minutes.
pub fn details(desk: &Desk, view: &TargetView, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = readings::of(view)
        .iter()
        .map(|reading| format!("  {}", line(desk, reading, columns.saturating_sub(2))))
        .collect();
    if !desk.settings.compact {
        lines.push(format!("  10 min {}", course(desk, view, columns.saturating_sub(10))));
    }
    lines
}

/// `memory     49.9/50.0 MiB ███████░  99%`; bars lose width before numbers do.
pub fn line(desk: &Desk, reading: &Reading, columns: usize) -> String {
    let cut = desk.theme.glyphs.cut;
    let number = fit(&reading.text, NUMBER, Align::Right, cut);
    let start = format!("{:LABEL$}{number}", reading.label);
    let Some(percent) = reading.percent.filter(|_| !desk.settings.compact) else { return start };
    let percent_text = format!(" {percent:>3.0}%");
    let left = columns.saturating_sub(width(&start) + 1);
    let room = left.saturating_sub(width(&percent_text));
    let (room, percent_text) = if room < 3 { (left, String::new()) } else { (room, percent_text) };
    if room < 3 {
        return start;
    }
    let bar = bar(room.min(20), Some(percent / 100.0), desk.theme.glyphs);
    format!("{start} {bar}{percent_text}")
}

fn course(desk: &Desk, view: &TargetView, columns: usize) -> String {
    let points = desk.past.stretches(view.target.id.as_str(), desk.snapshot.at, columns);
    spark(&points, columns, Scale::Fixed { low: 0.0, high: 100.0 }, desk.theme.glyphs)
}

/// How many rows the pane wants where there is little room.
pub fn rows_wanted(desk: &Desk) -> u16 {
    u16::try_from(desk.snapshot.targets.len()).unwrap_or(u16::MAX).clamp(1, 4) + 2
}
