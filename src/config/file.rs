//! The configuration file as it is written: a serde mirror that knows every key and refuses all others.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::domain::incident::RemediationMode;
use crate::domain::policy::Rule;
use crate::domain::target::{Engine, Profile, Thresholds};

/// A duration as people write it: `250ms`, `5s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let parsed = humantime::parse_duration(text).ok().filter(|duration| *duration <= YEAR);
        parsed
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no duration; write it like `250ms`, `5s` or `2m`"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) operator: Option<String>,
    pub(super) lab: LabSection,
    pub(super) store: StoreSection,
    #[serde(rename = "target")]
    pub(super) targets: Vec<TargetEntry>,
    pub(super) policy: PolicySection,
    pub(super) limits: LimitsSection,
    pub(super) inject: InjectSection,
    pub(super) agent: super::agent::AgentSection,
    pub(super) workbench: super::workbench::WorkbenchSection,
    pub(super) http: super::http::HttpSection,
    pub(super) alerts: super::alerts::AlertsSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LabSection {
    pub(super) enabled: Option<bool>,
    pub(super) id: Option<String>,
    pub(super) runtime: Option<super::RuntimeChoice>,
    pub(super) redis_port: Option<u16>,
    pub(super) postgres_port: Option<u16>,
    pub(super) store_port: Option<u16>,
    pub(super) verify_hold: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StoreSection {
    pub(super) url: Option<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicySection {
    pub(super) remediation: Option<RemediationMode>,
    pub(super) two_people: Option<bool>,
    #[serde(rename = "rule")]
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsSection {
    pub(super) approval_ttl: Option<Span>,
    pub(super) attempts_per_incident: Option<usize>,
    pub(super) cool_down: Option<Span>,
    pub(super) breaker_failures: Option<u32>,
    pub(super) breaker_rest: Option<Span>,
    pub(super) investigation: Option<Span>,
    pub(super) step: Option<Span>,
    pub(super) verification: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InjectSection {
    pub(super) ttl: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TargetEntry {
    pub(super) name: Option<String>,
    pub(super) url: Option<Secret>,
    pub(super) engine: Option<Engine>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) database: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password_env: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) tls: Option<TlsEntry>,
    pub(super) container: Option<String>,
    pub(super) profile: Option<Profile>,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) probe: ProbeSection,
    pub(super) verify_hold: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProbeSection {
    pub(super) held: Option<Span>,
    pub(super) fresh: Option<Span>,
    pub(super) confirm: Option<Span>,
    pub(super) deadline: Option<Span>,
}

/// `tls = true`, or `tls = { ca_file = "…" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) enum TlsEntry {
    Switch(bool),
    Trust { ca_file: Option<PathBuf> },
}

impl<'de> Deserialize<'de> for TlsEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TlsVisitor)
    }
}

struct TlsVisitor;

impl<'de> Visitor<'de> for TlsVisitor {
    type Value = TlsEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or `{ ca_file = \"…\" }`")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<TlsEntry, E> {
        Ok(TlsEntry::Switch(on))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsEntry, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Trust {
            ca_file: Option<PathBuf>,
        }
        let Trust { ca_file } = Trust::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(TlsEntry::Trust { ca_file })
    }
}
