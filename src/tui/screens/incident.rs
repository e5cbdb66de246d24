//! Incident: its log, and the facts beside it: state, readings, causes with evidence, phases, what was like it.

use crossterm::event::KeyEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Screen, Wish};
use crate::domain::ids::IncidentId;
use crate::tui::cards;
use crate::tui::chrome;
use crate::tui::desk::Desk;
use crate::tui::facts::{self, Fact};
use crate::tui::keymap::{Action, Focus};
use crate::tui::log_pane::{LogPane, movement};
use crate::tui::message::{Answer, Effect, Msg, Question};
use crate::tui::size::Class;
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane::Pane;
use crate::tui::widgets::scroll::scroll_bar;
use crate::tui::widgets::window::Window;

/// The screen.
#[derive(Default)]
pub struct IncidentScreen {
    log: LogPane,
    facts_have_focus: bool,
    /// First row of the facts on the screen.
    offset: usize,
    /// Past incidents like the one in hand.
    similar: Option<(IncidentId, Vec<String>)>,
    asked_similar: Option<IncidentId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Panes {
    log: Rect,
    facts: Rect,
    targets: Rect,
}

impl IncidentScreen {
    fn panes(&self, desk: &Desk, body: Rect) -> Panes {
        let none = Panes::default();
        let one = desk.zoomed || chrome::class(desk) <= Class::Small || body.width < 110;
        if one {
            return if self.facts_have_focus {
                Panes { facts: body, ..none }
            } else {
                Panes { log: body, ..none }
            };
        }
        let (facts, targets) = if chrome::class(desk) == Class::Wide { (44, 50) } else { (34, 0) };
        let log = body.width - facts - targets;
        let part = |x: u16, width: u16| Rect { x: body.x + x, width, ..body };
        Panes {
            log: part(0, log),
            facts: part(log, facts),
            targets: if targets > 0 { part(log + facts, targets) } else { Rect::default() },
        }
    }

    fn body(desk: &Desk) -> Rect {
        chrome::parts(Rect::new(0, 0, desk.size.0, desk.size.1))[1]
    }

    fn facts(&self, desk: &Desk, columns: usize) -> Vec<Fact> {
        let Some(incident) = desk.selected() else { return Vec::new() };
        let similar = self.similar.as_ref().filter(|(id, _)| *id == incident.id);
        let similar = similar.map(|(_, lines)| lines.as_slice());
        facts::of(desk, incident, self.log.ring_of(desk), similar, columns)
    }

    /// Turns log and questions to the incident in hand.
    fn turned(&mut self, desk: &mut Desk) -> Vec<Effect> {
        let mut effects = self.log.turn(desk);
        let Some(incident) = desk.selected().cloned() else { return effects };
        if self.asked_similar != Some(incident.id) && incident.diagnosis.is_some() {
            self.asked_similar = Some(incident.id);
            self.offset = 0;
            effects.push(desk.ask(Question::Similar(Box::new((*incident).clone()))).1);
        }
        effects
    }

    fn act_on_facts(&mut self, action: Action, desk: &mut Desk) -> Wish {
        let area = self.panes(desk, Self::body(desk)).facts;
        let height = usize::from(area.height.saturating_sub(2));
        let facts = self.facts(desk, usize::from(area.width.saturating_sub(2)));
        if let Some(by) = movement(action) {
            let last = facts.len().saturating_sub(height);
            self.offset = Window::moved(Some(self.offset), by, last + 1, height).unwrap_or(0);
            return Wish::default();
        }
        let text = || facts.iter().map(|fact| fact.text.as_str()).collect::<Vec<_>>().join("\n");
        let name =
            || format!("{}-facts.txt", desk.selected().map_or("incident".into(), |i| i.name()));
        match action {
            Action::Copy | Action::CopyMarked => {
                let what = crate::domain::words::counted(facts.len() as u64, "line");
                Wish::of(vec![Effect::Copy { text: text(), what }])
            }
            Action::Export => Wish::of(vec![Effect::Export { name: name(), text: text() }]),
            Action::Pager => Wish::of(vec![Effect::Page { name: name(), text: text() }]),
            Action::Editor => Wish::of(vec![Effect::Edit { name: name(), text: text() }]),
            _ => Wish::default(),
        }
    }

