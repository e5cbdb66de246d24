//! Colours by role and glyphs by meaning. Every colour is redundant: state is a word, phase is glyph and word.

use std::borrow::Cow;

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use crate::domain::execution::Phase;
use crate::tui::text;

/// What a piece of the screen means; the palette decides how that looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Text,
    Muted,
    Border,
    Title,
    Key,
    Selection,
    Match,
    Focus,
    Ok,
    /// Needs attention, or is going on.
    Warn,
    Bad,
    Command,
    Verify,
    Operator,
}

impl Role {
    pub const ALL: [Self; 14] = [
        Self::Text,
        Self::Muted,
        Self::Border,
        Self::Title,
        Self::Key,
        Self::Selection,
        Self::Match,
        Self::Focus,
        Self::Ok,
        Self::Warn,
        Self::Bad,
        Self::Command,
        Self::Verify,
        Self::Operator,
    ];

    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Muted => "muted",
            Self::Border => "border",
            Self::Title => "title",
            Self::Key => "key",
            Self::Selection => "selection",
            Self::Match => "match",
            Self::Focus => "focus",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Command => "command",
            Self::Verify => "verify",
            Self::Operator => "operator",
        }
    }
}

/// Which colours the terminal shows, on which background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Palette {
    #[default]
    Dark,
    /// A light background with sixteen colours.
    Light,
    /// A light background with 256 colours.
    Light256,
    /// No colours at all.
    Mono,
}

impl Palette {
    pub const ALL: [Self; 4] = [Self::Dark, Self::Light, Self::Light256, Self::Mono];

    /// The name people choose it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Light256 => "light256",
            Self::Mono => "mono",
        }
    }

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Light256,
            Self::Light256 => Self::Mono,
            Self::Mono => Self::Dark,
        }
    }
}

/// The marks of the screen, as characters every usual font has, or as plain ASCII.
#[derive(Debug, PartialEq, Eq)]
pub struct Glyphs {
    pub is_ascii: bool,
    pub border: border::Set<'static>,
    /// Before the selected row and the focused pane's title.
    pub cursor: &'static str,
    pub mark: &'static str,
    pub bar_full: &'static str,
    pub bar_empty: &'static str,
    /// From lowest to highest.
    pub spark: [&'static str; 8],
    pub scroll_bar: &'static str,
    /// Follows a cut text; one column.
    pub cut: &'static str,
    /// Follows a hint that asks first.
    pub more: &'static str,
    pub caret: &'static str,
    pub arrow: &'static str,
    pub down: &'static str,
    /// Behind the title of the column that is sorted by.
    pub ascending: &'static str,
    pub descending: &'static str,
    pub live: &'static str,
    pub target_ok: &'static str,
    pub target_warn: &'static str,
    pub target_bad: &'static str,
}

const UNICODE: Glyphs = Glyphs {
    is_ascii: false,
    border: border::PLAIN,
    cursor: "▸",
    mark: "●",
    bar_full: "█",
    bar_empty: "░",
    spark: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    scroll_bar: "█",
    cut: "…",
    more: "…",
    caret: "▏",
    arrow: "→",
    down: "▼",
    ascending: "↑",
    descending: "↓",
    live: "●",
    target_ok: "●",
    target_warn: "▲",
    target_bad: "✗",
};

const ASCII: Glyphs = Glyphs {
    is_ascii: true,
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
    cursor: ">",
    mark: "*",
    bar_full: "#",
    bar_empty: ".",
    spark: [".", ":", "-", "=", "+", "*", "#", "@"],
    scroll_bar: "#",
    cut: "~",
    more: "...",
    caret: "_",
    arrow: "->",
    down: "v",
    ascending: "^",
    descending: "v",
    live: "*",
    target_ok: "+",
    target_warn: "!",
    target_bad: "X",
};

/// What a person's own theme says about roles; the palette says the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own([Option<Style>; Role::ALL.len()]);

impl Own {
    /// What it says about a role.
    pub fn get(&self, role: Role) -> Option<Style> {
        self.0[role as usize]
    }

    /// Says how a role looks.
    pub fn set(&mut self, role: Role, style: Style) {
        self.0[role as usize] = Some(style);
    }
}

/// How the console looks.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    pub palette: Palette,
    pub own: Own,
    pub glyphs: &'static Glyphs,
}

impl Default for Theme {
    fn default() -> Self {
        Self::new(Palette::default(), false)
    }
}

