//! What stands between a key and a change: the key guard, the typed name, the countdown. Shared by every dialog
//! that asks.

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::keymap;
use super::message::Now;
use super::text::width;
use super::theme::{Role, Theme};
use super::widgets::draw::put;

/// Keys are swallowed for this long after a dialog opened or what it shows changed.
const SETTLE_MS: u64 = 400;
/// The key that opened a dialog stays dead until it was quiet for this long; a held key first repeats after up
/// to 660 ms on common systems.
const QUIET_MS: u64 = 700;
/// This many characters …
const BURST: usize = 4;
/// … within this time were not typed by a person.
const BURST_MS: u64 = 10;
/// How long a high risk counts down after the name was typed.
const COUNTDOWN_MS: u64 = 3_000;

/// The key that started the action a dialog belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opener {
    key: KeyCode,
    at_ms: u64,
}

impl Opener {
    /// From the key event, at the time it came.
    pub fn of(key: &KeyEvent, now: Now) -> Self {
        Self { key: key.code, at_ms: now.ms }
    }
}

/// Lets only deliberate keys through.
#[derive(Clone, Debug)]
pub struct Guard {
    settled_from: u64,
    /// The key that opened the dialog and when it was last heard of, while it is dead.
    dead: Option<Opener>,
}

impl Guard {
    /// For a dialog that opens now.
    pub fn new(opener: Option<Opener>, now: Now) -> Self {
        Self { settled_from: now.ms + SETTLE_MS, dead: opener }
    }

    /// What the dialog shows changed, or the person was elsewhere: look first.
    pub fn unsettle(&mut self, now: Now) {
        self.settled_from = now.ms + SETTLE_MS;
    }

    /// Whether this key may do something. A release never does.
    pub fn lets(&mut self, key: &KeyEvent, now: Now) -> bool {
        if let Some(dead) = self.dead.as_mut().filter(|dead| dead.key == key.code) {
            if key.kind == KeyEventKind::Release {
                self.dead = None;
                return false;
            }
            let quiet = now.ms >= dead.at_ms + QUIET_MS;
            dead.at_ms = now.ms;
            if !quiet {
                return false;
            }
            self.dead = None;
        }
        key.kind != KeyEventKind::Release && now.ms >= self.settled_from
    }
}

/// What has to be done to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Press `y`.
    Yes,
    /// Type the name.
    Typed,
    /// Type the name, wait, press enter.
    TypedAndWait,
}

/// What a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing happens.
    Nothing,
    /// Not for the confirmation: the dialog may use it (scrolling).
    Other,
    /// Confirmed, with what was typed.
    Confirmed { typed: Option<String> },
    /// This button was pressed.
    Button(usize),
}

/// The field, the buttons and the guard of one dialog. The first button confirms, the last one leaves.
#[derive(Clone, Debug)]
pub struct Confirm {
    guard: Guard,
    pub demand: Demand,
    /// The exact text to type.
    pub name: String,
    pub field: String,
    pub buttons: &'static [&'static str],
    /// 0 is the field; buttons follow.
    pub focus: usize,
    /// When the newest characters came.
    taps: VecDeque<u64>,
    /// From when on confirming is possible, after the name was typed.
    armed_from: Option<u64>,
    /// What the last key was answered with.
    pub note: Option<String>,
    /// Why confirming is off, for good.
    pub off: Option<String>,
    /// Why confirming is off, until something is done about it.
    pub not_yet: Option<String>,
    pub sent: bool,
}

