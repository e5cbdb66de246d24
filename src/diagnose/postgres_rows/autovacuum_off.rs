//! Nobody cleans up: autovacuum is switched off for the whole server.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{count, name, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Rows, holder_words};

const SETTING: &str = "autovacuum";

pub(crate) const AUTOVACUUM_OFF: Judge = Judge {
    cause: "autovacuum-off",
    title: "autovacuum is off",
    about: "autovacuum is switched off for the server: nothing removes dead rows unless somebody vacuums by hand.",
    findings: FINDINGS,
    judge,
};

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let rows = Rows::of(facts)?;
    if rows.pg.settings.as_ref()?.get(SETTING)? != "off" {
        return None;
    }
    let was = facts.baseline.get(SETTING).map(String::as_str);
    let verdict = Verdict::on(
        facts,
        AUTOVACUUM_OFF.cause,
        &[source::PG_SETTINGS, source::BASELINE, source::PG_TABLES, source::PG_HOLDERS],
    );
    let table = rows.worst;
    let because = format!(
        "autovacuum is off{}; {}.{} has {} dead rows beside {} live ones and was {}",
        match was {
            Some("off") => ", as it always was",
            Some(_) => ", it was on",
            None => "",
        },
        name(&table.schema),
        name(&table.name),
        count(table.dead),
        count(table.live),
        table
            .vacuumed_s
            .map_or("never vacuumed".into(), |age| format!("vacuumed {} ago", seconds(age)))
    );
    Some(verdict.confirmed_unless(because, missing(&rows, was)))
}

/// What else may keep the rows, or why it may be as it should be.
fn missing(rows: &Rows<'_>, was: Option<&str>) -> Option<String> {
    match was {
        None => return Some("whether it was on when the server was healthy".into()),
        Some("off") => {
            return Some("who vacuums by hand instead, and when it was done last".into());
        }
        Some(_) => {}
    }
    if let Some(session) = rows.sessions().first() {
        return Some(format!(
            "whether the rows go once the transaction of pid {} is over",
            session.pid
        ));
    }
    match rows.pg.holders.as_ref().map(|holders| holders.first()) {
        None => Some("prepared transactions and replication slots, which keep rows too".into()),
        Some(Some(holder)) => {
            Some(format!("whether the rows go once {} is gone", holder_words(holder)))
        }
        Some(None) => None,
    }
}
