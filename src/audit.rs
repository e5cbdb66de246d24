//! Whether the log of events is what was written: every hash, every link, no gap, and the remembered end.

use std::fmt;

use serde::Serialize;

use crate::domain::event::{Head, RawEvent};

/// The first record that shows the log was changed, and how it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub seq: u64,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}: {}", self.seq, self.what)
    }
}

/// Follows the chain, one record after the other.
#[derive(Clone, Debug)]
pub struct Auditor {
    head: Head,
}

impl Default for Auditor {
    fn default() -> Self {
        Self { head: Head::genesis() }
    }
}

impl Auditor {
    /// Where the chain stands: the last record that was found whole.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Checks the next record, in order of sequence.
    pub fn check(&mut self, raw: &RawEvent) -> Result<(), Broken> {
        let expected = self.head.seq + 1;
        let broken = |seq, what: &str| Err(Broken { seq, what: what.to_owned() });
        if raw.seq > expected {
            return broken(expected, "the record is missing");
        }
        if raw.seq < expected {
            return broken(raw.seq, "the record is there twice");
        }
        if raw.prev_hash != self.head.hash {
            return broken(raw.seq, "it does not continue the record before it");
        }
        if raw.expected_hash() != raw.hash {
            return broken(raw.seq, "its content is not what was written");
        }
        self.head = Head { seq: raw.seq, hash: raw.hash.clone() };
        Ok(())
    }

    /// Checks the end against what the store remembers apart from the records, so that a cut tail shows.
    pub fn finish(self, remembered: Option<&Head>) -> Result<Head, Broken> {
        let Self { head } = self;
        match remembered {
            Some(end) if end.seq > head.seq => Err(Broken {
                seq: head.seq + 1,
                what: format!("the records from here to {} were deleted", end.seq),
            }),
            Some(end) if *end != head => Err(Broken {
                seq: head.seq,
                what: format!("the log ends here, but was remembered to end at {}", end.seq),
            }),
            None if head.seq > 0 => {
                Err(Broken { seq: head.seq, what: "the remembered end of the log is gone".into() })
            }
            Some(_) | None => Ok(head),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::event::{Event, EventBody, Sealed};

    fn log(len: u64) -> Vec<RawEvent> {
        let mut head = Head::genesis();
        let seal = |n| {
            let event = Event {
                seq: 0,
                at: DateTime::from_timestamp(1_700_000_000 + n, 0).unwrap(),
                incident: None,
                target: None,
                actor: "ops1".into(),
                body: EventBody::EngineStopped { reason: format!("r{n}") },
            };
            let sealed: Sealed = event.seal(&head);
            head = sealed.head();
            sealed.raw()
        };
        (0..i64::try_from(len).unwrap()).map(seal).collect()
    }

    fn audit(log: &[RawEvent], remembered: Option<&Head>) -> Result<Head, Broken> {
        let mut auditor = Auditor::default();
        for raw in log {
            auditor.check(raw)?;
        }
        auditor.finish(remembered)
    }

    fn end(log: &[RawEvent]) -> Head {
        log.last().map_or_else(Head::genesis, |raw| Head { seq: raw.seq, hash: raw.hash.clone() })
    }

    #[test]
    fn a_whole_log_passes() {
        let log = log(5);
        assert_eq!(audit(&log, Some(&end(&log))), Ok(end(&log)));
        assert_eq!(audit(&[], None), Ok(Head::genesis()));
    }

    #[test]
    fn any_edited_column_is_named() {
        let whole = log(5);
        let edits: [fn(&mut RawEvent); 6] = [
            |raw| raw.actor = "mallory".into(),
            |raw| raw.at += chrono::TimeDelta::microseconds(1),
            |raw| raw.kind = "engine_started".into(),
            |raw| raw.body["reason"] = "another".into(),
            |raw| raw.target = Some("redis-test".into()),
            |raw| raw.hash = "0".repeat(64),
        ];
        for (n, edit) in edits.iter().enumerate() {
            let mut log = whole.clone();
            edit(&mut log[2]);
            assert_eq!(audit(&log, Some(&end(&whole))).unwrap_err().seq, 3, "edit {n}");
        }
    }

    #[test]
    fn a_rewritten_record_with_a_fitting_hash_breaks_the_next_one() {
        let whole = log(5);
        let mut log = whole.clone();
        log[2].actor = "mallory".into();
        log[2].hash = log[2].expected_hash();
        assert_eq!(audit(&log, Some(&end(&whole))).unwrap_err().seq, 4);
    }

    #[test]
    fn missing_records_are_named_wherever_they_were() {
        let whole = log(5);
        for gone in 0..5 {
            let mut log = whole.clone();
            log.remove(gone);
            let broken = audit(&log, Some(&end(&whole))).unwrap_err();
            assert_eq!(broken.seq, gone as u64 + 1, "{broken}");
        }
        let broken = audit(&whole[..2], Some(&end(&whole))).unwrap_err();
        assert_eq!(broken.to_string(), "event 3: the records from here to 5 were deleted");
        assert_eq!(audit(&[], Some(&end(&whole))).unwrap_err().seq, 1);
        assert_eq!(audit(&whole, None).unwrap_err().seq, 5);
    }
}
