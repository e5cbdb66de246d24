//! The palette: every action by its name, with completion and what was said before. Enter runs the marked line;
//! pasted text is only text.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text::Text;
use super::{Outcome, Overlay, Place, Then};
use crate::tui::confirm::Opener;
use crate::tui::console::Console;
use crate::tui::desk::Desk;
use crate::tui::keymap::{self, Action};
use crate::tui::message::{Answer, Msg, Question};
use crate::tui::recorder;
use crate::tui::text::{Align, fit, skip, width};
use crate::tui::theme::Role;
use crate::tui::widgets::draw::{put, rows};
use crate::tui::widgets::pane::Pane;
use commands::Said;

mod commands;
mod info;
mod matching;

/// No line is longer.
const LONGEST: usize = 200;
/// So many lines are remembered.
const REMEMBERED: usize = 100;
/// The screen of one incident.
const INCIDENT: Action = Action::Screen(1);
const OVERVIEW: Action = Action::Screen(0);

/// The overlay.
#[derive(Debug)]
pub struct Palette {
    line: String,
    /// Which of the fitting names is marked.
    marked: usize,
    /// How far back in what was said before, from 1.
    recalled: usize,
    /// Why actions are off, as it was when this opened.
    off: Vec<(Action, String)>,
    /// What was wrong with the last line.
    error: Option<String>,
    /// The incident that is being read, with its question.
    reading: Option<(u64, u64)>,
}

impl Palette {
    /// An empty line.
    pub fn new(console: &Console) -> Self {
        let off = keymap::ALL.iter().filter_map(|binding| {
            let reason = console.check(binding.action).err()?;
            Some((binding.action, reason))
        });
        Self {
            line: String::new(),
            marked: 0,
            recalled: 0,
            off: off.collect(),
            error: None,
            reading: None,
        }
    }

    /// The lines that what was typed may become, best first.
    fn fitting(&self, desk: &Desk) -> Vec<String> {
        match self.line.split_once(' ') {
            None => {
                let best = matching::best(&self.line, commands::names());
                best.into_iter().map(str::to_owned).collect()
            }
            Some((name, word)) => {
                let words = commands::words_for(name, desk);
                let best = matching::best(word.trim(), words.iter().map(String::as_str));
                best.into_iter().map(|word| format!("{name} {word}")).collect()
            }
        }
    }

    fn set(&mut self, line: String) {
        self.line = line;
        self.marked = 0;
        self.error = None;
    }

    fn recall(&mut self, older: bool, desk: &Desk) {
        let most = desk.commands.len();
        self.recalled =
            if older { (self.recalled + 1).min(most) } else { self.recalled.saturating_sub(1) };
        let line = match self.recalled {
            0 => String::new(),
            back => desk.commands[most - back].clone(),
        };
        self.set(line);
    }

    /// Completes to the marked line; once it stands there, to the next one.
    fn complete(&mut self, back: bool, desk: &Desk) {
        let fitting = self.fitting(desk);
        if fitting.is_empty() {
            return;
        }
        let by = if back { fitting.len() - 1 } else { 1 };
        self.marked = (self.marked + by) % fitting.len();
        self.error = None;
    }

    /// What enter runs: the line itself where it says something whole, else the marked one.
    fn meant(&self, desk: &Desk) -> String {
        let line = self.line.trim();
        if line.is_empty() || (self.marked == 0 && commands::read(line, desk).is_ok()) {
            return line.to_owned();
        }
        self.fitting(desk).into_iter().nth(self.marked).unwrap_or_else(|| line.to_owned())
    }

    fn enter(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        let line = self.meant(desk);
        match commands::read(&line, desk) {
            Ok(said) => {
                remember(&line, desk);
                self.set(line);
                self.run(said, key, desk)
            }
            Err(reason) => {
                // A name that wants a word is filled in, so that only the word is left to type.
                if commands::WITH_WORD.iter().any(|(name, _)| *name == line) {
                    self.set(format!("{line} "));
                }
                self.error = Some(reason);
                Outcome::stay()
            }
        }
    }

