//! The picker's drawing: faults on the left, the chosen one's words on the right, what confirms it below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::choices::{self, Choice};
use super::{Focus, Inject};
use crate::domain::proposal::Risk;
use crate::tui::desk::Desk;
use crate::tui::text::{Align, fit, width, wrap};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::draw::{blank, put, rows};
use crate::tui::widgets::pane::Pane;

/// Below this many rows inside there is no room for a list.
const LEAST_ROWS: u16 = 9;
const LEAST_COLUMNS: u16 = 52;

/// A row of words and how it looks.
type Row = (String, Role);

/// Draws the whole overlay.
pub(super) fn draw(this: &Inject, desk: &Desk, area: Rect, buf: &mut Buffer) {
    if area.height < LEAST_ROWS + 2 || area.width < LEAST_COLUMNS {
        return draw_tiny(this, desk, area, buf);
    }
    let title = "Inject a failure  into the lab only";
    let inner = Pane::new(title).focused(true).draw(area, buf, &desk.theme);
    put(buf, inner, 0, &summary(this, desk), desk.theme.style(Role::Text));
    let body = Rect { y: inner.y + 1, height: inner.height.saturating_sub(3), ..inner };
    let left = match inner.width {
        100.. => 47,
        70..100 => 30,
        _ => 23,
    };
    draw_list(this, desk, Rect { width: left - 1, ..body }, buf);
    for row in rows(body) {
        let line = desk.theme.glyphs.border.vertical_left;
        put(buf, row, left, line, desk.theme.style(Role::Border));
    }
    let right = Rect { x: body.x + left + 2, width: body.width.saturating_sub(left + 3), ..body };
    draw_right(this, desk, right, buf, false);
    draw_prompt(this, desk, Rect { y: body.bottom(), height: 2, ..inner }, buf);
}

/// Without room for a list: the chosen fault alone.
fn draw_tiny(this: &Inject, desk: &Desk, area: Rect, buf: &mut Buffer) {
    blank(buf, area);
    let theme = &desk.theme;
    let title = match this.choice() {
        Some(choice) => {
            let (id, target) = (choice.words().id, &choice.target);
            let risk = short(choice.words().risk);
            let (at, all) = (this.chosen + 1, this.choices.len());
            format!("{} {at}/{all} {id} on {target}, risk {risk}", theme.glyphs.cursor)
        }
        None => format!("{} Inject a failure", theme.glyphs.cursor),
    };
    put(buf, area, 0, &title, theme.style(Role::Title));
    let rest = area.height.saturating_sub(3);
    draw_right(this, desk, Rect { y: area.y + 1, height: rest, ..area }, buf, true);
    let prompt = Rect { y: area.y + 1 + rest, height: 2.min(area.height), ..area };
    draw_prompt(this, desk, prompt.intersection(area), buf);
}

fn summary(this: &Inject, desk: &Desk) -> String {
    let mut targets: Vec<_> = this.choices.iter().map(|choice| &choice.target).collect();
    targets.dedup();
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    if this.focus == Focus::Filter || !this.filter.is_empty() {
        let caret = if this.focus == Focus::Filter { desk.theme.glyphs.caret } else { "" };
        let filter = desk.theme.shown(&this.filter);
        return format!("/{filter}{caret}   {} shown", count(this.choices.len(), "way"));
    }
    if targets.is_empty() {
        return "no server of a lab is watched".into();
    }
    let head =
        format!("{} on {}", count(this.choices.len(), "way"), count(targets.len(), "target"));
    let others = choices::unbreakable(desk);
    if others.is_empty() {
        return head;
    }
    let names = desk.theme.shown(&others.join(", ")).into_owned();
    format!("{head}   {names}: not lab, cannot be broken")
}

// ---- the list -------------------------------------------------------------------------------------------

