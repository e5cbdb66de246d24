//! The console as a pure state machine: a message in, effects out, and a drawing of where it stands.

use crossterm::event::{KeyEvent, KeyEventKind, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::chrome;
use super::desk::Desk;
use super::enabled;
use super::flows;
use super::keymap::{self, Action, Focus, Group};
use super::message::{Answer, Effect, Link, Msg, Now};
use super::overlays::{Outcome, Overlay, Then};
use super::screens::{self, Screen, Wish};
use super::size;

/// How far one notch of the wheel goes.
const WHEEL_ROWS: usize = 3;

/// Ctrl-c twice within this quits.
const TWICE_MS: u64 = 1_000;

/// How soon the screen should show what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dirty {
    #[default]
    Clean,
    /// Data changed: within a thirtieth of a second.
    Data,
    /// A person did something: at once.
    Urgent,
}

/// The whole console.
pub struct Console {
    pub desk: Desk,
    pub(super) screens: Vec<Box<dyn Screen>>,
    pub(super) current: usize,
    previous: usize,
    /// The innermost is last.
    pub(super) overlays: Vec<Box<dyn Overlay>>,
    last_cancel: Option<u64>,
    dirty: Dirty,
    /// The text of what changes with samples alone, to know whether a frame is worth drawing.
    glance: Vec<String>,
}

impl Console {
    /// A console that knows nothing yet.
    pub fn new(desk: Desk) -> Self {
        Self {
            desk,
            screens: screens::ALL.iter().map(|make| make()).collect(),
            current: 0,
            previous: 0,
            overlays: Vec::new(),
            last_cancel: None,
            dirty: Dirty::Urgent,
            glance: Vec::new(),
        }
    }

    /// Takes one message; what it returns is to be done outside.
    pub fn update(&mut self, msg: Msg, now: Now) -> Vec<Effect> {
        self.desk.now = now;
        match msg {
            Msg::Key(key) => self.key(&key),
            Msg::Paste(text) => self.paste(&text),
            Msg::Mouse(mouse) => self.mouse(&mouse),
            Msg::Resize(columns, rows) => {
                self.desk.size = (columns, rows);
                self.unsettled()
            }
            Msg::Focus(has_focus) => {
                self.desk.has_focus = has_focus;
                if has_focus { self.unsettled() } else { Vec::new() }
            }
            Msg::Resumed => self.unsettled(),
            Msg::Tick => {
                self.raise(Dirty::Data);
                self.told(&msg)
            }
            Msg::Stop(_) => vec![Effect::Quit],
            Msg::Snapshot(_)
            | Msg::Event(_)
            | Msg::Missed(_)
            | Msg::Link(_)
            | Msg::Progress(_)
            | Msg::Replied { .. }
            | Msg::Unanswered { .. }
            | Msg::Answered { .. }
            | Msg::Done(_) => {
                let was_starting = self.desk.link == Link::Starting;
                let mut effects = self.learn(&msg);
                if was_starting && self.desk.link != Link::Starting {
                    effects.extend(self.arrive());
                }
                effects.extend(self.told(&msg));
                effects
            }
        }
    }

    /// How soon a frame is due; asking clears it.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// Whether the screen changes with the clock alone, so that a tick each second is wanted.
    pub fn wants_ticks(&self) -> bool {
        let desk = &self.desk;
        self.overlays.iter().any(|overlay| overlay.depends_on_time())
            || desk.message_now().is_some_and(|message| !message.is_error)
            || !desk.ordered.is_empty()
            || self.screens.get(self.current).is_some_and(|screen| screen.depends_on_time(desk))
    }

    /// Draws everything into a buffer that is empty.
    pub fn draw(&self, area: Rect, buf: &mut Buffer) {
        if size::is_too_small(area) {
            chrome::too_small(area, buf);
        } else {
            let [header, body, footer] = chrome::parts(area);
            chrome::header(self, header, buf);
            self.draw_body(body, buf);
            chrome::footer(self, footer, buf);
        }
        if self.desk.theme.glyphs.is_ascii {
            chrome::to_ascii(buf);
        }
    }