    fn run(&mut self, said: Said, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        match said {
            Said::Nothing => Outcome::close(),
            Said::Run(Action::Palette | Action::Back) => Outcome::close(),
            Said::Run(action) => {
                if let Some((_, reason)) = self.off.iter().find(|(off, _)| *off == action) {
                    self.error = Some(reason.clone());
                    return Outcome::stay();
                }
                // What opens next must not take this key for its own.
                desk.opener = Some(Opener::of(key, desk.now));
                Outcome::then(Then::Run(action))
            }
            Said::Info => {
                let text = Text::new("Info", &info::text(desk)).file("info.txt");
                Outcome::then(Then::Replace(Box::new(text)))
            }
            Said::Record(file) => match recorder::order(&file) {
                Ok(effect) => Outcome { effects: vec![effect], then: Then::Close },
                Err(reason) => {
                    self.error = Some(reason);
                    Outcome::stay()
                }
            },
            Said::Theme(palette) => {
                desk.theme.palette = palette;
                desk.say(format!("theme {}", palette.as_str()));
                Outcome::close()
            }
            Said::Target(name) => self.target(&name, desk),
            Said::Incident(number) => self.incident(number, desk),
        }
    }

    /// The newest incident of a server, open ones first.
    fn target(&mut self, name: &str, desk: &mut Desk) -> Outcome {
        let of = desk.newest.incidents.iter().filter(|incident| incident.target == *name);
        match of.max_by_key(|incident| (incident.is_open(), incident.number)) {
            Some(incident) => {
                desk.selected = Some(incident.id);
                Outcome::then(Then::Run(OVERVIEW))
            }
            None => {
                self.error = Some(format!("{name} has no incident"));
                Outcome::stay()
            }
        }
    }

    fn incident(&mut self, number: u64, desk: &mut Desk) -> Outcome {
        let known = desk.newest.incidents.iter().find(|incident| incident.number == number);
        if let Some(incident) = known {
            desk.selected = Some(incident.id);
            return Outcome::then(Then::Run(INCIDENT));
        }
        let (question, effect) = desk.ask(Question::Incident(number));
        self.reading = Some((question, number));
        Outcome::with(vec![effect])
    }

    fn answered(
        &mut self,
        number: u64,
        answer: &Result<Answer, String>,
        desk: &mut Desk,
    ) -> Outcome {
        self.reading = None;
        match answer {
            Ok(Answer::Incident(Some(incident))) => {
                desk.keep((**incident).clone());
                desk.selected = Some(incident.id);
                return Outcome::then(Then::Run(INCIDENT));
            }
            Ok(_) => self.error = Some(format!("there is no incident {number}")),
            Err(reason) => self.error = Some(reason.clone()),
        }
        Outcome::stay()
    }

    fn add(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.line.chars().count());
        let mut line = self.line.clone();
        line.extend(text.chars().filter(|c| !c.is_control()).take(room));
        // A held key that opened this types itself.
        self.set(line.trim_start_matches([':', ' ']).to_owned());
        self.recalled = 0;
    }
}

/// Keeps a line, newest last and once.
fn remember(line: &str, desk: &mut Desk) {
    if line.is_empty() {
        return;
    }
    desk.commands.retain(|known| known != line);
    desk.commands.push(line.to_owned());
    if desk.commands.len() > REMEMBERED {
        desk.commands.remove(0);
    }
}

