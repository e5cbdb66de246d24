//! `[workbench]`: what `simctl db` and the API may do with a PostgreSQL, and within which bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TargetConfig;
use super::file::Span;
use super::layers::{Layers, Setting, word};
use crate::domain::ids::TargetId;
use crate::domain::target::Engine;

/// What a change of data or structure takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Writes {
    /// A person agrees to each one.
    #[default]
    Approval,
    /// `--write` is enough.
    Automatic,
    /// Nothing is changed through the workbench.
    Forbid,
}

impl Writes {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Automatic => "automatic",
            Self::Forbid => "forbid",
        }
    }
}

impl Setting for Writes {
    fn read(text: &str) -> Result<Self, String> {
        word(text)
    }
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

/// The bounds of the workbench.
#[derive(Clone, Debug)]
pub struct WorkbenchConfig {
    pub writes: Writes,
    /// Of one statement, unless the request says otherwise.
    pub query_timeout: Duration,
    /// Targets that are standbys of others and may answer what only reads.
    pub read_replicas: Vec<TargetId>,
    pub pool: PoolBounds,
    /// How often a transaction is begun again.
    pub max_retries: u32,
    /// The longest pause before the second attempt; it doubles.
    pub retry_delay: Duration,
    pub slow_query_threshold: Duration,
    pub caching: bool,
    pub cache_ttl: Duration,
}

/// Connections to one server, for all jobs together. The server's own size bounds them too.
#[derive(Clone, Debug)]
pub struct PoolBounds {
    pub max_size: usize,
    /// How long a job waits for one.
    pub timeout: Duration,
}

impl Default for WorkbenchConfig {
    fn default() -> Self {
        Self {
            writes: Writes::default(),
            query_timeout: Duration::from_secs(30),
            read_replicas: Vec::new(),
            pool: PoolBounds { max_size: 10, timeout: Duration::from_secs(5) },
            max_retries: 3,
            retry_delay: Duration::from_millis(50),
            slow_query_threshold: Duration::from_secs(1),
            caching: false,
            cache_ttl: Duration::from_secs(5),
        }
    }
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WorkbenchSection {
    writes: Option<Writes>,
    query_timeout: Option<Span>,
    read_replicas: Vec<TargetId>,
    connection_pool: PoolSection,
    transactions: TransactionSection,
    optimization: OptimizationSection,
    caching: CachingSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PoolSection {
    max_size: Option<usize>,
    timeout: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TransactionSection {
    max_retries: Option<u32>,
    retry_delay: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OptimizationSection {
    slow_query_threshold_ms: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CachingSection {
    enable: Option<bool>,
    query_cache_ttl: Option<Span>,
}

pub(super) fn workbench(
    layers: &mut Layers<'_>,
    file: WorkbenchSection,
    targets: &[TargetConfig],
) -> WorkbenchConfig {
    let d = WorkbenchConfig::default();
    let (pool, caching) = (&file.connection_pool, &file.caching);
    let slow = file.optimization.slow_query_threshold_ms;
    let usual = u32::try_from(d.slow_query_threshold.as_millis()).unwrap_or(u32::MAX);
    let slow = layers.pick("workbench.optimization.slow_query_threshold_ms", slow, usual);
    let key = |name: &str| format!("workbench.{name}");
    WorkbenchConfig {
        writes: layers.pick("workbench.writes", file.writes, d.writes),
        query_timeout: span(layers, &key("query_timeout"), file.query_timeout, d.query_timeout),
        pool: PoolBounds {
            max_size: layers.pick(&key("connection_pool.max_size"), pool.max_size, d.pool.max_size),
            timeout: span(layers, &key("connection_pool.timeout"), pool.timeout, d.pool.timeout),
        },
        max_retries: layers.pick(
            &key("transactions.max_retries"),
            file.transactions.max_retries,
            d.max_retries,
        ),
        retry_delay: span(
            layers,
            &key("transactions.retry_delay"),
            file.transactions.retry_delay,
            d.retry_delay,
        ),
        slow_query_threshold: Duration::from_millis(slow.into()),
        caching: layers.pick(&key("caching.enable"), caching.enable, d.caching),
        cache_ttl: span(
            layers,
            &key("caching.query_cache_ttl"),
            caching.query_cache_ttl,
            d.cache_ttl,
        ),
        read_replicas: replicas(layers, file.read_replicas, targets),
    }
}

/// Names of the user's own PostgreSQL targets.
fn replicas(
    layers: &mut Layers<'_>,
    named: Vec<TargetId>,
    targets: &[TargetConfig],
) -> Vec<TargetId> {
    let at = "workbench.read_replicas";
    for name in &named {
        let known = targets.iter().find(|target| target.id == *name);
        if known.is_none_or(|target| target.engine != Engine::Postgres) {
            let remedy = "name a PostgreSQL `[[target]]` of this file";
            layers.refuse(at, format_args!("`{at}` names `{name}`, which is none; {remedy}"));
        }
    }
    let shown: Vec<&str> = named.iter().map(TargetId::as_str).collect();
    let source = layers.source(at);
    layers.remember(at, if shown.is_empty() { "none".into() } else { shown.join(", ") }, source);
    named
}

/// A duration that must not be nothing.
fn span(layers: &mut Layers<'_>, key: &str, given: Option<Span>, default: Duration) -> Duration {
    let value = layers.pick(key, given, Span(default)).0;
    if value.is_zero() {
        layers.refuse(key, format_args!("`{key}` must be longer than 0s"));
    }
    value
}
