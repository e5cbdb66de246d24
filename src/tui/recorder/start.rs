//! Where a recording starts: everything that a console needs to be made as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::ids::IncidentId;
use crate::engine::handle::Snapshot;
use crate::tui::console::Console;
use crate::tui::desk::{Desk, Settings};
use crate::tui::keymap::{self, Keys};
use crate::tui::message::{Link, Msg, Now};
use crate::tui::saved::Saved;
use crate::tui::settings::{style, style_text};
use crate::tui::theme::{Palette, Role, Theme};

/// The first line of a recording. Readers refuse another version.
pub(super) const VERSION: u32 = 1;

/// A console at some moment, without what a person had open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    pub version: u32,
    pub at: DateTime<Utc>,
    pub ms: u64,
    pub size: (u16, u16),
    palette: String,
    ascii: bool,
    /// A person's own looks, by role.
    own: BTreeMap<String, String>,
    /// Keys by the name of their action, where they are not the usual ones.
    keys: BTreeMap<String, Vec<String>>,
    settings: Settings,
    link: Link,
    pub(super) snapshot: Arc<Snapshot>,
    saved: Saved,
    frozen: bool,
    selected: Option<IncidentId>,
    progress: Vec<String>,
    /// The number of the newest order or question.
    numbered: u64,
}

impl Start {
    /// How a console stands now.
    pub fn of(console: &Console, now: Now) -> Self {
        let desk = &console.desk;
        let own = Role::ALL.into_iter().filter_map(|role| Some((role, desk.theme.own.get(role)?)));
        Self {
            version: VERSION,
            at: now.at,
            ms: now.ms,
            size: desk.size,
            palette: desk.theme.palette.as_str().into(),
            ascii: desk.theme.glyphs.is_ascii,
            own: own.map(|(role, style)| (role.as_str().into(), style_text(style))).collect(),
            keys: changed(&desk.keys),
            settings: desk.settings.clone(),
            link: desk.link.clone(),
            snapshot: Arc::clone(&desk.newest),
            saved: console.save(),
            frozen: desk.frozen,
            selected: desk.selected,
            progress: desk.progress.clone(),
            numbered: desk.numbered(),
        }
    }

    /// The moment.
    pub fn now(&self) -> Now {
        Now { at: self.at, ms: self.ms }
    }

    /// A console that stands there.
    pub fn console(&self) -> Console {
        let known = Palette::ALL.into_iter().find(|one| one.as_str() == self.palette);
        let mut theme = Theme::new(known.unwrap_or_default(), self.ascii);
        for role in Role::ALL {
            if let Some(style) = self.own.get(role.as_str()).and_then(|words| style(words).ok()) {
                theme.own.set(role, style);
            }
        }
        let mut desk = Desk::new(self.now(), self.size, theme, self.settings.clone());
        for (name, keys) in &self.keys {
            if let Some(binding) = keymap::named(name) {
                desk.keys.rebind(binding.action, keys);
            }
        }
        desk.progress.clone_from(&self.progress);
        let mut console = Console::new(desk);
        console.restore(&self.saved);
        console.desk.link = self.link.clone();
        if self.snapshot.seq > 0 || !self.snapshot.targets.is_empty() {
            console.update(Msg::Snapshot(Arc::clone(&self.snapshot)), self.now());
        }
        console.desk.frozen = self.frozen;
        console.desk.selected = self.selected;
        console.desk.number_from(self.numbered);
        console
    }
}

/// The keys that are not the table's.
fn changed(keys: &Keys) -> BTreeMap<String, Vec<String>> {
    let usual = Keys::default();
    let of = |keys: &Keys, action| keys.of(action).map(str::to_owned).collect::<Vec<_>>();
    let all =
        keymap::ALL.iter().map(|one| (one.name, of(keys, one.action), of(&usual, one.action)));
    let others = all.filter(|(_, keys, usual)| keys != usual);
    others.map(|(name, keys, _)| (name.to_owned(), keys)).collect()
}
