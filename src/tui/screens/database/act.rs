//! What keys do on the database screen, and why they do not.

use super::{DatabaseScreen, Pane, Wish};
use crate::domain::effect::Command;
use crate::domain::target::Engine;
use crate::inspect;
use crate::tui::desk::Desk;
use crate::tui::inspected::{Inspected, Remedy};
use crate::tui::keymap::Action;
use crate::tui::message::Effect;
use crate::tui::overlays::remedies::Remedies;
use crate::tui::widgets::window::{Move, Window};

/// Proposes an action on a target; nothing is changed by that.
pub(crate) fn propose(
    desk: &mut Desk,
    target: &crate::domain::ids::TargetId,
    remedy: &Remedy,
) -> Vec<Effect> {
    let command = Command::Propose {
        target: target.clone(),
        action: remedy.action.as_str().into(),
        args: remedy.args.clone(),
        reason: String::new(),
    };
    let (_, effect) = desk.order(command);
    desk.say(format!("{}: looking what it would do", remedy.action));
    vec![effect]
}

impl DatabaseScreen {
    pub(super) fn start(&mut self, action: Action, desk: &mut Desk) -> Wish {
        if let Some(by) = movement(action) {
            return self.moved(by, desk);
        }
        match action {
            Action::NextPane | Action::PrevPane => {
                self.pane = match self.pane {
                    Pane::Questions => Pane::Answer,
                    Pane::Answer => Pane::Questions,
                };
            }
            Action::Back => self.back(desk),
            Action::Open => return self.open(desk),
            Action::Remedy(name) => return self.remedy(name, desk),
            Action::NextTarget => return self.step_target(1, desk),
            Action::PrevTarget => return self.step_target(-1, desk),
            Action::Left if self.pane == Pane::Questions => return self.step_target(-1, desk),
            Action::Right if self.pane == Pane::Questions => return self.step_target(1, desk),
            Action::Filter => {
                let text = self.sheet.filter.clone();
                self.prompt = Some((text.clone(), text));
                self.pane = Pane::Answer;
            }
            Action::Refresh => return self.ask(desk),
            Action::Copy => return self.copy(desk),
            Action::Export | Action::Pager | Action::Editor => return self.export(action, desk),
            _ => self.in_answer(action, desk),
        }
        Wish::default()
    }

    /// What only moves within the answer.
    fn in_answer(&mut self, action: Action, desk: &Desk) {
        let mut sheet = std::mem::take(&mut self.sheet);
        if let Some(seen) = self.seen(desk) {
            match action {
                Action::PrevPhase => sheet.step(-1, seen),
                Action::NextPhase => sheet.step(1, seen),
                Action::Sort => sheet.sort_next(seen),
                Action::SortReverse => sheet.reverse(seen),
                Action::Left => sheet.sideways(-1, seen),
                Action::Right => sheet.sideways(1, seen),
                _ => {}
            }
        }
        self.sheet = sheet;
    }

    fn moved(&mut self, by: Move, desk: &mut Desk) -> Wish {
        if self.pane == Pane::Questions {
            return self.choose(by, desk);
        }
        let mut sheet = std::mem::take(&mut self.sheet);
        if let Some(seen) = self.seen(desk) {
            sheet.moved(by, seen);
        }
        self.sheet = sheet;
        Wish::default()
    }

    /// Another question.
    fn choose(&mut self, by: Move, desk: &mut Desk) -> Wish {
        let Some((_, engine)) = self.target(desk) else { return Wish::default() };
        let all: Vec<&'static str> = inspect::of(engine).map(|one| one.verb).collect();
        let now = self.inspection(engine).map(|one| one.verb);
        let at = all.iter().position(|verb| Some(*verb) == now);
        let next = Window::moved(at, by, all.len(), all.len());
        if let Some(verb) = next.and_then(|next| all.get(next))
            && Some(*verb) != now
        {
            self.verbs.insert(engine.as_str(), verb);
            self.begin(desk);
        }
        self.ask_if_due(desk)
    }

    fn step_target(&mut self, by: isize, desk: &mut Desk) -> Wish {
        let all: Vec<_> = desk.snapshot.targets.iter().map(|view| view.target.id.clone()).collect();
        let now = self.target(desk).map(|(id, _)| id.clone());
        let Some(at) = all.iter().position(|id| Some(id) == now.as_ref()) else {
            return Wish::default();
        };
        let count = isize::try_from(all.len()).unwrap_or(1);
        let step = usize::try_from(by.rem_euclid(count)).unwrap_or(0);
        self.target = all.get((at + step) % all.len()).cloned();
        self.begin(desk);
        self.ask_if_due(desk)
    }

    fn begin(&mut self, desk: &Desk) {
        // The answer that is on its way is another question's.
        self.asked = None;
        self.sheet.begin();
        self.lay_out(desk);
    }

