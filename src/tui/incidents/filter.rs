//! The filter of the incident list: `sev:crit target:x state:failed cause:leak-oom words !not`.

use super::row::Row;
use crate::domain::finding::Severity;
use crate::domain::incident::Status;
use crate::ports::store::IncidentFilter;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    negated: bool,
    of: Of,
    /// In lower case.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Any,
    Severity,
    State,
    Target,
    Cause,
    Number,
}

/// All conditions together; every one narrows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    /// Reads what a person typed. Nothing is an error: what has no meaning is looked for as words.
    pub fn parse(text: &str) -> Self {
        Self { terms: text.split_whitespace().map(term).filter(|t| !t.text.is_empty()).collect() }
    }

    /// Whether it narrows nothing.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row passes.
    pub fn passes(&self, row: &Row) -> bool {
        self.terms.iter().all(|term| term.matches(row) != term.negated)
    }

    /// As much of it as the store can do by itself.
    pub fn for_store(&self) -> IncidentFilter {
        let mut filter = IncidentFilter::default();
        for term in self.terms.iter().filter(|term| !term.negated) {
            let text = term.text.as_str();
            match term.of {
                Of::Severity => filter.severity.extend(
                    Severity::ALL.into_iter().filter(|known| known.as_str().starts_with(text)),
                ),
                Of::State => filter.status.extend(
                    Status::ALL.into_iter().filter(|known| known.as_str().starts_with(text)),
                ),
                Of::Any if filter.text.is_none() => filter.text = Some(text.to_owned()),
                // The store compares these whole; a part is looked for here.
                Of::Any | Of::Target | Of::Cause | Of::Number => {}
            }
        }
        filter
    }
}

fn term(word: &str) -> Term {
    let (negated, word) = match word.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let (of, text) = match word.split_once(':') {
        Some(("sev" | "severity", text)) => (Of::Severity, text),
        Some(("state" | "status", text)) => (Of::State, text),
        Some(("target", text)) => (Of::Target, text),
        Some(("cause", text)) => (Of::Cause, text),
        Some(("inc", text)) => (Of::Number, text),
        _ => (Of::Any, word),
    };
    Term { negated, of, text: text.to_lowercase() }
}

impl Term {
    fn matches(&self, row: &Row) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.text);
        match self.of {
            Of::Severity => has(row.severity().0) || self.text.starts_with(row.severity().0),
            Of::State => has(row.state().0.trim_end_matches(['?', '.'])),
            Of::Target => has(row.target()),
            Of::Cause => has(&row.cause()),
            Of::Number => row.number().to_string() == self.text.trim_start_matches('0'),
            Of::Any => {
                has(&row.name()) || has(row.target()) || has(&row.cause()) || has(row.message())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tui::example;

    fn passing(text: &str) -> Vec<u64> {
        let filter = Filter::parse(text);
        let snapshot = example::normal();
        let rows = snapshot.incidents.iter().map(|incident| Row::Recent(Arc::clone(incident)));
        rows.filter(|row| filter.passes(row)).map(|row| row.number()).collect()
    }

    #[test]
    fn every_term_narrows() {
        for (text, numbers) in [
            ("", &[36, 37, 38, 39, 40, 42][..]),
            ("sev:crit", &[38, 42]),
            ("sev:critical", &[38, 42]),
            ("sev:crit state:failed", &[38]),
            ("state:approve", &[42]),
            ("!state:resolved target:redis-test", &[42]),
            ("inc:0042", &[42]),
            ("cause:leak", &[36, 37, 42]),
            ("INC-0039", &[39]),
            ("redis-cache", &[39]),
            ("no-such-word", &[]),
            ("!no-such-word sev:med", &[37, 39]),
        ] {
            assert_eq!(passing(text), numbers, "{text}");
        }
    }

    #[test]
    fn the_store_narrows_by_what_it_knows() {
        let filter = Filter::parse("sev:crit state:fail !state:resolved leak other").for_store();
        assert_eq!(filter.severity, [Severity::Critical]);
        assert_eq!(filter.status, [Status::Failed]);
        assert_eq!(filter.text.as_deref(), Some("leak"));
        assert_eq!(Filter::parse("  "), Filter::default());
    }
}
