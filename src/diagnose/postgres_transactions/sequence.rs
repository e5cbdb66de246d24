//! A sequence has given its last number: every insert that needs the next one fails.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgSequence};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::name;
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, log_has};

pub(crate) const SEQUENCE_END: Judge = Judge {
    cause: "sequence-end",
    title: "a sequence at its end",
    about: "A sequence has given the last number its type can hold; whoever asks for the next one gets 2200H.",
    findings: FINDINGS,
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let ended = facts.postgres.as_ref()?.ended_sequences.as_ref()?;
    let asked = |ended: &&PgSequence| was_asked(facts, ended) == Some(true);
    let one = ended.iter().find(asked).or_else(|| ended.first())?;
    let whose = match one.table.as_str() {
        "" => String::new(),
        table => format!(" of {}", name(table)),
    };
    let because = format!(
        "the sequence {}.{}{whose} is at {}, the end of {}",
        name(&one.schema),
        name(&one.name),
        one.end,
        name(&one.kind)
    );
    let sources = [source::PG_SEQUENCES, source::LOG, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, SEQUENCE_END.cause, &sources);
    Some(match was_asked(facts, one) {
        Some(true) => {
            verdict.confirmed(format!("{because}, and the server's log names it beside errors"))
        }
        // It may have ended long ago, with nobody left who asks it.
        Some(false) => verdict.inconclusive(because, "whether anybody asks it for a number now"),
        None => verdict.likely(because, "whether the server's log names it beside errors"),
    })
}

fn was_asked(facts: &Facts, ended: &PgSequence) -> Option<bool> {
    log_has(facts, &[&format!("\"{}\"", ended.name), &format!("({})", ended.end)])
}
