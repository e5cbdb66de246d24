//! `approve`, `reject`, `retry`: a person's decision about an incident.

use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use super::context::{Context, no_incident};
use super::show::{self, Answer};
use super::{Done, NO, bad_input, parse};
use crate::api::client::Client;
use crate::domain::effect::Command;
use crate::domain::ids::incident_name;
use crate::domain::incident::Incident;
use crate::domain::policy::Demand;
use crate::domain::proposal::Proposal;

/// Approve what is proposed for an incident
///
/// Prints the proposal with the exact commands, then asks. Without a terminal the fingerprint that was seen
/// must be given, and the target's name where the policy wants it typed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl approve INC-0042\n  simctl approve 42 --fingerprint 7f3a9c --type redis-test"
)]
pub(super) struct Approve {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
    /// The proposal's fingerprint, six digits or more
    #[arg(long, value_name = "F")]
    fingerprint: Option<String>,
    /// The target's name
    #[arg(long = "type", value_name = "NAME")]
    typed: Option<String>,
}

/// Reject what is proposed for an incident
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  simctl reject INC-0042 --reason \"the batch job ends in a minute\""
)]
pub(super) struct Reject {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
    /// Why; it stands in the records
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Reject only this proposal
    #[arg(long, value_name = "F")]
    fingerprint: Option<String>,
}

/// Start over on an incident that needs a person
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl retry INC-0042")]
pub(super) struct Retry {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
}

/// An incident that is in the engine's memory.
pub(super) async fn known(engine: &Client, number: u64) -> anyhow::Result<Arc<Incident>> {
    let snapshot = engine.snapshot().await?;
    let found = snapshot.incidents.iter().find(|incident| incident.number == number);
    found.cloned().ok_or_else(|| {
        let open = snapshot.incidents.iter().filter(|incident| incident.is_open());
        no_incident(number, "open:", open.map(|incident| incident.number))
    })
}

/// The proposal that waits for a decision.
fn waiting(incident: &Incident) -> anyhow::Result<&Proposal> {
    let execution = incident.active_execution();
    match execution.and_then(|execution| execution.proposal.as_ref()) {
        Some(proposal) => Ok(proposal),
        None => bail!(
            "nothing is proposed for {} right now; it is {}",
            incident.name(),
            incident.status.as_str()
        ),
    }
}

pub(super) async fn approve(context: &Context, args: &Approve) -> Done {
    let engine = context.engine().await?;
    let incident = known(&engine, args.incident).await?;
    let proposal = waiting(&incident)?;
    let print = context.print;
    if !print.json {
        print.line(show::proposal(&incident, proposal))?;
    }
    let (fingerprint, typed) = match &args.fingerprint {
        Some(given) => (given.clone(), given_name(args, proposal)?),
        None if print.json || !show::can_ask() => return Err(no_terminal(proposal)),
        None => match show::ask(print, proposal)? {
            Answer::Yes { typed } => (proposal.fingerprint.0.clone(), typed),
            Answer::No => {
                print.line("not approved; the proposal still waits")?;
                return Ok(NO);
            }
        },
    };
    let command = Command::Approve { incident: args.incident, fingerprint, typed, seen: None };
    context.order(&engine, command).await
}

/// The target's name is wanted in the same breath; whether it is the right one, the engine judges.
fn given_name(args: &Approve, proposal: &Proposal) -> anyhow::Result<Option<String>> {
    if proposal.ruling.demand == Demand::Typed && args.typed.is_none() {
        return Err(bad_input(format!("this approval wants `--type {}` too", proposal.target)));
    }
    Ok(args.typed.clone())
}

fn no_terminal(proposal: &Proposal) -> anyhow::Error {
    let print = proposal.fingerprint.short();
    let typed = if proposal.ruling.demand == Demand::Typed {
        format!(" --type {}", proposal.target)
    } else {
        String::new()
    };
    bad_input(format!(
        "there is no terminal to ask on; to approve, add `--fingerprint {print}{typed}`"
    ))
}

pub(super) async fn reject(context: &Context, args: &Reject) -> Done {
    let engine = context.engine().await?;
    known(&engine, args.incident).await?;
    if args.reason.trim().is_empty() {
        return Err(bad_input(format!("say why {} is rejected", incident_name(args.incident))));
    }
    let (fingerprint, reason) = (args.fingerprint.clone(), args.reason.clone());
    let command = Command::Reject { incident: args.incident, fingerprint, reason };
    context.order(&engine, command).await
}

pub(super) async fn retry(context: &Context, args: &Retry) -> Done {
    let engine = context.engine().await?;
    known(&engine, args.incident).await?;
    context.order(&engine, Command::Retry { incident: args.incident }).await
}

/// For a drill, which asks about its own incident: a no is a rejection.
pub(super) fn ask_in_drill(
    context: &Context,
    incident: &Incident,
    proposal: &Proposal,
) -> anyhow::Result<Answer> {
    context.print.line(show::proposal(incident, proposal))?;
    if show::can_ask() { show::ask(context.print, proposal) } else { Err(no_terminal(proposal)) }
}

#[cfg(test)]
pub(super) mod tests;
