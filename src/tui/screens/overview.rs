//! Overview: the targets, the incidents, the log of the one in hand; on wide terminals also what waits.

use std::borrow::Cow;
use std::fmt::Write as _;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Value, json};

use super::audit::deed;
use super::{Screen, Wish};
use crate::tui::cards;
use crate::tui::chrome;
use crate::tui::desk::{Desk, proposal_of};
use crate::tui::incidents::list::SortBy;
use crate::tui::incidents::{List, Row};
use crate::tui::keymap::{Action, Focus};
use crate::tui::log_pane::{LogPane, movement};
use crate::tui::message::{Answer, Effect, Link, Msg, Question};
use crate::tui::past::REACH;
use crate::tui::size::Class;
use crate::tui::text::{Align, countdown, cut, fit, width, wrap};
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane::Pane;
use crate::tui::widgets::vtable::{Cell, Column, Shown, VTable, Width};

/// The screen.
pub struct Overview {
    list: List,
    log: LogPane,
    log_has_focus: bool,
    /// What is being typed as a filter, and what was in force before.
    prompt: Option<(String, String)>,
    asked_history: bool,
    /// The question for an older incident, and what comes then.
    opening: Option<u64>,
}

impl Default for Overview {
    fn default() -> Self {
        Self {
            list: List::default(),
            log: LogPane::glance(),
            log_has_focus: false,
            prompt: None,
            asked_history: false,
            opening: None,
        }
    }
}

/// Where things are.
#[derive(Clone, Copy, Debug, Default)]
struct Panes {
    targets: Rect,
    list: Rect,
    log: Rect,
    waiting: Rect,
    audit: Rect,
}

impl Overview {
    fn panes(&self, desk: &Desk, body: Rect) -> Panes {
        let none = Panes::default();
        let class = chrome::class(desk);
        if class == Class::Tiny || desk.zoomed || body.height < 12 {
            return if self.log_has_focus {
                Panes { log: body, ..none }
            } else {
                Panes { list: body, ..none }
            };
        }
        match class {
            Class::Wide => wide(body),
            Class::Standard => standard(body),
            _ => small(desk, body),
        }
    }

    fn body(desk: &Desk) -> Rect {
        chrome::parts(Rect::new(0, 0, desk.size.0, desk.size.1))[1]
    }

    fn list_height(&self, desk: &Desk) -> usize {
        let area = self.panes(desk, Self::body(desk)).list;
        VTable::height(Rect { height: area.height.saturating_sub(2), ..area })
    }

    /// Keeps the list's window and selection true to what the list holds now, and the log to the selection.
    fn arranged(&mut self, desk: &mut Desk) -> Vec<Effect> {
        if desk.selected.is_none() {
            desk.selected = self.list.rows().first().map(Row::id);
        }
        let height = self.list_height(desk);
        let at = self.list.index_of(desk.selected);
        self.list.window.keep_visible(at, self.list.rows().len(), height);
        let mut effects = self.log.turn(desk);
        if let Some(filter) = self.list.next_page(desk.selected).filter(|_| desk.newest.seq > 0) {
            effects.push(desk.ask(Question::Incidents(filter)).1);
        }
        effects
    }

    fn selected_row(&self, desk: &Desk) -> Option<&Row> {
        self.list.rows().get(self.list.index_of(desk.selected)?)
    }

    /// Opens the incident in hand; an older one is read from the store first.
    fn open(&mut self, desk: &mut Desk) -> Wish {
        let Some(row) = self.selected_row(desk) else { return Wish::default() };
        if desk.selected().is_some() {
            return Wish::go("Incident");
        }
        let number = row.number();
        let (question, effect) = desk.ask(Question::Incident(number));
        self.opening = Some(question);
        Wish::of(vec![effect])
    }

    fn export(&self, desk: &Desk) -> Wish {
        let marked = |row: &&Row| self.list.marks.is_empty() || self.list.marks.contains(&row.id());
        let mut text = String::from("incident,severity,state,target,cause,opened,summary\n");
        for row in self.list.rows().iter().filter(marked) {
            let summary = row.message().replace(['\n', '\r'], " ").replace('"', "\"\"");
            let (severity, state) = (row.severity().0, row.state().0);
            let opened = row.opened_at().to_rfc3339();
            let _ = writeln!(
                text,
                "{},{severity},{state},{},{},{opened},\"{summary}\"",
                row.name(),
                row.target(),
                row.cause()
            );
        }
        let name = format!("incidents-{}.csv", desk.now.at.format("%Y%m%d-%H%M%S"));
        Wish::of(vec![Effect::Export { name, text }])
    }

