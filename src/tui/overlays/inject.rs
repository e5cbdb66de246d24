//! The picker of faults: what each does to which server of the lab, what it takes, and the server's name to type
//! before it is done.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::Value;

use super::text::Text;
use super::{Outcome, Overlay, Place, Then};
use crate::domain::effect::Command;
use crate::domain::ids::FaultId;
use crate::tui::chrome;
use crate::tui::confirm::{Confirm, Demand, Guard, Verdict};
use crate::tui::desk::Desk;
use crate::tui::message::Msg;
use crate::tui::size::Class;
use choices::Choice;
use fields::{Fields, Filled};

mod choices;
mod draw;
mod fields;

const BUTTONS: &[&str] = &["Inject", "Dry run", "Back"];
const DRY_RUN: usize = 1;

/// What the letters and digits go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Focus {
    /// The server's name and the buttons.
    Confirm,
    Field(usize),
    /// What the list shows.
    Filter,
}

/// The overlay.
#[derive(Debug)]
pub struct Inject {
    choices: Vec<Choice>,
    filter: String,
    chosen: usize,
    fields: Option<Fields>,
    focus: Focus,
    guard: Guard,
    confirm: Confirm,
    /// How far the words about the fault are scrolled.
    scroll: usize,
    /// The order that was sent.
    order: Option<u64>,
    /// What the engine said to the last one.
    refusal: Option<String>,
}

impl Inject {
    /// A picker that opens now.
    pub fn new(desk: &mut Desk) -> Self {
        let guard = Guard::new(desk.opener.take(), desk.now);
        let mut this = Self {
            choices: choices::filtered(desk, ""),
            filter: String::new(),
            chosen: 0,
            fields: None,
            focus: Focus::Confirm,
            guard,
            confirm: Confirm::new(Demand::Typed, "", BUTTONS, None, desk.now),
            scroll: 0,
            order: None,
            refusal: None,
        };
        this.choose(0, desk);
        this
    }

    fn choice(&self) -> Option<&Choice> {
        self.choices.get(self.chosen)
    }

    /// Turns to a fault; whatever was typed for another one is gone.
    fn choose(&mut self, index: usize, desk: &Desk) {
        self.chosen = index;
        let ttl_s = desk.settings.inject_ttl_s;
        self.fields = self.choice().map(|choice| Fields::of(choice.fault, ttl_s));
        self.focus = Focus::Confirm;
        self.scroll = 0;
        self.renew(desk);
    }

    /// What would be confirmed is another thing now: nothing typed counts for it.
    fn renew(&mut self, desk: &Desk) {
        let name = self.choice().map_or("", |choice| choice.target.as_str());
        self.confirm = Confirm::new(Demand::Typed, name, BUTTONS, None, desk.now);
        self.confirm.not_yet = self.why_not(desk);
        self.refusal = None;
    }

    /// Why it cannot be injected now, if so.
    fn why_not(&self, desk: &Desk) -> Option<String> {
        if let Some(reason) = desk.refusal() {
            return Some(reason);
        }
        let Some(choice) = self.choice() else {
            return Some(self.nothing());
        };
        if let Some(reason) = &choice.cannot {
            return Some(reason.clone());
        }
        if let Some(live) = choices::live_on(&choice.target, desk) {
            return Some(choices::busy(live));
        }
        self.filled().err()
    }

    /// Why there is nothing to choose.
    fn nothing(&self) -> String {
        if self.filter.is_empty() {
            return "there is no lab to break; `simctl up`".into();
        }
        format!("no fault has `{}` in its words; backspace", self.filter)
    }

    fn filled(&self) -> Result<Filled, String> {
        match (self.choice(), &self.fields) {
            (Some(choice), Some(fields)) => fields.filled(choice.fault),
            _ => Err("there is nothing to choose".into()),
        }
    }

    /// The world moved: the same fault stays chosen by its name, and what stands against it is looked at anew.
    fn review(&mut self, desk: &Desk) {
        let chosen = self.choice().cloned();
        self.choices = choices::filtered(desk, &self.filter);
        let at = chosen.and_then(|chosen| self.choices.iter().position(|c| c.is(&chosen)));
        match at {
            Some(at) => self.chosen = at,
            None => self.choose(0, desk),
        }
        if self.confirm.not_yet != self.why_not(desk) {
            self.renew(desk);
        }
    }