impl Overlay for Palette {
    fn name(&self) -> &'static str {
        "palette"
    }

    fn place(&self, _desk: &Desk, body: Rect) -> Place {
        Place::Docked { rows: 11.min(body.height * 2 / 3).max(5) }
    }

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer) {
        let theme = &desk.theme;
        let inner = Pane::new("Command").focused(true).draw(area, buf, theme);
        let mut free = rows(inner);
        let Some(row) = free.next() else { return };
        // The end of a long line stays in view.
        let shown = theme.shown(&self.line);
        let over = width(&shown).saturating_sub(usize::from(row.width).saturating_sub(3));
        let line = format!(":{}{}", skip(&shown, over), theme.glyphs.caret);
        put(buf, row, 0, &line, theme.style(Role::Text));
        let said = match (&self.error, self.reading) {
            (Some(error), _) => Some((error.clone(), Role::Bad)),
            (None, Some((_, number))) => Some((format!("reading incident {number}"), Role::Muted)),
            (None, None) => None,
        };
        if let Some((said, role)) = said
            && let Some(row) = free.next()
        {
            put(buf, row, 0, &theme.shown(&said), theme.style(role));
        }
        self.draw_fitting(desk, &free.collect::<Vec<_>>(), buf);
    }

    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome {
        if key.kind == KeyEventKind::Release || self.reading.is_some() {
            return Outcome::stay();
        }
        let is_press = key.kind == KeyEventKind::Press;
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter if is_press => return self.enter(key, desk),
            KeyCode::Up => self.recall(true, desk),
            KeyCode::Down => self.recall(false, desk),
            KeyCode::Tab => self.complete(false, desk),
            KeyCode::BackTab => self.complete(true, desk),
            KeyCode::Backspace if self.line.is_empty() && is_press => return Outcome::close(),
            KeyCode::Backspace => {
                let mut line = self.line.clone();
                line.pop();
                self.set(line);
            }
            KeyCode::Char('u') if ctrl => self.set(String::new()),
            KeyCode::Char(c) if !ctrl => self.add(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
        Outcome::stay()
    }

    fn paste(&mut self, text: &str, _desk: &mut Desk) -> Outcome {
        if self.reading.is_none() {
            self.add(text);
        }
        Outcome::stay()
    }

    fn told(&mut self, msg: &Msg, desk: &mut Desk) -> Outcome {
        match (msg, self.reading) {
            (Msg::Answered { question, result }, Some((asked, number))) if *question == asked => {
                self.answered(number, result, desk)
            }
            _ => Outcome::stay(),
        }
    }

    fn hints(&self, _desk: &Desk) -> Vec<(String, String)> {
        [("enter", "run"), ("tab", "next that fits"), ("up/down", "said before"), ("esc", "back")]
            .map(|(key, words)| (key.to_owned(), words.to_owned()))
            .into()
    }
}

impl Palette {
    fn draw_fitting(&self, desk: &Desk, free: &[Rect], buf: &mut Buffer) {
        let theme = &desk.theme;
        let fitting = self.fitting(desk);
        let skipped = (self.marked + 1).saturating_sub(free.len());
        let meant = self.meant(desk);
        for (row, (index, line)) in free.iter().zip(fitting.iter().enumerate().skip(skipped)) {
            let is_marked = !self.line.is_empty() && index == self.marked && *line == meant;
            let cursor = if is_marked { theme.glyphs.cursor } else { " " };
            let line = theme.shown(line);
            let action = commands::action(&line);
            let reason = action.and_then(|action| self.off.iter().find(|(off, _)| *off == action));
            let keys: Vec<_> = action.into_iter().flat_map(|action| desk.keys.of(action)).collect();
            let said = match reason {
                Some((_, reason)) => format!("off: {reason}"),
                None => commands::about(&line).to_owned(),
            };
            let columns = if action.is_some() { 18 } else { width(&line).max(18) };
            let name = fit(&line, columns, Align::Left, theme.glyphs.cut);
            let keys = fit(&keys.join(" "), 10, Align::Left, theme.glyphs.cut);
            let text = format!("{cursor} {name} {keys} {said}");
            let text = fit(&text, usize::from(row.width), Align::Left, theme.glyphs.cut);
            let role = match (is_marked, reason) {
                (true, _) => Role::Selection,
                (false, Some(_)) => Role::Muted,
                (false, None) => Role::Text,
            };
            put(buf, *row, 0, &text, theme.style(role));
        }
    }
}

#[cfg(test)]
mod tests;
