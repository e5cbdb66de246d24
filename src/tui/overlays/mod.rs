//! What opens on top of a screen: dialogs, pickers, help, the palette. An overlay gets every key while it is open.

use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::console::Console;
use super::desk::Desk;
use super::keymap::Action;
use super::message::{Effect, Msg, Question};
use super::screens::Wish;

pub mod approve;
pub mod ask;
#[cfg(test)]
pub(crate) mod example;
pub mod help;
pub mod inject;
pub mod messages;
pub mod palette;
pub mod plan;
pub mod remedies;
pub mod text;
pub mod words;

/// What becomes of an overlay after it was told something.
#[derive(Default)]
pub struct Outcome {
    pub effects: Vec<Effect>,
    pub then: Then,
}

/// Whether it stays.
#[derive(Default)]
pub enum Then {
    #[default]
    Stay,
    Close,
    /// Closes and starts an action, as if its key had been pressed.
    Run(Action),
    /// Closes, and this opens in its place.
    Replace(Box<dyn Overlay>),
    /// This opens on top; closing it comes back here.
    Push(Box<dyn Overlay>),
}

impl Outcome {
    /// Stays as it is.
    pub fn stay() -> Self {
        Self::default()
    }

    /// Stays, and these are done.
    pub fn with(effects: Vec<Effect>) -> Self {
        Self { effects, then: Then::Stay }
    }

    /// Closes.
    pub fn close() -> Self {
        Self { effects: Vec::new(), then: Then::Close }
    }

    /// Ends another way.
    pub fn then(then: Then) -> Self {
        Self { effects: Vec::new(), then }
    }
}

/// Where an overlay is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under the screen, which keeps the rest; so many rows at most.
    Docked { rows: u16 },
    /// In the middle of the body, at most this large; the whole body where that is small.
    Centered { columns: u16, rows: u16 },
    /// The whole body.
    Full,
}

/// Something on top of a screen.
pub trait Overlay: Send {
    /// A word that names it in tests and recordings.
    fn name(&self) -> &'static str;

    /// Where it wants to be in a body of this size.
    fn place(&self, desk: &Desk, body: Rect) -> Place;

    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer);

    /// A key that went down (or repeats: `key.kind` tells). Ctrl-c, ctrl-l and ctrl-z never arrive here.
    fn key(&mut self, key: &KeyEvent, desk: &mut Desk) -> Outcome;

    /// Pasted text; what does not want any says so in a message.
    fn paste(&mut self, _text: &str, _desk: &mut Desk) -> Outcome {
        Outcome::stay()
    }

    /// A click; it never confirms anything.
    fn mouse(&mut self, _mouse: &MouseEvent, _desk: &mut Desk) -> Outcome {
        Outcome::stay()
    }

    /// Something arrived; the desk knows it already.
    fn told(&mut self, _msg: &Msg, _desk: &mut Desk) -> Outcome {
        Outcome::stay()
    }

    /// The size changed, the terminal got the focus back, or the console came back from elsewhere.
    fn unsettled(&mut self, _desk: &Desk) {}

    /// Esc was pressed, or ctrl-c: what the innermost thing is and how it ends. Closes by default.
    fn back(&mut self, _desk: &mut Desk) -> Outcome {
        Outcome::close()
    }

    /// Hints for the footer, as `key words`.
    fn hints(&self, desk: &Desk) -> Vec<(String, String)>;

    /// Whether something on it changes with the clock alone.
    fn depends_on_time(&self) -> bool {
        false
    }
}

/// Opens what an action asks for, where that is an overlay that means the same on every screen.
pub fn open(action: Action, console: &mut Console) -> Option<Wish> {
    match action {
        Action::Inject => Some(Wish::open(inject::Inject::new(&mut console.desk))),
        Action::Help => Some(Wish::open(help::Help::new(console))),
        Action::Palette => Some(Wish::open(palette::Palette::new(console))),
        Action::Messages => Some(Wish::open(messages::open(&console.desk))),
        Action::Report => report(&mut console.desk),
        _ => None,
    }
}

/// The post-mortem of the incident in hand, read from the store.
fn report(desk: &mut Desk) -> Option<Wish> {
    let incident = desk.selected().cloned()?;
    let (question, effect) = desk.ask(Question::Report(incident.number));
    let title = format!("Report of {}", incident.name());
    let text = text::Text::waiting(title, question).file(format!("{}.md", incident.name()));
    Some(Wish { effects: vec![effect], ..Wish::open(text) })
}
