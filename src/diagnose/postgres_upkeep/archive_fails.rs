//! The archive takes no segment, so none may be removed.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgWal};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{line, name, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::WAL;

pub(crate) const ARCHIVE_FAILS: Judge = Judge {
    cause: "archive-fails",
    title: "the archive takes no WAL",
    about: "archive_command fails. The server tries the same file again and again and keeps every segment until it is \
            taken.",
    findings: WAL,
    judge,
};

const SETTINGS: [&str; 2] = ["archive_command", "archive_library"];

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let pg = facts.postgres.as_ref()?;
    let failed_s = failing_for(pg.wal.as_ref()?)?;
    let sources = [source::PG_WAL, source::PG_SETTINGS, source::BASELINE];
    let verdict = Verdict::on(facts, ARCHIVE_FAILS.cause, &sources);
    let told = format!(
        "the archive's last attempt failed {} ago, at {}, and nothing was archived since",
        seconds(failed_s),
        name(pg.wal.as_ref()?.stuck_at.as_deref().unwrap_or("a file"))
    );
    Some(match changed(facts) {
        Some((setting, was, now)) => verdict.confirmed(format!(
            "{told}; {setting} is `{}`, it was `{}`",
            line(now),
            line(was)
        )),
        None => verdict.likely(
            format!("{told}; archive_command is not known to have changed"),
            "what the command says (the server's log), and whether the archive's disk has room",
        ),
    })
}

/// How long ago the newest attempt failed, when none succeeded since.
fn failing_for(wal: &PgWal) -> Option<f64> {
    let failed = wal.failed_s.filter(|_| wal.archives)?;
    wal.archived_s.is_none_or(|archived| archived > failed).then_some(failed)
}

/// The setting that is another one than on the healthy server: its name, what it was, what it is.
fn changed(facts: &Facts) -> Option<(&'static str, &str, &str)> {
    let now = facts.postgres.as_ref()?.settings.as_ref()?;
    SETTINGS.into_iter().find_map(|name| {
        let (was, now) = (facts.baseline.get(name)?, now.get(name)?);
        (was != now).then_some((name, was.as_str(), now.as_str()))
    })
}
