//! The log of the incident in hand as a pane: the same on every screen that has one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::chrome;
use super::desk::Desk;
use super::incidents::row::state;
use super::keymap::Action;
use super::log::Ring;
use super::message::{Answer, Effect, Msg, Question};
use super::screens::Wish;
use super::size::Class;
use super::text::age;
use super::widgets::logview::{self, LogState, Viewport};
use super::widgets::pane::Pane;
use super::widgets::window::Move;
use crate::domain::ids::IncidentId;

/// How far `h` and `l` go.
const SIDEWAYS: isize = 8;
/// Logs that were read from the store are not read again until so many others were.
const READ: usize = 64;

/// The pane. It shows the log of whatever is selected, from the newest line on.
#[derive(Debug, Default)]
pub struct LogPane {
    of: Option<IncidentId>,
    state: LogState,
    /// What is being typed to search for.
    prompt: Option<String>,
    read: BTreeSet<IncidentId>,
    /// Beside other things, where one row for each line tells more.
    is_a_glance: bool,
}

/// The movement an action is.
pub fn movement(action: Action) -> Option<Move> {
    Some(match action {
        Action::Up => Move::Up,
        Action::Down => Move::Down,
        Action::First => Move::Top,
        Action::Last => Move::Bottom,
        Action::HalfUp => Move::HalfUp,
        Action::HalfDown => Move::HalfDown,
        Action::PageUp => Move::PageUp,
        Action::PageDown => Move::PageDown,
        _ => return None,
    })
}

impl LogPane {
    /// A pane beside other things: where there is little room, long lines are cut.
    pub fn glance() -> Self {
        Self { is_a_glance: true, ..Self::default() }
    }

    /// Turns to the incident that is selected now; asks the store for what happened before this console looked.
    pub fn turn(&mut self, desk: &mut Desk) -> Vec<Effect> {
        if self.of != desk.selected {
            self.of = desk.selected;
            self.state = if chrome::class(desk) == Class::Small && self.is_a_glance {
                LogState::unwrapped()
            } else {
                LogState::default()
            };
            self.prompt = None;
            desk.logs.keep(desk.selected);
        }
        let Some(id) = self.of.filter(|id| !self.read.contains(id)) else { return Vec::new() };
        if desk.link.refusal().is_some() && desk.newest.seq == 0 {
            return Vec::new();
        }
        if self.read.len() >= READ {
            self.read.clear();
        }
        self.read.insert(id);
        vec![desk.ask(Question::Log(id)).1]
    }

    /// Something arrived: hits of a search are found in new lines too; a failed read is tried again.
    pub fn told(&mut self, msg: &Msg, desk: &Desk) {
        match msg {
            Msg::Event(_) | Msg::Answered { result: Ok(Answer::Log { .. }), .. } => {
                if let Some(ring) = self.ring(desk) {
                    self.state.learn(ring);
                }
            }
            Msg::Missed(_) | Msg::Link(_) => self.read.clear(),
            _ => {}
        }
    }

