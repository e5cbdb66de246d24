//! Metrics: how fast and how well incidents end, where the time goes, and which were the slowest.

mod chart;
mod draw;
mod export;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Screen, Wish};
use crate::domain::event::EventBody;
use crate::domain::ids::IncidentId;
use crate::metrics::{Group, Metrics, Slow};
use crate::tui::desk::Desk;
use crate::tui::keymap::{Action, Focus};
use crate::tui::message::{Answer, Effect, Msg, Question};
use crate::tui::widgets::window::{Move, Window};

/// How far back the figures go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Range {
    #[default]
    Day,
    Week,
    Month,
    All,
}

impl Range {
    const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::All];

    fn word(self) -> &'static str {
        match self {
            Self::Day => "last 24h",
            Self::Week => "last 7d",
            Self::Month => "last 30d",
            Self::All => "all",
        }
    }

    fn since(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::All => return None,
        };
        Some(now - TimeDelta::days(days))
    }

    fn step(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|range| *range == self).unwrap_or(0);
        Self::ALL[at.saturating_add_signed(by).min(Self::ALL.len() - 1)]
    }
}

/// What incidents are grouped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum By {
    #[default]
    Cause,
    Target,
    Actor,
}

impl By {
    const ALL: [Self; 3] = [Self::Cause, Self::Target, Self::Actor];

    fn word(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Target => "target",
            Self::Actor => "actor",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Cause => Self::Target,
            Self::Target => Self::Actor,
            Self::Actor => Self::Cause,
        }
    }

    fn of(self, metrics: &Metrics) -> &[Group] {
        match self {
            Self::Cause => &metrics.by_cause,
            Self::Target => &metrics.by_target,
            Self::Actor => &metrics.by_actor,
        }
    }
}

/// Which pane has the focus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pane {
    #[default]
    Groups,
    Slowest,
    Chart,
}

/// The screen.
#[derive(Debug, Default)]
pub struct MetricsScreen {
    shown: bool,
    range: Range,
    by: By,
    pane: Pane,
    /// The selected group, by name.
    group: Option<String>,
    /// Whether the slowest are those of the selected group only.
    drilled: bool,
    slow: Option<IncidentId>,
    /// The figures, with the time they are of and the range they were asked for.
    known: Option<Known>,
    asked: Option<u64>,
    /// An incident ended while the figures were read.
    again: bool,
    trouble: Option<String>,
}

#[derive(Debug)]
struct Known {
    metrics: Box<Metrics>,
    as_of: DateTime<Utc>,
    range: Range,
}

impl MetricsScreen {
    fn groups(&self) -> &[Group] {
        self.known.as_ref().map_or(&[], |known| self.by.of(&known.metrics))
    }

    fn group_row(&self) -> Option<usize> {
        let groups = self.groups();
        let named = groups.iter().position(|group| Some(&group.name) == self.group.as_ref());
        named.or((!groups.is_empty()).then_some(0))
    }

    fn drilled_group(&self) -> Option<&Group> {
        self.group_row().filter(|_| self.drilled).and_then(|row| self.groups().get(row))
    }

    fn slowest(&self) -> &[Slow] {
        match (self.drilled_group(), &self.known) {
            (Some(group), _) => &group.slowest,
            (None, Some(known)) => &known.metrics.slowest,
            (None, None) => &[],
        }
    }

    fn slow_row(&self) -> Option<usize> {
        let slowest = self.slowest();
        let known = slowest.iter().position(|slow| Some(slow.id) == self.slow);
        known.or((!slowest.is_empty()).then_some(0))
    }

    // ---- questions ------------------------------------------------------------------------------------------

    fn ask(&mut self, desk: &mut Desk) -> Wish {
        if self.asked.is_some() {
            self.again = true;
            return Wish::default();
        }
        let since = self.range.since(desk.now.at);
        let (question, effect) = desk.ask(Question::Metrics { since });
        self.asked = Some(question);
        Wish::of(vec![effect])
    }

    fn answered(&mut self, result: &Result<Answer, String>, desk: &mut Desk) -> Wish {
        self.asked = None;
        match result {
            Ok(Answer::Metrics { metrics, .. }) => {
                self.trouble = None;
                let metrics = metrics.clone();
                self.known = Some(Known { metrics, as_of: desk.now.at, range: self.range });
            }
            Ok(_) => {}
            // What was known stands, and nothing asks again by itself.
            Err(reason) => {
                self.trouble = Some(reason.clone());
                self.again = false;
            }
        }
        if std::mem::take(&mut self.again) { self.ask(desk) } else { Wish::default() }
    }

    // ---- keys -----------------------------------------------------------------------------------------------

    fn moved(&mut self, by: Move) {
        const PAGE: usize = 10;
        match self.pane {
            Pane::Groups => {
                let row = Window::moved(self.group_row(), by, self.groups().len(), PAGE);
                self.group =
                    row.and_then(|row| self.groups().get(row)).map(|group| group.name.clone());
            }
            Pane::Slowest => {
                let row = Window::moved(self.slow_row(), by, self.slowest().len(), PAGE);
                self.slow = row.and_then(|row| self.slowest().get(row)).map(|slow| slow.id);
            }
            Pane::Chart => {}
        }
    }

