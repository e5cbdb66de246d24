//! 28000 before any password is looked at: pg_hba.conf has a line that rejects the application, or none that fits it.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgHba, PgHbaRule};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{counted, line, name};
use crate::domain::diagnosis::JudgedCause;

use super::{LOGIN, NOT_ALLOWED, newest_refusal};

pub(crate) const HBA_REJECT: Judge = Judge {
    cause: "hba-reject",
    title: "pg_hba.conf turns the application away",
    about: "A line of pg_hba.conf rejects the application's connections, or no line lets them in. Sessions that were \
            there go on; no password helps.",
    findings: LOGIN,
    judge,
};

const REJECT: &str = "reject";

fn judge(facts: &Facts) -> Option<JudgedCause> {
    if newest_refusal(facts) != Some(NOT_ALLOWED) {
        return None;
    }
    let hba = facts.postgres.as_ref()?.hba.as_ref()?;
    let sources = [source::CLIENT_VIEW, source::BASELINE, source::PG_HBA];
    let verdict = Verdict::on(facts, HBA_REJECT.cause, &sources);
    let Some(first) = hba.rules.first() else {
        return Some(verdict.confirmed_unless(
            format!("no line of pg_hba.conf fits the application{}", from(hba)),
            unread(hba),
        ));
    };
    if first.method != REJECT {
        return None;
    }
    let mut behind = hba.rules.iter().skip(1);
    let after = match behind.clone().find(|rule| rule.is_sure).or_else(|| behind.next()) {
        Some(next) => format!(", ahead of {}, which asks for {}", told(next), name(&next.method)),
        None => ", and no other line fits".into(),
    };
    let because =
        format!("{} of pg_hba.conf rejects the application{}{after}", told(first), from(hba));
    let missing =
        (!first.is_sure).then(|| "whether the host it names is the application's".to_owned());
    Some(verdict.confirmed_unless(because, missing.or_else(|| unread(hba))))
}

fn from(hba: &PgHba) -> String {
    if hba.address.is_empty() { String::new() } else { format!(" from {}", name(&hba.address)) }
}

fn told(rule: &PgHbaRule) -> String {
    match &rule.text {
        Some(text) => format!("line {} ({})", rule.line, line(text.trim())),
        None => format!("line {} of an included file", rule.line),
    }
}

/// The server goes on with what it read last while a line is wrong.
fn unread(hba: &PgHba) -> Option<String> {
    (hba.errors > 0).then(|| {
        format!(
            "what the server read last: pg_hba.conf has {} now",
            counted(hba.errors.into(), "error")
        )
    })
}

/// The one line to take out, when the next one would let the application in. An error says why there is none.
pub(crate) fn rejecting_line(facts: &Facts) -> Result<(u32, &str), String> {
    let hba = facts.postgres.as_ref().and_then(|pg| pg.hba.as_ref());
    let hba = hba.ok_or("pg_hba.conf could not be looked at")?;
    if facts.baseline.is_empty() {
        return Err(
            "whether the application was let in when the server was healthy is not known".into()
        );
    }
    let Some((first, behind)) = hba.rules.split_first() else {
        return Err("which line of pg_hba.conf let the application in is not known".into());
    };
    // One that may fit decides if it does.
    let sure = behind.iter().position(|rule| rule.is_sure);
    let lets_in =
        sure.is_some_and(|sure| behind.iter().take(sure + 1).all(|rule| rule.method != REJECT));
    if first.method != REJECT || !first.is_sure || !lets_in {
        return Err(
            "taking out one line of pg_hba.conf would not surely let the application in".into()
        );
    }
    let text =
        first.text.as_deref().ok_or("the line stands in a file that pg_hba.conf includes")?;
    Ok((first.line, text))
}