    // ---- keys -------------------------------------------------------------------------------------------

    fn step_choice(&mut self, by: isize, desk: &Desk) {
        let last = self.choices.len().saturating_sub(1);
        let next = self.chosen.saturating_add_signed(by).min(last);
        if next != self.chosen {
            self.choose(next, desk);
        }
    }

    /// Types what the list shows. What is chosen stays chosen while it is still there.
    fn narrow(&mut self, key: &KeyEvent, desk: &Desk) {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char('u') if ctrl => self.filter.clear(),
            KeyCode::Char(c) if !ctrl => self.filter.push(c),
            KeyCode::Enter if key.kind == KeyEventKind::Press => {
                self.focus = Focus::Confirm;
                self.confirm.unsettle(desk.now);
                return;
            }
            _ => return,
        }
        self.review(desk);
        self.focus = Focus::Filter;
    }

    /// Name, buttons, then the fields, and round again.
    fn step_focus(&mut self, back: bool, key: &KeyEvent, desk: &Desk) {
        let fields = self.fields.as_ref().map_or(0, |fields| fields.all().len());
        let edge = if back { 0 } else { BUTTONS.len() };
        match (self.focus, back) {
            (Focus::Confirm, _) if self.confirm.focus == edge && fields > 0 => {
                self.focus = Focus::Field(if back { fields - 1 } else { 0 });
                self.confirm.focus = 0;
            }
            (Focus::Confirm, _) => drop(self.confirm.key(key, desk.now)),
            (Focus::Field(at), false) if at + 1 < fields => self.focus = Focus::Field(at + 1),
            (Focus::Field(at), true) if at > 0 => self.focus = Focus::Field(at - 1),
            (Focus::Field(_) | Focus::Filter, _) => {
                self.focus = Focus::Confirm;
                self.confirm.focus = if back { BUTTONS.len() } else { 0 };
            }
        }
    }

    fn edit(&mut self, at: usize, key: &KeyEvent, desk: &Desk) {
        let Some(fields) = self.fields.as_mut() else { return };
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let changed = match key.code {
            KeyCode::Backspace => fields.erase(at, false),
            KeyCode::Char('u') if ctrl => fields.erase(at, true),
            KeyCode::Char(c) if !ctrl => fields.push(at, c),
            KeyCode::Enter if key.kind == KeyEventKind::Press => {
                self.focus = Focus::Confirm;
                self.confirm.focus = 0;
                self.confirm.unsettle(desk.now);
                false
            }
            _ => false,
        };
        if changed {
            self.renew(desk);
        }
    }

    fn decide(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        match self.confirm.key(key, desk.now) {
            Verdict::Nothing | Verdict::Other => Outcome::stay(),
            Verdict::Confirmed { .. } => self.send(desk),
            Verdict::Button(DRY_RUN) => self.dry_run(),
            Verdict::Button(_) => Outcome::close(),
        }
    }

    fn send(&mut self, desk: &mut Desk) -> Outcome {
        let (Some(choice), Ok(filled)) = (self.choice().cloned(), self.filled()) else {
            return Outcome::stay();
        };
        if let Some(reason) = self.why_not(desk) {
            self.renew(desk);
            self.confirm.note = Some(reason);
            return Outcome::stay();
        }
        let params: BTreeMap<_, _> =
            filled.params.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        let (order, effect) = desk.order(Command::Inject {
            fault: FaultId::of(choice.words().id),
            target: Some(choice.target),
            params,
            ttl_s: Some(filled.ttl_s),
            beside: false,
        });
        self.order = Some(order);
        self.confirm.sent = true;
        self.confirm.note = Some("sent, waiting for the engine".into());
        Outcome::with(vec![effect])
    }

    fn dry_run(&self) -> Outcome {
        let (Some(choice), Ok(filled)) = (self.choice(), self.filled()) else {
            return Outcome::stay();
        };
        let title = format!("Dry run: {} on {}", choice.words().id, choice.target);
        let text = dry_text(choice, &filled);
        let file = format!("dry-run-{}.txt", choice.words().id);
        Outcome::then(Then::Push(Box::new(Text::new(title, &text).file(file))))
    }
}