    /// From a group to its slowest incidents, from one of these to the incident.
    fn open(&mut self, desk: &mut Desk) -> Wish {
        match self.pane {
            Pane::Groups => {
                self.drilled = true;
                self.slow = None;
                self.pane = Pane::Slowest;
                Wish::default()
            }
            Pane::Slowest => {
                let Some(slow) = self.slow_row().and_then(|row| self.slowest().get(row)) else {
                    return Wish::default();
                };
                let (id, number) = (slow.id, slow.number);
                desk.selected = Some(id);
                let unknown = desk.incident_now(id).is_none();
                let effects = unknown.then(|| desk.ask(Question::Incident(number)).1);
                Wish { effects: effects.into_iter().collect(), ..Wish::go("Incident") }
            }
            Pane::Chart => Wish::default(),
        }
    }

    fn tab(&mut self, forward: bool) {
        self.pane = match (self.pane, forward) {
            (Pane::Groups, true) | (Pane::Chart, false) => Pane::Slowest,
            (Pane::Slowest, true) | (Pane::Groups, false) => Pane::Chart,
            (Pane::Chart, true) | (Pane::Slowest, false) => Pane::Groups,
        };
    }

    fn back(&mut self) {
        self.pane = Pane::Groups;
        self.drilled = false;
    }

    fn widen(&mut self, by: isize, desk: &mut Desk) -> Wish {
        let range = self.range.step(by);
        if range == self.range {
            desk.say(format!("{} is the last; the other way is left", range.word()));
            return Wish::default();
        }
        self.range = range;
        self.ask(desk)
    }

    fn copy(&self) -> Wish {
        let text = match self.pane {
            Pane::Groups => {
                self.group_row().and_then(|row| self.groups().get(row)).map(export::group)
            }
            Pane::Slowest => {
                self.slow_row().and_then(|row| self.slowest().get(row)).map(export::slow)
            }
            Pane::Chart => None,
        };
        Wish::of(
            text.map(|text| Effect::Copy { text, what: "1 line".into() }).into_iter().collect(),
        )
    }

    fn export(&self, desk: &Desk, action: Action) -> Wish {
        let Some(known) = &self.known else { return Wish::default() };
        let name = format!("metrics-{}.csv", desk.now.at.format("%Y%m%d-%H%M%S"));
        let text = export::csv(&known.metrics);
        Wish::of(vec![match action {
            Action::Pager => Effect::Page { name, text },
            Action::Editor => Effect::Edit { name, text },
            _ => Effect::Export { name, text },
        }])
    }
}

fn ended(msg: &Msg) -> bool {
    let Msg::Event(sealed) = msg else { return false };
    matches!(
        sealed.event.body,
        EventBody::IncidentResolved { .. } | EventBody::IncidentFailed { .. }
    )
}

impl Screen for MetricsScreen {
    fn title(&self) -> &'static str {
        "Metrics"
    }

    fn focus(&self, _desk: &Desk) -> Focus {
        match self.pane {
            Pane::Groups | Pane::Slowest => Focus::List,
            Pane::Chart => Focus::Neither,
        }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        self.draw_all(desk, area, buf);
    }

    fn act(&mut self, action: Action, desk: &mut Desk) -> Wish {
        match action {
            Action::Up => self.moved(Move::Up),
            Action::Down => self.moved(Move::Down),
            Action::First => self.moved(Move::Top),
            Action::Last => self.moved(Move::Bottom),
            Action::HalfUp | Action::PageUp => self.moved(Move::PageUp),
            Action::HalfDown | Action::PageDown => self.moved(Move::PageDown),
            Action::NextPane => self.tab(true),
            Action::PrevPane => self.tab(false),
            Action::Back => self.back(),
            Action::Group => {
                self.by = self.by.next();
                self.group = None;
                self.back();
            }
            Action::Open => return self.open(desk),
            Action::PrevPhase => return self.widen(-1, desk),
            Action::NextPhase => return self.widen(1, desk),
            Action::Refresh => return self.ask(desk),
            Action::Copy => return self.copy(),
            Action::Export | Action::Pager | Action::Editor => return self.export(desk, action),
            _ => {}
        }
        Wish::default()
    }

    fn check(&self, action: Action, _desk: &Desk) -> Result<(), String> {
        match action {
            Action::Export | Action::Pager | Action::Editor if self.known.is_none() => {
                Err("the figures are not known yet".into())
            }
            Action::Open | Action::Copy => {
                let row =
                    if self.pane == Pane::Groups { self.group_row() } else { self.slow_row() };
                row.map(drop).ok_or_else(|| "nothing is selected".into())
            }
            Action::Filter | Action::NextMatch | Action::PrevMatch => {
                Err("nothing to search here; ] changes the range, b the groups".into())
            }
            Action::Sort | Action::SortReverse | Action::Left | Action::Right => {
                Err("the largest group is first".into())
            }
            Action::Mark | Action::MarkRange | Action::ClearMarks | Action::CopyMarked => {
                Err("nothing to mark here; e exports all".into())
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, desk: &mut Desk) -> Wish {
        self.shown = true;
        self.ask(desk)
    }

    fn leave(&mut self) {
        self.shown = false;
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Wish {
        match msg {
            Msg::Answered { question, result } if self.asked == Some(*question) => {
                self.answered(result, desk)
            }
            _ if self.shown && ended(msg) => self.ask(desk),
            _ => Wish::default(),
        }
    }

    fn save(&self) -> serde_json::Value {
        serde_json::json!({ "range": self.range.word(), "group": self.by.word() })
    }

    fn restore(&mut self, saved: &serde_json::Value) {
        let text = |name: &str| saved.get(name).and_then(serde_json::Value::as_str);
        let range = Range::ALL.into_iter().find(|range| Some(range.word()) == text("range"));
        let by = By::ALL.into_iter().find(|by| Some(by.word()) == text("group"));
        self.range = range.unwrap_or_default();
        self.by = by.unwrap_or_default();
    }
}