fn draw_list(this: &Inject, desk: &Desk, area: Rect, buf: &mut Buffer) {
    let theme = &desk.theme;
    let mut list: Vec<(String, Role)> = Vec::new();
    let (mut selected, mut heading) = (0, None);
    for (index, choice) in this.choices.iter().enumerate() {
        if heading != Some(&choice.target) {
            heading = Some(&choice.target);
            let target = theme.shown(choice.target.as_str()).into_owned();
            let live = choices::live_on(&choice.target, desk);
            let word = live.map(|live| format!("  {} runs", live.name())).unwrap_or_default();
            list.push((format!("{target}{word}"), Role::Title));
        }
        let is_chosen = index == this.chosen;
        if is_chosen {
            selected = list.len();
        }
        let role = match (is_chosen, &choice.cannot) {
            (true, _) => Role::Selection,
            (false, Some(_)) => Role::Muted,
            (false, None) => Role::Text,
        };
        list.push((list_row(choice, is_chosen, usize::from(area.width), theme), role));
    }
    if list.is_empty() {
        let text = this.nothing();
        let rows = wrap(&text, usize::from(area.width), 0);
        list.extend(rows.map(|row| (row.to_owned(), Role::Muted)));
    }
    let skipped = (selected + 1).saturating_sub(usize::from(area.height));
    for (row, (text, role)) in rows(area).zip(list.iter().skip(skipped)) {
        put(buf, row, 0, text, theme.style(*role));
    }
}

fn list_row(choice: &Choice, is_chosen: bool, columns: usize, theme: &Theme) -> String {
    let words = choice.words();
    let cursor = if is_chosen { theme.glyphs.cursor } else { " " };
    let (name, cut) = (words.id, theme.glyphs.cut);
    if columns < 26 {
        return fit(&format!("{cursor} {name}"), columns, Align::Left, cut);
    }
    let row = format!("{cursor} {} {:<4}", fit(name, 18, Align::Left, cut), short(words.risk));
    let row = if columns < 40 { row } else { format!("{row} {}", words.title) };
    fit(&row, columns, Align::Left, cut)
}

fn short(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "low",
        Risk::Medium => "med",
        Risk::High => "high",
        Risk::Destructive => "dest",
    }
}

// ---- the chosen fault -----------------------------------------------------------------------------------

fn draw_right(this: &Inject, desk: &Desk, area: Rect, buf: &mut Buffer, is_tiny: bool) {
    let theme = &desk.theme;
    let fields = field_rows(this, usize::from(area.width), theme);
    let below = u16::try_from(fields.len()).unwrap_or(0).min(area.height);
    let room = area.height - below;
    let words = words(this, desk, usize::from(area.width), is_tiny);
    let all_fit = words.len() <= usize::from(room);
    // A row of its own says that there is more.
    let shown = if all_fit { room } else { room.saturating_sub(1) };
    let fits = usize::from(shown);
    let first = this.scroll.min(words.len().saturating_sub(fits.max(1)));
    for (row, (text, role)) in rows(Rect { height: shown, ..area }).zip(words.iter().skip(first)) {
        put(buf, row, 0, text, theme.style(*role));
    }
    if !all_fit && room > 0 {
        let row = Rect { y: area.y + room - 1, height: 1, ..area };
        let last = (first + fits).min(words.len());
        let text = format!("lines {}-{last} of {}, pgdn", first + 1, words.len());
        let text = fit(&text, usize::from(area.width), Align::Right, "");
        put(buf, row, 0, &text, theme.style(Role::Muted));
    }
    for (row, spans) in rows(Rect { y: area.y + room, height: below, ..area }).zip(fields) {
        let mut x = 0;
        for (text, role) in spans {
            x += put(buf, row, x, &text, theme.style(role));
        }
    }
}

/// Everything there is to know about the chosen fault.
fn words(this: &Inject, desk: &Desk, columns: usize, is_tiny: bool) -> Vec<Row> {
    let Some(choice) = this.choice() else { return Vec::new() };
    let words = choice.words();
    let mut page = Page { columns, rows: Vec::new() };
    if !is_tiny {
        let target = desk.theme.shown(choice.target.as_str());
        page.say(&format!("{}   risk {}   {target}", words.id, words.risk), Role::Title);
    }
    if let Some(refusal) = &this.refusal {
        page.say(&desk.theme.shown(refusal), Role::Bad);
    }
    if let Some(reason) = &choice.cannot {
        page.say(&format!("not possible here: {}", desk.theme.shown(reason)), Role::Warn);
    }
    if let Some(live) = choices::live_on(&choice.target, desk) {
        page.say(&choices::busy(live), Role::Warn);
    }
    let gap = |page: &mut Page| {
        if !is_tiny {
            page.say("", Role::Text);
        }
    };
    gap(&mut page);
    page.say(words.about, Role::Text);
    gap(&mut page);
    if let Ok(filled) = this.filled() {
        page.list("Will run", choice.fault.calls(None, &filled.params));
    }
    page.list("Not touched", words.untouched.iter().copied());
    let within = words.takes_within.as_secs_f64();
    page.list(
        "Expect",
        [
            format!("finding {}, cause {}", words.finding.as_str(), words.cause),
            format!("its own symptom within {within} s, or it is undone at once"),
        ],
    );
    page.list("Ends", ["at the deadline, or on C (clear all)"].iter().chain(words.undo));
    let about = words
        .params
        .iter()
        .map(|param| format!("{}: {} ({} to {})", param.name, param.about, param.min, param.max));
    if !words.params.is_empty() {
        page.list("Parameters", about);
    }
    page.rows
}

