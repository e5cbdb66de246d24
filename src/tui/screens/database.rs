//! Database: every read-only question about a target, its answer as tables, and what can be done about a row. What is
//! done becomes a proposal and takes the same dialog as everything else.
//!
//! Nothing is asked while the person is elsewhere.

mod act;
mod draw;
mod sheet;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Screen, Wish};
use crate::domain::ids::TargetId;
use crate::domain::target::Engine;
use crate::inspect::{self, Inspection};
use crate::tui::desk::Desk;
use crate::tui::inspected::{Inspected, Remedy};
use crate::tui::keymap::{Action, Focus};
use crate::tui::message::{Answer, Msg, Question};
use crate::tui::text::clean;
pub(crate) use act::propose;
use sheet::Sheet;

/// An answer is asked for anew after this …
const FRESH_MS: u64 = 5_000;
/// … or after so many times as long as it took, so that looking costs a server little.
const TIMES_AS_LONG: u64 = 50;
/// A question without an answer for so long was dropped on its way.
const LOST_MS: u64 = 120_000;
/// What may take longer than this is asked for by a person only.
const PATIENT_S: u64 = 15;

/// Which pane has the focus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pane {
    #[default]
    Questions,
    Answer,
}

/// A question on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    question: u64,
    target: TargetId,
    verb: &'static str,
    at_ms: u64,
}

/// What is known of one question.
#[derive(Debug, Default)]
struct Known {
    seen: Option<Box<Inspected>>,
    trouble: Option<String>,
    /// When it may be asked anew, by the console's clock.
    due_ms: u64,
}

/// The screen.
#[derive(Debug, Default)]
pub struct DatabaseScreen {
    shown: bool,
    pane: Pane,
    target: Option<TargetId>,
    /// The question in hand, by its word; another one for each kind of server.
    verbs: BTreeMap<&'static str, &'static str>,
    known: BTreeMap<(TargetId, &'static str), Known>,
    asked: Option<Asked>,
    sheet: Sheet,
    /// The filter as it was before it is typed anew.
    prompt: Option<(String, String)>,
}

impl DatabaseScreen {
    // ---- what is in hand ----------------------------------------------------------------------------------

    /// The target that is looked at: the chosen one, else the first PostgreSQL, else the first.
    fn target<'d>(&self, desk: &'d Desk) -> Option<(&'d TargetId, Engine)> {
        let all = || desk.snapshot.targets.iter().map(|view| &view.target);
        let named = |id: &TargetId| all().find(|target| target.id == *id);
        let chosen = self.target.as_ref().and_then(named);
        let postgres = || all().find(|target| target.engine == Engine::Postgres);
        let target = chosen.or_else(postgres).or_else(|| all().next())?;
        Some((&target.id, target.engine))
    }

    fn inspection(&self, engine: Engine) -> Option<&'static Inspection> {
        let chosen = self.verbs.get(engine.as_str()).and_then(|verb| inspect::find(engine, verb));
        chosen.or_else(|| inspect::of(engine).next())
    }

    fn known_of(&self, desk: &Desk) -> Option<&Known> {
        let (target, engine) = self.target(desk)?;
        self.known.get(&(target.clone(), self.inspection(engine)?.verb))
    }

    fn seen(&self, desk: &Desk) -> Option<&Inspected> {
        self.known_of(desk)?.seen.as_deref()
    }

    /// What can be done about the row in hand.
    fn remedies<'s>(&'s self, desk: &Desk) -> &'s [Remedy] {
        self.seen(desk).and_then(|seen| self.sheet.row(seen)).map_or(&[], |row| &row.remedies)
    }

    // ---- questions ----------------------------------------------------------------------------------------

    /// Asks what is in hand, unless that is on its way.
    fn ask(&mut self, desk: &mut Desk) -> Wish {
        let Some((target, engine)) = self.target(desk) else { return Wish::default() };
        let Some(inspection) = self.inspection(engine) else { return Wish::default() };
        let (target, verb) = (target.clone(), inspection.verb);
        let is_same = |asked: &Asked| {
            asked.target == target && asked.verb == verb && desk.now.ms < asked.at_ms + LOST_MS
        };
        if self.asked.as_ref().is_some_and(is_same) {
            return Wish::default();
        }
        let what = Question::Inspect { target: target.clone(), verb: verb.into() };
        let (question, effect) = desk.ask(what);
        self.asked = Some(Asked { question, target, verb, at_ms: desk.now.ms });
        Wish::of(vec![effect])
    }

    /// Asks once what is in hand and not known, and again what is no longer fresh.
    fn ask_if_due(&mut self, desk: &mut Desk) -> Wish {
        let Some((_, engine)) = self.target(desk) else { return Wish::default() };
        let is_quick = |one: &Inspection| one.budget.as_secs() <= PATIENT_S;
        let repeats = self.inspection(engine).is_some_and(is_quick) && !desk.frozen;
        let is_due = match self.known_of(desk) {
            None => true,
            Some(known) => repeats && desk.now.ms >= known.due_ms,
        };
        if is_due { self.ask(desk) } else { Wish::default() }
    }

    fn answered(&mut self, result: &Result<Answer, String>, desk: &Desk) {
        let Some(asked) = self.asked.take() else { return };
        let known = self.known.entry((asked.target, asked.verb)).or_default();
        match result {
            Ok(Answer::Inspected { seen, .. }) => {
                let took = seen.took_ms.max(0.0) as u64;
                known.due_ms = desk.now.ms + FRESH_MS.max(took.saturating_mul(TIMES_AS_LONG));
                known.trouble = None;
                known.seen = Some(seen.clone());
            }
            Ok(_) => {}
            // What was known stands; it is tried again later.
            Err(reason) => {
                known.due_ms = desk.now.ms + 2 * FRESH_MS;
                known.trouble = Some(reason.clone());
            }
        }
        self.lay_out(desk);
    }

    /// Filters and sorts what is in hand anew.
    fn lay_out(&mut self, desk: &Desk) {
        let mut sheet = std::mem::take(&mut self.sheet);
        match self.seen(desk) {
            Some(seen) => sheet.lay_out(seen),
            None => sheet.clear(),
        }
        self.sheet = sheet;
    }

    // ---- the filter ---------------------------------------------------------------------------------------

    fn edit(&mut self, desk: &Desk, change: impl FnOnce(&mut String)) -> Wish {
        if let Some((_, text)) = &mut self.prompt {
            change(text);
            self.sheet.filter.clone_from(text);
            self.lay_out(desk);
        }
        Wish::default()
    }

    fn leave_prompt(&mut self, keep: bool, desk: &Desk) -> Wish {
        if let Some((before, text)) = self.prompt.take() {
            self.sheet.filter = if keep { text } else { before };
            self.lay_out(desk);
        }
        Wish::default()
    }
}

