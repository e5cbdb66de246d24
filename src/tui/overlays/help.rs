//! Every key with its words, from the one table: what works here, what does not and why. A key runs what it means.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Outcome, Overlay, Place, Then};
use crate::tui::chrome;
use crate::tui::confirm::Opener;
use crate::tui::console::Console;
use crate::tui::desk::Desk;
use crate::tui::enabled;
use crate::tui::keymap::{self, Action, Binding, Focus, Group};
use crate::tui::size::Class;
use crate::tui::text::{Align, fit, width};
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane::Pane;
use crate::tui::widgets::scroll::scroll_bar;
use crate::tui::widgets::window::{Move, Window};

mod markdown;
mod page;

pub use markdown::markdown;

/// The overlay.
#[derive(Debug)]
pub struct Help {
    screen: &'static str,
    focus: Focus,
    /// What the screen itself has against an action, as it was when this opened.
    against: Vec<(Action, String)>,
    selected: Action,
    filter: String,
    is_filtering: bool,
}

impl Help {
    /// The keys of the screen a person is on.
    pub fn new(console: &Console) -> Self {
        let desk = &console.desk;
        let against = keymap::ALL.iter().filter_map(|binding| {
            let checked = console.screen()?.check(binding.action, desk);
            checked.err().map(|reason| (binding.action, reason))
        });
        Self {
            screen: console.screen().map_or("simctl", |screen| screen.title()),
            focus: console.focus(),
            against: against.collect(),
            selected: Action::Up,
            filter: String::new(),
            is_filtering: false,
        }
    }

    /// Why an action cannot be done here now.
    fn why_not(&self, binding: &Binding, desk: &Desk) -> Option<String> {
        if !binding.scope.covers(self.screen, self.focus) {
            return Some(enabled::elsewhere(binding.scope));
        }
        let against = || {
            let own = self.against.iter().find(|(action, _)| *action == binding.action);
            own.map(|(_, reason)| reason.clone())
        };
        enabled::check(binding.action, desk).err().or_else(against)
    }

    /// The bindings that the filter lets through, in the order of their groups.
    fn listed(&self, desk: &Desk) -> Vec<&'static Binding> {
        let wanted = self.filter.to_lowercase();
        let has = |binding: &&Binding| {
            let keys = keys_of(binding, desk);
            let text = format!("{} {} {keys}", binding.name, binding.hint).to_lowercase();
            let reason = self.why_not(binding, desk).unwrap_or_default();
            wanted.split_whitespace().all(|word| text.contains(word) || reason.contains(word))
        };
        let of = |group: Group| keymap::ALL.iter().filter(move |binding| binding.group == group);
        Group::ALL.into_iter().flat_map(of).filter(has).collect()
    }

    fn step(&mut self, by: Move, desk: &Desk) {
        let listed = self.listed(desk);
        let at = listed.iter().position(|binding| binding.action == self.selected);
        if let Some(next) = Window::moved(at, by, listed.len(), 20) {
            self.selected = listed[next].action;
        }
    }

    fn run(&self, action: Action, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        if matches!(action, Action::Help | Action::Back) {
            return Outcome::close();
        }
        let reason = keymap::binding(action).and_then(|binding| self.why_not(binding, desk));
        if let Some(reason) = reason {
            desk.say(reason);
            return Outcome::stay();
        }
        // What opens next must not take this key for its own.
        desk.opener = Some(Opener::of(key, desk.now));
        Outcome::then(Then::Run(action))
    }

    fn typed(&mut self, key: &KeyEvent, desk: &Desk) {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => self.is_filtering = false,
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char('u') if ctrl => self.filter.clear(),
            KeyCode::Char(c) if !ctrl => self.filter.push(c),
            _ => {}
        }
        self.keep_selected(desk);
    }

    /// The first of what is listed, where the selected one was filtered out.
    fn keep_selected(&mut self, desk: &Desk) {
        let listed = self.listed(desk);
        if listed.iter().all(|binding| binding.action != self.selected)
            && let Some(first) = listed.first()
        {
            self.selected = first.action;
        }
    }
}

/// The keys of an action as the configuration has them: `g home`.
fn keys_of(binding: &Binding, desk: &Desk) -> String {
    let keys: Vec<_> = desk.keys.of(binding.action).collect();
    if keys.is_empty() { format!(":{}", binding.name) } else { keys.join(" ") }
}

