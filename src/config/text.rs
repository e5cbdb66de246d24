//! Where each key of the file stands, and the sentence for what is wrong at such a place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::File;
use super::nearest::nearest;
use super::url::masked;

/// A file that was read: its content, and the line of every key in it.
#[derive(Debug, Default)]
pub(super) struct FileText {
    pub(super) path: PathBuf,
    pub(super) file: File,
    lines: BTreeMap<String, usize>,
}

/// A key of the file with the bytes it and its value take.
struct Place {
    key: String,
    name: Range<usize>,
    value: Range<usize>,
}

impl FileText {
    /// Reads a text; the refusal is one sentence with file, line, key and remedy.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let mut places = Vec::new();
        match DeTable::parse(text) {
            Ok(table) => collect(table.get_ref(), "", &mut places),
            Err(error) => {
                let line = line_of(text, error.span().map_or(0, |span| span.start));
                let reason = one_line(error.message());
                return Err(format!("{}:{line}: this is no TOML: {reason}", path.display()));
            }
        }
        let file: File =
            toml::from_str(text).map_err(|error| explain(path, text, &places, &error))?;
        let lines = places.iter().map(|p| (p.key.clone(), line_of(text, p.name.start))).collect();
        Ok(Self { path: path.to_owned(), file, lines })
    }

    /// The line of a key, or of the nearest table around it.
    pub(super) fn line(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied().or_else(|| self.line(key.rsplit_once('.')?.0))
    }

    /// Whether the file itself gives this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }
}

fn collect(table: &DeTable<'_>, prefix: &str, places: &mut Vec<Place>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        add(&key, &name.span(), value, places);
    }
}

fn add(key: &str, name: &Range<usize>, value: &Spanned<DeValue<'_>>, places: &mut Vec<Place>) {
    places.push(Place { key: key.to_owned(), name: name.clone(), value: value.span() });
    match value.get_ref() {
        DeValue::Table(table) => collect(table, key, places),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = item.span();
                add(&format!("{key}[{index}]"), &at, item, places);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

/// The line of a byte, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// A message without its line breaks.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn explain(path: &Path, text: &str, places: &[Place], error: &toml::de::Error) -> String {
    let span = error.span().unwrap_or(0..0);
    let line = line_of(text, span.start);
    let within = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
    // The innermost key around the error: the last one found, since tables come before what is in them.
    let key = places.iter().rev().find(|p| within(&p.name) || within(&p.value));
    let key = key.map_or("the file", |place| place.key.as_str());
    format!("{}:{line}: {}", path.display(), sentence(key, &one_line(error.message())))
}

/// serde's words, turned into what is wrong and what to write instead.
fn sentence(key: &str, message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown_key(key, rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let words = quoted(rest);
        let (given, known) = words.split_first().map_or(("", &[][..]), |(g, k)| (*g, k));
        return format!("`{key}` is `{}`; write one of {}", masked_word(given), listed(known));
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("`{key}` lacks `{}`; add it", quoted(rest).first().unwrap_or(&""));
    }
    let wrong = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong.and_then(|wrong| wrong.split_once(", expected ")) {
        return format!("`{key}` is {}; write {}", kind_of(found), wanted(expected));
    }
    format!("`{key}`: {message}")
}

fn unknown_key(key: &str, rest: &str) -> String {
    let words = quoted(rest);
    let (given, known) = words.split_first().map_or(("", &[][..]), |(g, k)| (*g, k));
    if given == "password" {
        return format!(
            "`{key}`: a password does not stand in the file; name a variable with `password_env` or a file \
             with `password_file`"
        );
    }
    match nearest(given, known.iter().copied()).first() {
        Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
        None => format!("unknown key `{key}`; known here: {}", listed(known)),
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Words in backticks, with commas.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// A string may hold a secret that was put under the wrong key, so it is not repeated.
fn kind_of(found: &str) -> String {
    if found.starts_with("string ") {
        return "a string".into();
    }
    match found {
        "map" => "a table".into(),
        "sequence" => "an array".into(),
        other => format!("the {other}").replace('`', ""),
    }
}

fn masked_word(word: &str) -> String {
    if word.contains("://") { masked(word) } else { word.to_owned() }
}

fn wanted(expected: &str) -> String {
    match expected {
        "u16" => "a number from 1 to 65535".into(),
        "u32" | "u64" | "usize" => "a whole number".into(),
        "f64" => "a number".into(),
        "a boolean" => "`true` or `false`".into(),
        "a string" | "path string" => "text in quotes".into(),
        "a sequence" => "an array, or a table with double brackets like `[[target]]`".into(),
        other if other.starts_with("struct ") => "a table".into(),
        other => other.to_owned(),
    }
}
