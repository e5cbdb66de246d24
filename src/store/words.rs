//! Words for listings by text: split the same way for both databases, and for what is stored and asked.

use std::collections::BTreeSet;

use crate::domain::incident::Incident;

/// Beyond these a text is no longer read by anybody.
const MOST_WORDS: usize = 2_000;
const LONGEST_WORD: usize = 64;

/// The words of a text, in lower case, each once, in order.
pub(super) fn of(text: &str) -> Vec<String> {
    let words: BTreeSet<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().chars().take(LONGEST_WORD).collect())
        .take(MOST_WORDS)
        .collect();
    words.into_iter().collect()
}

/// What an incident is found by: its message, its cause and its notes.
pub(super) fn of_incident(incident: &Incident) -> Vec<String> {
    let mut text = incident.message.clone();
    if let Some(cause) = incident.cause() {
        text.push(' ');
        text.push_str(cause.as_str());
    }
    for note in &incident.notes {
        text.push(' ');
        text.push_str(&note.text);
    }
    of(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_falls_apart_at_everything_that_is_no_letter_or_digit() {
        assert_eq!(
            of("redis-test: OOM command; 'OOM' \"x\" 12 Ünïcode"),
            ["12", "command", "oom", "redis", "test", "x", "ünïcode"]
        );
        assert!(of(" -- ''; ").is_empty());
    }

    #[test]
    fn no_text_is_too_long() {
        assert_eq!(of(&"a".repeat(10_000)), ["a".repeat(LONGEST_WORD)]);
        let many: Vec<_> = (0..10_000).map(|n| n.to_string()).collect();
        assert_eq!(of(&many.join(" ")).len(), MOST_WORDS);
    }
}
