//! Only COMMIT hangs: it waits for a standby that is not there.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgStanding};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::name;
use crate::domain::diagnosis::JudgedCause;
use crate::domain::sample::Answer;

use super::{Setting, WRITES, newest_bad, standing};

const SETTING: &str = "synchronous_standby_names";

pub(crate) const SYNC_STANDBY_MISSING: Judge = Judge {
    cause: "sync-standby-missing",
    title: "commits wait for a standby that is not there",
    about: "synchronous_standby_names asks for the word of a standby, and none is connected that could give it. \
            Reads work, every commit hangs.",
    findings: WRITES,
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    if !matches!(newest_bad(facts)?, Answer::Hung { .. }) {
        return None;
    }
    let (setting, standing) = (Setting::of(facts, SETTING)?, standing(facts)?);
    if setting.now.is_empty() || standing.sync_standbys.is_some_and(|standbys| standbys > 0) {
        return None;
    }
    let sources = [source::CLIENT_VIEW, source::BASELINE, source::PG_STANDING, source::PG_SETTINGS];
    let verdict = Verdict::on(facts, SYNC_STANDBY_MISSING.cause, &sources);
    let asked = if setting.is_changed() || setting.was.is_none() {
        setting.words(SETTING)
    } else {
        format!("{SETTING} asks for {} as it always did", name(setting.now))
    };
    let because = format!("{asked}, and no such standby is connected; {}", waits(standing));
    Some(verdict.confirmed_unless(because, missing(facts, standing)))
}

fn waits(standing: &PgStanding) -> String {
    match standing.commit_waits {
        0 => "reads work, writes hang".into(),
        1 => "1 commit waits for its word (SyncRep)".into(),
        n => format!("{n} commits wait for its word (SyncRep)"),
    }
}

/// What could still be a lock instead.
fn missing(facts: &Facts, standing: &PgStanding) -> Option<String> {
    let locks = facts.postgres.iter().flat_map(|pg| &pg.sessions);
    let has_lock_waits = locks.clone().any(|session| session.wait_type.as_deref() == Some("Lock"));
    if standing.sync_standbys.is_none() {
        return Some("the standbys that are connected (pg_stat_replication)".into());
    }
    (standing.commit_waits == 0 && has_lock_waits)
        .then(|| "what the hanging writes wait for (wait_event)".into())
}
