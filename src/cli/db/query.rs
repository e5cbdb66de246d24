//! `db query`: one statement; its rows are printed as they come.

use std::io::{self, BufWriter, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::agree::{Agreed, agreed};
use super::rows::Rows;
use super::{How, failed, stats};
use crate::cli::context::Context;
use crate::cli::signals::Signals;
use crate::cli::{Done, NO, bad_input, parse};
use crate::database::query::{Facts, QueryRequest, ROWS, Replica, query, stream};
use crate::database::writes::Change;
use crate::database::{Outcome, Workbench};

/// Run one statement; without --write the server lets it only read
///
/// It reads in a transaction that the server holds to READ ONLY, through a cursor, so that memory does not grow with
/// the rows. Values are given as --param and never become part of the SQL. With --write it may change something:
/// then it is shown, agreed to and recorded.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db query 'select * from orders where id = $1' --param 42\n  simctl db query --file report.sql --json --max-rows 1000000 > report.json\n  simctl db query 'delete from orders where id = any($1)' --params '[[1, 2]]' --write"
)]
pub(super) struct Query {
    /// The statement [default: standard input]
    sql: Option<String>,
    /// Read the statement from a file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// The value for $1, $2 …, as text of whatever type it is; repeat it
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    param: Vec<String>,
    /// All values as one JSON array: '[1, null, ["a", "b"]]'
    #[arg(long, value_name = "JSON", conflicts_with = "param", allow_hyphen_values = true)]
    params: Option<String>,
    /// It may change something
    #[arg(long)]
    write: bool,
    /// Do not ask before it changes something
    #[arg(long, requires = "write")]
    yes: bool,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = ROWS)]
    max_rows: u64,
    /// How long it may take [default: workbench.query_timeout, 30s]
    #[arg(long, value_name = "TIME", value_parser = parse::span)]
    timeout: Option<Duration>,
    /// An answer of the last seconds will do, where `workbench.caching.enable` allows it
    #[arg(long, conflicts_with = "write")]
    cache: bool,
    /// All it reads is of one moment (REPEATABLE READ)
    #[arg(long)]
    transaction: bool,
    /// Whether a replica may answer
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    replica: MayReplica,
    /// Read at least what that write wrote: its `lsn`
    #[arg(long, value_name = "LSN", conflicts_with = "write")]
    after_lsn: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MayReplica {
    Auto,
    Never,
}

pub(super) async fn run(context: &Context, how: &How, args: &Query) -> Done {
    let request = request(how, args)?;
    let bench =
        if request.write { how.recording(context).await? } else { how.workbench(context).await? };
    let stop = bench.stop_token();
    let done = if request.write {
        change(context, &bench, &request, args.yes, &stop).await
    } else if request.use_cache {
        match stoppable(query(&bench, &request, None), &stop).await? {
            Ok(response) => printed(sink(context), response.rows, &response.facts),
            Err(failure) => failed(context, &failure),
        }
    } else {
        read(context, &bench, &request, &stop).await
    };
    stats::add(context, &bench);
    done
}

fn request(how: &How, args: &Query) -> anyhow::Result<QueryRequest> {
    Ok(QueryRequest {
        sql: text(args.sql.as_deref(), args.file.as_deref())?,
        params: values(args.params.as_deref(), &args.param)?,
        transaction: args.transaction,
        use_cache: args.cache,
        write: args.write,
        timeout_ms: args.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        max_rows: Some(args.max_rows),
        replica: match args.replica {
            MayReplica::Auto => Replica::Auto,
            MayReplica::Never => Replica::Never,
        },
        after_lsn: args.after_lsn.clone(),
        database: how.database.clone(),
    })
}

