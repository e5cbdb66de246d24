//! Text as a terminal shows it: harmless, and measured in columns, never in characters.
//!
//! Columns are those of [`CellWidth`], so that what is measured here is what ratatui draws.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::TimeDelta;
use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

use crate::narrate::is_invisible;

/// More marks than these on one letter are written out, so that one cell cannot hold a whole page.
const MARKS_ON_A_LETTER: usize = 8;

/// Text that a server may have written, made harmless: what is invisible, or steers a terminal, becomes a
/// visible escape; a tab becomes spaces. A line end is an escape too: who has lines splits them first.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    let mut marks = 0;
    for c in text.chars() {
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        match c {
            '\t' => cleaned.push_str("    "),
            c if c.is_control() => drop(write!(cleaned, "\\x{:02x}", u32::from(c))),
            c if is_invisible(c) || marks > MARKS_ON_A_LETTER => {
                let _ = write!(cleaned, "\\u{{{:x}}}", u32::from(c));
            }
            c => cleaned.push(c),
        }
    }
    if cleaned == text { Cow::Borrowed(text) } else { Cow::Owned(cleaned) }
}

/// Clean text in plain ASCII: our own marks become their ASCII twins, all else an escape.
pub fn ascii(text: &str) -> Cow<'_, str> {
    let text = clean(text);
    if text.is_ascii() {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '→' => plain.push_str("->"),
            '…' => plain.push_str("..."),
            '▼' => plain.push('v'),
            '·' => plain.push('.'),
            c if c.is_ascii() => plain.push(c),
            c => drop(write!(plain, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(plain)
}

/// Bytes as text: what is no UTF-8 becomes `\xff`, the rest is cleaned.
pub fn clean_bytes(bytes: &[u8]) -> String {
    let mut cleaned = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        cleaned.push_str(&clean(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(cleaned, "\\x{byte:02x}");
        }
    }
    cleaned
}

/// What a terminal draws as one: a grapheme with its columns, or its single characters where a grapheme is
/// wider than two columns (a run of Hangul letters is one grapheme without end).
pub fn units(text: &str) -> Units<'_> {
    Units { rest: text, splitting: 0 }
}

/// The iterator of [`units`].
#[derive(Clone, Debug)]
pub struct Units<'a> {
    rest: &'a str,
    /// So many bytes belong to a grapheme that is given out by character.
    splitting: usize,
}

impl<'a> Units<'a> {
    fn take(&mut self, bytes: usize, columns: usize) -> (&'a str, usize) {
        let (unit, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        (unit, columns)
    }

    fn character(&mut self, c: char) -> (&'a str, usize) {
        self.splitting = self.splitting.saturating_sub(c.len_utf8());
        self.take(c.len_utf8(), c.width().unwrap_or(0))
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = (&'a str, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.rest.as_bytes();
        let first = *bytes.first()?;
        let alone = bytes.get(1).is_none_or(|&next| next.is_ascii() && next != b'\n');
        if first.is_ascii() && alone && self.splitting == 0 {
            return Some(self.take(1, usize::from(!first.is_ascii_control())));
        }
        let c = self.rest.chars().next()?;
        if self.splitting > 0 {
            return Some(self.character(c));
        }
        let grapheme = self.rest.graphemes(true).next()?;
        let columns = if grapheme.contains(char::is_control) { 0 } else { columns_of(grapheme) };
        if columns > 2 {
            self.splitting = grapheme.len();
            return Some(self.character(c));
        }
        Some(self.take(grapheme.len(), columns))
    }
}

fn columns_of(grapheme: &str) -> usize {
    usize::from(grapheme.cell_width())
}

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    units(text).map(|(_, columns)| columns).sum()
}

/// The longest start of a text that fits, in bytes, and its columns; and whether that is all of it.
fn start_within(text: &str, columns: usize) -> (usize, usize, bool) {
    let (mut bytes, mut used) = (0, 0);
    for (unit, wide) in units(text) {
        if used + wide > columns {
            return (bytes, used, false);
        }
        bytes += unit.len();
        used += wide;
    }
    (bytes, used, true)
}

/// The text, or as much of it as fits with the ellipsis behind it. Never splits what is drawn as one.
pub fn cut<'a>(text: &'a str, columns: usize, ellipsis: &str) -> Cow<'a, str> {
    let (bytes, _, whole) = start_within(text, columns);
    if whole {
        return Cow::Borrowed(text);
    }
    let Some(left) = columns.checked_sub(width(ellipsis)) else {
        return Cow::Borrowed(&text[..bytes]);
    };
    let (bytes, _, _) = start_within(text, left);
    Cow::Owned(format!("{}{ellipsis}", &text[..bytes]))
}