    fn draw_facts(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let title = desk.selected().map_or_else(|| "Incident".to_owned(), |one| one.name());
        let pane = Pane::new(title).focused(self.facts_have_focus);
        let inner = pane.draw(area, buf, &desk.theme);
        let facts = self.facts(desk, usize::from(inner.width));
        let height = usize::from(inner.height);
        let offset = self.offset.min(facts.len().saturating_sub(height));
        for (row, fact) in rows(inner).zip(facts.iter().skip(offset)) {
            put(buf, row, 0, &fact.text, desk.theme.style(fact.role));
        }
        scroll_bar(inner, buf, &desk.theme, (facts.len(), offset, height));
    }
}

impl Screen for IncidentScreen {
    fn title(&self) -> &'static str {
        "Incident"
    }

    fn focus(&self, desk: &Desk) -> Focus {
        match () {
            () if desk.selected().is_none() => Focus::Neither,
            () if self.facts_have_focus => Focus::List,
            () => Focus::Log,
        }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        if desk.selected().is_none() {
            let inner = Pane::new("Incident").draw(area, buf, &desk.theme);
            let text =
                "No incident is selected; 1 goes to the list, i breaks something in the lab.";
            put(buf, inner, 0, text, desk.theme.style(Role::Muted));
            return;
        }
        let panes = self.panes(desk, area);
        if !panes.log.is_empty() {
            self.log.draw(desk, !self.facts_have_focus, panes.log, buf);
        }
        if !panes.facts.is_empty() {
            self.draw_facts(desk, panes.facts, buf);
        }
        if !panes.targets.is_empty() {
            cards::draw(desk, panes.targets, buf);
        }
    }

    fn act(&mut self, action: Action, desk: &mut Desk) -> Wish {
        match action {
            Action::NextPane | Action::PrevPane => {
                self.facts_have_focus = !self.facts_have_focus;
                Wish::default()
            }
            _ if self.facts_have_focus => match action {
                Action::Back => {
                    self.facts_have_focus = false;
                    Wish::default()
                }
                _ => self.act_on_facts(action, desk),
            },
            Action::Back => {
                let area = self.panes(desk, Self::body(desk)).log;
                let ended = self.log.act(Action::Back, desk, area);
                ended.unwrap_or_else(|| Wish::go("Overview"))
            }
            _ => {
                let area = self.panes(desk, Self::body(desk)).log;
                self.log.act(action, desk, area).unwrap_or_default()
            }
        }
    }

    fn check(&self, action: Action, _desk: &Desk) -> Result<(), String> {
        match action {
            Action::Sort
            | Action::SortReverse
            | Action::Mark
            | Action::MarkRange
            | Action::Filter
            | Action::Open
            | Action::NextMatch
            | Action::PrevMatch
            | Action::ClearMarks
                if self.facts_have_focus =>
            {
                Err("works in the log; tab goes there".into())
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, desk: &mut Desk) -> Wish {
        Wish::of(self.turned(desk))
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Wish {
        self.log.told(msg, desk);
        match msg {
            Msg::Snapshot(_) => Wish::of(self.turned(desk)),
            Msg::Answered { result: Ok(Answer::Similar { incident, lines }), .. } => {
                self.similar = Some((*incident, lines.clone()));
                Wish::default()
            }
            _ => Wish::default(),
        }
    }

    fn prompt(&self) -> Option<(&'static str, &str)> {
        self.log.prompt().map(|text| ("search", text))
    }

    fn typed(&mut self, key: &KeyEvent, desk: &mut Desk) -> Wish {
        let area = self.panes(desk, Self::body(desk)).log;
        self.log.typed(key, desk, area);
        Wish::default()
    }

    fn pasted(&mut self, text: &str, _desk: &mut Desk) -> Wish {
        self.log.pasted(text);
        Wish::default()
    }

    fn depends_on_time(&self, desk: &Desk) -> bool {
        desk.selected().is_some_and(|incident| incident.is_open())
    }
}