    fn ring<'d>(&self, desk: &'d Desk) -> Option<&'d Ring> {
        desk.logs.get(self.of?)
    }

    /// Draws the pane with its title.
    pub fn draw(&self, desk: &Desk, focused: bool, area: Rect, buf: &mut Buffer) {
        let empty = Ring::default();
        let ring = self.ring(desk).unwrap_or(&empty);
        let right = logview::title(&self.state, ring, &desk.theme);
        let pane = Pane::new(self.title(desk)).right(right).focused(focused);
        let inner = pane.draw(area, buf, &desk.theme);
        logview::draw(&self.state, ring, inner, buf, &desk.theme, (desk.now.at, focused));
    }

    fn title(&self, desk: &Desk) -> String {
        let Some(incident) = desk.selected() else { return "Log".into() };
        let cause = incident.subject().unwrap_or(incident.finding.as_str());
        let (word, _) = state(incident);
        let severity = match incident.severity.as_str() {
            "critical" => "crit",
            "medium" => "med",
            other => other,
        };
        let span = incident.resolved_at.unwrap_or(desk.now.at) - incident.opened_at;
        let (name, target) = (incident.name(), &incident.target);
        format!("{name} {severity} {word} {target} {cause} {}", age(span).trim_start())
    }

    /// What is typed to search for.
    pub fn prompt(&self) -> Option<&str> {
        self.prompt.as_deref()
    }

    /// A key while the search is typed.
    pub fn typed(&mut self, key: &KeyEvent, desk: &Desk, area: Rect) {
        let Some(prompt) = self.prompt.as_mut() else { return };
        if key.kind == KeyEventKind::Release {
            return;
        }
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => self.prompt = None,
            KeyCode::Enter => {
                let typed = self.prompt.take().unwrap_or_default();
                self.search(&typed, desk, area);
            }
            KeyCode::Backspace => drop(prompt.pop()),
            KeyCode::Char('u') if ctrl => prompt.clear(),
            KeyCode::Char(c) if !ctrl => prompt.push(c),
            _ => {}
        }
    }

    /// Text pasted into the search.
    pub fn pasted(&mut self, text: &str) {
        if let Some(prompt) = self.prompt.as_mut() {
            prompt.push_str(text);
        }
    }

    fn search(&mut self, typed: &str, desk: &Desk, area: Rect) {
        if typed.is_empty() {
            self.state.clear_search();
        } else if let Some(ring) = self.ring(desk) {
            self.state.start_search(typed, ring, &view(desk, area));
        }
    }

    /// Does what was asked; `None` when it is nothing for a log. `area` is the pane with its border.
    pub fn act(&mut self, action: Action, desk: &mut Desk, area: Rect) -> Option<Wish> {
        let view = view(desk, area);
        let empty = Ring::default();
        let ring = self.of.and_then(|id| desk.logs.get(id)).unwrap_or(&empty);
        let state = &mut self.state;
        if let Some(by) = movement(action) {
            state.go(by, ring, &view);
            return Some(Wish::default());
        }
        let mut said = None;
        match action {
            Action::Follow => state.toggle_follow(ring, &view),
            Action::Wrap => state.toggle_wrap(ring, &view),
            Action::Times => state.next_times(),
            Action::Open => drop(state.toggle_unfolded(ring, &view)),
            Action::Mark => drop(state.toggle_mark(ring, &view)),
            Action::MarkRange => state.mark_range(ring, &view),
            Action::ClearMarks => drop(state.clear_marks()),
            Action::PrevPhase => state.next_phase(false, ring, &view),
            Action::NextPhase => state.next_phase(true, ring, &view),
            Action::Filter => self.prompt = Some(String::new()),
            Action::NextMatch | Action::PrevMatch => {
                let forward = action == Action::NextMatch;
                if !state.next_match(forward, ring, &view) {
                    said = Some("no match; / searches");
                }
            }
            Action::Left | Action::Right => {
                let by = if action == Action::Left { -SIDEWAYS } else { SIDEWAYS };
                if !state.sideways(by) {
                    said = Some("the log is wrapped; w shows long lines whole");
                }
            }
            Action::Copy | Action::CopyMarked => return Some(self.copy(action, desk)),
            Action::Export | Action::Pager | Action::Editor => {
                return Some(self.whole(action, desk));
            }
            Action::Back => {
                let ended = state.clear_search() || state.clear_marks();
                return ended.then(Wish::default);
            }
            _ => return None,
        }
        if let Some(said) = said {
            desk.say(said);
        }
        Some(Wish::default())
    }

    fn copy(&self, action: Action, desk: &mut Desk) -> Wish {
        let text = self.ring(desk).and_then(|ring| match action {
            Action::Copy => self.state.selected_text(ring),
            _ => self.state.marked_text(ring),
        });
        let Some(text) = text else {
            desk.say(if action == Action::Copy { "nothing to copy" } else { "nothing is marked" });
            return Wish::default();
        };
        let lines = text.lines().count();
        let what = if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") };
        Wish::of(vec![Effect::Copy { text, what }])
    }

    /// The whole log: to a file, the pager or the editor.
    fn whole(&self, action: Action, desk: &mut Desk) -> Wish {
        let (Some(ring), Some(incident)) = (self.ring(desk), desk.selected()) else {
            desk.say("there is no log yet");
            return Wish::default();
        };
        let mut text = String::new();
        if ring.dropped() > 0 {
            let _ = writeln!(
                text,
                "{} older lines are in the store only: simctl watch --since, or the report",
                ring.dropped()
            );
        }
        for entry in ring.iter() {
            let _ = writeln!(
                text,
                "{} {:12} {}",
                entry.at.format("%H:%M:%S%.3f"),
                entry.phase.as_str(),
                entry.text()
            );
        }
        let name = format!("{}-log.txt", incident.name());
        Wish::of(vec![match action {
            Action::Export => Effect::Export { name, text },
            Action::Editor => Effect::Edit { name, text },
            _ => Effect::Page { name, text },
        }])
    }

    /// The times of its phases, when anything is known.
    pub fn ring_of<'d>(&self, desk: &'d Desk) -> Option<&'d Ring> {
        self.ring(desk)
    }
}

/// The inside of a pane.
fn view(desk: &Desk, area: Rect) -> Viewport {
    Viewport {
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(2),
        theme: desk.theme,
    }
}
