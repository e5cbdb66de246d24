//! Why a question has no answer, as a value, with what to do about it: never a blank, never a guess.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::report::Unit;
use super::words;

/// Why it is not known.
#[derive(Clone, Debug, PartialEq)]
pub enum Unknown {
    /// The login may not ask; `grant` is the statement that would let it.
    NotPermitted {
        said: String,
        grant: String,
    },
    /// An extension or module is missing; `remedy` makes it be there.
    NotInstalled {
        what: &'static str,
        remedy: &'static str,
    },
    NotInThisVersion {
        since: String,
        is: String,
    },
    TimedOut {
        after_ms: u64,
    },
    /// Somebody holds it, so asking would have waited.
    Locked {
        what: String,
    },
    /// The server let nobody in, or went away.
    Refused {
        code: String,
        said: String,
    },
    /// One sample tells nothing of what goes on.
    NotEnoughHistory {
        have_s: f64,
        need_s: f64,
    },
    /// An error that none of these is.
    Failed {
        code: String,
        said: String,
    },
}

impl Unknown {
    /// The word in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotPermitted { .. } => "not_permitted",
            Self::NotInstalled { .. } => "not_installed",
            Self::NotInThisVersion { .. } => "not_in_this_version",
            Self::TimedOut { .. } => "timed_out",
            Self::Locked { .. } => "locked",
            Self::Refused { .. } => "refused",
            Self::NotEnoughHistory { .. } => "not_enough_history",
            Self::Failed { .. } => "failed",
        }
    }

    /// What is the matter.
    pub fn sentence(&self) -> String {
        match self {
            Self::NotPermitted { said, .. } => format!("not permitted: {said}"),
            Self::NotInstalled { what, .. } => format!("not installed: {what}"),
            Self::NotInThisVersion { since, is } => {
                format!("not in this version: since {since}, this is {is}")
            }
            Self::TimedOut { after_ms } => {
                format!("timed out after {}", words::value(*after_ms as f64, Unit::Millis))
            }
            Self::Locked { what } => format!("locked: {what}"),
            Self::Refused { code, said } => format!("refused ({code}): {said}"),
            Self::NotEnoughHistory { .. } => "one sample tells nothing of what goes on".into(),
            Self::Failed { code, said } => format!("failed ({code}): {said}"),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotPermitted { grant, .. } => grant.clone(),
            Self::NotInstalled { remedy, .. } => (*remedy).to_owned(),
            Self::NotInThisVersion { since, .. } => format!("upgrade to {since} or later"),
            Self::TimedOut { .. } => {
                "ask again when the server is less busy, or look at `locks` and `performance` first".into()
            }
            Self::Locked { .. } => "ask again when it is free; `simctl pg locks` names the holder".into(),
            Self::Refused { code, .. } => match code.as_str() {
                "53300" => {
                    "free a connection, or watch with `--watch`: what is connected goes on answering".into()
                }
                "3D000" => "correct the name; `simctl pg sizes` lists the databases".into(),
                "28P01" | "28000" | "NOAUTH" | "WRONGPASS" | "NOPERM" => {
                    "correct user and password, or let the login in".into()
                }
                _ => "bring the server up, or correct its address".into(),
            },
            Self::NotEnoughHistory { need_s, .. } => {
                let need = words::value(*need_s, Unit::Seconds);
                format!("use `--watch`; figures come {need} after the first")
            }
            Self::Failed { .. } => "ask again; if it stays, report it with the server's version".into(),
        }
    }
}

impl Serialize for Unknown {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(3))?;
        map.serialize_entry("why", self.word())?;
        map.serialize_entry("sentence", &self.sentence())?;
        map.serialize_entry("remedy", &self.remedy())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_sentence_and_something_to_do() {
        let text = || String::from("x");
        let all = [
            Unknown::NotPermitted { said: text(), grant: text() },
            Unknown::NotInstalled { what: "x", remedy: "create it" },
            Unknown::NotInThisVersion { since: text(), is: text() },
            Unknown::TimedOut { after_ms: 5_000 },
            Unknown::Locked { what: text() },
            Unknown::Refused { code: "53300".into(), said: text() },
            Unknown::NotEnoughHistory { have_s: 0.0, need_s: 1.0 },
            Unknown::Failed { code: text(), said: text() },
        ];
        let mut words: Vec<&str> = all.iter().map(Unknown::word).collect();
        words.dedup();
        assert_eq!(words.len(), all.len());
        assert!(all.iter().all(|one| !one.sentence().is_empty() && !one.remedy().is_empty()));
        assert_eq!(all[3].sentence(), "timed out after 5 s");
    }
}
