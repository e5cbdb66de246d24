//! Audit: the ordered history of deeds, newest first, with the record in hand beside it.
//!
//! Records come in pages from the store and one by one as they happen; selection and marks are their sequence
//! numbers, so nothing that arrives moves them.

mod act;
mod book;
pub(crate) mod deed;
mod detail;
mod draw;
mod filter;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Screen, Wish};
use crate::tui::desk::Desk;
use crate::tui::keymap::{Action, Focus};
use crate::tui::message::{Answer, Chain, Effect, Msg, Question};
use crate::tui::text::clean;
use book::{Book, Entry};
use filter::Filter;

/// Records per question.
const PAGE: u32 = 200;
/// So many rows below the selected one are read before they are needed.
const AHEAD: usize = 100;
/// Pages read in a row without anybody moving: a filter that matches nothing does not walk a whole store.
const LOOKS: u32 = 10;
/// Incidents whose numbers are asked for at a time.
const NAMES: u32 = 500;

/// Which pane has the focus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pane {
    #[default]
    List,
    Detail,
}

/// How far back the list goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Range {
    #[default]
    Today,
    Day,
    Week,
    All,
}

impl Range {
    const ALL: [Self; 4] = [Self::Today, Self::Day, Self::Week, Self::All];

    fn word(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Day => "24 h",
            Self::Week => "7 d",
            Self::All => "all",
        }
    }

    fn since(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Today => Some(now.date_naive().and_time(NaiveTime::MIN).and_utc()),
            Self::Day => Some(now - TimeDelta::days(1)),
            Self::Week => Some(now - TimeDelta::days(7)),
            Self::All => None,
        }
    }

    fn step(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|range| *range == self).unwrap_or(0);
        let next = at.saturating_add_signed(by).min(Self::ALL.len() - 1);
        Self::ALL[next]
    }
}

/// What is known about the whole chain.
#[derive(Clone, Debug, Default, PartialEq)]
enum ChainState {
    #[default]
    Unknown,
    Checking,
    Known(Chain),
}

/// Questions without an answer yet.
#[derive(Clone, Debug, Default)]
struct Asking {
    page: Option<(u64, Option<u64>)>,
    chain: Option<u64>,
    names: Option<u64>,
    report: Option<u64>,
    /// Pages that may still be read before somebody moves.
    looks: u32,
}

/// The screen.
#[derive(Debug, Default)]
pub struct AuditScreen {
    entered: bool,
    book: Book,
    /// Sequence numbers of what is listed, newest first.
    shown: VecDeque<u64>,
    selected: Option<u64>,
    /// The first row on the screen; none while that is the newest.
    top: Option<u64>,
    marks: BTreeSet<u64>,
    range: Range,
    filter: Filter,
    /// The filter as it was before it is typed anew, with the text so far.
    prompt: Option<(Filter, String)>,
    /// Whether what lies between deeds is listed.
    chatter: bool,
    pane: Pane,
    detail_top: usize,
    asking: Asking,
    /// Incidents before this number have to be asked for still; none when all numbers were read.
    names_before: Option<u64>,
    names_done: bool,
    chain: ChainState,
    trouble: Option<String>,
}

impl AuditScreen {
    /// Whether a record is listed.
    fn lists(&self, entry: &Entry, desk: &Desk) -> bool {
        let deed = &entry.deed;
        let unfolded = deed.is_deed || self.chatter || self.filter.names_kinds();
        let recent = self.range.since(desk.now.at).is_none_or(|since| deed.at >= since);
        unfolded && recent && self.filter.matches(deed, detail::number(deed, &self.book, desk))
    }

    /// Lists anew, after the filter or the range changed or older records came.
    fn relist(&mut self, desk: &Desk) {
        let listed = self.book.newest_first().filter(|entry| self.lists(entry, desk));
        let listed: VecDeque<u64> = listed.map(|entry| entry.deed.seq).collect();
        self.shown = listed;
        self.settle();
    }

    /// Keeps selection and view on records that are listed: the next older one takes the place of a missing one.
    fn settle(&mut self) {
        let row = self.selected.map(|seq| self.row_at(seq));
        let last = self.shown.len().saturating_sub(1);
        self.selected = self.shown.get(row.unwrap_or(0).min(last)).copied();
        let top = self.top.map(|seq| self.row_at(seq)).filter(|row| *row > 0);
        self.top = top.and_then(|row| self.shown.get(row.min(last)).copied());
    }

    /// The row of a record, or of the next older one.
    fn row_at(&self, seq: u64) -> usize {
        self.shown.partition_point(|shown| *shown > seq)
    }

    fn selected_row(&self) -> Option<usize> {
        self.selected.map(|seq| self.row_at(seq)).filter(|row| *row < self.shown.len())
    }

