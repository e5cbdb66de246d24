//! 25006: a standby refuses writes for ever; a primary does because somebody told it to.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::domain::diagnosis::JudgedCause;
use crate::domain::sample::Answer;

use super::{Setting, WRITES, newest_bad, own_value, standing};

const SETTING: &str = "default_transaction_read_only";
const READ_ONLY_TRANSACTION: &str = "25006";

pub(crate) const READ_ONLY: Judge = Judge {
    cause: "read-only",
    title: "transactions are read-only by default",
    about: "The server is a primary, and default_transaction_read_only is on: every new transaction may only \
            read.",
    findings: WRITES,
    judge: read_only,
};

pub(crate) const STANDBY: Judge = Judge {
    cause: "standby",
    title: "a standby is written to",
    about: "The server replays another one's changes and takes none of its own: the client writes to the wrong \
            server.",
    findings: WRITES,
    judge: of_standby,
};

fn read_only(facts: &Facts) -> Option<JudgedCause> {
    if !is_refused(facts) {
        return None;
    }
    let sources = [source::CLIENT_VIEW, source::BASELINE, source::PG_STANDING, source::PG_SETTINGS];
    let verdict = Verdict::on(facts, READ_ONLY.cause, &sources);
    let in_recovery = standing(facts).and_then(|standing| standing.in_recovery);
    let is_on = Setting::of(facts, SETTING).filter(|setting| setting.now == "on");
    match (in_recovery, is_on) {
        (Some(true), _) => None,
        (Some(false), Some(setting)) => {
            let whose = own_value(facts, SETTING)
                .map_or_else(String::new, |whose| format!(" (set for {whose})"));
            let because = format!(
                "the server is a primary (not in recovery), and {}{whose}",
                setting.words(SETTING)
            );
            let unknown = setting.was.is_none();
            let missing = unknown.then(|| format!("{SETTING} when the server was healthy"));
            Some(verdict.confirmed_unless(because, missing))
        }
        (None, Some(setting)) => Some(
            verdict.likely(setting.words(SETTING), "whether it is a standby (pg_is_in_recovery)"),
        ),
        (_, None) => Some(verdict.inconclusive(
            "writes are refused as read-only",
            format!("whether it is a standby (pg_is_in_recovery), and {SETTING} of that client"),
        )),
    }
}

fn of_standby(facts: &Facts) -> Option<JudgedCause> {
    let is_standby = standing(facts)?.in_recovery == Some(true);
    (is_refused(facts) && is_standby).then(|| {
        Verdict::on(facts, STANDBY.cause, &[source::CLIENT_VIEW, source::PG_STANDING]).confirmed(
            "the server is a standby (in recovery): it only replays what its primary wrote",
        )
    })
}

fn is_refused(facts: &Facts) -> bool {
    newest_bad(facts).and_then(Answer::code) == Some(READ_ONLY_TRANSACTION)
}
