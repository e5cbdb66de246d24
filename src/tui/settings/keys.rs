//! Which keys can be given to actions: what every terminal sends and tells apart, and never two on one key.

use crate::config::nearest::nearest;
use crate::tui::keymap::{self, Action, Keys};

/// Keys that are read before any table, everywhere, with what they always do.
pub(super) const FIXED: [(Action, &str, &str); 4] = [
    (Action::Cancel, "ctrl-c", "cancels"),
    (Action::Suspend, "ctrl-z", "suspends"),
    (Action::Redraw, "ctrl-l", "redraws"),
    (Action::Back, "esc", "goes back"),
];

/// Names of keys that are no character.
const NAMED: [&str; 16] = [
    "space",
    "enter",
    "esc",
    "tab",
    "shift-tab",
    "up",
    "down",
    "left",
    "right",
    "home",
    "end",
    "pgup",
    "pgdn",
    "backspace",
    "delete",
    "F1",
];

/// Ctrl with these is another key to a terminal.
const SAME_AS: [(&str, &str); 11] = [
    ("ctrl-i", "tab"),
    ("ctrl-m", "enter"),
    ("ctrl-j", "enter"),
    ("ctrl-h", "backspace"),
    ("ctrl-[", "esc"),
    ("ctrl-4", "ctrl-\\"),
    ("ctrl-enter", "enter"),
    ("ctrl-tab", "tab"),
    ("ctrl-esc", "esc"),
    ("ctrl-backspace", "backspace"),
    ("ctrl-shift-tab", "shift-tab"),
];

/// Why no terminal can be relied on to send this key; `None` when every usual one does.
pub(super) fn unsendable(key: &str) -> Option<String> {
    for modifier in ["alt-", "meta-", "super-", "cmd-", "win-", "hyper-"] {
        if key.starts_with(modifier) {
            return Some(format!(
                "`{key}` is no key of its own in many terminals; take a character or `ctrl-` and a letter"
            ));
        }
    }
    if let Some((_, same)) = SAME_AS.iter().find(|(name, _)| *name == key) {
        return Some(format!(
            "terminals send `{same}` for `{key}`; write `{same}` or take another key"
        ));
    }
    if key == " " {
        return Some("write `space` for the space bar".into());
    }
    if let Some(bare) = key.strip_prefix("shift-").filter(|_| key != "shift-tab") {
        let capital = bare.to_uppercase();
        return Some(match bare.chars().count() {
            1 if capital != bare => format!("write `{capital}` for `{key}`"),
            _ => format!("many terminals send `{bare}` for `{key}`; take another key"),
        });
    }
    if let Some(bare) = key.strip_prefix("ctrl-").filter(|bare| bare.chars().count() == 1) {
        let small = bare.to_lowercase();
        return match bare {
            "\\" => None,
            _ if small != bare => {
                Some(format!("terminals send `ctrl-{small}` for `{key}`; write `ctrl-{small}`"))
            }
            _ if bare.starts_with(|c: char| c.is_ascii_lowercase()) => None,
            _ => Some(format!("many terminals do not send `{key}`; take `ctrl-` and a letter")),
        };
    }
    unknown(key)
}

fn unknown(key: &str) -> Option<String> {
    let number = key.strip_prefix('F').and_then(|number| number.parse::<u8>().ok());
    if number.is_some_and(|number| !(1..=12).contains(&number)) {
        return Some(format!("many terminals do not send `{key}`; take `F1` to `F12`"));
    }
    let event = keymap::key_of(key).filter(|_| !key.chars().any(char::is_control));
    if event.and_then(|event| keymap::name_of(&event)).as_deref() == Some(key) {
        return None;
    }
    let near = match key.to_lowercase().as_str() {
        "escape" => Some("esc"),
        "return" => Some("enter"),
        "pageup" => Some("pgup"),
        "pagedown" => Some("pgdn"),
        "backtab" => Some("shift-tab"),
        "del" => Some("delete"),
        other => nearest(other, NAMED).first().copied().filter(|_| other.len() > 2),
    };
    Some(match near {
        Some(near) => format!("there is no key `{}`; did you mean `{near}`?", key.escape_debug()),
        None => format!(
            "there is no key `{}`; write a character, `ctrl-` and a letter, or a name like `pgdn`",
            key.escape_debug()
        ),
    })
}

/// Every key with two actions that work in the same place.
pub(super) fn clashes(keys: &Keys) -> Vec<(String, Action, Action)> {
    let all: Vec<_> = keys.iter().collect();
    let mut clashes = Vec::new();
    for (index, (key, one)) in all.iter().enumerate() {
        for (_, other) in all[index + 1..].iter().filter(|(known, _)| known == key) {
            let scope = |action| keymap::binding(action).map(|binding| binding.scope);
            let (Some(a), Some(b)) = (scope(*one), scope(*other)) else { continue };
            if one != other && a.overlaps(b) {
                clashes.push(((*key).to_owned(), *one, *other));
            }
        }
    }
    clashes
}
