//! `db stats`: what was run through `simctl db` on this machine. Each command adds its figures to a file in the state
//! directory, since none lives long enough to remember them.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use rustix::fs::{FlockOperation, flock};

use super::answer;
use crate::cli::Done;
use crate::cli::context::Context;
use crate::cli::print::table;
use crate::config::dirs;
use crate::database::health::{StatsResponse, stats};
use crate::database::{CLASSES_MS, SlowStatement, Workbench};

const FILE: &str = "workbench.json";
/// Statements that are remembered.
const MOST: usize = 500;

/// Show what was run through simctl db on this machine, and which statements took the most time
///
/// Statements are told apart without their values, which are never kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl db stats\n  simctl db stats --limit 50 --json")]
pub(super) struct Stats {
    /// At most so many statements
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

pub(super) fn run(context: &Context, args: &Stats) -> Done {
    let path = context.config().state_dir.join(FILE);
    let mut kept = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("read {}; remove it to begin anew", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => StatsResponse::default(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    kept.success = true;
    kept.statements.truncate(args.limit);
    answer(context, &Ok(kept), show)
}

/// Adds what a command did. Its answer does not depend on that, so a file that cannot be written is only noted.
pub(super) fn add(context: &Context, bench: &Workbench) {
    let dir = &context.config().state_dir;
    if let Err(error) = dirs::ensure_private(dir).and_then(|()| merge(dir, stats(bench, MOST))) {
        tracing::warn!(%error, "the figures of this command were not kept");
    }
}

fn merge(dir: &Path, more: StatsResponse) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join(FILE))?;
    // Two commands may end at the same moment.
    flock(&file, FlockOperation::LockExclusive)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let kept: StatsResponse = serde_json::from_str(&text).unwrap_or_default();
    let whole = serde_json::to_vec(&kept.with(more, MOST))?;
    replace(&mut file, &whole)
}

fn replace(file: &mut File, bytes: &[u8]) -> anyhow::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    Ok(file.write_all(bytes)?)
}

fn show(kept: &StatsResponse) -> String {
    let s = &kept.statistics;
    let mut text = format!(
        "{} statements, {} transactions, {} slow, {} errors; begun again {}, COMMITs without an answer {}; \
         cache {} hits, {} misses\n",
        s.queries_executed,
        s.transactions_executed,
        s.slow_queries,
        s.errors,
        s.retries,
        s.unknown_commits,
        s.cache_hits,
        s.cache_misses
    );
    let row = |one: &SlowStatement| {
        let mean = one.total_ms / one.calls.max(1) as f64;
        vec![
            one.calls.to_string(),
            format!("{:.1}", one.total_ms),
            format!("{mean:.1}"),
            format!("{:.1}", one.max_ms),
            one.errors.to_string(),
            histogram(one),
            one.statement.chars().take(100).collect(),
        ]
    };
    let rows: Vec<Vec<String>> = kept.statements.iter().map(row).collect();
    if !rows.is_empty() {
        text.push('\n');
        let head = ["CALLS", "TOTAL MS", "MEAN", "MAX", "ERRORS", "UP TO MS: CALLS", "STATEMENT"];
        text.push_str(&table(&head, &rows));
    }
    text
}

/// `5: 12, 20: 3`
fn histogram(one: &SlowStatement) -> String {
    let bounds = CLASSES_MS.iter().map(u64::to_string).chain(["more".to_owned()]);
    let classes = bounds.zip(one.histogram).filter(|(_, calls)| *calls > 0);
    classes.map(|(bound, calls)| format!("{bound}: {calls}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(statement: &str, calls: u64) -> StatsResponse {
        let one = SlowStatement {
            statement: statement.into(),
            calls,
            total_ms: calls as f64,
            ..Default::default()
        };
        let mut stats = StatsResponse { statements: vec![one], ..Default::default() };
        stats.statistics.queries_executed = calls;
        stats
    }

    #[test]
    fn figures_add_up_over_commands_also_after_a_damaged_file() {
        let dir = tempfile::tempdir().unwrap();
        merge(dir.path(), ran("select ?", 2)).unwrap();
        merge(dir.path(), ran("select ?", 3)).unwrap();
        merge(dir.path(), ran("select a", 1)).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        let kept: StatsResponse = serde_json::from_str(&text).unwrap();
        assert_eq!((kept.statistics.queries_executed, kept.statements.len()), (6, 2));
        assert_eq!(
            (kept.statements[0].statement.as_str(), kept.statements[0].calls),
            ("select ?", 5)
        );
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        merge(dir.path(), ran("select b", 1)).unwrap();
        assert!(std::fs::read_to_string(dir.path().join(FILE)).unwrap().contains("select b"));
    }
}
