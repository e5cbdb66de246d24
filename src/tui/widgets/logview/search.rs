//! Searching a log: which lines match, counted as lines come in.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use crate::tui::log::Ring;

/// A compiled pattern may take so much memory.
const MOST_COMPILED_BYTES: usize = 1 << 20;

/// What is searched for, and the lines that have it.
#[derive(Clone, Debug)]
pub struct Search {
    typed: String,
    found: Result<Regex, String>,
    /// Sequences of the lines that match, oldest first.
    hits: Vec<u64>,
    /// Lines up to here were looked at.
    through: u64,
    reordered: u64,
    /// The line that was jumped to last.
    pub(super) at: Option<u64>,
}

impl Search {
    /// Plain text, or a regular expression between slashes. Without a capital letter, case does not matter.
    pub fn new(typed: &str, ring: &Ring) -> Self {
        let slashed = typed.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let pattern = slashed.map_or_else(|| regex::escape(typed), str::to_owned);
        let compiled = RegexBuilder::new(&pattern)
            .case_insensitive(!typed.chars().any(char::is_uppercase))
            .size_limit(MOST_COMPILED_BYTES)
            .build();
        let found = compiled.map_err(|error| why(&error));
        let typed = typed.to_owned();
        let mut search =
            Self { typed, found, hits: Vec::new(), through: 0, reordered: 0, at: None };
        search.learn(ring);
        search
    }

    /// What was typed.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// Why nothing can be found with it.
    pub fn error(&self) -> Option<&str> {
        self.found.as_ref().err().map(String::as_str)
    }

    /// How many lines match.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Whether no line matches.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// `3/17`, or what is wrong with the expression.
    pub fn count(&self) -> String {
        if let Some(error) = self.error() {
            return error.to_owned();
        }
        let place = self.at.and_then(|at| self.hits.binary_search(&at).ok());
        format!("{}/{}", place.map_or(0, |place| place + 1), self.hits.len())
    }

    /// Looks at the lines that came in since.
    pub(super) fn learn(&mut self, ring: &Ring) {
        let Ok(regex) = &self.found else { return };
        if self.typed.is_empty() {
            return;
        }
        if self.reordered != ring.reordered() {
            self.reordered = ring.reordered();
            self.hits.clear();
            self.through = 0;
        }
        let Some((first, last)) = ring.range() else { return };
        self.hits.drain(..self.hits.partition_point(|hit| *hit < first));
        let new = ring.since(self.through).filter(|entry| regex.is_match(&entry.text()));
        self.hits.extend(new.map(|entry| entry.seq));
        self.through = last.max(self.through);
    }

    /// The next line that matches after this one, or before it; past the last one it starts over.
    pub(super) fn beside(&self, seq: u64, forward: bool) -> Option<u64> {
        let (first, last) = (self.hits.first()?, self.hits.last()?);
        let found = if forward {
            self.hits.get(self.hits.partition_point(|hit| *hit <= seq)).unwrap_or(first)
        } else {
            let before = self.hits.partition_point(|hit| *hit < seq).checked_sub(1);
            before.and_then(|at| self.hits.get(at)).unwrap_or(last)
        };
        Some(*found)
    }

    /// Where it stands in this text.
    pub(super) fn ranges(&self, text: &str) -> Vec<Range<usize>> {
        let Ok(regex) = &self.found else { return Vec::new() };
        if self.typed.is_empty() {
            return Vec::new();
        }
        regex.find_iter(text).map(|found| found.range()).filter(|range| !range.is_empty()).collect()
    }
}

/// The last line of the message says what is wrong; those before it draw where.
fn why(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", last.trim_start_matches("error: "))
}
