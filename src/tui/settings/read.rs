//! Reads `tui.toml` key by key, so that every mistake is told with its line.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{FPS_RANGE, Preferences, keys, look};
use crate::config::nearest::nearest;
use crate::config::{line_of, listed, one_line};
use crate::tui::keymap::{self, Action, Keys};
use crate::tui::theme::{Palette, Role};

/// What is wrong, with its line.
pub(super) type Problem = (usize, String);

type Value<'a> = Spanned<DeValue<'a>>;

/// One pass over a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    preferences: Preferences,
    /// The keys that the file gives an action, with their line.
    given: BTreeMap<Action, (usize, Vec<String>)>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// What the text says and what is wrong with it.
    pub(super) fn read(text: &'a str) -> (Preferences, Vec<Problem>) {
        let preferences = Preferences::default();
        let mut reader = Self { text, preferences, given: BTreeMap::new(), problems: Vec::new() };
        match DeTable::parse(text) {
            Ok(table) => reader.sections(table.get_ref()),
            Err(error) => {
                let line = line_of(text, error.span().map_or(0, |span| span.start));
                let reason = one_line(error.message());
                reader.problems.push((line, format!("this is no TOML: {reason}")));
            }
        }
        reader.bind();
        reader.problems.sort_by_key(|(line, _)| *line);
        (reader.preferences, reader.problems)
    }

    fn sections(&mut self, table: &DeTable<'_>) {
        const KNOWN: [&str; 4] = ["keys", "theme", "ui", "safety"];
        for (name, value) in table {
            let line = line_of(self.text, name.span().start);
            let name = name.get_ref().to_string();
            let Some(section) = value.get_ref().as_table() else {
                match KNOWN.contains(&name.as_str()) {
                    true => self.wrong(line, &name, value, "a table"),
                    false => self.unknown(line, &name, &name, &KNOWN),
                }
                continue;
            };
            for (key, value) in section {
                let line = line_of(self.text, key.span().start);
                let key = key.get_ref().to_string();
                match name.as_str() {
                    "keys" => self.key(line, &key, value),
                    "theme" => self.theme(line, &key, value),
                    "ui" => self.ui(line, &key, value),
                    "safety" => self.safety(line, &key, value),
                    _ => {}
                }
            }
            if !KNOWN.contains(&name.as_str()) {
                self.unknown(line, &name, &name, &KNOWN);
            }
        }
    }

    // ---- sections ---------------------------------------------------------------------------------------

    fn key(&mut self, line: usize, name: &str, value: &Value<'_>) {
        let Some(binding) = keymap::named(name) else {
            let known = keymap::ALL.iter().map(|binding| binding.name);
            let near = match nearest(name, known).first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`simctl tui --print-config` lists the actions".into(),
            };
            return self.problem(line, format!("unknown key `keys.{name}`; {near}"));
        };
        let key = format!("keys.{name}");
        let wanted = "keys like `[\"a\"]`, or `\"disabled\"`";
        let keys = match value.get_ref() {
            DeValue::String(word) if word == "disabled" => Vec::new(),
            DeValue::Array(items) => {
                let mut keys = Vec::new();
                for item in items {
                    let line = line_of(self.text, item.span().start);
                    match item.get_ref().as_str() {
                        Some(word) => match keys::unsendable(word) {
                            None => keys.push(word.to_owned()),
                            Some(reason) => self.problem(line, format!("`{key}`: {reason}")),
                        },
                        None => self.wrong(line, &key, item, wanted),
                    }
                }
                keys
            }
            _ => return self.wrong(line, &key, value, wanted),
        };
        self.given.insert(binding.action, (line, keys));
    }

    fn theme(&mut self, line: usize, name: &str, value: &Value<'_>) {
        let key = format!("theme.{name}");
        if name == "name" {
            let names = ["auto"].into_iter().chain(Palette::ALL.map(Palette::as_str));
            let names: Vec<_> = names.collect();
            let Some(word) = self.word(line, &key, value, &names) else { return };
            self.preferences.palette = Palette::ALL.into_iter().find(|one| one.as_str() == word);
            return;
        }
        let Some(role) = Role::ALL.into_iter().find(|role| role.as_str() == name) else {
            let known: Vec<_> = ["name"].into_iter().chain(Role::ALL.map(Role::as_str)).collect();
            return self.unknown(line, &key, name, &known);
        };
        let Some(words) = value.get_ref().as_str() else {
            return self.wrong(
                line,
                &key,
                value,
                "a colour like `\"green\"` or `\"#00aa55 bold\"`",
            );
        };
        match look::style(words) {
            Ok(style) => self.preferences.own.set(role, style),
            Err(reason) => self.problem(line, format!("`{key}`: {reason}")),
        }
    }

    fn ui(&mut self, line: usize, name: &str, value: &Value<'_>) {
        let key = format!("ui.{name}");
        match name {
            "ascii" => self.preferences.ascii = self.yes(line, &key, value),
            "mouse" => self.preferences.mouse = self.yes(line, &key, value).unwrap_or_default(),
            "bell" => self.preferences.bell = self.yes(line, &key, value).unwrap_or_default(),
            "density" => {
                let word = self.word(line, &key, value, &["comfortable", "compact"]);
                self.preferences.compact = word.as_deref() == Some("compact");
            }
            "fps" => self.fps(line, &key, value),
            _ => self.unknown(line, &key, name, &["ascii", "mouse", "bell", "density", "fps"]),
        }
    }

    fn fps(&mut self, line: usize, key: &str, value: &Value<'_>) {
        let (first, last) = (FPS_RANGE.start(), FPS_RANGE.end());
        let wanted = format!("a whole number from {first} to {last}");
        let Some(number) = value.get_ref().as_integer() else {
            return self.wrong(line, key, value, &wanted);
        };
        let number = number.as_str();
        match number.parse().ok().filter(|fps| FPS_RANGE.contains(fps)) {
            Some(fps) => self.preferences.fps = fps,
            None => self.problem(line, format!("`{key}` is {number}; write {wanted}")),
        }
    }

    fn safety(&mut self, line: usize, name: &str, value: &Value<'_>) {
        let key = format!("safety.{name}");
        match name {
            "read_only" => {
                self.preferences.read_only = self.yes(line, &key, value).unwrap_or_default();
            }
            "typed_confirm" => {
                self.preferences.typed_confirm = self.yes(line, &key, value).unwrap_or_default();
            }
            _ => self.unknown(line, &key, name, &["read_only", "typed_confirm"]),
        }
    }

    // ---- keys together ----------------------------------------------------------------------------------

    /// Puts the keys of the file over the table's and looks for two actions on one key.
    fn bind(&mut self) {
        for (action, key, purpose) in keys::FIXED {
            let lost = self.given.get(&action).filter(|(_, keys)| !keys.iter().any(|k| k == key));
            let Some((line, name)) = lost.map(|(line, _)| (*line, name_of(action))) else {
                continue;
            };
            let words = format!("`keys.{name}`: `{key}` always {purpose}; keep it in the list");
            self.problem(line, words);
        }
        let mut all = Keys::default();
        for binding in keymap::ALL {
            let keys = match self.given.get(&binding.action) {
                Some((_, keys)) => keys.clone(),
                None => binding.keys.iter().map(|key| (*key).to_owned()).collect(),
            };
            all.rebind(binding.action, &keys);
        }
        for (key, one, other) in keys::clashes(&all) {
            let line_of = |action| self.given.get(&action).map_or(0, |(line, _)| *line);
            // Told where somebody chose it, and of two choices at the later one.
            let (blamed, owner) =
                if line_of(one) > line_of(other) { (one, other) } else { (other, one) };
            let fixed =
                keys::FIXED.iter().find(|(action, fixed, _)| *fixed == key && *action == owner);
            let remedy = match fixed {
                Some((_, _, purpose)) => format!("`{key}` always {purpose}; take another key"),
                None => {
                    let owner = name_of(owner);
                    format!("`{key}` is a key of `{owner}` too; give one of them another key")
                }
            };
            self.problem(line_of(blamed), format!("`keys.{}`: {remedy}", name_of(blamed)));
        }
        self.preferences.keys = all;
    }

    // ---- values -----------------------------------------------------------------------------------------

    fn yes(&mut self, line: usize, key: &str, value: &Value<'_>) -> Option<bool> {
        let given = value.get_ref().as_bool();
        if given.is_none() {
            self.wrong(line, key, value, "`true` or `false`");
        }
        given
    }

    fn word(
        &mut self,
        line: usize,
        key: &str,
        value: &Value<'_>,
        known: &[&str],
    ) -> Option<String> {
        let Some(word) = value.get_ref().as_str() else {
            self.wrong(line, key, value, &format!("one of {}", listed(known)));
            return None;
        };
        if known.contains(&word) {
            return Some(word.to_owned());
        }
        self.problem(line, format!("`{key}` is `{word}`; write one of {}", listed(known)));
        None
    }

    fn wrong(&mut self, line: usize, key: &str, value: &Value<'_>, wanted: &str) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.problem(line, format!("`{key}` is {article} {found}; write {wanted}"));
    }

    fn unknown(&mut self, line: usize, key: &str, given: &str, known: &[&str]) {
        let words = match nearest(given, known.iter().copied()).first() {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", listed(known)),
        };
        self.problem(line, format!("unknown key `{key}`; {words}"));
    }

    fn problem(&mut self, line: usize, words: String) {
        self.problems.push((line, words));
    }
}

fn name_of(action: Action) -> &'static str {
    keymap::binding(action).map_or("", |binding| binding.name)
}