/// Values as they were typed: one JSON array, or texts.
pub(super) fn values(json: Option<&str>, texts: &[String]) -> anyhow::Result<Vec<Value>> {
    let Some(json) = json else {
        return Ok(texts.iter().cloned().map(Value::String).collect());
    };
    match serde_json::from_str(json) {
        Ok(Value::Array(values)) => Ok(values),
        Ok(_) => Err(bad_input("--params is no JSON array; write it like '[1, \"a\"]'")),
        Err(error) => Err(bad_input(format!("--params is no JSON: {error}"))),
    }
}

/// The SQL that was typed, or that of a file, or what is piped in.
pub(super) fn text(typed: Option<&str>, file: Option<&std::path::Path>) -> anyhow::Result<String> {
    if let Some(typed) = typed {
        return Ok(typed.to_owned());
    }
    match file {
        Some(path) if path.as_os_str() != "-" => std::fs::read_to_string(path)
            .with_context(|| format!("read the statement from {}", path.display())),
        None if io::stdin().is_terminal() => {
            Err(bad_input("there is no statement; type it, name a --file, or pipe it in"))
        }
        _ => {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .context("read the statement from standard input")?;
            Ok(text)
        }
    }
}

/// Waits for a job. A signal has the server cancel what runs; the job then ends with what the server says.
pub(super) async fn stoppable<T>(
    job: impl Future<Output = T>,
    stop: &CancellationToken,
) -> anyhow::Result<T> {
    let mut signals = Signals::listen()?;
    let mut job = Box::pin(job);
    Ok(tokio::select! {
        done = &mut job => done,
        () = signals.heard() => {
            stop.cancel();
            job.await
        }
    })
}

fn sink(context: &Context) -> Rows {
    Rows::new(context.print.json, Box::new(BufWriter::new(io::stdout())))
}

async fn read(
    context: &Context,
    bench: &Workbench,
    request: &QueryRequest,
    stop: &CancellationToken,
) -> Done {
    let mut rows = sink(context);
    let outcome = {
        let mut give = |given: crate::database::read::Given<'_>| rows.give(given);
        stoppable(stream(bench, request, &mut give), stop).await?
    };
    if rows.reader_left() {
        return Ok(ExitCode::SUCCESS);
    }
    match outcome {
        Ok(facts) => {
            rows.end(Ok(&facts))?;
            told(context, &facts);
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            let begun = rows.end(Err(&failure))?;
            if begun && context.print.json { Ok(NO) } else { failed(context, &failure) }
        }
    }
}

fn printed(mut sink: Rows, rows: Vec<crate::database::Row>, facts: &Facts) -> Done {
    use crate::database::read::Given;
    sink.give(Given::Columns(&facts.columns))?;
    for row in rows {
        sink.give(Given::Row(row))?;
    }
    sink.end(Ok(facts))?;
    Ok(ExitCode::SUCCESS)
}

async fn change(
    context: &Context,
    bench: &Workbench,
    request: &QueryRequest,
    yes: bool,
    stop: &CancellationToken,
) -> Done {
    let change = match Change::of_query(bench, request) {
        Ok(change) => change,
        Err(failure) => return failed(context, &failure),
    };
    let permit = match agreed(context, &change, yes)? {
        Agreed::By(permit) => Some(permit),
        Agreed::Nobody => None,
        Agreed::No => {
            context.print.line("nothing was changed")?;
            return Ok(NO);
        }
    };
    let outcome: Outcome<_> = stoppable(query(bench, request, permit.as_ref()), stop).await?;
    match outcome {
        Ok(response) => {
            let facts = &response.facts;
            printed(sink(context), response.rows, facts)?;
            told(context, facts);
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => failed(context, &failure),
    }
}

/// Remarks beside the rows, for a person.
fn told(context: &Context, facts: &Facts) {
    if context.print.json {
        return;
    }
    for notice in &facts.notices {
        context.print.progress(notice);
    }
    if facts.truncated {
        let shown = facts.row_count;
        context
            .print
            .progress(&format!("there are more than these {shown} rows; --max-rows N shows more"));
    }
    let _ = io::stdout().flush();
}
