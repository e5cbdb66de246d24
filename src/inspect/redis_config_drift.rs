//! `redis config-drift`: settings that are not as they were when the server was last known to be well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::redis::RedisDesk;
use super::report::{Check, Column, Content, Draft, Grade, Table, Unit};
use super::unknown::Unknown;
use super::{Ask, Given, Inspection};
use crate::actions::Need;
use crate::domain::step::watch::BASELINE_FORMAT;
use crate::domain::unit::setting;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_redis_config_drift",
    verb: "config-drift",
    title: "Changed settings",
    about: "A closed list of settings and users, secrets masked, against the baseline that `simctl run` recorded while \
            the server was well; with --watch also against the look before. And whether a change would outlive a restart.",
    args: &[],
    needs: &[Need::Redis(&["config|get", "acl|list", "info"])],
    offers: &["reset_redis_setting"],
    budget: Duration::from_secs(5),
    example: "simctl redis config-drift",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

/// A change of these loses data or refuses clients.
const GRAVE: [&str; 5] = ["maxmemory", "maxmemory-policy", "maxclients", "save", "appendonly"];

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Change {
    name: String,
    was: Option<String>,
    is: Option<String>,
}

const CHANGES: &[Column] = &[("name", Unit::None), ("was", Unit::None), ("is", Unit::None)];

async fn look(desk: &mut RedisDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    let now = match desk.settings().await {
        Ok(now) => now,
        Err(unknown) => {
            draft.part("changes", "Changed settings", Err(unknown));
            return draft;
        }
    };
    let before = desk.earlier.since("settings", &now).map(|(_, before)| before);
    let (since, baseline) = match desk.baseline.clone() {
        Some(baseline) => ("Against the baseline", Some(baseline)),
        None => ("Since the look before", before),
    };
    let changes = baseline.map(|baseline| changed(&baseline, &now));
    let table = changes
        .as_ref()
        .map(|changes| Content::Table(Table::of(changes, CHANGES)))
        .ok_or(Unknown::NotEnoughHistory { have_s: 0.0, need_s: 1.0 });
    draft.judge(changes.iter().flatten().map(judge));
    draft.part("changes", since, table);
    draft.judge(outlives(desk).await);
    draft
}

fn changed(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<Change> {
    // Limits of what the server runs in and the mark of its format are in a baseline too.
    let ours = |name: &&String| !name.starts_with(setting::PREFIX) && *name != BASELINE_FORMAT;
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).filter(ours).collect();
    let change = |name: &String| Change {
        name: name.clone(),
        was: was.get(name).cloned(),
        is: is.get(name).cloned(),
    };
    names.into_iter().map(change).filter(|change| change.was != change.is).collect()
}

fn judge(change: &Change) -> Check {
    let grave = GRAVE.contains(&change.name.as_str());
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "not set".into());
    let check = Check::graded("changed_setting", if grave { Grade::Crit } else { Grade::Warn })
        .because(format!("{} is `{}`, was `{}`", change.name, or(&change.is), or(&change.was)))
        .advise("`simctl history` tells whether it was us; else ask who changed it");
    match &change.was {
        Some(was) if grave => check
            .offer("reset_redis_setting", serde_json::json!({ "name": change.name, "value": was })),
        _ => check,
    }
}

async fn outlives(desk: &mut RedisDesk) -> Option<Check> {
    let info = desk.info().await.ok()?;
    let file = info.text("config_file")?;
    Some(Check::graded("config_file", Grade::Ok).because(if file.is_empty() {
        "started without a file: no setting changed while it runs outlives a restart".to_owned()
    } else {
        format!(
            "{file}; a setting changed while it runs outlives a restart only after CONFIG REWRITE"
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_changed_what_came_and_what_went_is_told() {
        let was = settings(&[("maxmemory", "50"), ("timeout", "0"), ("gone", "1")]);
        let is = settings(&[("maxmemory", "5"), ("timeout", "0"), ("new", "1")]);
        let names: Vec<String> = changed(&was, &is).into_iter().map(|change| change.name).collect();
        assert_eq!(names, ["gone", "maxmemory", "new"]);
        assert!(changed(&was, &was).is_empty());
        let recorded = settings(&[(BASELINE_FORMAT, "2"), ("unit.cpu", "1"), ("timeout", "0")]);
        let read = settings(&[("timeout", "0")]);
        assert!(changed(&recorded, &read).is_empty(), "only settings of the server are compared");
    }

    #[test]
    fn a_grave_change_offers_the_way_back() {
        let change =
            |name: &str| Change { name: name.into(), was: Some("50".into()), is: Some("5".into()) };
        let check = judge(&change("maxmemory"));
        assert_eq!((check.grade, &check.leads_to[0].args["value"]), (Grade::Crit, &"50".into()));
        assert_eq!(judge(&change("timeout")).grade, Grade::Warn);
    }
}