    fn selected_entry(&self) -> Option<&Entry> {
        self.book.get(self.selected?)
    }

    fn offset(&self) -> usize {
        self.top.map_or(0, |seq| self.row_at(seq))
    }

    /// Whether nothing older belongs to the list.
    fn is_complete(&self, desk: &Desk) -> bool {
        let since = self.range.since(desk.now.at);
        let beyond = |entry: &Entry| since.is_some_and(|since| entry.deed.at < since);
        self.book.reached_start || self.book.oldest().is_some_and(beyond)
    }

    // ---- questions ------------------------------------------------------------------------------------------

    /// What has to be read now: a gap, what is soon scrolled to, the numbers of incidents.
    fn wanted(&mut self, desk: &mut Desk) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.asking.page.is_none()
            && let Some(before) = self.next_page(desk)
        {
            let (question, effect) = desk.ask(Question::Audit { before, limit: PAGE });
            self.asking.page = Some((question, before));
            self.asking.looks = self.asking.looks.saturating_sub(1);
            effects.push(effect);
        }
        if self.asking.names.is_none() && !self.names_done && self.lacks_numbers(desk) {
            let filter = crate::ports::store::IncidentFilter {
                before_number: self.names_before,
                limit: NAMES,
                ..Default::default()
            };
            let (question, effect) = desk.ask(Question::Incidents(filter));
            self.asking.names = Some(question);
            effects.push(effect);
        }
        effects
    }

    /// Before which record the next page ends, when one is wanted.
    #[expect(clippy::option_option, reason = "no page at all, or the newest")]
    fn next_page(&self, desk: &Desk) -> Option<Option<u64>> {
        if let Some(above) = self.book.wants() {
            return Some(Some(above));
        }
        let Some(oldest) = self.book.oldest() else {
            let unread = !self.book.reached_start && self.asking.looks > 0;
            return unread.then_some(None);
        };
        let near = self.selected_row().unwrap_or(0) + AHEAD >= self.shown.len();
        let more = near && self.asking.looks > 0 && !self.is_complete(desk);
        more.then_some(Some(oldest.deed.seq))
    }

    fn lacks_numbers(&self, desk: &Desk) -> bool {
        let lacks = |entry: &Entry| {
            let deed = &entry.deed;
            deed.incident.is_some() && detail::number(deed, &self.book, desk).is_none()
        };
        self.shown.iter().filter_map(|seq| self.book.get(*seq)).any(lacks)
    }

    // ---- what arrives ---------------------------------------------------------------------------------------

    fn happened(&mut self, sealed: &std::sync::Arc<crate::domain::event::Sealed>, desk: &Desk) {
        let seq = sealed.event.seq;
        if !self.book.push(sealed) {
            return;
        }
        let forgot = self.book.forget_behind_gap();
        let trimmed = self.book.trim(self.selected);
        if forgot {
            self.asking.looks = LOOKS;
            return self.relist(desk);
        }
        if let Some(oldest) = trimmed {
            while self.shown.back().is_some_and(|seq| *seq < oldest) {
                self.shown.pop_back();
            }
            self.marks = self.marks.split_off(&oldest);
        }
        if self.book.get(seq).is_some_and(|entry| self.lists(entry, desk)) {
            let row = self.row_at(seq);
            self.shown.insert(row, seq);
            self.selected = self.selected.or(Some(seq));
        }
        if trimmed.is_some() {
            self.settle();
        }
    }

    fn answered(
        &mut self,
        question: u64,
        result: &Result<Answer, String>,
        desk: &mut Desk,
    ) -> Wish {
        if self.asking.page.is_some_and(|(asked, _)| asked == question) {
            return self.page_read(result, desk);
        }
        if self.asking.chain == Some(question) {
            self.asking.chain = None;
            self.chain_checked(result, desk);
        } else if self.asking.names == Some(question) {
            self.asking.names = None;
            self.names_read(result, desk);
            return Wish::of(self.wanted(desk));
        } else if self.asking.report == Some(question) {
            self.asking.report = None;
            if let Ok(Answer::Report { incident, markdown }) = result {
                let name = format!("report-{incident:04}.md");
                return Wish::of(vec![Effect::Page { name, text: markdown.clone() }]);
            }
        }
        Wish::default()
    }

    fn page_read(&mut self, result: &Result<Answer, String>, desk: &mut Desk) -> Wish {
        let Some((_, before)) = self.asking.page.take() else { return Wish::default() };
        match result {
            Ok(Answer::Audit { events, .. }) => {
                self.trouble = None;
                let is_last = u32::try_from(events.len()).unwrap_or(PAGE) < PAGE;
                self.book.read(before, events, is_last);
                self.relist(desk);
                Wish::of(self.wanted(desk))
            }
            Ok(_) => Wish::default(),
            Err(reason) => {
                // The next movement asks again, nothing else does.
                self.trouble = Some(reason.clone());
                self.asking.looks = 0;
                Wish::default()
            }
        }
    }

    fn chain_checked(&mut self, result: &Result<Answer, String>, desk: &mut Desk) {
        self.chain = match result {
            Ok(Answer::Chain(chain)) if chain.ok => {
                desk.say(format!("chain ok: {}", chain.sentence));
                ChainState::Known(chain.clone())
            }
            Ok(Answer::Chain(chain)) => {
                desk.warn(format!("chain BROKEN: {}", chain.sentence));
                ChainState::Known(chain.clone())
            }
            Ok(_) | Err(_) => ChainState::Unknown,
        };
    }

    fn names_read(&mut self, result: &Result<Answer, String>, desk: &Desk) {
        let Ok(Answer::Incidents { lines, .. }) = result else {
            self.names_done = true;
            return;
        };
        for line in lines {
            self.book.learn_number(line.id, line.number);
        }
        self.names_before = lines.last().map(|line| line.number).or(self.names_before);
        self.names_done = u32::try_from(lines.len()).unwrap_or(NAMES) < NAMES;
        // `inc:` knows more records now.
        self.relist(desk);
    }

    // ---- the filter -----------------------------------------------------------------------------------------

    fn edit(&mut self, desk: &mut Desk, change: impl FnOnce(&mut String)) -> Wish {
        let Some((_, text)) = &mut self.prompt else { return Wish::default() };
        change(text);
        // Half a term may be wrong until it is whole.
        if let Ok(filter) = Filter::parse(text) {
            self.filter = filter;
        }
        self.relist(desk);
        Wish::default()
    }

    fn leave_prompt(&mut self, keep: bool, desk: &mut Desk) -> Wish {
        let Some((before, text)) = self.prompt.take() else { return Wish::default() };
        self.filter = match Filter::parse(&text) {
            Ok(filter) if keep => filter,
            Err(reason) if keep => {
                desk.warn(reason);
                before
            }
            Ok(_) | Err(_) => before,
        };
        self.asking.looks = LOOKS;
        self.relist(desk);
        Wish::of(self.wanted(desk))
    }
}