    fn draw_body(&self, body: Rect, buf: &mut Buffer) {
        let Some(screen) = self.screens.get(self.current) else { return };
        let Some(top) = self.overlays.last() else {
            return screen.draw(&self.desk, body, buf);
        };
        let (under, over) = chrome::placed(top.place(&self.desk, body), body);
        if let Some(under) = under {
            screen.draw(&self.desk, under, buf);
        }
        chrome::wipe(over, buf);
        top.draw(&self.desk, over, buf);
    }

    /// The screen a person is on.
    pub fn screen(&self) -> Option<&dyn Screen> {
        self.screens.get(self.current).map(|screen| &**screen)
    }

    /// The innermost overlay's name, when one is open.
    pub fn overlay(&self) -> Option<&'static str> {
        self.overlays.last().map(|overlay| overlay.name())
    }

    fn raise(&mut self, dirty: Dirty) {
        self.dirty = self.dirty.max(dirty);
    }

    // ---- what arrives -----------------------------------------------------------------------------------

    fn learn(&mut self, msg: &Msg) -> Vec<Effect> {
        let desk = &mut self.desk;
        match msg {
            Msg::Snapshot(snapshot) => {
                let effects = flows::arrived(desk, snapshot);
                desk.past.note(snapshot);
                let glance = chrome::glance(snapshot);
                if desk.snapshot.seq != self.desk.newest.seq || glance != self.glance {
                    self.glance = glance;
                    self.raise(Dirty::Data);
                }
                if !self.desk.frozen {
                    self.desk.snapshot = std::sync::Arc::clone(snapshot);
                }
                self.desk.newest = std::sync::Arc::clone(snapshot);
                flows::take_in_hand(&mut self.desk);
                return effects;
            }
            Msg::Event(sealed) => {
                desk.note_deed(sealed);
                desk.logs.push(sealed);
            }
            Msg::Missed(count) => flows::missed(desk, *count),
            Msg::Link(link) => {
                if let Link::Lost { reason, .. } = link {
                    desk.warn(format!("engine lost: {reason}"));
                } else if matches!(desk.link, Link::Lost { .. }) {
                    desk.say("the engine is back");
                }
                desk.link = link.clone();
            }
            Msg::Progress(line) => desk.progress.push(line.clone()),
            Msg::Replied { order, result } => {
                let ordered = desk.ordered.remove(order);
                match result {
                    Ok(accepted) => {
                        let command = ordered.as_ref().map(|(command, _)| command);
                        flows::asked_for(desk, command, accepted.incident);
                        desk.say(accepted.message.clone());
                    }
                    Err(refused) => desk.warn(refused.reason.clone()),
                }
            }
            Msg::Unanswered { order } if desk.ordered.remove(order).is_some() => {
                desk.warn("no answer in 5 s; it may have been recorded, see Audit (3)");
            }
            Msg::Answered { result: Ok(answer), .. } => learn_answer(desk, answer),
            Msg::Answered { result: Err(reason), .. } => desk.warn(reason.clone()),
            Msg::Done(Ok(sentence)) => desk.say(sentence.clone()),
            Msg::Done(Err(sentence)) => desk.warn(sentence.clone()),
            _ => {}
        }
        self.raise(Dirty::Data);
        Vec::new()
    }

    fn told(&mut self, msg: &Msg) -> Vec<Effect> {
        let mut effects = Vec::new();
        for index in 0..self.screens.len() {
            let wish = self.screens[index].told(msg, &mut self.desk);
            effects.extend(self.fulfil(wish));
        }
        if let Some(top) = self.overlays.last_mut() {
            let outcome = top.told(msg, &mut self.desk);
            effects.extend(self.settle(outcome));
        }
        effects
    }

    fn unsettled(&mut self) -> Vec<Effect> {
        self.raise(Dirty::Urgent);
        for overlay in &mut self.overlays {
            overlay.unsettled(&self.desk);
        }
        Vec::new()
    }

    // ---- what a person does -----------------------------------------------------------------------------

    fn key(&mut self, key: &KeyEvent) -> Vec<Effect> {
        let name = keymap::name_of(key);
        if size::is_too_small_for(self.desk.size) {
            let quits = key.kind == KeyEventKind::Press && name.as_deref() == Some("q");
            return if quits { self.run(Action::Quit) } else { Vec::new() };
        }
        if key.kind == KeyEventKind::Press {
            self.raise(Dirty::Urgent);
            self.desk.settle_error();
            match name.as_deref() {
                Some("ctrl-c") => return self.cancel(),
                Some("ctrl-l") => return vec![Effect::Redraw],
                Some("ctrl-z") => return vec![Effect::Suspend],
                _ => {}
            }
        }
        if let Some(top) = self.overlays.last_mut() {
            self.dirty = Dirty::Urgent;
            let is_esc = key.kind == KeyEventKind::Press && name.as_deref() == Some("esc");
            let outcome =
                if is_esc { top.back(&mut self.desk) } else { top.key(key, &mut self.desk) };
            return self.settle(outcome);
        }
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        if self.screens.get(self.current).is_some_and(|screen| screen.prompt().is_some()) {
            let wish = self.screens[self.current].typed(key, &mut self.desk);
            self.raise(Dirty::Urgent);
            return self.fulfil(wish);
        }
        let Some(action) = name.and_then(|name| self.action_of(&name)) else { return Vec::new() };
        let repeats = key.kind == KeyEventKind::Repeat;
        let moves = keymap::binding(action).is_some_and(|binding| binding.group == Group::Move);
        if repeats && !moves {
            return Vec::new();
        }
        self.raise(Dirty::Urgent);
        self.desk.opener = Some(super::confirm::Opener::of(key, self.desk.now));
        self.run(action)
    }

    fn action_of(&self, key: &str) -> Option<Action> {
        let screen = self.screen()?;
        self.desk.keys.action(key, screen.title(), screen.focus(&self.desk))
    }

    fn paste(&mut self, text: &str) -> Vec<Effect> {
        self.raise(Dirty::Urgent);
        // A line break in a paste presses nothing.
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        if let Some(top) = self.overlays.last_mut() {
            let outcome = top.paste(&text, &mut self.desk);
            return self.settle(outcome);
        }
        if self.screens.get(self.current).is_some_and(|screen| screen.prompt().is_some()) {
            let wish = self.screens[self.current].pasted(&text, &mut self.desk);
            return self.fulfil(wish);
        }
        self.desk.say("pasted text is not read as keys");
        Vec::new()
    }

    /// The wheel moves in the pane that has the focus; a click is the overlay's, and never confirms.
    fn mouse(&mut self, mouse: &MouseEvent) -> Vec<Effect> {
        if let Some(top) = self.overlays.last_mut() {
            let outcome = top.mouse(mouse, &mut self.desk);
            return self.settle(outcome);
        }
        let action = match mouse.kind {
            MouseEventKind::ScrollUp => Action::Up,
            MouseEventKind::ScrollDown => Action::Down,
            _ => return Vec::new(),
        };
        self.raise(Dirty::Urgent);
        (0..WHEEL_ROWS).flat_map(|_| self.run(action)).collect()
    }

    /// Ctrl-c: ends the innermost thing; a second one within a second quits.
    fn cancel(&mut self) -> Vec<Effect> {
        let now = self.desk.now.ms;
        let twice = self.last_cancel.is_some_and(|last| now < last + TWICE_MS);
        self.last_cancel = Some(now);
        if twice {
            return vec![Effect::Quit];
        }
        if let Some(top) = self.overlays.last_mut() {
            let outcome = top.back(&mut self.desk);
            return self.settle(outcome);
        }
        let wish = self.screens[self.current].act(Action::Back, &mut self.desk);
        self.desk.say("ctrl-c again within 1 s quits");
        self.fulfil(wish)
    }

    /// Starts an action, or says why it cannot be.
    pub fn run(&mut self, action: Action) -> Vec<Effect> {
        if let Err(reason) = self.check(action) {
            self.desk.say(reason);
            return Vec::new();
        }
        match action {
            Action::Screen(index) => self.go(index),
            Action::Previous => self.go(self.previous),
            Action::Zoom => {
                self.desk.zoomed = !self.desk.zoomed;
                Vec::new()
            }
            Action::Freeze => {
                self.desk.frozen = !self.desk.frozen;
                self.desk.snapshot = std::sync::Arc::clone(&self.desk.newest);
                Vec::new()
            }
            Action::Suspend => vec![Effect::Suspend],
            Action::Redraw => vec![Effect::Redraw],
            Action::Cancel => self.cancel(),
            Action::SaveScreen => vec![Effect::SaveScreen],
            Action::Theme => {
                let theme = &mut self.desk.theme;
                theme.palette = theme.palette.next();
                let name = theme.palette.as_str();
                self.desk.say(format!("theme {name}"));
                Vec::new()
            }
            Action::Density => {
                self.desk.settings.compact = !self.desk.settings.compact;
                Vec::new()
            }
            Action::Mouse => {
                self.desk.settings.mouse = !self.desk.settings.mouse;
                vec![Effect::Mouse(self.desk.settings.mouse)]
            }
            Action::NextWaiting => {
                let wish = flows::next_waiting(&mut self.desk);
                let mut effects = self.fulfil(wish);
                effects.extend(self.go(self.current));
                effects
            }
            _ => {
                let wish = match flows::start(action, self) {
                    Some(wish) => wish,
                    None => self.screens[self.current].act(action, &mut self.desk),
                };
                self.fulfil(wish)
            }
        }
    }

    /// Whether an action can be done now, or why not.
    pub fn check(&self, action: Action) -> Result<(), String> {
        let Some(screen) = self.screen() else { return Err("nothing is shown yet".into()) };
        let (title, focus) = (screen.title(), screen.focus(&self.desk));
        if let Some(binding) = keymap::binding(action)
            && !binding.scope.covers(title, focus)
        {
            return Err(enabled::elsewhere(binding.scope));
        }
        enabled::check(action, &self.desk)?;
        screen.check(action, &self.desk)
    }

    /// What has the focus now.
    pub fn focus(&self) -> Focus {
        self.screen().map_or(Focus::Neither, |screen| screen.focus(&self.desk))
    }

    fn go(&mut self, index: usize) -> Vec<Effect> {
        if index >= self.screens.len() {
            return Vec::new();
        }
        if index != self.current {
            self.screens[self.current].leave();
            self.previous = std::mem::replace(&mut self.current, index);
        }
        self.desk.zoomed = false;
        let wish = self.screens[index].enter(&mut self.desk);
        self.fulfil(wish)
    }

    /// There is an engine now: the screen that was restored before may ask for what it shows.
    fn arrive(&mut self) -> Vec<Effect> {
        if self.current == 0 {
            return Vec::new();
        }
        let wish = self.screens[self.current].enter(&mut self.desk);
        self.fulfil(wish)
    }

    fn fulfil(&mut self, wish: Wish) -> Vec<Effect> {
        let Wish { mut effects, open, go } = wish;
        if let Some(title) = go
            && let Some(index) = self.screens.iter().position(|screen| screen.title() == title)
        {
            effects.extend(self.go(index));
        }
        if let Some(overlay) = open {
            self.open(overlay);
        }
        effects
    }

    /// Opening any dialog ends a freeze: nobody decides about an old picture.
    fn open(&mut self, overlay: Box<dyn Overlay>) {
        self.raise(Dirty::Urgent);
        if self.desk.frozen {
            self.desk.frozen = false;
            self.desk.snapshot = std::sync::Arc::clone(&self.desk.newest);
        }
        self.overlays.push(overlay);
    }

    fn settle(&mut self, outcome: Outcome) -> Vec<Effect> {
        let Outcome { mut effects, then } = outcome;
        if !matches!(then, Then::Stay) || !effects.is_empty() {
            self.raise(Dirty::Urgent);
        }
        match then {
            Then::Stay => {}
            Then::Close => {
                self.overlays.pop();
                // What is under it is seen anew.
                if let Some(top) = self.overlays.last_mut() {
                    top.unsettled(&self.desk);
                }
            }
            Then::Run(action) => {
                self.overlays.pop();
                effects.extend(self.run(action));
            }
            Then::Replace(overlay) => {
                self.overlays.pop();
                self.open(overlay);
            }
            Then::Push(overlay) => self.open(overlay),
        }
        effects
    }
}

fn learn_answer(desk: &mut Desk, answer: &Answer) {
    match answer {
        Answer::Incident(Some(incident)) => desk.keep((**incident).clone()),
        Answer::Log { events, .. } => flows::recall(desk, events),
        Answer::History(points) => {
            let snapshot = std::sync::Arc::clone(&desk.newest);
            desk.past.recall(points, &snapshot);
        }
        _ => {}
    }
}

#[cfg(test)]
mod drawings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
