//! Tables that are read from end to end although an index would do: what keeps the planner from it.

use super::Judge;
use super::facts::{Facts, PgOverride};
use super::postgres_settings::{Setting, overriding};
use super::verdict::{Verdict, source};
use super::words::name;
use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;

pub(super) const PLANNER_SETTING: Judge = Judge {
    cause: "planner-setting",
    title: "the planner may not use indexes",
    about: "A setting keeps the planner of new sessions from using indexes; sessions that were there before go on as ever.",
    findings: &[FindingKind::FullScans, FindingKind::Slow],
    judge,
};

/// Either of them alone leaves the other way to an index.
pub(crate) const WAYS: [&str; 2] = ["enable_indexscan", "enable_bitmapscan"];

fn judge(facts: &Facts) -> Option<JudgedCause> {
    let off: Vec<(&str, Setting<'_>)> = WAYS
        .into_iter()
        .filter_map(|way| Some((way, Setting::of(facts, way)?)))
        .filter(|(_, setting)| setting.now == "off" && setting.was != Some("off"))
        .collect();
    if off.is_empty() {
        return None;
    }
    let words: Vec<String> = off.iter().map(|(way, setting)| setting.words(way)).collect();
    let whose = match overrides(facts).first() {
        Some(own) if own.role.is_empty() => format!(" (set for database {})", name(&own.database)),
        Some(own) => format!(" (set for role {})", name(&own.role)),
        None => String::new(),
    };
    let sources = [source::PG_SETTINGS, source::PG_STANDING, source::BASELINE, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, PLANNER_SETTING.cause, &sources);
    let because = format!("for a new session of the application {}{whose}", words.join(", and "));
    let missing = if off.len() < WAYS.len() {
        Some("the plan of the query: the other way to an index is still open".to_owned())
    } else if off.iter().any(|(_, setting)| setting.was.is_none()) {
        Some("these settings when the server was healthy".to_owned())
    } else {
        None
    };
    Some(verdict.confirmed_unless(because, missing))
}

/// The settings of a role or database that switch a way off for the application.
pub(crate) fn overrides(facts: &Facts) -> Vec<&PgOverride> {
    WAYS.into_iter()
        .filter_map(|way| overriding(facts, way))
        .filter(|own| own.value == "off")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graded, postgres};
    use super::*;
    use crate::diagnose::facts::{PgDatabase, PgRole, PgStanding};

    const NONE: [&str; 0] = [];

    fn scans(values: [&str; 2], before: [&str; 2]) -> Facts {
        let mut facts = postgres(FindingKind::FullScans, Vec::new());
        fn of(values: [&str; 2]) -> impl Iterator<Item = (String, String)> {
            WAYS.into_iter().zip(values).map(|(name, value)| (name.to_owned(), value.to_owned()))
        }
        facts.baseline.extend(of(before));
        facts.postgres.as_mut().unwrap().settings = Some(of(values).collect());
        facts
    }

    #[test]
    fn both_ways_must_be_shut_now_and_open_before() {
        let graded = |values, before| graded(&scans(values, before));
        let open = ["on", "on"];
        assert_eq!(graded(["off", "off"], open), ["planner-setting: confirmed"]);
        assert_eq!(graded(["off", "on"], open), ["planner-setting: likely"]);
        assert_eq!(graded(open, open), NONE, "an index is gone, or the statistics are wrong");
        assert_eq!(graded(["off", "off"], ["off", "off"]), NONE, "it was always so");
    }

    #[test]
    fn whose_setting_it_is_decides_what_is_reset() {
        let mut facts = scans(["off", "off"], ["on", "on"]);
        assert!(overrides(&facts).is_empty(), "the server's own");
        let own = |database: &str, name: &str| PgOverride {
            database: database.into(),
            name: name.into(),
            value: "off".into(),
            ..PgOverride::default()
        };
        let standing = PgStanding {
            role: Some(PgRole { name: "app".into(), ..PgRole::default() }),
            database: Some(PgDatabase { name: "shop".into(), ..PgDatabase::default() }),
            overrides: vec![own("other", WAYS[0]), own("shop", WAYS[0]), own("shop", "work_mem")],
            ..PgStanding::default()
        };
        facts.postgres.as_mut().unwrap().standing = Some(standing);
        let found: Vec<_> = overrides(&facts).iter().map(|own| &*own.database).collect();
        assert_eq!(found, ["shop"]);
        let because = super::super::diagnose(&facts).causes.remove(0).because;
        assert!(because.ends_with("(set for database shop)"), "{because}");
    }
}
