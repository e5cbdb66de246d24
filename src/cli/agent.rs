//! `agent`: whether the configured model can do what is asked of it, and questions about the live system.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::consulted::{About, on_record};
use super::context::Context;
use super::print::json_text;
use super::{Done, NO, bad_input};
use crate::agent::model::trial::{self, Step};
use crate::agent::model::{self, Advisor, Before, Inquiry, Recording};
use crate::config::agent::TapeFlags;
use crate::domain::effect::Known;
use crate::domain::execution::PhaseLine;
use crate::targets::Server;

/// Check the configured model, or ask it about the live system
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl agent check\n  simctl agent ask \"who holds the connections?\" --target orders-db"
)]
pub(super) struct Agent {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    pub(super) tape: Tape,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Test endpoint, key, model, streaming, tool calls and schemas with one cheap call each
    Check,
    /// Ask a question about a watched server; it is looked at, and nothing is changed
    Ask {
        /// The question
        #[arg(value_name = "QUESTION")]
        question: String,
        /// Which server, where several are watched
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
}

/// Recordings of what a model says.
#[derive(Debug, Args)]
pub(super) struct Tape {
    /// Add every exchange with the model to this file
    #[arg(long = "record", value_name = "FILE")]
    record: Option<PathBuf>,
    /// Take the model's replies out of this file, without a network
    #[arg(long = "replay", value_name = "FILE", conflicts_with = "record")]
    replay: Option<PathBuf>,
}

impl Tape {
    pub(super) fn flags(&self) -> TapeFlags {
        TapeFlags { record: self.record.clone(), replay: self.replay.clone() }
    }
}

pub(super) async fn run(context: &Context, args: &Agent) -> Done {
    match &args.what {
        What::Check => check(context).await,
        What::Ask { question, target } => Box::pin(ask(context, question, target.as_deref())).await,
    }
}

/// The configured model, or the sentence that says how to get one.
pub(super) fn advisor(context: &Context) -> anyhow::Result<Advisor> {
    let found = Advisor::of(context.config())?;
    found.ok_or_else(|| anyhow!("no model can be asked; `simctl agent check` says what is missing"))
}

async fn ask(context: &Context, question: &str, target: Option<&str>) -> Done {
    if question.trim().is_empty() {
        return Err(bad_input(
            "there is no question; write one, as \"who holds the connections?\"",
        ));
    }
    let advisor = advisor(context)?;
    let lab = context.lab().await?;
    let servers = context.servers(lab.as_ref()).await;
    let server = one_of(&servers, target)?;
    let store = context.open_store(&context.store_url(lab.as_ref())).await?;
    let print = context.print;
    let report = |line: PhaseLine| {
        let told = if print.json {
            let line = json!({ "phase": line.phase, "text": line.text });
            json_text(&line).map_err(Into::into).and_then(|line| print.line(line))
        } else {
            print.line(&line.text)
        };
        // Nobody reads on; the answer is of no use then, and no harm.
        drop(told);
    };
    let id = &server.target.id;
    let baseline = store.load().await?.baselines.remove(id).unwrap_or_default();
    let known = Known { baseline, ..Known::default() };
    let about = About { incident: None, target: id.clone() };
    let asking = async |standing, record: Recording<'_>| {
        let before = Before { standing, ..Before::default() };
        let inquiry = Inquiry { server, asked: question, known, before };
        model::question(&advisor, inquiry, &report, record).await
    };
    let spent = on_record(context, store, &about, asking).await?;
    print.progress(&format!("{}: {spent}", advisor.name()));
    Ok(ExitCode::SUCCESS)
}

fn one_of<'a>(servers: &'a [Server], wanted: Option<&str>) -> anyhow::Result<&'a Server> {
    let names = || {
        let all: Vec<&str> = servers.iter().map(|server| server.target.id.as_str()).collect();
        all.join(", ")
    };
    match (servers, wanted) {
        ([], _) => bail!(
            "there is nothing to ask about; start the lab with `simctl up`, or add a [[target]]"
        ),
        ([one], None) => Ok(one),
        (_, None) => Err(bad_input(format!("name one of them with --target: {}", names()))),
        (_, Some(name)) => {
            servers.iter().find(|server| server.target.id == *name).ok_or_else(|| {
                bad_input(format!("{name} is not watched here; watched are: {}", names()))
            })
        }
    }
}

async fn check(context: &Context) -> Done {
    let steps = trial::check(&context.config().agent).await;
    let print = context.print;
    if print.json {
        print.json(&steps)?;
    } else {
        let row = |step: &Step| {
            let mark = if step.ok { "ok" } else { "missing" };
            vec![step.what.to_owned(), mark.to_owned(), step.said.clone()]
        };
        let rows: Vec<_> = steps.iter().map(row).collect();
        print.table(&["WHAT", "STATE", "DETAIL"], &rows, "")?;
    }
    Ok(if steps.iter().all(|step| step.ok) { ExitCode::SUCCESS } else { NO })
}
