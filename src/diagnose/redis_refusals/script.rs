//! A script that runs on and on: every other command waits for it.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words;
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, said};

pub(crate) const BUSY_SCRIPT: Judge = Judge {
    cause: "busy-script",
    title: "a script runs on and on",
    about: "One script or function runs longer than busy-reply-threshold; until it ends or is killed, every command \
            is answered with BUSY.",
    findings: FINDINGS,
    judge: busy,
};

pub(crate) const BUSY_SCRIPT_WROTE: Judge = Judge {
    cause: "busy-script-wrote",
    title: "a script that has written runs on and on",
    about: "The running script has written already, so Redis refuses to kill it (UNKILLABLE): it ends by itself, or \
            the server is stopped without saving.",
    findings: FINDINGS,
    judge: busy_and_wrote,
};

/// Which command ends what runs; the server's own words name it.
const ENDS: [&str; 2] = ["SCRIPT KILL", "FUNCTION KILL"];

const SOURCES: [&str; 3] = [source::CLIENT_VIEW, source::LOG, source::EARLIER];

fn busy(facts: &Facts) -> Option<JudgedCause> {
    let told = said(facts, "BUSY")?;
    if is_unkillable(facts) {
        return None;
    }
    let verdict = Verdict::on(facts, BUSY_SCRIPT.cause, &SOURCES);
    let because = because(facts, told);
    if ENDS.iter().any(|end| told.contains(end)) {
        return Some(verdict.confirmed(because));
    }
    Some(verdict.likely(because, "what the server says may end it"))
}

fn busy_and_wrote(facts: &Facts) -> Option<JudgedCause> {
    let told = said(facts, "BUSY")?;
    is_unkillable(facts).then(|| {
        let because = because(facts, told);
        Verdict::on(facts, BUSY_SCRIPT_WROTE.cause, &SOURCES).confirmed(format!(
            "{because}; it has written already: the server refused to kill it (UNKILLABLE)"
        ))
    })
}

fn because(facts: &Facts, told: &str) -> String {
    match running_for(facts) {
        Some(line) => {
            format!("the server runs a script and nothing else; its log: {}", words::line(line))
        }
        None => format!(
            "the server runs a script and answers everything else with: {}",
            words::line(told)
        ),
    }
}

/// What the log says of it, without the time stamp.
fn running_for(facts: &Facts) -> Option<&str> {
    let line =
        facts.log.as_ref()?.iter().rev().find(|line| line.contains("Slow script detected"))?;
    line.find("Slow script detected").and_then(|at| line.get(at..))
}

fn is_unkillable(facts: &Facts) -> bool {
    facts.refusals.iter().any(|refusal| refusal.said.contains("UNKILLABLE"))
}
