//! What Alertmanager sends to a webhook (version 4), and what one alert of it means here.
//!
//! Labels are written by whoever writes rules, and their values by whatever they measure: everything is cut to its
//! bounds, and what cannot be a name becomes one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::config::alerts::{AlertsConfig, usual_finding};
use crate::domain::alert::Alert;
use crate::domain::finding::{FindingKind, Severity};
use crate::domain::ids::TargetId;
use crate::domain::proposal::hex;
use crate::narrate::clean;

const NAME_CHARS: usize = 64;
const TARGET_BYTES: usize = 63;
const MESSAGE_CHARS: usize = 500;
const LABELS: usize = 64;
const LABEL_CHARS: usize = 200;
/// The sender, as incidents name it.
const SOURCE: &str = "alertmanager";

type Pairs = BTreeMap<String, String>;

/// A message about the alerts of one group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "version": "4", "groupKey": "{}:{alertname=\"RedisDown\"}", "truncatedAlerts": 0, "status": "firing",
    "receiver": "simctl", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
    "alerts": [{
        "status": "firing", "labels": { "alertname": "RedisDown", "instance": "redis-test", "severity": "critical" },
        "annotations": { "summary": "redis-test is down" }, "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus", "fingerprint": "c0ffee0123456789",
    }],
}))]
pub(super) struct Message {
    pub(super) version: String,
    /// How many alerts of the group are not in here.
    #[serde(default)]
    pub(super) truncated_alerts: u64,
    pub(super) alerts: Vec<Said>,
}

/// One alert, as it is sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    status: Stands,
    #[serde(default)]
    labels: Pairs,
    #[serde(default)]
    annotations: Pairs,
    starts_at: DateTime<Utc>,
    #[serde(default)]
    fingerprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Stands {
    Firing,
    Resolved,
}

impl Said {
    /// What it means here; nothing where a rule says to ignore it.
    pub(super) fn meaning(&self, config: &AlertsConfig) -> Option<Alert> {
        if config.rules_for(&self.labels).any(|rule| rule.ignore) {
            return None;
        }
        let rules = || config.rules_for(&self.labels);
        let name = self.labels.get("alertname").map_or("unnamed", String::as_str);
        let target = rules().find_map(|rule| rule.target.clone());
        Some(Alert {
            fingerprint: self.print(),
            name: cut(name, NAME_CHARS),
            target: target.unwrap_or_else(|| self.target(&config.target_labels)),
            finding: rules().find_map(|rule| rule.finding).or_else(|| self.finding(name)),
            severity: rules().find_map(|rule| rule.severity).unwrap_or_else(|| self.severity()),
            message: self.message(name),
            source: SOURCE.into(),
            team: rules()
                .find_map(|rule| rule.team.clone())
                .or_else(|| self.labels.get("team").cloned())
                .map(|team| cut(&team, NAME_CHARS)),
            is_firing: self.status == Stands::Firing,
            since: self.starts_at,
            labels: self.kept_labels(),
        })
    }

    /// The sender's own, or one of ours over the labels, which is as good.
    fn print(&self) -> String {
        let given = self.fingerprint.as_str();
        let fits =
            (1..=64).contains(&given.len()) && given.bytes().all(|b| b.is_ascii_alphanumeric());
        if fits {
            return given.to_owned();
        }
        let labels = serde_json::json!(self.labels).to_string();
        hex(&Sha256::digest(labels)).chars().take(16).collect()
    }

    fn target(&self, labels: &[String]) -> TargetId {
        let named = labels.iter().find_map(|label| self.labels.get(label));
        TargetId::from(as_name(named.map_or("", String::as_str)))
    }

    fn finding(&self, name: &str) -> Option<FindingKind> {
        let said = self.labels.get("finding").map_or(name, String::as_str);
        usual_finding(said)
    }

    fn severity(&self) -> Severity {
        let word = self.labels.get("severity").map(|word| word.to_lowercase());
        match word.as_deref() {
            Some("critical" | "page" | "emergency" | "disaster") => Severity::Critical,
            Some("high" | "error" | "major") => Severity::High,
            Some("low" | "info" | "none" | "minor") => Severity::Low,
            _ => Severity::Medium,
        }
    }