    fn copy(&self, action: Action, desk: &mut Desk) -> Wish {
        let line = |row: &Row| {
            let (name, severity, state) = (row.name(), row.severity().0, row.state().0);
            let (target, cause, message) = (row.target(), row.cause(), row.message());
            format!("{name} {severity} {state} {target} {cause} {message}")
        };
        let chosen: Vec<String> = match action {
            Action::Copy => self.selected_row(desk).into_iter().map(line).collect(),
            _ => {
                let marks = &self.list.marks;
                self.list.rows().iter().filter(|row| marks.contains(&row.id())).map(line).collect()
            }
        };
        if chosen.is_empty() {
            desk.say("nothing to copy");
            return Wish::default();
        }
        let what = crate::domain::words::counted(chosen.len() as u64, "line");
        Wish::of(vec![Effect::Copy { text: chosen.join("\n"), what }])
    }

    fn act_on_list(&mut self, action: Action, desk: &mut Desk) -> Wish {
        if let Some(by) = movement(action) {
            let height = self.list_height(desk);
            desk.selected = self.list.moved(desk.selected, by, height).or(desk.selected);
            return Wish::of(self.arranged(desk));
        }
        match action {
            Action::Open => return self.open(desk),
            Action::Sort | Action::Right => self.list.step_sort(1),
            Action::Left => self.list.step_sort(-1),
            Action::SortReverse => self.list.reverse(),
            Action::Filter => {
                let text = self.list.filter_text.clone();
                self.prompt = Some((text.clone(), text));
            }
            Action::NextMatch | Action::PrevMatch => {
                desk.say("a list is filtered with /, not searched");
            }
            Action::Mark => {
                if let Some(id) = desk.selected {
                    self.list.toggle_mark(id);
                }
            }
            Action::MarkRange => {
                if let Some(id) = desk.selected {
                    self.list.mark_range(id);
                }
            }
            Action::ClearMarks => self.list.marks.clear(),
            Action::Copy | Action::CopyMarked => return self.copy(action, desk),
            Action::Export => return self.export(desk),
            Action::Pager | Action::Editor => {
                let area = Rect::default();
                return self.log.act(action, desk, area).unwrap_or_default();
            }
            _ => {}
        }
        Wish::of(self.arranged(desk))
    }

    /// Esc: clears the search, the filter, the marks, in this order.
    fn back(&mut self, desk: &mut Desk) -> Wish {
        if self.log_has_focus {
            let area = self.panes(desk, Self::body(desk)).log;
            if let Some(wish) = self.log.act(Action::Back, desk, area) {
                return wish;
            }
            self.log_has_focus = false;
        } else if !self.list.filter_text.is_empty() {
            self.list.set_filter("");
        } else if !self.list.marks.is_empty() {
            self.list.marks.clear();
        } else {
            desk.zoomed = false;
        }
        Wish::of(self.arranged(desk))
    }

    // ---- drawing ----------------------------------------------------------------------------------------

    fn draw_list(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let open = self.list.open;
        let filter = if self.list.filter_text.is_empty() { "none" } else { &self.list.filter_text };
        let turned = if self.list.reversed { " reversed" } else { "" };
        let sort = self.list.sort.as_str();
        let total = crate::domain::words::count(self.list.total);
        let marked = match self.list.marks.len() {
            0 => String::new(),
            count => format!("  {count} marked"),
        };
        let title = format!(
            "Incidents  {open} open of {total}  sort:{sort}{turned}  filter:{filter}{marked}"
        );
        let inner = Pane::new(title).focused(!self.log_has_focus).draw(area, buf, theme);
        if self.list.rows().is_empty() {
            return self.draw_nothing(desk, inner, buf);
        }
        let table = VTable { columns: COLUMNS, sort: None, focused: !self.log_has_focus };
        let shown = Shown {
            len: self.list.rows().len(),
            offset: self.list.window.offset,
            selected: self.list.index_of(desk.selected),
        };
        let at = |index: usize| &self.list.rows()[index];
        table.draw(
            inner,
            buf,
            theme,
            shown,
            |index| self.list.marks.contains(&at(index).id()),
            |index| cells(at(index), desk),
        );
    }

