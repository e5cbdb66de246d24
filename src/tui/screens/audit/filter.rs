//! Which records are listed: `actor:ops1 kind:approve inc:42 target:redis-test text !not`.

use super::deed::Deed;

/// Every term has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// As it was typed.
    pub text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    not: bool,
    field: Field,
}

/// What a term looks at; words begin alike, texts are somewhere inside.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Actor(String),
    Kind(String),
    Incident(u64),
    Target(String),
    Text(String),
}

impl Filter {
    /// Reads what was typed, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let terms: Result<Vec<Term>, String> = text.split_whitespace().map(Term::parse).collect();
        Ok(Self { text: text.trim().to_owned(), terms: terms? })
    }

    /// Whether it narrows nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether it asks for kinds by name, so that chatter of these kinds is listed too.
    pub(super) fn names_kinds(&self) -> bool {
        self.terms.iter().any(|term| !term.not && matches!(term.field, Field::Kind(_)))
    }

    /// Whether a record is listed; `number` is its incident's, where that is known.
    pub(super) fn matches(&self, deed: &Deed, number: Option<u64>) -> bool {
        self.terms.iter().all(|term| term.field.matches(deed, number) != term.not)
    }
}

impl Term {
    fn parse(word: &str) -> Result<Self, String> {
        let (not, rest) = match word.strip_prefix('!') {
            Some(rest) if !rest.is_empty() => (true, rest),
            _ => (false, word),
        };
        let rest = rest.to_lowercase();
        let field = match rest.split_once(':') {
            Some(("actor", value)) => Field::Actor(value.to_owned()),
            Some(("kind", value)) => Field::Kind(value.to_owned()),
            Some(("target", value)) => Field::Target(value.to_owned()),
            Some(("inc", value)) => Field::Incident(number(value)?),
            _ => Field::Text(rest),
        };
        Ok(Self { not, field })
    }
}

fn number(value: &str) -> Result<u64, String> {
    let digits = value.strip_prefix("inc-").unwrap_or(value);
    digits.parse().map_err(|_| format!("`inc:{value}` wants a number, as in inc:42"))
}

impl Field {
    fn matches(&self, deed: &Deed, number: Option<u64>) -> bool {
        let begins = |text: &str, with: &str| text.to_lowercase().starts_with(with);
        let holds = |text: &str, part: &str| text.to_lowercase().contains(part);
        let name = || number.map(crate::domain::ids::incident_name).unwrap_or_default();
        let optional = |text: &Option<String>, part: &str| {
            text.as_deref().is_some_and(|text| holds(text, part))
        };
        match self {
            Self::Actor(actor) => begins(&deed.actor, actor),
            Self::Kind(kind) => begins(&deed.action, kind) || begins(&deed.kind, kind),
            Self::Incident(wanted) => number == Some(*wanted),
            Self::Target(target) => optional(&deed.target, target),
            Self::Text(text) => {
                holds(&deed.actor, text)
                    || holds(&deed.action, text)
                    || holds(&deed.result, text)
                    || optional(&deed.target, text)
                    || optional(&deed.about, text)
                    || holds(&name(), text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use crate::tui::screens::audit::deed;

    #[test]
    fn terms_narrow_as_they_say() {
        let deeds: Vec<Deed> = example::events().iter().map(deed::of).collect();
        let number = |deed: &Deed| deed.incident.map(|_| 42);
        let listed = |text: &str| -> Vec<&str> {
            let filter = Filter::parse(text).unwrap();
            let hits = deeds.iter().filter(|deed| filter.matches(deed, number(deed)));
            hits.map(|deed| deed.action.as_str()).collect()
        };
        for (text, expected) in [
            ("kind:approve", vec!["approve"]),
            ("kind:DECIDED", vec!["approve"]),
            ("actor:ops1", vec!["inject", "approve", "stop", "undo", "note"]),
            ("actor:ops1 !kind:note", vec!["inject", "approve", "stop", "undo"]),
            ("actor:ops !actor:ops1", vec!["refuse"]),
            ("7f3a9c", vec!["propose", "approve"]),
            ("INC-0042 typed", vec!["approve"]),
            ("inc:43", vec![]),
            ("inc:INC-42 kind:note", vec!["note"]),
            ("kind:phase", vec!["phase", "phase"]),
            ("target:redis kind:inj", vec!["inject", "inject", "revert"]),
            ("target:postgres", vec![]),
            ("!target:redis", vec!["started", "store", "store", "stopped"]),
            ("leak:x", vec![]),
            ("!", vec![]),
        ] {
            assert_eq!(listed(text), expected, "{text}");
        }
        assert_eq!(listed("  ").len(), deeds.len());
        assert!(Filter::parse("inc:abc").unwrap_err().contains("inc:42"));
        assert!(Filter::parse("kind:phase").unwrap().names_kinds());
        assert!(!Filter::parse("!kind:phase phase").unwrap().names_kinds());
    }
}