/// What would be done and undone, and the command that spells it out with every name and address.
fn dry_text(choice: &Choice, filled: &Filled) -> String {
    let words = choice.words();
    let mut text = format!("{} on {}; nothing was done\n\nCalls\n", words.id, choice.target);
    for call in choice.fault.calls(None, &filled.params) {
        let _ = writeln!(text, "  {call}");
    }
    text.push_str("Undo\n");
    for undo in words.undo {
        let _ = writeln!(text, "  {undo}");
    }
    let _ = writeln!(text, "Deadline\n  undone after {} s at the latest", filled.ttl_s);
    let mut command = format!("simctl inject {} --target {}", words.id, choice.target);
    for (name, value) in &filled.params {
        let _ = write!(command, " --set {name}={value}");
    }
    let _ = writeln!(text, "With every name and address\n  {command} --ttl {} --dry-run", {
        filled.ttl_s
    });
    text
}

impl Overlay for Inject {
    fn name(&self) -> &'static str {
        "inject"
    }

    fn place(&self, desk: &Desk, _body: Rect) -> Place {
        match chrome::class(desk) {
            Class::TooSmall | Class::Tiny | Class::Small => Place::Full,
            Class::Standard => Place::Centered { columns: 114, rows: 30 },
            Class::Wide => Place::Centered { columns: 140, rows: 34 },
        }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        draw::draw(self, desk, area, buf);
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        if !self.guard.lets(key, desk.now) || self.order.is_some() {
            return Outcome::stay();
        }
        let is_press = key.kind == KeyEventKind::Press;
        match (key.code, self.focus) {
            (KeyCode::Up, _) => self.step_choice(-1, desk),
            (KeyCode::Down, _) => self.step_choice(1, desk),
            (KeyCode::PageUp, _) => self.scroll = self.scroll.saturating_sub(4),
            (KeyCode::PageDown, _) => self.scroll = self.scroll.saturating_add(4).min(99),
            (KeyCode::Tab | KeyCode::BackTab, _) if is_press => {
                self.step_focus(key.code == KeyCode::BackTab, key, desk);
            }
            (_, Focus::Field(at)) => self.edit(at, key, desk),
            (_, Focus::Filter) => self.narrow(key, desk),
            // No server's name has one.
            (KeyCode::Char('/'), Focus::Confirm) => self.focus = Focus::Filter,
            (_, Focus::Confirm) => return self.decide(key, desk),
        }
        Outcome::stay()
    }

    fn paste(&mut self, _text: &str, _desk: &mut Desk) -> Outcome {
        if self.order.is_none() {
            self.confirm.paste();
        }
        Outcome::stay()
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Outcome {
        match msg {
            Msg::Replied { order, result } if Some(*order) == self.order => match result {
                Ok(_) => return Outcome::close(),
                Err(refused) => {
                    self.order = None;
                    self.renew(desk);
                    self.scroll = 0;
                    self.refusal = Some(refused.reason.clone());
                }
            },
            Msg::Unanswered { order } if Some(*order) == self.order => {
                let note = "may have been recorded, see Audit (3); it is not sent again";
                self.confirm.note = Some(note.into());
            }
            // What was sent is being decided: its own success is nothing that stands against it.
            _ if self.order.is_some() => {}
            _ => self.review(desk),
        }
        Outcome::stay()
    }

    fn unsettled(&mut self, desk: &Desk) {
        self.guard.unsettle(desk.now);
        self.confirm.unsettle(desk.now);
    }

    fn hints(&self, _desk: &Desk) -> Vec<(String, String)> {
        [
            ("enter", "inject when it matches"),
            ("up/down", "fault"),
            ("/", "filter"),
            ("tab", "next field, buttons"),
            ("esc", "back"),
        ]
        .map(|(key, words)| (key.to_owned(), words.to_owned()))
        .into()
    }
}

#[cfg(test)]
mod tests;
