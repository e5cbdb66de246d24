//! Writes that hang while reads are answered: the server itself holds its clients back.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words;
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::{Answer, Origin};

use super::newest;

pub(crate) const CLIENT_PAUSE: Judge = Judge {
    cause: "client-pause",
    title: "writes are held back by CLIENT PAUSE",
    about: "Somebody ordered CLIENT PAUSE … WRITE: writes wait without an error until it is taken back or its time \
            is over; reads go on.",
    findings: &[FindingKind::WritesRefused],
    judge: held_back,
};

const SOURCES: [&str; 3] = [source::CLIENT_VIEW, source::REDIS_CLIENTS, source::REDIS_INFO];

fn held_back(facts: &Facts) -> Option<JudgedCause> {
    let redis = facts.redis.as_ref().filter(|_| writes_hang(facts))?;
    let verdict = Verdict::on(facts, CLIENT_PAUSE.cause, &SOURCES);
    let because = "reads are answered, and writes wait without an error";
    if redis.fails_over {
        return Some(verdict.inconclusive(
            format!("{because}: the server hands over to a replica, which holds writes back"),
            "how the failover ends (INFO replication, master_failover_state)",
        ));
    }
    (redis.held_back > 0).then(|| verdict.confirmed(format!(
        "{because}: {} held back in commands that never wait by themselves, so CLIENT PAUSE … WRITE is on",
        words::counted(redis.held_back, "client")
    )))
}

/// The newest word of both connections, as far as they had one.
fn writes_hang(facts: &Facts) -> bool {
    let newest = [Origin::Held, Origin::Fresh].map(|origin| newest(facts, origin));
    let told: Vec<_> = newest.into_iter().flatten().collect();
    let hangs = |write: &Answer| matches!(write, Answer::Hung { .. });
    told.iter().any(|sample| sample.read.is_ok() && hangs(&sample.write))
        && told.iter().all(|sample| !sample.write.is_ok())
}
