//! Names of things: newtypes so that no two kinds of id can be mixed up, and the seeded source of new ones.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

uuid_ids! {
    /// One incident; people read its number instead (`INC-0042`).
    IncidentId;
    /// One proposal; people read its fingerprint instead.
    ProposalId;
    /// One attempt of the agent at one incident, from thinking to its end.
    ExecutionId;
    /// One fault that we caused; people read its number instead (`f-19`).
    InjectionId;
    /// One decision about one fingerprint.
    ApprovalId;
}

macro_rules! word_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// A name known when simctl was built.
            pub const fn of(name: &'static str) -> Self {
                Self(Cow::Borrowed(name))
            }

            /// The bare word.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(Cow::Owned(name))
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Cow::Owned(name.to_owned()))
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )*};
}

word_ids! {
    /// A watched server, by the name people gave it (`redis-test`).
    TargetId;
    /// A root cause out of `diagnose::ALL` (`leak-oom`).
    CauseId;
    /// A remedy out of `actions::ALL` (`unlink_keys`).
    ActionId;
    /// A way to break the lab out of `faults::ALL` (`idle-leak`).
    FaultId;
}

/// What an approval is bound to: a SHA-256 over everything the person saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The six digits people read and type.
    pub fn short(&self) -> &str {
        self.0.get(..6).unwrap_or(&self.0)
    }

    /// Whether `typed` names this fingerprint: at least the six short digits, and a true prefix.
    pub fn is_named_by(&self, typed: &str) -> bool {
        typed.len() >= 6 && self.0.starts_with(&typed.to_ascii_lowercase())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The number people use for an incident, as they read it.
pub fn incident_name(number: u64) -> String {
    format!("INC-{number:04}")
}

/// The incident number in what a person typed: `INC-0042`, `inc-42` or `42`.
pub fn parse_incident_name(typed: &str) -> Option<u64> {
    let lower = typed.trim().to_ascii_lowercase();
    lower.strip_prefix("inc-").unwrap_or(&lower).parse().ok().filter(|number| *number > 0)
}

/// The only source of new ids: seeded, so that a run can be repeated to the letter.
#[derive(Debug)]
pub struct Ids(StdRng);

impl Ids {
    /// A source that gives the same ids for the same seed and times.
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A new UUIDv7 that sorts by `now`.
    pub fn next(&mut self, now: DateTime<Utc>) -> Uuid {
        let mut random = [0u8; 10];
        self.0.fill_bytes(&mut random);
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incident_names_read_back_in_every_form_people_type() {
        for typed in ["INC-0042", "inc-42", " 42 ", "inc-0042"] {
            assert_eq!(parse_incident_name(typed), Some(42), "{typed}");
        }
        for typed in ["", "INC-", "INC-0", "f-42", "-1", "4 2"] {
            assert_eq!(parse_incident_name(typed), None, "{typed}");
        }
    }

    #[test]
    fn a_fingerprint_is_named_by_six_digits_or_more_of_itself_only() {
        let fingerprint = Fingerprint("7f3a9c00aa".into());
        assert!(fingerprint.is_named_by("7f3a9c"));
        assert!(fingerprint.is_named_by("7F3A9C00"));
        assert!(!fingerprint.is_named_by("7f3a9"));
        assert!(!fingerprint.is_named_by("7f3a9d"));
        assert!(!fingerprint.is_named_by(""));
    }

    #[test]
    fn the_same_seed_gives_the_same_ids_in_time_order() {
        let at = DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
        let (mut a, mut b) = (Ids::seeded(7), Ids::seeded(7));
        let first = a.next(at);
        assert_eq!(first, b.next(at));
        assert!(a.next(at + chrono::TimeDelta::milliseconds(5)) > first);
    }
}
