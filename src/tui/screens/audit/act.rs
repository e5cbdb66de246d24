//! What keys do on the audit.

use ratatui::layout::Rect;

use super::detail::{self, digits, number};
use super::{AuditScreen, ChainState, LOOKS, Pane};
use crate::domain::ids::incident_name;
use crate::tui::chrome;
use crate::tui::desk::Desk;
use crate::tui::keymap::Action;
use crate::tui::log_pane::movement;
use crate::tui::message::{Effect, Question};
use crate::tui::screens::Wish;
use crate::tui::widgets::vtable::VTable;
use crate::tui::widgets::window::{Move, Window};

impl AuditScreen {
    pub(super) fn allows(&self, action: Action, desk: &Desk) -> Result<(), String> {
        let has_row = self.selected_entry().is_some();
        let selected = || has_row.then_some(()).ok_or_else(|| "nothing is selected".to_owned());
        match action {
            Action::Open | Action::Copy | Action::Pager | Action::Editor | Action::Mark => {
                selected()
            }
            Action::MarkRange | Action::CopyMarked | Action::ClearMarks
                if self.marks.is_empty() =>
            {
                Err("nothing is marked; space marks".into())
            }
            Action::Report => self.incident(desk).map(drop),
            Action::Undo => self.is_in_hand(desk),
            Action::Export if self.shown.is_empty() => Err("nothing is listed".into()),
            Action::Sort | Action::SortReverse => {
                Err("records stand in the order they were written; / narrows".into())
            }
            Action::NextMatch | Action::PrevMatch => Err("no search here; / narrows".into()),
            Action::Follow | Action::Wrap | Action::Times => Err("not in a record".into()),
            Action::CheckChain if self.asking.chain.is_some() => {
                Err("the chain is being checked".into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn start(&mut self, action: Action, desk: &mut Desk) -> Wish {
        if let Some(by) = movement(action) {
            return self.moved(by, desk);
        }
        match action {
            Action::Open => return self.open(desk),
            Action::Back => self.back(desk),
            Action::NextPane | Action::PrevPane => {
                self.pane = if self.pane == Pane::List { Pane::Detail } else { Pane::List };
                self.detail_top = 0;
            }
            Action::Filter => self.prompt = Some((self.filter.clone(), self.filter.text.clone())),
            Action::Left => self.unfold(false, desk),
            Action::Right => self.unfold(true, desk),
            Action::PrevPhase => return self.widen(-1, desk),
            Action::NextPhase => return self.widen(1, desk),
            Action::Mark => self.mark(),
            Action::MarkRange => self.mark_range(),
            Action::ClearMarks => self.marks.clear(),
            Action::CheckChain => {
                let (question, effect) = desk.ask(Question::VerifyChain);
                self.asking.chain = Some(question);
                self.chain = ChainState::Checking;
                return Wish::of(vec![effect]);
            }
            Action::Copy => return self.copy(desk),
            Action::CopyMarked => return self.copy_marked(desk),
            Action::Export => return self.export(desk),
            Action::Pager | Action::Editor => return self.whole(action, desk),
            Action::Report => return self.report(desk),
            Action::Refresh => {
                self.asking.looks = LOOKS;
                return Wish::of(self.wanted(desk));
            }
            _ => {}
        }
        Wish::default()
    }

    /// Only what is missing between records that are here, so that nobody has to move for it.
    pub(super) fn wanted_for_gap(&mut self, desk: &mut Desk) -> Vec<Effect> {
        if self.book.wants().is_some() || self.book.is_empty() {
            self.wanted(desk)
        } else {
            Vec::new()
        }
    }

    // ---- moving ---------------------------------------------------------------------------------------------

    fn moved(&mut self, by: Move, desk: &mut Desk) -> Wish {
        let body = chrome::parts(Rect::new(0, 0, desk.size.0, desk.size.1))[1];
        let places = self.places(desk, body);
        let inner = |area: Option<Rect>| {
            let area = area.unwrap_or_default();
            let (width, height) = (area.width.saturating_sub(2), area.height.saturating_sub(2));
            Rect { width, height, ..area }
        };
        if self.pane == Pane::Detail {
            let inner = inner(places.detail);
            let height = usize::from(inner.height);
            let last = self.detail_rows(desk, inner).saturating_sub(height);
            self.detail_top = self.detail_top.saturating_add_signed(by.rows(height)).min(last);
            return Wish::default();
        }
        let height = VTable::height(inner(places.list));
        let len = self.shown.len();
        let row = Window::moved(self.selected_row(), by, len, height);
        self.selected = row.and_then(|row| self.shown.get(row).copied());
        let mut window = Window { offset: self.offset() };
        window.keep_visible(row, len, height);
        self.top = (window.offset > 0).then(|| self.shown.get(window.offset).copied()).flatten();
        self.detail_top = 0;
        let read = self.take_in_hand(desk);
        self.asking.looks = LOOKS;
        let mut effects = self.wanted(desk);
        effects.extend(read);
        Wish::of(effects)
    }

    /// The incident of the selected record is the one in hand, as on every screen; an older one is read.
    fn take_in_hand(&self, desk: &mut Desk) -> Option<Effect> {
        let entry = self.selected_entry()?;
        let id = entry.deed.incident.filter(|id| desk.selected != Some(*id))?;
        desk.selected = Some(id);
        if desk.incident_now(id).is_some() {
            return None;
        }
        let number = number(&entry.deed, &self.book, desk)?;
        Some(desk.ask(Question::Incident(number)).1)
    }

    /// What acts on the incident in hand acts on the one of the record that is seen.
    fn is_in_hand(&self, desk: &Desk) -> Result<(), String> {
        let of_record = self.selected_entry().and_then(|entry| entry.deed.incident);
        match of_record {
            Some(id) if desk.selected == Some(id) => Ok(()),
            Some(_) => Err("move onto the record first".into()),
            None => Err("this record belongs to no incident".into()),
        }
    }

    /// The id and number of the selected record's incident.
    fn incident(&self, desk: &Desk) -> Result<(crate::domain::ids::IncidentId, u64), String> {
        let entry = self.selected_entry().ok_or("nothing is selected")?;
        let id = entry.deed.incident.ok_or("this record belongs to no incident")?;
        let number = number(&entry.deed, &self.book, desk);
        Ok((id, number.ok_or("the number of its incident is being read")?))
    }

    /// From the list into the record, from the record to its incident.
    fn open(&mut self, desk: &mut Desk) -> Wish {
        if self.pane == Pane::List {
            self.pane = Pane::Detail;
            self.detail_top = 0;
            return Wish::default();
        }
        let (id, number) = match self.incident(desk) {
            Ok(incident) => incident,
            Err(reason) => {
                desk.say(reason);
                return Wish::default();
            }
        };
        desk.selected = Some(id);
        let unknown = desk.incident_now(id).is_none();
        let effects = unknown.then(|| desk.ask(Question::Incident(number)).1).into_iter().collect();
        Wish { effects, ..Wish::go("Incident") }
    }

    /// Ends the innermost thing: the record, the marks, the filter.
    fn back(&mut self, desk: &mut Desk) {
        if self.pane == Pane::Detail {
            self.pane = Pane::List;
        } else if !self.marks.is_empty() {
            self.marks.clear();
        } else if !self.filter.is_empty() {
            self.filter = super::Filter::default();
            self.relist(desk);
        }
    }

    fn unfold(&mut self, chatter: bool, desk: &Desk) {
        if self.pane == Pane::List && self.chatter != chatter {
            self.chatter = chatter;
            self.relist(desk);
        }
    }

    fn widen(&mut self, by: isize, desk: &mut Desk) -> Wish {
        let range = self.range.step(by);
        if range == self.range {
            desk.say(format!("{} is the last; the other way is left", range.word()));
            return Wish::default();
        }
        self.range = range;
        self.asking.looks = LOOKS;
        self.relist(desk);
        Wish::of(self.wanted(desk))
    }

    // ---- marks ----------------------------------------------------------------------------------------------

    fn mark(&mut self) {
        if let Some(seq) = self.selected
            && !self.marks.remove(&seq)
        {
            self.marks.insert(seq);
        }
    }

    /// Everything listed between the selected record and the nearest mark.
    fn mark_range(&mut self) {
        let Some(here) = self.selected else { return };
        let Some(there) = self.marks.iter().copied().min_by_key(|seq| seq.abs_diff(here)) else {
            return;
        };
        let between = here.min(there)..=here.max(there);
        self.marks.extend(self.shown.iter().copied().filter(|seq| between.contains(seq)));
    }

    // ---- ways out -------------------------------------------------------------------------------------------

    /// A listed record as one line of text.
    fn line(&self, row: usize, desk: &Desk) -> String {
        let Some(entry) = self.shown.get(row).and_then(|seq| self.book.get(*seq)) else {
            return String::new();
        };
        let deed = &entry.deed;
        let at = deed.at.format("%Y-%m-%d %H:%M:%S");
        let incident = number(deed, &self.book, desk).map(incident_name);
        let parts = [deed.target.clone(), incident, digits(deed, &self.book)];
        let about: Vec<String> = parts.into_iter().flatten().collect();
        let line =
            format!("{at} {} {} {} {}", deed.actor, deed.action, about.join(" "), self.result(row));
        crate::narrate::clean(&line.replace(['\n', '\r'], " | "))
    }

    fn copy(&self, desk: &Desk) -> Wish {
        let (Some(entry), Some(row)) = (self.selected_entry(), self.selected_row()) else {
            return Wish::default();
        };
        let (text, what) = match self.pane {
            Pane::List => (self.line(row, desk), "1 record"),
            Pane::Detail => (detail::text(entry, &self.book, desk), "the whole record"),
        };
        Wish::of(vec![Effect::Copy { text, what: what.into() }])
    }

    fn copy_marked(&self, desk: &Desk) -> Wish {
        let rows = (0..self.shown.len()).filter(|row| self.marks.contains(&self.shown[*row]));
        let lines: Vec<String> = rows.map(|row| self.line(row, desk)).collect();
        let what = crate::domain::words::counted(lines.len() as u64, "record");
        Wish::of(vec![Effect::Copy { text: lines.join("\n"), what }])
    }

    /// What is listed, once for people and once for programs.
    fn export(&self, desk: &Desk) -> Wish {
        let stamp = desk.now.at.format("%Y%m%d-%H%M%S");
        let text: String = (0..self.shown.len()).map(|row| self.line(row, desk) + "\n").collect();
        let entries = self.shown.iter().filter_map(|seq| self.book.get(*seq));
        let json: String =
            entries.map(|entry| format!("{}\n", crate::store::audit::line(&entry.raw()))).collect();
        Wish::of(vec![
            Effect::Export { name: format!("audit-{stamp}.jsonl"), text: json },
            Effect::Export { name: format!("audit-{stamp}.txt"), text },
        ])
    }

    fn whole(&self, action: Action, desk: &Desk) -> Wish {
        let Some(entry) = self.selected_entry() else { return Wish::default() };
        let name = format!("record-{}.txt", entry.deed.seq);
        let text = detail::text(entry, &self.book, desk);
        let effect = match action {
            Action::Editor => Effect::Edit { name, text },
            _ => Effect::Page { name, text },
        };
        Wish::of(vec![effect])
    }

    fn report(&mut self, desk: &mut Desk) -> Wish {
        let Ok((_, number)) = self.incident(desk) else { return Wish::default() };
        let (question, effect) = desk.ask(Question::Report(number));
        self.asking.report = Some(question);
        Wish::of(vec![effect])
    }
}
