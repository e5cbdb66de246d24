//! The command line: clap types here, one file per group of commands beside. It prints and never decides.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::RuntimeChoice;
use crate::config::agent::TapeFlags;
use crate::config::http::HttpFlags;
use crate::config::load::{ConfigError, Flags};
use crate::config::secret::Secret;
use context::Context;

mod actions;
mod agent;
mod audit;
mod completions;
mod config;
mod consulted;
mod context;
mod db;
mod decide;
mod drill;
mod faults;
mod grants;
mod host;
mod http;
mod incidents;
mod inspect;
mod lab;
mod mcp;
mod orders;
mod parse;
mod print;
mod propose;
mod records;
mod run;
mod show;
mod signals;
mod status;
mod teller;
mod tui;
mod watch;
mod whom;

/// Operator console for Redis and PostgreSQL: detects, explains, fixes with approval, proves, records.
#[derive(Debug, Parser)]
#[command(name = "simctl", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "Start with:
  simctl tui             the console; makes the lab when there is none
  simctl up              the lab alone: one Redis, one PostgreSQL, one store
  simctl drill leak-oom  break it, watch it being found, explained and fixed
Exit codes: 0 done, 1 failed or refused, 2 bad input";

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// Configuration file [env: SIMCTL_CONFIG] [default: ./simctl.toml, then the user's]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Store, as postgres://… or sqlite:PATH [env: SIMCTL_STORE] [default: the lab's, else SQLite]
    #[arg(long, global = true, value_name = "URL", value_parser = parse::secret)]
    store: Option<Secret>,
    /// Where the lab runs [env: SIMCTL_RUNTIME] [default: auto]
    #[arg(long, global = true, value_name = "KIND", value_enum, hide_possible_values = true)]
    runtime: Option<RuntimeChoice>,
    /// Private files: control socket, journal, log [env: SIMCTL_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Your name in the records [env: SIMCTL_OPERATOR] [default: the login name]
    #[arg(long, global = true, value_name = "NAME")]
    operator: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(lab::Up),
    Down(lab::Down),
    Status(status::Status),
    Doctor(lab::Doctor),
    Tui(tui::Tui),
    Run(run::Run),
    Watch(watch::Watch),
    Inject(faults::Inject),
    Clear(faults::Clear),
    Drill(drill::Drill),
    Incidents(Box<incidents::Incidents>),
    Propose(propose::Propose),
    Approve(decide::Approve),
    Reject(decide::Reject),
    Retry(decide::Retry),
    Undo(orders::Undo),
    Stop(orders::Stop),
    Kill(orders::Kill),
    Verify(orders::Verify),
    Note(orders::Note),
    Resolve(orders::Resolve),
    Faults(faults::Faults),
    Actions(actions::Actions),
    Grants(grants::Grants),
    Pg(inspect::Pg),
    Redis(inspect::Redis),
    Db(db::Db),
    History(records::History),
    Report(records::Report),
    Agent(agent::Agent),
    Metrics(records::Metrics),
    Audit(audit::Audit),
    Token(http::Token),
    Openapi(http::Openapi),
    Mcp(mcp::Mcp),
    Config(config::ConfigArgs),
    Completions(completions::Completions),
}

impl Command {
    /// The recordings of a model's replies that a command names.
    fn tape(&self) -> TapeFlags {
        match self {
            Self::Run(args) => args.tape.flags(),
            Self::Agent(args) => args.tape.flags(),
            _ => TapeFlags::default(),
        }
    }
}

impl Command {
    /// Where a command listens.
    fn http(&self) -> HttpFlags {
        match self {
            Self::Run(args) => args.http.flags(),
            Self::Tui(args) => args.http.flags(),
            _ => HttpFlags::default(),
        }
    }
}

/// What a person typed cannot be meant; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadInput(String);

/// The shorthand for a refusal of what was typed.
fn bad_input(sentence: impl Into<String>) -> anyhow::Error {
    BadInput(sentence.into()).into()
}

