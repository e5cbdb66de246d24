//! What a model says while it says it: pieces in, whole sentences out as lines of the log, harmless and bounded.

use std::sync::{Mutex, PoisonError};

use super::clean::plain;
use crate::agent::Report;
use crate::domain::execution::{Phase, PhaseLine};

/// A line at most.
const LONGEST_LINE: usize = 240;
/// Of one reply.
const MOST_LINES: usize = 12;

/// The words of one reply.
pub(super) struct Thoughts<'a> {
    report: Report<'a>,
    who: &'a str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: String,
    lines: usize,
}

impl<'a> Thoughts<'a> {
    pub(super) fn new(report: Report<'a>, who: &'a str) -> Self {
        Self { report, who, state: Mutex::default() }
    }

    /// Takes a piece; tells every sentence that is complete.
    pub(super) fn hear(&self, piece: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push_str(piece);
        while let Some(end) = sentence_end(&state.waiting) {
            let rest = state.waiting.split_off(end);
            let sentence = std::mem::replace(&mut state.waiting, rest);
            self.tell(&mut state, &sentence);
        }
    }

    /// Tells what is left.
    pub(super) fn end(self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = std::mem::take(&mut state.waiting);
        self.tell(&mut state, &left);
    }

    fn tell(&self, state: &mut State, sentence: &str) {
        let text = plain(sentence, LONGEST_LINE);
        if text.is_empty() || state.lines > MOST_LINES {
            return;
        }
        state.lines += 1;
        let text = if state.lines > MOST_LINES { "… (it says more)".into() } else { text };
        (self.report)(PhaseLine::say(Phase::Thinking, format!("{}: {text}", self.who)));
    }
}

/// After the first sentence, line, or a line's worth of text.
fn sentence_end(text: &str) -> Option<usize> {
    let line = text.find('\n').map(|at| at + 1);
    let stops = [". ", "? ", "! "];
    let sentence = stops.iter().filter_map(|stop| text.find(stop)).min().map(|at| at + 2);
    let long = text.char_indices().nth(LONGEST_LINE).map(|(at, _)| at);
    [line, sentence, long].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[&str]) -> Vec<String> {
        let lines = Mutex::new(Vec::new());
        let report = |line: PhaseLine| lines.lock().unwrap().push(line.text);
        let thoughts = Thoughts::new(&report, "gpt");
        pieces.iter().for_each(|piece| thoughts.hear(piece));
        thoughts.end();
        lines.into_inner().unwrap()
    }

    #[test]
    fn sentences_are_told_as_they_end() {
        assert_eq!(
            told(&["The slo", "ts are tak", "en. Most sess", "ions are idle.\nSo", " a leak"]),
            ["gpt: The slots are taken.", "gpt: Most sessions are idle.", "gpt: So a leak"]
        );
        assert_eq!(told(&[" \n", "\n"]), Vec::<String>::new());
    }

    #[test]
    fn a_flood_is_cut_and_escapes_are_gone() {
        let flood = "All is well. ".repeat(500);
        let lines = told(&[&flood]);
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert_eq!(lines.last().unwrap(), "gpt: … (it says more)");
        assert_eq!(told(&["\u{1b}[31mred\u{1b}[0m \u{202e}alert"]), ["gpt: red alert"]);
    }
}
