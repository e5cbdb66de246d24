//! `db tx`: the statements of a file as one transaction.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::agree::{Agreed, agreed};
use super::query::{stoppable, text};
use super::{How, answer, failed, stats};
use crate::cli::context::Context;
use crate::cli::print::table;
use crate::cli::{Done, NO, parse};
use crate::database::Row;
use crate::database::transaction::{
    Commit, Isolation, StatementResult, TransactionRequest, TransactionResponse, read_file,
    transaction,
};
use crate::database::writes::Change;

/// Run the statements of a file as one transaction
///
/// The file holds SQL statements one after the other, or JSON: {"queries": [{"sql": "…", "params": […]}],
/// "isolation_level": "serializable", "write": true}. Deadlocks, serialization failures and connections lost before
/// COMMIT begin the whole again; a COMMIT that got no answer is looked up, never repeated. Without --write the
/// server lets it only read.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db tx transfer.sql --write --isolation serializable\n  simctl db tx report.json --json\n  cat steps.sql | simctl db tx - --write --yes"
)]
pub(super) struct Tx {
    /// The file; `-` is standard input
    file: PathBuf,
    /// They may change something
    #[arg(long)]
    write: bool,
    /// Do not ask before they change something
    #[arg(long)]
    yes: bool,
    /// What they see of others [default: read-committed]
    #[arg(long, value_name = "LEVEL", value_enum)]
    isolation: Option<Level>,
    /// So often it is begun again [default: workbench.transactions.max_retries, 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    max_retries: Option<u32>,
    /// Also begin again when a lock was not to be had
    #[arg(long)]
    retry_locks: bool,
    /// For all attempts together [default: workbench.query_timeout, 30s]
    #[arg(long, value_name = "TIME", value_parser = parse::span)]
    deadline: Option<Duration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

pub(super) async fn run(context: &Context, how: &How, args: &Tx) -> Done {
    let request = match read_file(&text(None, Some(&args.file))?) {
        Ok(request) => completed(request, how, args),
        Err(failure) => return failed(context, &failure),
    };
    let bench =
        if request.write { how.recording(context).await? } else { how.workbench(context).await? };
    let permit = if request.write {
        let change = match Change::of_transaction(&bench, &request) {
            Ok(change) => change,
            Err(failure) => return failed(context, &failure),
        };
        match agreed(context, &change, args.yes)? {
            Agreed::By(permit) => Some(permit),
            Agreed::Nobody => None,
            Agreed::No => {
                context.print.line("nothing was changed")?;
                return Ok(NO);
            }
        }
    } else {
        None
    };
    let job = transaction(&bench, &request, permit.as_ref());
    let outcome = stoppable(job, &bench.stop_token()).await?;
    if let Ok(response) = &outcome
        && !context.print.json
    {
        response.notices.iter().for_each(|notice| context.print.progress(notice));
    }
    stats::add(context, &bench);
    answer(context, &outcome, show)
}

/// What the command line says beats what the file says.
fn completed(file: TransactionRequest, how: &How, args: &Tx) -> TransactionRequest {
    let deadline = args.deadline.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    TransactionRequest {
        write: file.write || args.write,
        isolation_level: args.isolation.map_or(file.isolation_level, |level| match level {
            Level::ReadCommitted => Isolation::ReadCommitted,
            Level::RepeatableRead => Isolation::RepeatableRead,
            Level::Serializable => Isolation::Serializable,
        }),
        max_retries: args.max_retries.or(file.max_retries),
        retry_locks: file.retry_locks || args.retry_locks,
        deadline_ms: deadline.or(file.deadline_ms),
        database: how.database.clone().or(file.database),
        queries: file.queries,
    }
}

fn show(response: &TransactionResponse) -> String {
    let mut text = String::new();
    for result in &response.results {
        let _ = write!(text, "{}", one(result));
    }
    let ended = match response.commit {
        Commit::Committed => "committed",
        Commit::RolledBack => "only read",
    };
    let _ = write!(text, "{ended}, {:.1} ms", response.execution_time_ms);
    if response.attempts > 1 {
        let _ = write!(
            text,
            ", attempt {} after {}",
            response.attempts,
            response.retried_for.join(", ")
        );
    }
    if let Some(lsn) = &response.lsn {
        let _ = write!(text, ", lsn {lsn}");
    }
    text
}

fn one(result: &StatementResult) -> String {
    let count = format!("{} {}\n", result.query_type, result.row_count);
    if result.columns.is_empty() {
        return count;
    }
    let head: Vec<String> =
        result.columns.iter().map(|column| column.name.to_uppercase()).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let cells = |row: &Row| row.values.iter().map(super::rows::cell).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = result.rows.iter().map(cells).collect();
    format!("{}{count}", table(&head, &rows))
}
