//! The screens, one file each. [`ALL`] is the order of the tabs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::desk::Desk;
use super::keymap::{Action, Focus};
use super::message::{Effect, Msg};
use super::overlays::Overlay;

pub mod audit;
pub mod database;
pub mod incident;
pub mod metrics;
pub mod overview;

/// What a screen wants after it was told something.
#[derive(Default)]
pub struct Wish {
    pub effects: Vec<Effect>,
    /// A dialog to open on top.
    pub open: Option<Box<dyn Overlay>>,
    /// Another screen to go to, by its title.
    pub go: Option<&'static str>,
}

impl Wish {
    /// Effects only.
    pub fn of(effects: Vec<Effect>) -> Self {
        Self { effects, ..Self::default() }
    }

    /// A dialog.
    pub fn open(overlay: impl Overlay + 'static) -> Self {
        Self { open: Some(Box::new(overlay)), ..Self::default() }
    }

    /// Another screen.
    pub fn go(title: &'static str) -> Self {
        Self { go: Some(title), ..Self::default() }
    }
}

/// One full view. It holds where the person is in it; what is known stands on the [`Desk`].
pub trait Screen: Send {
    /// The tab's word.
    fn title(&self) -> &'static str;

    /// What has the focus now.
    fn focus(&self, desk: &Desk) -> Focus;

    /// Draws the body, between header and footer.
    fn draw(&self, desk: &Desk, area: Rect, buf: &mut Buffer);

    /// Does what a key or the palette asked; only actions of its own scope arrive, after `check`.
    fn act(&mut self, action: Action, desk: &mut Desk) -> Wish;

    /// Why an action cannot be done here now, beyond what holds on every screen.
    fn check(&self, _action: Action, _desk: &Desk) -> Result<(), String> {
        Ok(())
    }

    /// The person came here.
    fn enter(&mut self, _desk: &mut Desk) -> Wish {
        Wish::default()
    }

    /// The person went to another screen.
    fn leave(&mut self) {}

    /// Something arrived; the desk knows it already.
    fn told(&mut self, _msg: &Msg, _desk: &mut Desk) -> Wish {
        Wish::default()
    }

    /// The text being typed for a filter or search shown in the footer, with what it is for.
    fn prompt(&self) -> Option<(&'static str, &str)> {
        None
    }

    /// A key while a prompt is open.
    fn typed(&mut self, _key: &crossterm::event::KeyEvent, _desk: &mut Desk) -> Wish {
        Wish::default()
    }

    /// A paste while a prompt is open, without line breaks.
    fn pasted(&mut self, _text: &str, _desk: &mut Desk) -> Wish {
        Wish::default()
    }

    /// What of it survives a restart of the console.
    fn save(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Takes back what [`save`](Self::save) gave; anything unknown is ignored.
    fn restore(&mut self, _saved: &serde_json::Value) {}

    /// Whether something on it changes with the clock alone.
    fn depends_on_time(&self, _desk: &Desk) -> bool {
        false
    }
}

/// Makes a screen as it is at the start.
pub type Make = fn() -> Box<dyn Screen>;

/// Every screen, in the order of its tab.
pub const ALL: &[Make] = &[
    || Box::new(overview::Overview::default()),
    || Box::new(incident::IncidentScreen::default()),
    || Box::new(audit::AuditScreen::default()),
    || Box::new(metrics::MetricsScreen::default()),
    || Box::new(database::DatabaseScreen::default()),
];
