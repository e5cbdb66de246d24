//! `tui.toml`: keys, theme, looks and safety as a person wants them, checked as a whole before the console opens.

mod keys;
mod look;
mod print;
mod read;

use std::path::{Path, PathBuf};

use super::keymap::Keys;
use super::theme::{Own, Palette};
use crate::config::load::ConfigError;

pub use look::{style, style_text};
pub use print::print;

/// How often data alone is drawn at most, when nobody says otherwise.
pub const FPS: u16 = 30;
/// The frame rates that make sense.
pub const FPS_RANGE: std::ops::RangeInclusive<u16> = 1..=60;

/// What a person wants of the console, beyond this one start of it.
#[derive(Clone, Debug)]
pub struct Preferences {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    pub keys: Keys,
    /// `None` asks the terminal for its background.
    pub palette: Option<Palette>,
    pub own: Own,
    /// `None` goes by the locale.
    pub ascii: Option<bool>,
    pub mouse: bool,
    pub bell: bool,
    pub compact: bool,
    pub fps: u16,
    pub read_only: bool,
    /// Approvals want the target's name typed even at low risk.
    pub typed_confirm: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            file: None,
            keys: Keys::default(),
            palette: None,
            own: Own::default(),
            ascii: None,
            mouse: false,
            bell: true,
            compact: false,
            fps: FPS,
            read_only: false,
            typed_confirm: false,
        }
    }
}

/// Reads and checks the file; `None` when there is none. Everything that is wrong comes at once, in the order of
/// the lines.
pub fn load(path: &Path) -> Result<Option<Preferences>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let path = path.display();
            Err(ConfigError(vec![format!("{path}: {error}; make the file readable text")]))
        }
    }
}

/// The same for a text; `path` only names it.
pub fn parse(path: &Path, text: &str) -> Result<Preferences, ConfigError> {
    let (preferences, problems) = read::Reader::read(text);
    if problems.is_empty() {
        return Ok(preferences);
    }
    let said =
        problems.into_iter().map(|(line, words)| format!("{}:{line}: {words}", path.display()));
    Err(ConfigError(said.collect()))
}

#[cfg(test)]
mod tests;