/// How a command ended when nothing went wrong on the way.
type Done = anyhow::Result<ExitCode>;

/// The answer "no" of a command that asks: exit code 1 without a sentence of its own.
const NO: ExitCode = ExitCode::FAILURE;

/// Runs a command to its exit code.
pub async fn run(cli: Cli) -> ExitCode {
    match Box::pin(dispatch(cli)).await {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// Prints what clap has to say: help and version are no errors.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Says why a command failed, on standard error. A reader who closed the pipe needs no message.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    if print::is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    for line in format!("{error:#}").lines() {
        print::to_stderr(&format!("simctl: {line}"));
    }
    let bad = error.is::<BadInput>() || error.is::<ConfigError>();
    ExitCode::from(if bad { 2 } else { 1 })
}

async fn dispatch(cli: Cli) -> Done {
    let Cli { globals, command } = cli;
    let print = print::Print { json: globals.json };
    // These tell what is built in and work whatever the configuration is.
    match &command {
        Command::Faults(args) => return faults::list(&print, args),
        Command::Actions(args) => return actions::list(&print, args),
        Command::Grants(args) => return grants::print(&print, args),
        Command::Completions(args) => return completions::write(args),
        Command::Token(args) => return http::token(&print, args),
        Command::Openapi(_) => return http::openapi(&print),
        _ => {}
    }
    let flags = Flags {
        config: globals.config,
        store: globals.store,
        runtime: globals.runtime,
        state_dir: globals.state_dir,
        operator: globals.operator,
        tape: command.tape(),
        http: command.http(),
    };
    let context = Context::load(&flags, print)?;
    match command {
        Command::Up(_) => lab::up(&context).await,
        Command::Down(args) => lab::down(&context, &args).await,
        Command::Status(_) => status::show(&context).await,
        Command::Doctor(_) => lab::doctor(&context).await,
        Command::Tui(args) => Box::pin(tui::run(context, &args)).await,
        Command::Run(args) => Box::pin(run::run(&context, &args)).await,
        Command::Watch(args) => Box::pin(watch::run(&context, &args)).await,
        Command::Inject(args) => faults::inject(&context, &args).await,
        Command::Clear(args) => Box::pin(faults::clear(&context, &args)).await,
        Command::Drill(args) => Box::pin(drill::run(&context, &args)).await,
        Command::Incidents(args) => incidents::run(&context, &args).await,
        Command::Propose(args) => propose::propose(&context, &args).await,
        Command::Approve(args) => decide::approve(&context, &args).await,
        Command::Reject(args) => decide::reject(&context, &args).await,
        Command::Retry(args) => decide::retry(&context, &args).await,
        Command::Undo(args) => orders::undo(&context, &args).await,
        Command::Stop(args) => orders::stop(&context, &args).await,
        Command::Kill(args) => orders::kill(&context, &args).await,
        Command::Verify(args) => orders::verify(&context, &args).await,
        Command::Note(args) => orders::note(&context, &args).await,
        Command::Resolve(args) => orders::resolve(&context, &args).await,
        Command::Redis(args) => Box::pin(inspect::redis(&context, &args)).await,
        Command::Pg(args) => Box::pin(inspect::pg(&context, &args)).await,
        Command::Db(args) => Box::pin(db::run(&context, &args)).await,
        Command::History(args) => records::history(&context, &args).await,
        Command::Agent(args) => Box::pin(agent::run(&context, &args)).await,
        Command::Report(args) => records::report(&context, &args).await,
        Command::Metrics(args) => records::metrics(&context, &args).await,
        Command::Audit(args) => audit::run(&context, &args).await,
        Command::Mcp(_) => Box::pin(mcp::serve(&context)).await,
        Command::Config(args) => config::run(&context, &args),
        Command::Faults(_)
        | Command::Actions(_)
        | Command::Grants(_)
        | Command::Token(_)
        | Command::Openapi(_)
        | Command::Completions(_) => Ok(ExitCode::SUCCESS),
    }
}
