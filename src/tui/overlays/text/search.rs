//! Searching in a text: plain words, in which only a capital letter makes case count.

use std::ops::Range;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What is searched for, and where it was found last.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    prompt: Option<String>,
    wanted: String,
    at: Option<usize>,
}

impl Search {
    /// Asks for words.
    pub(super) fn open(&mut self) {
        self.prompt = Some(String::new());
    }

    pub(super) fn is_open(&self) -> bool {
        self.prompt.is_some()
    }

    /// What is being typed.
    pub(super) fn prompt(&self) -> Option<&str> {
        self.prompt.as_deref()
    }

    pub(super) fn typed(&mut self, key: &KeyEvent) {
        let Some(prompt) = self.prompt.as_mut() else { return };
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Backspace => drop(prompt.pop()),
            KeyCode::Char('u') if ctrl => prompt.clear(),
            KeyCode::Char(c) if !ctrl => prompt.push(c),
            _ => {}
        }
    }

    pub(super) fn pasted(&mut self, text: &str) {
        if let Some(prompt) = self.prompt.as_mut() {
            prompt.push_str(text);
        }
    }

    /// Takes what was typed.
    pub(super) fn close(&mut self) {
        self.wanted = self.prompt.take().unwrap_or_default();
        self.at = None;
    }

    /// Leaves the prompt, then the search; whether there was one.
    pub(super) fn clear(&mut self) -> bool {
        let had = self.prompt.take().is_some() || !self.wanted.is_empty();
        *self = Self::default();
        had
    }

    /// The next line that holds it, round the end; the first search starts at `from` itself.
    pub(super) fn next(
        &mut self,
        lines: &[String],
        from: usize,
        back: bool,
    ) -> Result<usize, String> {
        if self.wanted.is_empty() {
            return Err("nothing is searched for; / searches".into());
        }
        let found = self.lines(lines);
        let next = match (self.at, back) {
            (None, _) => found.iter().find(|line| **line >= from).or(found.first()),
            (Some(at), false) => found.iter().find(|line| **line > at).or(found.first()),
            (Some(at), true) => found.iter().rfind(|line| **line < at).or(found.last()),
        };
        self.at = next.copied();
        self.at.ok_or_else(|| format!("`{}` is not in it", self.wanted))
    }

    /// `3/17 keys`, while something is searched for.
    pub(super) fn said(&self, lines: &[String]) -> Option<String> {
        if self.wanted.is_empty() {
            return None;
        }
        let found = self.lines(lines);
        let at = found.iter().position(|line| Some(*line) == self.at).map_or(0, |at| at + 1);
        Some(format!("{at}/{} {}", found.len(), self.wanted))
    }

    fn lines(&self, lines: &[String]) -> Vec<usize> {
        let holds = |line: &String| !self.matches(line).is_empty();
        lines.iter().enumerate().filter(|(_, line)| holds(line)).map(|(at, _)| at).collect()
    }

    /// Where a row holds it, in bytes.
    pub(super) fn matches(&self, row: &str) -> Vec<Range<usize>> {
        if self.wanted.is_empty() {
            return Vec::new();
        }
        let case_counts = self.wanted.bytes().any(|byte| byte.is_ascii_uppercase());
        let row = if case_counts { row.to_owned() } else { row.to_ascii_lowercase() };
        row.match_indices(&self.wanted).map(|(at, found)| at..at + found.len()).collect()
    }
}