struct Page {
    columns: usize,
    rows: Vec<Row>,
}

impl Page {
    fn say(&mut self, text: &str, role: Role) {
        self.rows.extend(wrap(text, self.columns, 0).map(|row| (row.to_owned(), role)));
    }

    fn list(&mut self, title: &str, items: impl IntoIterator<Item = impl AsRef<str>>) {
        self.rows.push((title.to_owned(), Role::Key));
        for item in items {
            let rows = wrap(item.as_ref(), self.columns.saturating_sub(2), 2);
            self.rows.extend(rows.enumerate().map(|(at, row)| {
                let indent = if at == 0 { "  " } else { "    " };
                (format!("{indent}{row}"), Role::Text)
            }));
        }
    }
}

/// The fields, as many as fit on a row, and what is wrong with them.
fn field_rows(this: &Inject, columns: usize, theme: &Theme) -> Vec<Vec<Row>> {
    let Some(fields) = &this.fields else { return Vec::new() };
    let mut all: Vec<Vec<Row>> = vec![Vec::new()];
    let mut used = 0;
    for (at, field) in fields.all().iter().enumerate() {
        let has_focus = this.focus == Focus::Field(at);
        let caret = if has_focus { theme.glyphs.caret } else { "" };
        let label = format!("{} ", field.name);
        let value = format!("[{}{caret}]", field.value);
        let wide = width(&label) + width(&value) + 3;
        if used > 0 && used + wide > columns + 3 {
            all.push(Vec::new());
            used = 0;
        }
        used += wide;
        let role = if has_focus { Role::Selection } else { Role::Text };
        if let Some(row) = all.last_mut() {
            row.extend([(label, Role::Text), (value, role), ("   ".into(), Role::Text)]);
        }
    }
    if let Err(reason) = this.filled() {
        all.extend(wrap(&reason, columns, 0).map(|row| vec![(row.to_owned(), Role::Bad)]));
    }
    all
}

// ---- what confirms it -----------------------------------------------------------------------------------

fn draw_prompt(this: &Inject, desk: &Desk, area: Rect, buf: &mut Buffer) {
    let theme = &desk.theme;
    let confirm = &this.confirm;
    let mut free = rows(area);
    if let Some(row) = free.next() {
        let (text, role) = if confirm.sent {
            (confirm.note.clone().unwrap_or_default(), Role::Warn)
        } else if this.choice().is_none() {
            ("nothing can be injected here".to_owned(), Role::Muted)
        } else {
            let name = theme.shown(&confirm.name);
            let caret = if this.focus == Focus::Confirm { theme.glyphs.caret } else { "" };
            let note = confirm.note.as_ref().map(|note| format!("   {note}")).unwrap_or_default();
            let field = theme.shown(&confirm.field);
            (format!("Type {name} to inject: {field}{caret}{note}"), Role::Text)
        };
        put(buf, row, 0, &text, theme.style(role));
    }
    if let Some(row) = free.next() {
        confirm.draw_buttons(row, buf, theme);
        let buttons: usize = confirm.buttons.iter().map(|button| width(button) + 6).sum();
        let at = u16::try_from(buttons + 2).unwrap_or(u16::MAX);
        let (note, role) = match &confirm.not_yet {
            Some(reason) => (reason.as_str(), Role::Warn),
            None => ("one fault at a time per target", Role::Muted),
        };
        let room = usize::from(row.width.saturating_sub(at));
        let note = crate::tui::text::cut(note, room, theme.glyphs.cut);
        put(buf, row, at, &note, theme.style(role));
    }
}