/// What is left of a text after so many columns; a wide character that straddles the edge leaves a blank.
pub fn skip(text: &str, columns: usize) -> Cow<'_, str> {
    let mut used = 0;
    let mut bytes = 0;
    for (unit, wide) in units(text) {
        if used >= columns {
            break;
        }
        used += wide;
        bytes += unit.len();
    }
    let rest = &text[bytes..];
    if used > columns { Cow::Owned(format!(" {rest}")) } else { Cow::Borrowed(rest) }
}

/// On which side a text stands in a field that is wider than it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    #[default]
    Left,
    Right,
}

/// The text in exactly so many columns, cut or padded.
pub fn fit(text: &str, columns: usize, align: Align, ellipsis: &str) -> String {
    let text = cut(text, columns, ellipsis);
    let blanks = " ".repeat(columns.saturating_sub(width(&text)));
    match align {
        Align::Left => format!("{text}{blanks}"),
        Align::Right => format!("{blanks}{text}"),
    }
}

/// The rows of one line, broken at spaces; a word longer than a row is broken inside. Rows after the first are
/// `hanging` columns shorter, for the caller to indent. No columns give no row, and a character that is wider
/// than a row stands alone in it.
pub fn wrap(text: &str, columns: usize, hanging: usize) -> Wrap<'_> {
    let rest = (columns > 0).then_some(text);
    Wrap { rest, columns, later: columns.saturating_sub(hanging).max(1) }
}

/// The iterator of [`wrap`].
#[derive(Clone, Debug)]
pub struct Wrap<'a> {
    rest: Option<&'a str>,
    columns: usize,
    later: usize,
}

impl<'a> Iterator for Wrap<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.take()?;
        let columns = std::mem::replace(&mut self.columns, self.later);
        let (row, rest) = first_row(text, columns);
        self.rest = rest;
        Some(row)
    }
}

/// The first row, and what comes after it.
fn first_row(text: &str, columns: usize) -> (&str, Option<&str>) {
    let (mut at, mut used) = (0, 0);
    // Where the row may end, and where the next one starts then.
    let mut fold = None;
    let mut in_spaces = false;
    for (unit, wide) in units(text) {
        let is_space = unit == " ";
        if used + wide > columns && !is_space {
            let (end, next) = match fold {
                Some((end, next)) if end > 0 || used > columns => (end, next),
                _ if at > 0 => (at, at),
                _ => (unit.len(), unit.len()),
            };
            let rest = &text[next..];
            return (&text[..end], (!rest.is_empty()).then_some(rest));
        }
        if is_space {
            let end = if in_spaces { fold.map_or(at, |(end, _)| end) } else { at };
            fold = Some((end, at + 1));
        }
        in_spaces = is_space;
        at += unit.len();
        used += wide;
    }
    // Only spaces can stand beyond the edge here.
    let end = if used > columns { fold.map_or(at, |(end, _)| end) } else { at };
    (&text[..end], None)
}

/// A time span in five columns: `02:14`, `3h05m`, `12h05`, `2d04h`, ` 123d`.
pub fn age(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (hours, days) {
        (0, _) => format!("{minutes:02}:{:02}", seconds % 60),
        (1..10, _) => format!("{hours}h{:02}m", minutes % 60),
        (_, 0) => format!("{hours}h{:02}", minutes % 60),
        (_, 1..10) => format!("{days}d{:02}h", hours % 24),
        (_, 10..100) => format!("{days}d{:02}", hours % 24),
        _ => format!("{:>5}", format!("{}d", days.min(9_999))),
    }
}

/// How long ago: `00:00:42 ago`, `4d02h ago`.
pub fn ago(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    if seconds >= 86_400 {
        return format!("{} ago", age(span).trim_start());
    }
    format!("{:02}:{:02}:{:02} ago", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// What is left, rounded up so that zero means over: `2:59`, `1:02:03`.
pub fn countdown(left: TimeDelta) -> String {
    let seconds = (left.num_milliseconds().max(0) + 999) / 1_000;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes}:{rest:02}")
    }
}

#[cfg(test)]
mod tests;