impl Theme {
    /// A palette with Unicode or ASCII marks.
    pub fn new(palette: Palette, ascii: bool) -> Self {
        Self { palette, own: Own::default(), glyphs: if ascii { &ASCII } else { &UNICODE } }
    }

    /// How a role looks.
    pub fn style(&self, role: Role) -> Style {
        // Where there are no colours, there are none of a person's own either.
        if self.palette != Palette::Mono
            && let Some(style) = self.own.get(role)
        {
            return style;
        }
        match self.palette {
            Palette::Dark => dark(role),
            Palette::Light => light(role, LIGHT_16),
            Palette::Light256 => light(role, LIGHT_256),
            Palette::Mono => mono(role),
        }
    }

    /// Text made harmless for this terminal: without ASCII marks as [`text::clean`] does, else ASCII only.
    pub fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.glyphs.is_ascii { text::ascii(text) } else { text::clean(text) }
    }

    /// The glyph and the role of a phase. A verification shows by its words whether it passed.
    pub fn phase(&self, phase: Phase) -> (&'static str, Role) {
        let (unicode, ascii, role) = match phase {
            Phase::Thinking => ("○", "?", Role::Muted),
            Phase::Command => ("$", "$", Role::Command),
            Phase::Executing => ("▶", ">", Role::Warn),
            Phase::Result => ("=", "=", Role::Text),
            Phase::Verifying => ("◇", "~", Role::Verify),
            Phase::Verification => ("✓", "+", Role::Ok),
            Phase::Complete => ("●", "*", Role::Ok),
            Phase::Error => ("✗", "!", Role::Bad),
            Phase::Operator => ("@", "@", Role::Operator),
        };
        (if self.glyphs.is_ascii { ascii } else { unicode }, role)
    }
}

/// Weight without colour, which every palette shares.
fn weight(role: Role) -> Option<Style> {
    let modifier = match role {
        Role::Text => return Some(Style::new()),
        Role::Muted | Role::Border => Modifier::DIM,
        Role::Title | Role::Key => Modifier::BOLD,
        Role::Selection | Role::Match => Modifier::REVERSED,
        Role::Focus
        | Role::Ok
        | Role::Warn
        | Role::Bad
        | Role::Command
        | Role::Verify
        | Role::Operator => return None,
    };
    Some(Style::new().add_modifier(modifier))
}

/// The user's own palette decides what the names look like.
fn dark(role: Role) -> Style {
    let color = match role {
        Role::Focus | Role::Command => Color::Cyan,
        Role::Ok => Color::Green,
        Role::Warn => Color::Yellow,
        Role::Bad => return Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD),
        Role::Verify => Color::LightBlue,
        Role::Operator => Color::LightMagenta,
        _ => return weight(role).unwrap_or_default(),
    };
    Style::new().fg(color)
}

/// Colours that are readable on white: command and focus, verify, ok, warn, bad, operator.
#[derive(Clone, Copy)]
struct Light {
    blue: Color,
    verify: Color,
    ok: Option<Color>,
    warn: Option<Color>,
    bad: Color,
    operator: Color,
}

const LIGHT_16: Light = Light {
    blue: Color::Blue,
    verify: Color::Blue,
    ok: None,
    warn: None,
    bad: Color::Red,
    operator: Color::Magenta,
};

#[expect(clippy::disallowed_methods, reason = "the only place that names colours by number")]
const LIGHT_256: Light = Light {
    blue: Color::Indexed(24),
    verify: Color::Indexed(25),
    ok: Some(Color::Indexed(28)),
    warn: Some(Color::Indexed(130)),
    bad: Color::Indexed(124),
    operator: Color::Indexed(90),
};

fn light(role: Role, colors: Light) -> Style {
    let colored = |color: Option<Color>| match color {
        Some(color) => Style::new().fg(color),
        None => Style::new().add_modifier(Modifier::BOLD),
    };
    match role {
        Role::Focus | Role::Command => colored(Some(colors.blue)),
        Role::Ok => colored(colors.ok),
        Role::Warn => colored(colors.warn),
        Role::Bad => colored(Some(colors.bad)).add_modifier(Modifier::BOLD),
        Role::Verify => colored(Some(colors.verify)),
        Role::Operator => colored(Some(colors.operator)),
        _ => weight(role).unwrap_or_default(),
    }
}

fn mono(role: Role) -> Style {
    match role {
        Role::Focus | Role::Warn | Role::Bad | Role::Operator => {
            Style::new().add_modifier(Modifier::BOLD)
        }
        _ => weight(role).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