    /// What an empty list says: what is being set up, that nothing passes, or what to press first.
    fn draw_nothing(&self, desk: &Desk, inner: Rect, buf: &mut Buffer) {
        let mut lines: Vec<(String, Role)> = Vec::new();
        let mut say = |text: &str, role: Role| lines.push((text.to_owned(), role));
        if desk.link == Link::Starting {
            say("Setting up: servers to watch, a store for the records, the engine.", Role::Title);
            for line in &desk.progress {
                say(&format!("  {line}"), Role::Text);
            }
        } else if !self.list.filter_text.is_empty() {
            say("No incident passes this filter; esc clears it.", Role::Text);
        } else {
            say("No incident so far.", Role::Title);
            say("  i            breaks something in the lab, to see the first one", Role::Text);
            say("  ?            shows the keys", Role::Text);
            say("  --read-only  only watches", Role::Text);
        }
        let width = usize::from(inner.width.max(1));
        let wrapped: Vec<(&str, Role)> = lines
            .iter()
            .flat_map(|(text, role)| wrap(text, width, 2).map(|line| (line, *role)))
            .collect();
        let skipped = wrapped.len().saturating_sub(usize::from(inner.height));
        for (row, (line, role)) in rows(inner).zip(wrapped.into_iter().skip(skipped)) {
            put(buf, row, 0, line, desk.theme.style(role));
        }
    }

    fn draw_waiting(desk: &Desk, area: Rect, buf: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let theme = &desk.theme;
        let waiting = desk.waiting();
        let title = format!("Waiting for you  {}", waiting.len());
        let inner = Pane::new(title).draw(area, buf, theme);
        let mut lines: Vec<(String, Role)> = Vec::new();
        for incident in &waiting {
            let Some(proposal) = proposal_of(incident) else { continue };
            let left = countdown(proposal.expires_at - desk.now.at);
            let (name, print) = (incident.name(), proposal.fingerprint.short());
            let (target, risk) = (&incident.target, proposal.risk);
            let head = format!("{name} {print}  {target}  risk {risk}  expires in {left}");
            lines.push((head, Role::Warn));
            for (index, step) in proposal.draft.steps.iter().enumerate() {
                let touched: Vec<_> =
                    step.preview.consequences.iter().map(ToString::to_string).collect();
                let text = format!("  {}. {}  {}", index + 1, step.action, touched.join(", "));
                lines.push((text, Role::Command));
            }
            lines.push((format!("  effect: {}", proposal.draft.effect), Role::Text));
        }
        if waiting.is_empty() {
            lines.push(("nothing waits for a decision".into(), Role::Muted));
        } else {
            let last = "  a opens the proposal; nothing runs before it is confirmed there";
            lines.push((last.into(), Role::Muted));
        }
        for (row, (line, role)) in rows(inner).zip(lines) {
            put(buf, row, 0, &line, theme.style(role));
        }
    }
}

/// The newest deeds since this console is open, newest first.
fn draw_deeds(desk: &Desk, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = &desk.theme;
    let inner = Pane::new("Audit  last actions").draw(area, buf, theme);
    let deeds = desk.deeds.iter().rev().map(|sealed| deed::of(&sealed.event));
    let deeds: Vec<_> = deeds.filter(|deed| deed.is_deed).take(inner.height.into()).collect();
    if deeds.is_empty() {
        let text = "nothing since this console is open; 3 shows all records";
        put(buf, inner, 0, text, theme.style(Role::Muted));
    }
    for (row, deed) in rows(inner).zip(&deeds) {
        let incident = deed.incident.and_then(|id| desk.incident_now(id)).map(|one| one.name());
        let about = incident.or_else(|| deed.about.clone()).unwrap_or_else(|| "-".into());
        let (at, actor) = (deed.at.format("%H:%M:%S"), fit(&deed.actor, 8, Align::Left, "~"));
        let text = format!("{at} {actor} {:9} {about:9} {}", deed.action, deed.result);
        put(buf, row, 0, &theme.shown(&text), theme.style(deed.role));
    }
}

