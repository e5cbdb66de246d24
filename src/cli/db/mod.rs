//! `db`: work on a PostgreSQL: a person's statements and the management jobs, each by its function of `database`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Done;
use super::context::Context;
use super::print::to_stderr;
use super::whom::{self, Whom};
use crate::database::{Code, Failure, Outcome, Workbench};
use crate::domain::target::Engine;
use crate::targets::{self, Server};

mod agree;
mod backup;
mod indexes;
mod migrate;
mod optimize;
mod pool;
mod progress;
mod query;
mod record;
mod restore;
mod rows;
mod schema;
mod stats;
mod tx;

pub(super) use agree::seed;

/// Work on a PostgreSQL: statements, plans, indexes, backups, restores, migrations
///
/// Statements only read, by the server's own permission, unless `--write` is given. What changes something asks a
/// person first and is recorded.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db query 'select * from orders where id = $1' --param 42\n  simctl db tx transfer.sql --write --isolation serializable\n  simctl db optimize --file slow.sql --analyze\n  simctl db schema orders --json --url postgres://ops@10.0.0.5/shop?sslmode=require",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Db {
    #[command(flatten)]
    how: How,
    #[command(subcommand)]
    verb: Verb,
}

/// Whom to work on.
#[derive(Debug, Args)]
pub(super) struct How {
    #[command(flatten)]
    whom: Whom,
    /// A database of the server [default: the target's own]
    #[arg(long, global = true, value_name = "NAME")]
    database: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Query(Box<query::Query>),
    Tx(tx::Tx),
    Backup(backup::Backup),
    Backups(backup::List),
    Schedule(backup::Schedule),
    Restore(restore::Restore),
    Migrate(migrate::Migrate),
    Schema(schema::Schema),
    #[command(visible_alias = "explain")]
    Optimize(optimize::Optimize),
    Indexes(indexes::Indexes),
    Pool(pool::Pool),
    Stats(stats::Stats),
}

pub(super) async fn run(context: &Context, args: &Db) -> Done {
    match &args.verb {
        Verb::Query(verb) => Box::pin(query::run(context, &args.how, verb)).await,
        Verb::Tx(verb) => Box::pin(tx::run(context, &args.how, verb)).await,
        Verb::Backup(verb) => Box::pin(backup::run(context, &args.how, verb)).await,
        Verb::Backups(_) => backup::list(context, &args.how),
        Verb::Schedule(_) => backup::schedule(context),
        Verb::Restore(verb) => Box::pin(restore::run(context, &args.how, verb)).await,
        Verb::Migrate(verb) => Box::pin(migrate::run(context, &args.how, verb)).await,
        Verb::Schema(verb) => schema::run(context, &args.how, verb).await,
        Verb::Optimize(verb) => Box::pin(optimize::run(context, &args.how, verb)).await,
        Verb::Indexes(verb) => Box::pin(indexes::run(context, &args.how, verb)).await,
        Verb::Pool(_) => pool::run(context, &args.how).await,
        Verb::Stats(verb) => stats::run(context, verb),
    }
}

impl How {
    /// The workbench of the server that is meant.
    async fn workbench(&self, context: &Context) -> anyhow::Result<Workbench> {
        let server = whom::server(context, &self.whom, Engine::Postgres).await?;
        let settings = &context.config().workbench;
        let replicas: Vec<Server> = context
            .config()
            .targets
            .iter()
            .filter(|target| settings.read_replicas.contains(&target.id))
            .map(|target| targets::own::server(target, None))
            .collect();
        let bench = Workbench::new(&server, settings, agree::seed())?;
        // Replicas are of the servers of the configuration, not of one that somebody typed.
        let own = self.whom.url.is_none() && !settings.read_replicas.contains(&server.target.id);
        Ok(if own { bench.with_replicas(&replicas)? } else { bench })
    }

    /// The same, for what may change something.
    async fn recording(&self, context: &Context) -> anyhow::Result<Workbench> {
        let bench = self.workbench(context).await?;
        Ok(bench.recording(record::recorder(context).await?))
    }
}

/// Prints a response as JSON or by `show`, a failure as its sentence or the same JSON the API gives.
fn answer<T: Serialize>(
    context: &Context,
    outcome: &Outcome<T>,
    show: impl FnOnce(&T) -> String,
) -> Done {
    match outcome {
        Ok(response) if context.print.json => context.print.json(response)?,
        Ok(response) => context.print.line(show(response).trim_end())?,
        Err(failure) => return failed(context, failure),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says why a job was not done.
fn failed(context: &Context, failure: &Failure) -> Done {
    if context.print.json {
        context.print.json(failure)?;
    } else {
        let state = failure.sqlstate.as_ref().map_or(String::new(), |state| format!(" ({state})"));
        to_stderr(&format!("simctl: {}{state}", failure.message));
        if let Some(hint) = &failure.hint {
            to_stderr(&format!("simctl: {hint}"));
        }
    }
    Ok(ExitCode::from(if failure.code == Code::Invalid { 2 } else { 1 }))
}