impl Overlay for Help {
    fn name(&self) -> &'static str {
        "help"
    }

    fn place(&self, desk: &Desk, body: Rect) -> Place {
        match chrome::class(desk) {
            Class::TooSmall | Class::Tiny | Class::Small => Place::Full,
            Class::Standard => {
                Place::Centered { columns: 112, rows: body.height.saturating_sub(3) }
            }
            Class::Wide => Place::Centered { columns: 160, rows: body.height.saturating_sub(8) },
        }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let title = match self.filter.as_str() {
            "" => format!("Help  {}  (press a key to run it, / to filter)", self.screen),
            filter => format!("Help  {}  filter: {filter}", self.screen),
        };
        let inner = Pane::new(title).focused(true).draw(area, buf, theme);
        let (page, selected) = page::of(self, desk, inner.width);
        let body = Rect { height: inner.height.saturating_sub(1), ..inner };
        let height = usize::from(body.height);
        let mut window = Window::default();
        window.keep_visible(Some(selected), page.len(), height);
        // With the last key selected, what stands below the keys is shown as far as it fits.
        if self.listed(desk).last().is_some_and(|last| last.action == self.selected) {
            window.offset = selected.min(page.len().saturating_sub(height));
        }
        for (row, line) in rows(body).zip(page.iter().skip(window.offset)) {
            let mut x = 0;
            for (text, role) in line {
                x += put(buf, row, x, text, theme.style(*role));
            }
        }
        scroll_bar(body, buf, theme, (page.len(), window.offset, height));
        let last = Rect { y: body.bottom(), height: inner.height.min(1), ..inner };
        self.draw_selected(desk, last, buf);
        draw_footer(desk, area, buf);
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        if key.kind == KeyEventKind::Release {
            return Outcome::stay();
        }
        if self.is_filtering {
            self.typed(key, desk);
            return Outcome::stay();
        }
        let name = keymap::name_of(key).unwrap_or_default();
        let by = match desk.keys.action(&name, self.screen, Focus::List) {
            Some(Action::Up) => Move::Up,
            Some(Action::Down) => Move::Down,
            Some(Action::First) => Move::Top,
            Some(Action::Last) => Move::Bottom,
            Some(Action::PageUp) => Move::PageUp,
            Some(Action::PageDown) => Move::PageDown,
            Some(Action::HalfUp) => Move::HalfUp,
            Some(Action::HalfDown) => Move::HalfDown,
            _ if key.kind == KeyEventKind::Repeat => return Outcome::stay(),
            Some(Action::Filter) => {
                self.is_filtering = true;
                return Outcome::stay();
            }
            Some(Action::Open) => return self.run(self.selected, key, desk),
            // The key as it is meant on the screen below, also where its pane has not the focus.
            Some(action) => return self.run(action, key, desk),
            None => {
                let named = desk.keys.iter().find(|(known, _)| *known == name);
                let action = named.map(|(_, action)| action);
                return action.map_or_else(Outcome::stay, |action| self.run(action, key, desk));
            }
        };
        self.step(by, desk);
        Outcome::stay()
    }

    fn paste(&mut self, text: &str, desk: &mut Desk) -> Outcome {
        if self.is_filtering {
            self.filter.push_str(text);
            self.keep_selected(desk);
        }
        Outcome::stay()
    }

    fn back(&mut self, desk: &mut Desk) -> Outcome {
        if !self.is_filtering && self.filter.is_empty() {
            return Outcome::close();
        }
        self.is_filtering = false;
        self.filter.clear();
        self.keep_selected(desk);
        Outcome::stay()
    }

    fn hints(&self, desk: &Desk) -> Vec<(String, String)> {
        if self.is_filtering {
            let text = format!("{}{}", desk.theme.shown(&self.filter), desk.theme.glyphs.caret);
            return [("filter:".to_owned(), text), ("enter".into(), "keep".into())].into();
        }
        [("/", "filter keys"), ("j/k", "scroll"), ("enter", "run the key"), ("esc", "back")]
            .map(|(key, words)| (key.to_owned(), words.to_owned()))
            .into()
    }
}

impl Help {
    /// What the selected key does, or why it does nothing.
    fn draw_selected(&self, desk: &Desk, row: Rect, buf: &mut Buffer) {
        let Some(binding) = keymap::binding(self.selected) else { return };
        let reason = self.why_not(binding, desk);
        let (said, role) = match &reason {
            Some(reason) => (format!("off: {reason}"), Role::Warn),
            None if binding.asks => ("asks first".into(), Role::Muted),
            None => ("works now".into(), Role::Muted),
        };
        let text = format!(" {}  :{}  {said}", keys_of(binding, desk), binding.name);
        let text = fit(&text, usize::from(row.width), Align::Left, desk.theme.glyphs.cut);
        put(buf, row, 0, &text, desk.theme.style(role));
    }
}

/// Version, configuration and looks, in the border below.
fn draw_footer(desk: &Desk, area: Rect, buf: &mut Buffer) {
    let theme = &desk.theme;
    let text = format!(
        " simctl {}  config {}  theme {} ",
        env!("CARGO_PKG_VERSION"),
        theme.shown(&desk.settings.config_file),
        theme.palette.as_str()
    );
    let columns = u16::try_from(width(&text)).unwrap_or(u16::MAX);
    if area.height > 2 && columns + 4 <= area.width {
        let row = Rect { y: area.bottom() - 1, height: 1, ..area };
        put(buf, row, area.width - columns - 1, &text, theme.style(Role::Muted));
    }
}

#[cfg(test)]
mod tests;