impl Confirm {
    /// A confirmation that opens now.
    pub fn new(
        demand: Demand,
        name: impl Into<String>,
        buttons: &'static [&'static str],
        opener: Option<Opener>,
        now: Now,
    ) -> Self {
        let focus = if demand == Demand::Yes { buttons.len() } else { 0 };
        Self {
            guard: Guard::new(opener, now),
            demand,
            name: name.into(),
            field: String::new(),
            buttons,
            focus,
            taps: VecDeque::new(),
            armed_from: None,
            note: None,
            off: None,
            not_yet: None,
            sent: false,
        }
    }

    /// What the dialog shows changed, or the person was elsewhere.
    pub fn unsettle(&mut self, now: Now) {
        self.guard.unsettle(now);
    }

    /// Switches confirming off for good; what was typed is gone.
    pub fn switch_off(&mut self, reason: impl Into<String>, now: Now) {
        if self.off.is_none() {
            self.off = Some(reason.into());
            self.field.clear();
            self.armed_from = None;
            self.guard.unsettle(now);
        }
    }

    /// Seconds until a typed name may be confirmed, while it counts down.
    pub fn countdown(&self, now: Now) -> Option<u64> {
        let left = self.armed_from?.checked_sub(now.ms)?;
        (left > 0).then(|| left.div_ceil(1_000))
    }

    /// Whether the name was typed and the countdown is over: enter on the first button confirms.
    pub fn is_armed(&self, now: Now) -> bool {
        self.armed_from.is_some_and(|from| now.ms >= from)
    }

    /// The buttons on one row, the focused one reversed.
    pub fn draw_buttons(&self, area: Rect, buf: &mut Buffer, theme: &Theme) {
        let texts: Vec<String> = self
            .buttons
            .iter()
            .map(|button| format!("[ {} ]", button.replace('…', theme.glyphs.more)))
            .collect();
        // Where not all fit, the focused one is seen.
        let end = |first: usize| -> usize {
            let last = self.focus.clamp(1, texts.len()) - 1;
            texts[first..=last.max(first)].iter().map(|text| width(text) + 2).sum()
        };
        let room = usize::from(area.width) + 2;
        let first = (0..self.focus.max(1)).find(|first| end(*first) <= room).unwrap_or(0);
        let mut x = 0;
        for (index, text) in texts.iter().enumerate().skip(first) {
            let is_off = index == 0 && (self.off.is_some() || self.sent);
            let role = match () {
                () if self.focus == index + 1 => Role::Selection,
                () if is_off => Role::Muted,
                () => Role::Text,
            };
            x += put(buf, area, x, text, theme.style(role)) + 2;
        }
    }

    /// Whether the name stands in the field.
    pub fn matches(&self) -> bool {
        self.field == self.name
    }

    /// Pasted text is refused.
    pub fn paste(&mut self) {
        self.field.clear();
        self.armed_from = None;
        self.note = Some("type it; pasted text is refused".into());
    }

    /// Takes a key.
    pub fn key(&mut self, key: &KeyEvent, now: Now) -> Verdict {
        if !self.guard.lets(key, now) {
            return Verdict::Nothing;
        }
        let is_press = key.kind == KeyEventKind::Press;
        let plain = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        match key.code {
            KeyCode::Tab if is_press => self.step_focus(1),
            KeyCode::BackTab if is_press => self.step_focus(-1),
            KeyCode::Left | KeyCode::Right if is_press && self.focus > 0 => {
                self.step_focus(if key.code == KeyCode::Left { -1 } else { 1 })
            }
            KeyCode::Enter => return if is_press { self.enter(now) } else { Verdict::Nothing },
            KeyCode::Backspace if self.has_field() => {
                self.field.pop();
                self.armed_from = None;
                Verdict::Nothing
            }
            KeyCode::Char('u') if is_press && !plain && self.has_field() => {
                self.field.clear();
                self.armed_from = None;
                Verdict::Nothing
            }
            KeyCode::Char(c) if plain => return self.character(c, is_press, now),
            _ => return Verdict::Other,
        };
        Verdict::Nothing
    }

    fn has_field(&self) -> bool {
        self.demand != Demand::Yes && self.off.is_none() && !self.sent
    }

    fn step_focus(&mut self, by: isize) -> Verdict {
        let first = usize::from(self.demand == Demand::Yes || self.off.is_some());
        let count = self.buttons.len() + 1 - first;
        let at = self.focus.max(first) - first;
        let next = (at + count).saturating_add_signed(by) % count.max(1);
        self.focus = first + next;
        Verdict::Nothing
    }

    /// While the field exists every letter goes into it; there are no mnemonics.
    fn character(&mut self, c: char, is_press: bool, now: Now) -> Verdict {
        if !is_press || self.sent || self.off.is_some() {
            return Verdict::Nothing;
        }
        if self.demand == Demand::Yes {
            return if c == 'y' { self.confirm(now) } else { Verdict::Nothing };
        }
        self.taps.push_back(now.ms);
        if self.taps.len() > BURST {
            self.taps.pop_front();
        }
        let burst = self.taps.len() == BURST
            && self.taps.front().is_some_and(|first| now.ms - first < BURST_MS);
        if burst {
            self.paste();
            return Verdict::Nothing;
        }
        self.focus = 0;
        self.note = None;
        self.armed_from = None;
        self.field.push(c);
        Verdict::Nothing
    }

    fn enter(&mut self, now: Now) -> Verdict {
        match self.focus {
            0 | 1 => self.confirm(now),
            button => Verdict::Button(button - 1),
        }
    }

    fn confirm(&mut self, now: Now) -> Verdict {
        if self.sent {
            return Verdict::Nothing;
        }
        if self.off.is_some() || self.not_yet.is_some() {
            // Why stands beside the prompt already, and goes from there when it is no longer so.
            self.note = None;
            return Verdict::Nothing;
        }
        if self.demand == Demand::Yes {
            return Verdict::Confirmed { typed: None };
        }
        if !self.matches() {
            self.note = Some(self.missing());
            return Verdict::Nothing;
        }
        if self.demand == Demand::TypedAndWait {
            match self.armed_from {
                None => {
                    self.armed_from = Some(now.ms + COUNTDOWN_MS);
                    self.focus = 1;
                    return Verdict::Nothing;
                }
                Some(from) if now.ms < from || self.focus != 1 => return Verdict::Nothing,
                Some(_) => {}
            }
        }
        Verdict::Confirmed { typed: Some(self.field.clone()) }
    }

    /// What is still missing from the field, in words.
    fn missing(&self) -> String {
        if self.field.is_empty() {
            return format!("type {} first", self.name);
        }
        match self.name.strip_prefix(self.field.as_str()) {
            Some(rest) => format!("`{rest}` is missing"),
            None => format!("`{}` is not {}", self.field, self.name),
        }
    }
}

/// Whether a key is the one that opens a way to the whole text, from anywhere in a dialog.
pub fn is_full_text(key: &KeyEvent) -> bool {
    key.kind == KeyEventKind::Press && keymap::name_of(key).as_deref() == Some("ctrl-o")
}