/// Columns of the cause.
const CAUSE: u16 = 15;

const COLUMNS: &[Column<'static>] = &[
    column("ID", Width::Columns(8), 0, Column::KEEP),
    column("SEV", Width::Columns(4), 0, Column::KEEP),
    column("STATE", Width::Columns(9), 0, Column::KEEP),
    column("TARGET", Width::Columns(13), 45, 9),
    column("CAUSE", Width::Columns(CAUSE), 61, 8),
    column("PHASE", Width::Columns(14), 76, 7),
    column("AGE", Width::Columns(5), 0, Column::KEEP),
    column("SUMMARY", Width::Rest, 100, 1),
];

const fn column(
    title: &'static str,
    width: Width,
    drop_below: u16,
    priority: u8,
) -> Column<'static> {
    Column { title, width, align: Align::Left, drop_below, priority }
}

fn cells<'r>(row: &'r Row, desk: &Desk) -> Vec<Cell<'r>> {
    let (severity, severity_role) = row.severity();
    let (state, state_role) = row.state();
    let phase = row.phase();
    let (glyph, phase_role) = desk.theme.phase(phase);
    vec![
        Cell::new(row.name(), Role::Text),
        Cell::new(severity, severity_role),
        Cell::new(state, state_role),
        Cell::new(row.target(), Role::Text),
        Cell::new(cause(row, desk), Role::Text),
        Cell::new(format!("{glyph} {}", phase.as_str()), phase_role),
        Cell::new(row.age(desk.now.at), Role::Text),
        Cell::new(row.message(), Role::Text),
    ]
}

/// The cause; one that is only the symptom keeps its question mark however narrow the column is.
fn cause<'r>(row: &'r Row, desk: &Desk) -> Cow<'r, str> {
    let whole = row.cause();
    match whole.strip_suffix('?') {
        Some(finding) if width(&whole) > CAUSE.into() => {
            let cut = cut(finding, usize::from(CAUSE) - 1, desk.theme.glyphs.cut);
            Cow::Owned(format!("{cut}?"))
        }
        _ => whole,
    }
}

fn part(body: Rect, x: u16, y: u16, width: u16, height: u16) -> Rect {
    Rect { x: body.x + x, y: body.y + y, width, height }
}

/// Targets, incidents, log: one under the other.
fn small(desk: &Desk, body: Rect) -> Panes {
    let targets = cards::rows_wanted(desk).min(body.height / 3);
    let log = (body.height / 3).clamp(5, 9);
    let list = body.height.saturating_sub(targets + log);
    Panes {
        targets: part(body, 0, 0, body.width, targets),
        list: part(body, 0, targets, body.width, list),
        log: part(body, 0, targets + list, body.width, log),
        ..Panes::default()
    }
}

/// Incidents and targets beside each other, the log below.
fn standard(body: Rect) -> Panes {
    let log = body.height * 2 / 5;
    let top = body.height - log;
    let left = body.width - 42;
    Panes {
        list: part(body, 0, 0, left, top),
        targets: part(body, left, 0, 42, top),
        log: part(body, 0, top, body.width, log),
        ..Panes::default()
    }
}

/// A column of its own for targets and what waits.
fn wide(body: Rect) -> Panes {
    let left = body.width - 78;
    let log = body.height * 2 / 5;
    let top = body.height - log;
    let targets = 20;
    Panes {
        list: part(body, 0, 0, left, top),
        log: part(body, 0, top, left, log),
        targets: part(body, left, 0, 78, targets),
        waiting: part(body, left, targets, 78, 10),
        audit: part(body, left, targets + 10, 78, body.height - targets - 10),
    }
}