/// Where the last character of a text starts.
fn last_start(text: &str) -> usize {
    text.char_indices().next_back().map_or(0, |(at, _)| at)
}

impl Screen for AuditScreen {
    fn title(&self) -> &'static str {
        "Audit"
    }

    fn focus(&self, _desk: &Desk) -> Focus {
        match self.pane {
            Pane::List => Focus::List,
            Pane::Detail => Focus::Log,
        }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let places = self.places(desk, area);
        if let Some(list) = places.list {
            self.draw_list(desk, list, buf);
        }
        if let Some(detail) = places.detail {
            self.draw_detail(desk, detail, buf);
        }
    }

    fn act(&mut self, action: Action, desk: &mut Desk) -> Wish {
        self.start(action, desk)
    }

    fn check(&self, action: Action, desk: &Desk) -> Result<(), String> {
        self.allows(action, desk)
    }

    fn enter(&mut self, desk: &mut Desk) -> Wish {
        self.entered = true;
        self.asking.looks = LOOKS;
        self.relist(desk);
        Wish::of(self.wanted(desk))
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Wish {
        if !self.entered {
            return Wish::default();
        }
        match msg {
            Msg::Event(sealed) => {
                self.happened(sealed, desk);
                Wish::of(self.wanted_for_gap(desk))
            }
            Msg::Answered { question, result } => self.answered(*question, result, desk),
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
            KeyCode::Backspace => self.edit(desk, |text| text.truncate(last_start(text))),
            KeyCode::Char('u') if ctrl => self.edit(desk, String::clear),
            KeyCode::Char(c) if !ctrl => self.edit(desk, |text| text.push(c)),
            _ => Wish::default(),
        }
    }

    fn pasted(&mut self, pasted: &str, desk: &mut Desk) -> Wish {
        self.edit(desk, |text| text.push_str(&clean(pasted)))
    }

    fn save(&self) -> serde_json::Value {
        serde_json::json!({ "filter": self.filter.text, "range": self.range.word() })
    }

    fn restore(&mut self, saved: &serde_json::Value) {
        let text = |name: &str| saved.get(name).and_then(serde_json::Value::as_str);
        if let Some(filter) = text("filter").and_then(|text| Filter::parse(text).ok()) {
            self.filter = filter;
        }
        let range = Range::ALL.into_iter().find(|range| Some(range.word()) == text("range"));
        self.range = range.unwrap_or_default();
    }
}
