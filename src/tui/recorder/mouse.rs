//! A mouse event in a recording.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key::{Modifier, held, named};

#[derive(Serialize, Deserialize)]
struct Mouse {
    kind: Kind,
    column: u16,
    row: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    with: Vec<Modifier>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Down(Button),
    Up(Button),
    Drag(Button),
    Moved,
    ScrollDown,
    ScrollUp,
    ScrollLeft,
    ScrollRight,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Button {
    Left,
    Right,
    Middle,
}

impl From<MouseButton> for Button {
    fn from(button: MouseButton) -> Self {
        match button {
            MouseButton::Left => Self::Left,
            MouseButton::Right => Self::Right,
            MouseButton::Middle => Self::Middle,
        }
    }
}

impl From<Button> for MouseButton {
    fn from(button: Button) -> Self {
        match button {
            Button::Left => Self::Left,
            Button::Right => Self::Right,
            Button::Middle => Self::Middle,
        }
    }
}

/// Writes a mouse event.
pub fn serialize<S: Serializer>(event: &MouseEvent, to: S) -> Result<S::Ok, S::Error> {
    let kind = match event.kind {
        MouseEventKind::Down(button) => Kind::Down(button.into()),
        MouseEventKind::Up(button) => Kind::Up(button.into()),
        MouseEventKind::Drag(button) => Kind::Drag(button.into()),
        MouseEventKind::Moved => Kind::Moved,
        MouseEventKind::ScrollDown => Kind::ScrollDown,
        MouseEventKind::ScrollUp => Kind::ScrollUp,
        MouseEventKind::ScrollLeft => Kind::ScrollLeft,
        MouseEventKind::ScrollRight => Kind::ScrollRight,
    };
    let with = named(event.modifiers);
    Mouse { kind, column: event.column, row: event.row, with }.serialize(to)
}

/// Reads it back.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MouseEvent, D::Error> {
    let Mouse { kind, column, row, with } = Mouse::deserialize(from)?;
    let kind = match kind {
        Kind::Down(button) => MouseEventKind::Down(button.into()),
        Kind::Up(button) => MouseEventKind::Up(button.into()),
        Kind::Drag(button) => MouseEventKind::Drag(button.into()),
        Kind::Moved => MouseEventKind::Moved,
        Kind::ScrollDown => MouseEventKind::ScrollDown,
        Kind::ScrollUp => MouseEventKind::ScrollUp,
        Kind::ScrollLeft => MouseEventKind::ScrollLeft,
        Kind::ScrollRight => MouseEventKind::ScrollRight,
    };
    Ok(MouseEvent { kind, column, row, modifiers: held(&with) })
}
