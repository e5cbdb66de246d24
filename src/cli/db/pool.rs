//! `db pool`: how many connections the workbench may have, and whether server and replicas let it in.

use clap::Args;

use super::{How, answer};
use crate::cli::Done;
use crate::cli::context::Context;
use crate::cli::print::table;
use crate::database::health::{ConnectionPool, reached};

/// Show how many connections the workbench may have, and whether server and replicas answer
///
/// All connections of the workbench to a server together take at most a quarter of those that ordinary roles may
/// have, and at most workbench.connection_pool.max_size.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl db pool\n  simctl db pool --json --target orders-db")]
pub(super) struct Pool {}

pub(super) async fn run(context: &Context, how: &How) -> Done {
    let bench = how.workbench(context).await?;
    answer(context, &reached(&bench, how.database.as_deref()).await, |pool| {
        show(&bench.target.id.to_string(), pool)
    })
}

fn show(target: &str, pool: &ConnectionPool) -> String {
    let row = |name: &str, behind: String, stats: &crate::database::PoolStats| {
        vec![
            name.to_owned(),
            behind,
            stats.max.to_string(),
            stats.active.to_string(),
            stats.idle.to_string(),
            stats.waiting.to_string(),
            stats.timeouts.to_string(),
        ]
    };
    let mut rows = vec![row(target, "primary".into(), &pool.pool_stats)];
    for replica in &pool.read_replicas {
        let behind = match (replica.eligible, &replica.lsn) {
            (true, Some(lsn)) => format!("replica at {lsn}"),
            _ => "replica, not used: it does not stream or is behind".to_owned(),
        };
        rows.push(row(&replica.name, behind, &replica.pool_stats));
    }
    table(&["SERVER", "ROLE", "MAX", "ACTIVE", "IDLE", "WAITING", "TIMEOUTS"], &rows)
}
