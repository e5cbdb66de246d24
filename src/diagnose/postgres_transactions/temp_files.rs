//! Queries may write less to temporary files than they need.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::postgres_settings::Setting;
use crate::diagnose::verdict::{Verdict, source};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, log_has};

pub(crate) const SPILL: Judge = Judge {
    cause: "spill",
    title: "no room for temporary files",
    about: "temp_file_limit was lowered: queries that sort or join more than fits into their memory fail with 53400.",
    findings: FINDINGS,
    judge,
};

const LIMIT: &str = "temp_file_limit";

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let setting = Setting::of(facts, LIMIT)?;
    // Without a limit nothing fails at it.
    if setting.now.starts_with('-') || setting.was == Some(setting.now) {
        return None;
    }
    let sources = [source::PG_SETTINGS, source::BASELINE, source::LOG, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, SPILL.cause, &sources);
    let because = setting.words(LIMIT);
    if setting.was.is_none() {
        return Some(verdict.likely(because, format!("{LIMIT} when the server was healthy")));
    }
    Some(match log_has(facts, &[&format!("{LIMIT} ({})", setting.now)]) {
        Some(true) => {
            verdict.confirmed(format!("{because}, and the server's log names it beside errors"))
        }
        Some(false) => verdict.inconclusive(because, "whether any query fails at it now"),
        None => verdict.likely(because, "whether the server's log names it beside errors"),
    })
}