    fn message(&self, name: &str) -> String {
        let said = ["summary", "message", "description"]
            .iter()
            .find_map(|key| self.annotations.get(*key))
            .map(|text| text.trim())
            .filter(|text| !text.is_empty());
        cut(said.unwrap_or(name), MESSAGE_CHARS)
    }

    fn kept_labels(&self) -> Pairs {
        let pairs = self.labels.iter().take(LABELS);
        pairs.map(|(name, value)| (cut(name, LABEL_CHARS), cut(value, LABEL_CHARS))).collect()
    }
}

/// Harmless, and not longer than that.
fn cut(text: &str, chars: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= chars {
        return clean;
    }
    clean.chars().take(chars - 1).chain(['…']).collect()
}

/// `cache-1:6379` is called `cache-1`; what cannot be in a name becomes `-`.
fn as_name(text: &str) -> String {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => text,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String =
        host.chars().map(|c| if fits(c) { c } else { '-' }).take(TARGET_BYTES).collect();
    if name.is_empty() { "unknown".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::alerts::AlertRule;

    fn said(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Said {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        Said {
            status: Stands::Firing,
            labels: pairs(labels),
            annotations: pairs(annotations),
            starts_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            fingerprint: "c0ffee".into(),
        }
    }

    #[test]
    fn an_alert_means_what_rules_say_and_else_what_its_labels_say() {
        let rule = |label: (&str, &str)| AlertRule {
            labels: [(label.0.to_owned(), label.1.to_owned())].into(),
            ..AlertRule::default()
        };
        let config = AlertsConfig {
            rules: vec![
                AlertRule { ignore: true, ..rule(("env", "test")) },
                AlertRule { target: Some(TargetId::of("orders")), ..rule(("job", "pg")) },
                AlertRule { severity: Some(Severity::Low), ..rule(("job", "pg")) },
                AlertRule { severity: Some(Severity::High), ..rule(("job", "pg")) },
            ],
            ..AlertsConfig::default()
        };
        let named =
            [("alertname", "PostgresqlDown"), ("instance", "db-1:5432"), ("severity", "page")];
        let plain = said(&named, &[("summary", "db-1 is down")]).meaning(&config).unwrap();
        assert_eq!((plain.target.as_str(), plain.severity), ("db-1", Severity::Critical));
        assert_eq!(plain.finding, Some(FindingKind::ServerDown));
        assert_eq!(
            (plain.message.as_str(), plain.fingerprint.as_str()),
            ("db-1 is down", "c0ffee")
        );
        let ruled = said(&[("alertname", "X"), ("job", "pg")], &[]).meaning(&config).unwrap();
        assert_eq!((ruled.target.as_str(), ruled.severity), ("orders", Severity::Low));
        assert_eq!((ruled.finding, ruled.message.as_str()), (None, "X"));
        assert!(said(&[("env", "test")], &[]).meaning(&config).is_none());
    }

    #[test]
    fn hostile_labels_become_harmless_and_are_accepted() {
        let long = "x".repeat(10_000);
        let hostile = [
            ("alertname", "\u{1b}]0;owned\u{7}"),
            ("instance", "a b/../\u{202e}c:9187"),
            ("team", &long),
            ("severity", "'; drop table incidents; --"),
            (&long, &long),
        ];
        let alert = Said { fingerprint: "../x".into(), ..said(&hostile, &[("summary", &long)]) };
        let alert = alert.meaning(&AlertsConfig::default()).unwrap();
        assert_eq!(alert.check(), Ok(()));
        assert_eq!(alert.target.as_str(), "a-b-..--c");
        assert_eq!(alert.name, "\\x1b]0;owned\\x07");
        assert_eq!(alert.severity, Severity::Medium);
        let empty = said(&[], &[("summary", " \n")]).meaning(&AlertsConfig::default()).unwrap();
        assert_eq!(empty.check(), Ok(()));
        assert_eq!((empty.target.as_str(), empty.message.as_str()), ("unknown", "unnamed"));
        let unnamed = Said { fingerprint: String::new(), ..said(&[("a", "b")], &[]) };
        assert_eq!(unnamed.print().len(), 16);
    }
}
