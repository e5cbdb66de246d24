//! A key in a recording: by its name, with how it moved.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tui::keymap;

#[derive(Serialize, Deserialize)]
struct Key {
    /// Empty for a key without a name, which nothing listens to.
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    /// Modifiers that are not in the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    with: Vec<Modifier>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Repeat,
    Release,
}

/// A modifier by its name.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Modifier {
    Shift,
    Ctrl,
    Alt,
    Super,
    Hyper,
    Meta,
}

const MODIFIERS: [(Modifier, KeyModifiers); 6] = [
    (Modifier::Shift, KeyModifiers::SHIFT),
    (Modifier::Ctrl, KeyModifiers::CONTROL),
    (Modifier::Alt, KeyModifiers::ALT),
    (Modifier::Super, KeyModifiers::SUPER),
    (Modifier::Hyper, KeyModifiers::HYPER),
    (Modifier::Meta, KeyModifiers::META),
];

pub(super) fn named(held: KeyModifiers) -> Vec<Modifier> {
    MODIFIERS.iter().filter(|(_, one)| held.contains(*one)).map(|(name, _)| *name).collect()
}

pub(super) fn held(names: &[Modifier]) -> KeyModifiers {
    let of = MODIFIERS.iter().filter(|(name, _)| names.contains(name));
    of.fold(KeyModifiers::NONE, |held, (_, one)| held | *one)
}

/// Writes a key event.
pub fn serialize<S: Serializer>(event: &KeyEvent, to: S) -> Result<S::Ok, S::Error> {
    let in_name = event.modifiers & KeyModifiers::CONTROL;
    let bare = KeyEvent { modifiers: in_name, ..*event };
    let name = keymap::name_of(&bare).unwrap_or_default();
    let rest = if name.is_empty() { event.modifiers } else { event.modifiers - in_name };
    let kind = match event.kind {
        KeyEventKind::Press => None,
        KeyEventKind::Repeat => Some(Kind::Repeat),
        KeyEventKind::Release => Some(Kind::Release),
    };
    Key { name, kind, with: named(rest) }.serialize(to)
}

/// Reads it back.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<KeyEvent, D::Error> {
    let key = Key::deserialize(from)?;
    let event = match key.name.as_str() {
        "" => Some(KeyEvent::new(KeyCode::Null, KeyModifiers::NONE)),
        name => keymap::key_of(name),
    };
    let mut event =
        event.ok_or_else(|| serde::de::Error::custom(format!("there is no key `{}`", key.name)))?;
    event.modifiers |= held(&key.with);
    event.kind = match key.kind {
        None => KeyEventKind::Press,
        Some(Kind::Repeat) => KeyEventKind::Repeat,
        Some(Kind::Release) => KeyEventKind::Release,
    };
    Ok(event)
}