impl Screen for DatabaseScreen {
    fn title(&self) -> &'static str {
        "Database"
    }

    fn focus(&self, _desk: &Desk) -> Focus {
        Focus::List
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        self.draw_all(desk, area, buf);
    }

    fn act(&mut self, action: Action, desk: &mut Desk) -> Wish {
        self.start(action, desk)
    }

    fn check(&self, action: Action, desk: &Desk) -> Result<(), String> {
        self.allows(action, desk)
    }

    fn enter(&mut self, desk: &mut Desk) -> Wish {
        self.shown = true;
        // Who comes from an incident wants to look at its server.
        if self.target.is_none() {
            self.target = desk.selected().map(|incident| incident.target.clone());
        }
        self.lay_out(desk);
        self.ask_if_due(desk)
    }

    fn leave(&mut self) {
        self.shown = false;
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Wish {
        match msg {
            Msg::Answered { question, result }
                if self.asked.as_ref().is_some_and(|asked| asked.question == *question) =>
            {
                self.answered(result, desk);
                if self.shown { self.ask_if_due(desk) } else { Wish::default() }
            }
            Msg::Tick if self.shown => self.ask_if_due(desk),
            // The first targets come with a snapshot.
            Msg::Snapshot(_) if self.shown && self.known.is_empty() => self.ask_if_due(desk),
            _ => Wish::default(),
        }
    }

    fn prompt(&self) -> Option<(&'static str, &str)> {
        self.prompt.as_ref().map(|(_, text)| ("filter", text.as_str()))
    }

    fn typed(&mut self, key: &KeyEvent, desk: &mut Desk) -> Wish {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => self.leave_prompt(true, desk),
            KeyCode::Esc => self.leave_prompt(false, desk),
            KeyCode::Backspace => self.edit(desk, |text| {
                text.pop();
            }),
            KeyCode::Char('u') if ctrl => self.edit(desk, String::clear),
            KeyCode::Char(c) if !ctrl => self.edit(desk, |text| text.push(c)),
            _ => Wish::default(),
        }
    }

    fn pasted(&mut self, pasted: &str, desk: &mut Desk) -> Wish {
        self.edit(desk, |text| text.push_str(&clean(pasted)))
    }

    fn save(&self) -> serde_json::Value {
        serde_json::json!({ "target": self.target, "questions": self.verbs })
    }

    fn restore(&mut self, saved: &serde_json::Value) {
        let target = saved.get("target").and_then(serde_json::Value::as_str);
        self.target = target.map(TargetId::from);
        for engine in [Engine::Postgres, Engine::Redis] {
            let verb = saved.pointer(&format!("/questions/{}", engine.as_str()));
            let verb = verb.and_then(serde_json::Value::as_str);
            if let Some(one) = verb.and_then(|verb| inspect::find(engine, verb)) {
                self.verbs.insert(engine.as_str(), one.verb);
            }
        }
    }

    fn depends_on_time(&self, desk: &Desk) -> bool {
        self.shown && !desk.snapshot.targets.is_empty()
    }
}