    fn back(&mut self, desk: &Desk) {
        if self.sheet.filter.is_empty() {
            self.pane = Pane::Questions;
        } else {
            self.sheet.filter.clear();
            self.lay_out(desk);
        }
    }

    /// From a question to its answer; from a row to what can be done about it.
    fn open(&mut self, desk: &mut Desk) -> Wish {
        if self.pane == Pane::Questions {
            self.pane = Pane::Answer;
            return Wish::default();
        }
        let Some((target, _)) = self.target(desk) else { return Wish::default() };
        let (target, remedies) = (target.clone(), self.remedies(desk).to_vec());
        let row = self.seen(desk).and_then(|seen| self.sheet.row(seen));
        let about = row.map(|row| row.cells.iter().take(2).cloned().collect::<Vec<_>>().join("  "));
        Wish::open(Remedies::new(target, about.unwrap_or_default(), remedies, desk))
    }

    fn remedy(&mut self, name: &str, desk: &mut Desk) -> Wish {
        let Some((target, _)) = self.target(desk) else { return Wish::default() };
        let target = target.clone();
        let Some(remedy) = self.remedies(desk).iter().find(|one| one.action == name).cloned()
        else {
            return Wish::default();
        };
        Wish::of(propose(desk, &target, &remedy))
    }

    fn copy(&self, desk: &Desk) -> Wish {
        let row = self.seen(desk).and_then(|seen| self.sheet.row(seen));
        let text = row.map(|row| row.cells.join("\t"));
        let copy = text.map(|text| Effect::Copy { text, what: "1 row".into() });
        Wish::of(copy.into_iter().collect())
    }

    fn export(&self, action: Action, desk: &Desk) -> Wish {
        let Some(seen) = self.seen(desk) else { return Wish::default() };
        let Some((target, engine)) = self.target(desk) else { return Wish::default() };
        let verb = self.inspection(engine).map_or("inspection", |one| one.verb);
        let at = seen.at.format("%Y%m%d-%H%M%S");
        let name = format!("{target}-{verb}-{at}.tsv");
        let text = tsv(seen);
        Wish::of(vec![match action {
            Action::Pager => Effect::Page { name, text },
            Action::Editor => Effect::Edit { name, text },
            _ => Effect::Export { name, text },
        }])
    }

    pub(super) fn allows(&self, action: Action, desk: &Desk) -> Result<(), String> {
        let Some((_, engine)) = self.target(desk) else {
            return match action {
                Action::Open | Action::Remedy(_) | Action::Filter | Action::Copy => {
                    Err("no target is watched yet".into())
                }
                _ => Ok(()),
            };
        };
        match action {
            Action::Remedy(name) => self.allows_remedy(name, engine, desk),
            Action::Open if self.pane == Pane::Answer => {
                if let Some(reason) = desk.refusal() {
                    return Err(reason);
                }
                let none = self.remedies(desk).is_empty();
                if none { Err("no action is known for this row".into()) } else { Ok(()) }
            }
            Action::Copy | Action::Export | Action::Pager | Action::Editor
                if self.seen(desk).is_none() =>
            {
                Err("nothing is known yet".into())
            }
            Action::Mark | Action::MarkRange | Action::ClearMarks | Action::CopyMarked => {
                Err("nothing to mark here; e exports all".into())
            }
            Action::NextMatch | Action::PrevMatch => Err("the filter shows matches only".into()),
            _ => Ok(()),
        }
    }

    fn allows_remedy(&self, name: &str, engine: Engine, desk: &Desk) -> Result<(), String> {
        if let Some(reason) = desk.refusal() {
            return Err(reason);
        }
        if self.remedies(desk).iter().any(|one| one.action == name) {
            return Ok(());
        }
        if engine == Engine::Redis {
            return Err(format!("{name} is for PostgreSQL"));
        }
        Err(format!("{name} does not fit this row; enter lists what does"))
    }
}

fn movement(action: Action) -> Option<Move> {
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

/// Every part, its columns apart by tabs, which no cell has.
fn tsv(seen: &Inspected) -> String {
    use std::fmt::Write as _;

    use crate::tui::inspected::Body;

    let mut text = String::new();
    for part in &seen.parts {
        let _ = writeln!(text, "# {}", part.title);
        match &part.body {
            Body::Unknown { sentence, remedy } => {
                let _ = writeln!(text, "{sentence}\t{remedy}");
            }
            Body::Rows(rows) => {
                let titles: Vec<&str> =
                    rows.columns.iter().map(|column| column.title.as_str()).collect();
                let _ = writeln!(text, "{}", titles.join("\t"));
                for row in &rows.rows {
                    let _ = writeln!(text, "{}", row.cells.join("\t"));
                }
            }
        }
        text.push('\n');
    }
    text
}
