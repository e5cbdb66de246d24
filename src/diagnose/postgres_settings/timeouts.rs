//! Ordinary statements are cut off because a timeout is far too short.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::sample::Answer;

use super::{Setting, newest_bad, own_value};

pub(crate) const TIMEOUTS: Judge = Judge {
    cause: "timeouts",
    title: "a timeout is far too short",
    about: "statement_timeout, or another timeout of the server, is so short that it cuts off ordinary statements and \
            sessions of its clients.",
    findings: &[FindingKind::ProbeFailing, FindingKind::WritesRefused],
    judge,
};

/// The SQLSTATE of what was cut off, and the setting that does it.
const CUTS: [(&str, &str); 3] = [
    ("57014", "statement_timeout"),
    ("57P05", "idle_session_timeout"),
    ("25P03", "idle_in_transaction_session_timeout"),
];
/// A probe gives up after so long; what was cut off sooner was cut off by a shorter timeout.
const PROBE_MS: u64 = 2_000;

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let name = cutting(facts)?;
    let sources = [source::CLIENT_VIEW, source::BASELINE, source::PG_STANDING, source::PG_SETTINGS];
    let verdict = Verdict::on(facts, TIMEOUTS.cause, &sources);
    let Some(setting) = Setting::of(facts, name) else {
        return Some(verdict.inconclusive(
            "a client's statement was cut off",
            format!("{name} of that client, and whether somebody cancelled it"),
        ));
    };
    // Off or long: somebody cancelled the statement, or it took that long.
    if !(1..=PROBE_MS).contains(&milliseconds(setting.now)?) || setting.was == Some(setting.now) {
        return None;
    }
    let whose =
        own_value(facts, name).map_or_else(String::new, |whose| format!(" (set for {whose})"));
    let missing = setting.was.is_none().then(|| format!("{name} when the server was healthy"));
    Some(verdict.confirmed_unless(format!("{}{whose}", setting.words(name)), missing))
}

/// The timeout that cuts off what the newest bad answer tells of.
pub(crate) fn cutting(facts: &Facts) -> Option<&'static str> {
    let code = newest_bad(facts).and_then(Answer::code)?;
    CUTS.iter().find(|(cut, _)| *cut == code).map(|(_, name)| *name)
}

fn milliseconds(value: &str) -> Option<u64> {
    value.trim_end_matches("ms").parse().ok()
}
