//! `[alerts]`: what the alerts of a monitoring system mean here: which target, which symptom, how bad.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::layers::Layers;
use crate::domain::finding::{FindingKind, Severity};
use crate::domain::ids::TargetId;

/// Names that common collections of rules give to alerts, and the symptoms they stand for.
const USUAL: [(&str, FindingKind); 16] = [
    ("RedisDown", FindingKind::ServerDown),
    ("PostgresqlDown", FindingKind::ServerDown),
    ("PostgreSQLDown", FindingKind::ServerDown),
    ("RedisOutOfMaxmemory", FindingKind::MemoryPressure),
    ("RedisOutOfConfiguredMaxmemory", FindingKind::MemoryPressure),
    ("RedisOutOfMemory", FindingKind::MemoryPressure),
    ("RedisTooManyConnections", FindingKind::ClientsRefused),
    ("RedisRejectedConnections", FindingKind::ClientsRefused),
    ("PostgresqlTooManyConnections", FindingKind::ConnectionPressure),
    ("PostgreSQLMaxConnectionsReached", FindingKind::ConnectionPressure),
    ("PostgresqlDeadLocks", FindingKind::Deadlocks),
    ("PostgresqlTooManyDeadTuples", FindingKind::DeadRows),
    ("PostgresqlTooManyLocksAcquired", FindingKind::LockQueue),
    ("PostgresqlUnusedReplicationSlot", FindingKind::WalRetained),
    ("PostgresqlInvalidIndex", FindingKind::InvalidIndex),
    ("RedisHighLatency", FindingKind::Slow),
];

/// What alerts mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsConfig {
    /// The label that names the target; the first of them that an alert has.
    pub target_labels: Vec<String>,
    /// All that fit say something; of two that say the same thing, the first.
    pub rules: Vec<AlertRule>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        let labels = ["target", "simctl_target", "instance", "job"];
        Self { target_labels: labels.map(str::to_owned).into(), rules: Vec::new() }
    }
}

/// What alerts with certain labels mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertRule {
    /// Fits an alert that has every one of them.
    pub labels: BTreeMap<String, String>,
    pub target: Option<TargetId>,
    pub finding: Option<FindingKind>,
    pub severity: Option<Severity>,
    pub team: Option<String>,
    /// Nothing becomes of it.
    pub ignore: bool,
}

impl AlertRule {
    fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

impl AlertsConfig {
    /// The rules that fit an alert.
    pub fn rules_for<'a>(
        &'a self,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a AlertRule> {
        self.rules.iter().filter(|rule| rule.fits(labels))
    }
}

/// The symptom that an alert of that name usually stands for.
pub fn usual_finding(name: &str) -> Option<FindingKind> {
    let named = FindingKind::ALL.iter().find(|kind| kind.as_str() == name);
    let usual = || USUAL.iter().find(|(usual, _)| *usual == name).map(|(_, kind)| kind);
    named.or_else(usual).copied()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlertsSection {
    target_labels: Option<Vec<String>>,
    #[serde(rename = "rule")]
    rules: Vec<AlertRule>,
}

/// Puts the section together.
pub(super) fn alerts(layers: &mut Layers<'_>, file: AlertsSection) -> AlertsConfig {
    let usual = AlertsConfig::default();
    let source = layers.source("alerts.target_labels");
    let target_labels = file.target_labels.unwrap_or(usual.target_labels);
    layers.remember("alerts.target_labels", target_labels.join(", "), source);
    if target_labels.iter().any(|label| label.trim().is_empty()) {
        layers
            .refuse("alerts.target_labels", "`alerts.target_labels` has an empty name; remove it");
    }
    for (index, rule) in file.rules.iter().enumerate() {
        check(layers, &format!("alerts.rule[{index}]"), rule);
    }
    AlertsConfig { target_labels, rules: file.rules }
}

fn check(layers: &mut Layers<'_>, key: &str, rule: &AlertRule) {
    let AlertRule { labels, target, finding, severity, team, ignore } = rule;
    let says = target.is_some() || finding.is_some() || severity.is_some() || team.is_some();
    if !says && !ignore {
        let wants = "add `target`, `finding`, `severity`, `team` or `ignore = true`";
        layers.refuse(key, format_args!("`{key}` says nothing; {wants}"));
    }
    if labels.is_empty() && (*ignore || target.is_some() || finding.is_some()) {
        layers.refuse(key, format_args!("`{key}` fits every alert; name its `labels`"));
    }
    if finding == &Some(FindingKind::Noticed) {
        let problem = format_args!("`{key}.finding` is no symptom that is measured; leave it out");
        layers.refuse(key, problem);
    }
    let source = layers.source(key);
    let fits: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    layers.remember(key, fits.join(", "), source);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_named_like_a_symptom_or_as_usual_stands_for_it() {
        assert_eq!(usual_finding("server-down"), Some(FindingKind::ServerDown));
        assert_eq!(usual_finding("RedisDown"), Some(FindingKind::ServerDown));
        assert_eq!(usual_finding("noticed"), None, "no symptom of ours");
        assert_eq!(usual_finding(""), None);
        for (name, _) in USUAL {
            assert_eq!(USUAL.iter().filter(|(other, _)| *other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_rule_fits_what_has_all_of_its_labels() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let rule =
            AlertRule { labels: pairs(&[("job", "cache"), ("env", "prod")]), ..Default::default() };
        assert!(rule.fits(&pairs(&[("job", "cache"), ("env", "prod"), ("x", "y")])));
        assert!(!rule.fits(&pairs(&[("job", "cache")])));
        assert!(!rule.fits(&pairs(&[("job", "cache"), ("env", "test")])));
        assert!(AlertRule::default().fits(&pairs(&[])));
    }
}
