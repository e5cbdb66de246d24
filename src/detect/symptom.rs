//! One sample in one word: the worst thing a client met on its way from connecting to writing.

use crate::domain::sample::{Answer, Sample};

/// What a sample shows. Exactly one applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symptom {
    /// Nobody is there.
    Down,
    /// Somebody is there and says nothing.
    Hung,
    /// On its way up or down, by its own words.
    Starting,
    /// Turned away at the door for lack of room.
    Refused,
    /// Reads are answered, writes are not, or with an error.
    WritesFail,
    /// Another error.
    Failing,
    Clean,
    /// Nothing was asked.
    Silent,
}

impl Symptom {
    /// Whether the server gave any answer of its own about clients, good or bad.
    pub(super) fn is_answer(self) -> bool {
        match self {
            Self::Refused | Self::WritesFail | Self::Failing | Self::Clean => true,
            Self::Down | Self::Hung | Self::Starting | Self::Silent => false,
        }
    }

    /// Whether the server could not be talked to at all.
    pub(super) fn is_absence(self) -> bool {
        matches!(self, Self::Down | Self::Hung)
    }
}

/// The symptom of a sample.
pub(super) fn of(sample: &Sample) -> Symptom {
    if sample.is_starting() {
        return Symptom::Starting;
    }
    match (&sample.connect, &sample.read, &sample.write) {
        (Answer::Error { code, text }, _, _) if is_full(code, text) => Symptom::Refused,
        // Whatever was answered before, a connection that is cut means nobody is there now.
        (Answer::Gone { .. }, _, _) | (_, Answer::Gone { .. }, _) | (_, _, Answer::Gone { .. }) => {
            Symptom::Down
        }
        (Answer::Hung { .. }, _, _) | (_, Answer::Hung { .. }, _) => Symptom::Hung,
        (Answer::Error { .. }, _, _) | (_, Answer::Error { .. }, _) => Symptom::Failing,
        (_, Answer::Ok, Answer::Error { .. } | Answer::Hung { .. }) => Symptom::WritesFail,
        (_, _, Answer::Error { .. }) => Symptom::Failing,
        (_, _, Answer::Hung { .. }) => Symptom::Hung,
        _ if sample.is_clean() => Symptom::Clean,
        _ => Symptom::Silent,
    }
}

/// Redis gives this refusal no prefix of its own.
fn is_full(code: &str, text: &str) -> bool {
    code == "53300" || (code == "ERR" && text.contains("max number of clients"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{error, gone, hung, sample, starting};
    use super::*;
    use crate::domain::sample::Origin::Fresh;

    #[test]
    fn every_combination_of_answers_is_one_symptom() {
        use Answer::{NotAsked, Ok};
        let full = || error("53300", "too many clients");
        let redis_full = || error("ERR", "ERR max number of clients reached");
        let oom = || error("OOM", "OOM command not allowed");
        let table = [
            ((Ok, Ok, Ok), Symptom::Clean),
            ((Ok, Ok, NotAsked), Symptom::Clean),
            ((NotAsked, NotAsked, NotAsked), Symptom::Silent),
            ((gone(), NotAsked, NotAsked), Symptom::Down),
            ((Ok, gone(), NotAsked), Symptom::Down),
            ((Ok, Ok, gone()), Symptom::Down),
            ((hung(), NotAsked, NotAsked), Symptom::Hung),
            ((Ok, hung(), NotAsked), Symptom::Hung),
            ((Ok, Ok, hung()), Symptom::WritesFail),
            ((Ok, Ok, oom()), Symptom::WritesFail),
            ((Ok, oom(), oom()), Symptom::Failing),
            ((Ok, NotAsked, oom()), Symptom::Failing),
            ((full(), NotAsked, NotAsked), Symptom::Refused),
            ((redis_full(), NotAsked, NotAsked), Symptom::Refused),
            ((Ok, redis_full(), NotAsked), Symptom::Failing),
            ((error("ERR", "ERR unknown"), NotAsked, NotAsked), Symptom::Failing),
            ((error("NOAUTH", "NOAUTH"), NotAsked, NotAsked), Symptom::Failing),
            ((starting(), NotAsked, NotAsked), Symptom::Starting),
            ((Ok, starting(), starting()), Symptom::Starting),
        ];
        for ((connect, read, write), expected) in table {
            let sample = sample(Fresh, 0, connect, read, write);
            assert_eq!(of(&sample), expected, "{sample:?}");
        }
    }
}
