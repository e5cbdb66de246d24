//! Where the person was when the console was left: screen, filters, orders, zoom. Never marks, dialogs, typed text
//! or whether changes were allowed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::console::Console;

const FILE: &str = "tui.json";

/// What survives a restart of the console.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// The screen's title.
    pub screen: String,
    pub zoomed: bool,
    /// What each screen wants to remember, by its title.
    pub screens: BTreeMap<String, Value>,
}

impl Console {
    /// Where the person is.
    pub fn save(&self) -> Saved {
        let of = |screen: &dyn super::screens::Screen| (screen.title().to_owned(), screen.save());
        // What is being typed is not meant yet.
        let settled = self.screens.iter().filter(|screen| screen.prompt().is_none());
        let screens = settled.map(|screen| of(&**screen));
        Saved {
            screen: self.screen().map_or_else(String::new, |screen| screen.title().to_owned()),
            zoomed: self.desk.zoomed,
            screens: screens.filter(|(_, saved)| !saved.is_null()).collect(),
        }
    }

    /// Goes back to where the person was; what this version does not know is ignored.
    pub fn restore(&mut self, saved: &Saved) {
        for screen in &mut self.screens {
            if let Some(saved) = saved.screens.get(screen.title()) {
                screen.restore(saved);
            }
        }
        if let Some(at) = self.screens.iter().position(|screen| screen.title() == saved.screen) {
            self.current = at;
            self.desk.zoomed = saved.zoomed;
        }
    }
}

/// Reads what was saved. A file that cannot be read as such is set aside, and the words say so.
pub fn load(state_dir: &Path) -> (Option<Saved>, Option<String>) {
    let path = state_dir.join(FILE);
    let read = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (None, None),
        Err(error) => Err(error.to_string()),
    };
    let reason = match read {
        Ok(saved) => return (Some(saved), None),
        Err(reason) => reason,
    };
    let aside = path.with_extension("json.broken");
    let said = match std::fs::rename(&path, &aside) {
        Ok(()) => {
            format!("the saved view is broken ({reason}); it is set aside as {}", aside.display())
        }
        Err(error) => {
            format!("the saved view in {} is broken ({reason}) and stays: {error}", path.display())
        }
    };
    (None, Some(said))
}

/// Writes it for the next time, as a whole or not at all.
pub fn store(state_dir: &Path, saved: &Saved) -> io::Result<()> {
    let text = serde_json::to_string_pretty(saved)?;
    let temporary = state_dir.join(format!("{FILE}.{}", std::process::id()));
    let written = write(&temporary, &text);
    let moved = written.and_then(|()| std::fs::rename(&temporary, state_dir.join(FILE)));
    if moved.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    moved
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
