//! How the workbench itself is: its connections, its replicas, its figures. Nothing is asked of the server for it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::failure::Outcome;
use super::pool::PoolStats;
use super::stats::{SlowStatement, Statistics};
use super::workbench::{As, Workbench};
use crate::targets::postgres::Session;

/// How it is in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WorkbenchHealth)]
pub enum Health {
    Healthy,
    /// It works, and somebody waits or waited in vain.
    Degraded,
    /// Nothing can be asked.
    Unhealthy,
}

/// Connections to the server and its replicas.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ConnectionPool {
    pub healthy: bool,
    pub pool_stats: PoolStats,
    pub read_replicas: Vec<ReplicaStats>,
}

/// One replica.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ReplicaStats {
    pub name: String,
    pub pool_stats: PoolStats,
    /// It streams and is close enough behind to answer, as far as it was looked at.
    pub eligible: bool,
    /// What it had replayed then.
    pub lsn: Option<String>,
}

/// The whole answer, as far as the workbench knows it; whoever serves it adds targets, backup and store.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HealthResponse {
    pub status: Health,
    pub timestamp: DateTime<Utc>,
    pub connection_pool: ConnectionPool,
    pub statistics: Statistics,
}

/// The figures with the statements that took the most time.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
pub struct StatsResponse {
    pub success: bool,
    pub statistics: Statistics,
    pub statements: Vec<SlowStatement>,
}

impl StatsResponse {
    /// These figures and those of another workbench together; at most so many statements.
    pub fn with(mut self, more: Self, most: usize) -> Self {
        self.statistics.add(&more.statistics);
        for one in more.statements {
            match self.statements.iter_mut().find(|known| known.statement == one.statement) {
                Some(known) => known.add(&one),
                None => self.statements.push(one),
            }
        }
        self.statements.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
        self.statements.truncate(most);
        self
    }
}

/// How it is at `now`. `reachable`: what the last sample said of the server, where one is taken.
pub fn health(bench: &Workbench, now: DateTime<Utc>, reachable: Option<bool>) -> HealthResponse {
    let connection_pool = pool(bench);
    let stats = &connection_pool.pool_stats;
    let status = match reachable {
        Some(false) => Health::Unhealthy,
        _ if stats.waiting > 0 || !connection_pool.healthy => Health::Degraded,
        _ => Health::Healthy,
    };
    let statistics = bench.stats.statistics();
    HealthResponse { status, timestamp: now, connection_pool, statistics }
}

/// The connections as they are now.
pub fn pool(bench: &Workbench) -> ConnectionPool {
    let pool_stats = bench.pool.stats();
    let replica = |replica: &super::replicas::Replica| {
        let lsn = replica.last_seen();
        let (name, pool_stats) = (replica.name().to_owned(), replica.stats());
        ReplicaStats { name, pool_stats, eligible: lsn.is_some(), lsn }
    };
    ConnectionPool {
        healthy: pool_stats.active < pool_stats.max || pool_stats.waiting == 0,
        pool_stats,
        read_replicas: bench.replicas.iter().map(replica).collect(),
    }
}

/// The connections after server and replicas were asked once, for whoever keeps no workbench.
pub async fn reached(bench: &Workbench, database: Option<&str>) -> Outcome<ConnectionPool> {
    let leased = bench.lease(As::App, database, Session::Ask).await?;
    leased.give_back().await;
    bench.look_at_replicas().await;
    Ok(pool(bench))
}

/// What was run since the workbench is there, the most expensive statements first.
pub fn stats(bench: &Workbench, most: usize) -> StatsResponse {
    StatsResponse {
        success: true,
        statistics: bench.stats.statistics(),
        statements: bench.stats.slowest(most),
    }
}
