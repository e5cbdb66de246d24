//! Events as lines, the same for everybody who tells them: plain words, or JSON.

use super::print::{Print, json_text};
use crate::domain::event::Sealed;
use crate::domain::ids::IncidentId;
use crate::domain::incident::Incident;
use crate::narrate::{self, Labels};
use crate::ports::store::IncidentLine;

/// Makes lines of events, in the order they come.
#[derive(Debug)]
pub(super) struct Teller {
    is_json: bool,
    labels: Labels,
    only: Option<IncidentId>,
    last: u64,
}

impl Teller {
    /// One that goes on after the event with the number `last`.
    pub(super) fn new(print: Print, last: u64) -> Self {
        Self { is_json: print.json, labels: Labels::default(), only: None, last }
    }

    /// Tells nothing but this incident from now on.
    pub(super) fn only(&mut self, incident: &Incident) {
        self.know([incident]);
        self.only = Some(incident.id);
    }

    /// Remembers what incidents are called that were opened before.
    pub(super) fn know<'a>(&mut self, incidents: impl IntoIterator<Item = &'a Incident>) {
        for incident in incidents {
            self.labels.know(incident.id, incident.number, incident.severity);
        }
    }

    /// As [`Self::know`], out of the store's listing.
    pub(super) fn know_listed(&mut self, lines: &[IncidentLine]) {
        for line in lines {
            if let Ok(severity) = super::parse::severity(&line.severity) {
                self.labels.know(line.id, line.number, severity);
            }
        }
    }

    /// The number of the last event that came.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The line for an event; `None` when it tells a reader nothing.
    pub(super) fn line(&mut self, sealed: &Sealed) -> anyhow::Result<Option<String>> {
        self.last = sealed.event.seq;
        self.labels.learn(&sealed.event);
        if self.only.is_some() && self.only != sealed.event.incident {
            return Ok(None);
        }
        if self.is_json {
            return Ok(Some(json_text(sealed)?));
        }
        Ok(narrate::sentence(&sealed.event, &|id| self.labels.get(id)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::event::{EventBody, Head};
    use crate::report::example;

    fn teller(json: bool) -> Teller {
        let mut teller = Teller::new(Print { json }, 0);
        teller.know([&example::incident()]);
        teller
    }

    /// An event whose every text is this one.
    fn said(text: &str) -> Sealed {
        let body = EventBody::IncidentNoted { text: text.into() };
        let mut event = example::event(0, text, body);
        event.target = Some(text.into());
        event.seal(&Head::genesis())
    }

    fn is_harmless(line: &str) -> bool {
        line == crate::narrate::clean(line) && !line.chars().any(char::is_control)
    }

    proptest! {
        #[test]
        fn no_line_has_a_control_byte_whatever_the_text(
            text in "(?s)(.|[\\x00-\\x1f\\x7f-\\u{9f}\\u{200b}-\\u{200f}\\u{2028}-\\u{202e}\\u{2066}\\u{feff}]){0,40}",
        ) {
            let sealed = said(&text);
            let plain = teller(false).line(&sealed).unwrap().unwrap();
            prop_assert!(is_harmless(&plain), "{plain:?}");
            let json = teller(true).line(&sealed).unwrap().unwrap();
            prop_assert!(is_harmless(&json), "{json:?}");
            let back: Sealed = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back, sealed);
        }
    }

    #[test]
    fn one_incident_is_told_without_the_others() {
        let mut teller = teller(false);
        let ours = example::incident();
        let mut other = ours.clone();
        other.id = IncidentId(uuid::Uuid::from_u128(99));
        teller.only(&other);
        assert_eq!(teller.line(&said("x")).unwrap(), None);
        assert_eq!(teller.last(), 1, "it came all the same");
        teller.only(&ours);
        assert!(teller.line(&said("x")).unwrap().unwrap().contains("INC-0042 critical x"));
    }
}
