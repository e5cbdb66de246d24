//! The configuration in force as a commented file that can be taken as it is.

use std::fmt::Write as _;

use super::{FPS_RANGE, Preferences, look};
use crate::tui::keymap::{self, Binding, Group, Keys};
use crate::tui::theme::{Palette, Role};

const HEAD: &str = "\
# The console's keys and looks. `simctl tui --check-config` says what is wrong with a change.

[keys]
# A list of keys, or \"disabled\". A key is a character, `ctrl-` and a letter, F1 to F12, or one of space, enter,
# esc, tab, shift-tab, up, down, left, right, home, end, pgup, pgdn, backspace, delete.
# ctrl-c, ctrl-z, ctrl-l and esc always do what they do here.
";

const THEME: &str = "
[theme]
# auto asks the terminal for its background; else";

const ROLES: &str = "\
# Roles: one of the terminal's sixteen colours, or #rrggbb; also bold, dim, underline, reverse. None of it is used
# where there are no colours.
";

/// The text of it.
pub fn print(preferences: &Preferences) -> String {
    let mut text = HEAD.to_owned();
    for group in Group::ALL {
        let _ = writeln!(text, "\n# {}", group.title());
        for binding in keymap::ALL.iter().filter(|binding| binding.group == group) {
            text += &key(binding, &preferences.keys);
        }
    }
    text += &theme(preferences);
    text += &ui(preferences);
    let _ = write!(
        text,
        "\n[safety]\nread_only = {}  # :write allows changes again; with --read-only nothing does\n\
         typed_confirm = {}  # approvals want the target's name typed at low risk too\n",
        preferences.read_only, preferences.typed_confirm
    );
    text
}

fn key(binding: &Binding, keys: &Keys) -> String {
    let keys: Vec<_> = keys.of(binding.action).map(quoted).collect();
    let value = match keys.is_empty() && !binding.keys.is_empty() {
        true => "\"disabled\"".to_owned(),
        false => format!("[{}]", keys.join(", ")),
    };
    let asks = if binding.asks { ", asks" } else { "" };
    let value = format!("{} = {value}", binding.name);
    format!("{value:<32}  # {}{asks}\n", binding.hint)
}

fn theme(preferences: &Preferences) -> String {
    let names: Vec<_> = Palette::ALL.iter().map(|palette| palette.as_str()).collect();
    let name = preferences.palette.map_or("auto", Palette::as_str);
    let mut text = format!("{THEME} {}\nname = {}\n{ROLES}", names.join(", "), quoted(name));
    for role in Role::ALL {
        let _ = match preferences.own.get(role) {
            Some(style) => {
                writeln!(text, "{} = {}", role.as_str(), quoted(&look::style_text(style)))
            }
            None => writeln!(text, "# {} = \"default\"", role.as_str()),
        };
    }
    text
}

fn ui(preferences: &Preferences) -> String {
    let ascii = match preferences.ascii {
        Some(ascii) => format!("ascii = {ascii}  # unset: where the locale is not UTF-8"),
        None => "# ascii = true  # unset: where the locale is not UTF-8".into(),
    };
    let density = if preferences.compact { "compact" } else { "comfortable" };
    format!(
        "\n[ui]\n{ascii}\nmouse = {}\nbell = {}  # once for each new proposal\n\
         density = \"{density}\"  # comfortable or compact\n\
         fps = {}  # data alone is drawn at most so often, {} to {}\n",
        preferences.mouse,
        preferences.bell,
        preferences.fps,
        FPS_RANGE.start(),
        FPS_RANGE.end()
    )
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