impl Screen for Overview {
    fn title(&self) -> &'static str {
        "Overview"
    }

    fn focus(&self, _desk: &Desk) -> Focus {
        if self.log_has_focus { Focus::Log } else { Focus::List }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let panes = self.panes(desk, area);
        if !panes.list.is_empty() {
            self.draw_list(desk, panes.list, buf);
        }
        if !panes.targets.is_empty() {
            cards::draw(desk, panes.targets, buf);
        }
        if !panes.log.is_empty() {
            self.log.draw(desk, self.log_has_focus, panes.log, buf);
        }
        Self::draw_waiting(desk, panes.waiting, buf);
        draw_deeds(desk, panes.audit, buf);
    }

    fn act(&mut self, action: Action, desk: &mut Desk) -> Wish {
        match action {
            Action::NextPane | Action::PrevPane => {
                self.log_has_focus = !self.log_has_focus;
                Wish::default()
            }
            Action::Back => self.back(desk),
            _ if self.log_has_focus => {
                let area = self.panes(desk, Self::body(desk)).log;
                self.log.act(action, desk, area).unwrap_or_default()
            }
            _ => self.act_on_list(action, desk),
        }
    }

    fn check(&self, action: Action, desk: &Desk) -> Result<(), String> {
        let needs_row = matches!(action, Action::Open | Action::Mark | Action::Copy);
        if needs_row && !self.log_has_focus && self.selected_row(desk).is_none() {
            return Err("no incident is selected".into());
        }
        match action {
            Action::PrevPhase | Action::NextPhase if !self.log_has_focus => {
                Err("works in a log; tab goes there".into())
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, desk: &mut Desk) -> Wish {
        Wish::of(self.arranged(desk))
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Wish {
        self.log.told(msg, desk);
        let mut effects = Vec::new();
        match msg {
            Msg::Snapshot(_) => {
                let snapshot = std::sync::Arc::clone(&desk.snapshot);
                self.list.take(&snapshot);
                if !self.asked_history && snapshot.seq > 0 {
                    self.asked_history = true;
                    effects.push(desk.ask(Question::History { since: desk.now.at - REACH }).1);
                }
            }
            Msg::Answered { result: Ok(Answer::Incidents { filter, lines }), .. } => {
                self.list.took_page(filter, lines);
            }
            Msg::Answered { result: Err(_), .. } => self.list.page_failed(),
            Msg::Answered { question, result: Ok(Answer::Incident(found)) }
                if Some(*question) == self.opening =>
            {
                self.opening = None;
                if found.is_some() {
                    return Wish::go("Incident");
                }
            }
            _ => return Wish::default(),
        }
        effects.extend(self.arranged(desk));
        Wish::of(effects)
    }

    fn prompt(&self) -> Option<(&'static str, &str)> {
        let searched = self.log.prompt().map(|text| ("search", text));
        searched.or(self.prompt.as_ref().map(|(text, _)| ("filter", text.as_str())))
    }

    fn typed(&mut self, key: &KeyEvent, desk: &mut Desk) -> Wish {
        if self.log.prompt().is_some() {
            let area = self.panes(desk, Self::body(desk)).log;
            self.log.typed(key, desk, area);
            return Wish::default();
        }
        let Some((text, before)) = self.prompt.as_mut() else { return Wish::default() };
        if key.kind == KeyEventKind::Release {
            return Wish::default();
        }
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => {
                let before = before.clone();
                self.prompt = None;
                self.list.set_filter(&before);
                return Wish::of(self.arranged(desk));
            }
            KeyCode::Enter => {
                self.prompt = None;
                return Wish::default();
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char('u') if ctrl => text.clear(),
            KeyCode::Char(c) if !ctrl => text.push(c),
            _ => {}
        }
        let text = text.clone();
        self.list.set_filter(&text);
        Wish::of(self.arranged(desk))
    }

    fn pasted(&mut self, text: &str, desk: &mut Desk) -> Wish {
        self.log.pasted(text);
        if let Some((typed, _)) = self.prompt.as_mut() {
            typed.push_str(text);
            let typed = typed.clone();
            self.list.set_filter(&typed);
        }
        Wish::of(self.arranged(desk))
    }

    fn save(&self) -> Value {
        json!({ "filter": self.list.filter_text, "sort": self.list.sort, "reversed": self.list.reversed })
    }

    fn restore(&mut self, saved: &Value) {
        if let Some(text) = saved["filter"].as_str() {
            self.list.set_filter(text);
        }
        if let Ok(sort) = serde_json::from_value::<SortBy>(saved["sort"].clone()) {
            self.list.sort = sort;
        }
        self.list.reversed = saved["reversed"].as_bool().unwrap_or(false);
    }

    fn depends_on_time(&self, desk: &Desk) -> bool {
        desk.snapshot.incidents.iter().any(|incident| incident.is_open())
    }
}
