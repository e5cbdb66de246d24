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

mod backup;
mod migrate;
mod progress;
mod restore;
mod schema;

/// Work on a PostgreSQL: statements, transactions, schema, plans, indexes
///
/// Statements only read, by the server's own permission, unless `--write` is given. What changes something asks a
/// person first and is recorded.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db schema public.orders\n  simctl db schema orders --json --url postgres://ops@10.0.0.5/shop?sslmode=require",
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
    Backup(backup::Backup),
    Backups(backup::List),
    Schedule(backup::Schedule),
    Restore(restore::Restore),
    Migrate(migrate::Migrate),
    Schema(schema::Schema),
}

pub(super) async fn run(context: &Context, args: &Db) -> Done {
    match &args.verb {
        Verb::Backup(verb) => Box::pin(backup::run(context, &args.how, verb)).await,
        Verb::Backups(_) => backup::list(context, &args.how),
        Verb::Schedule(_) => backup::schedule(context),
        Verb::Restore(verb) => Box::pin(restore::run(context, &args.how, verb)).await,
        Verb::Migrate(verb) => Box::pin(migrate::run(context, &args.how, verb)).await,
        Verb::Schema(verb) => schema::run(context, &args.how, verb).await,
    }
}

impl How {
    /// The workbench of the server that is meant.
    async fn workbench(&self, context: &Context) -> anyhow::Result<Workbench> {
        let server = whom::server(context, &self.whom, Engine::Postgres).await?;
        Ok(Workbench::new(&server, &context.config().workbench)?)
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
