//! `drill`: break it, watch it being found, explained, fixed and proven.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::context::Context;
use super::print::or_dash;
use super::show::{self, Answer};
use super::{Done, NO, bad_input, decide, faults, parse};
use crate::config::dirs;
use crate::domain::incident::Incident;
use crate::domain::policy::Demand;
use crate::domain::proposal::Proposal;
use crate::engine::drill::outcome::Outcome;
use crate::engine::drill::tour::{self, Tour};
use crate::engine::drill::{self, Stage, Verdict};
use crate::narrate::duration;
use crate::telemetry;

mod table;

/// Inject a fault and follow it to its proven end
///
/// Injects, waits for detection, diagnosis and proposal, asks, executes, verifies, reverts, and prints the times
/// and the health before and after. Exit code 0 only when the cause was found, recovery was proven (or handed over
/// to a person, where only a person can help) and nothing is left over.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl drill leak-oom\n  simctl drill --all --yes\n  simctl drill idle-leak --yes\n  simctl drill container-paused --target redis-test --yes"
)]
pub(super) struct Drill {
    /// Which fault; `simctl faults` lists them
    #[arg(value_name = "FAULT", required_unless_present = "all")]
    fault: Option<String>,
    /// Every fault of the common tiers, on every lab target that it fits
    #[arg(long, conflicts_with = "fault")]
    all: bool,
    /// Approve what is proposed in your name, without asking
    #[arg(long)]
    yes: bool,
    /// Which lab target, where more than one fits
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Undo the fault after this at the latest: seconds, or like `2m`
    #[arg(long, value_name = "TIME", value_parser = parse::ttl)]
    ttl: Option<Duration>,
}

pub(super) async fn run(context: &Context, args: &Drill) -> Done {
    let fault = match &args.fault {
        Some(name) => Some(faults::known(name)?.descriptor().id),
        None => None,
    };
    if !args.yes && (context.print.json || !show::can_ask()) {
        return Err(bad_input("there is no terminal to ask on; add --yes to approve beforehand"));
    }
    if context.running().await?.is_none() {
        context.must_have_lab()?;
    }
    dirs::ensure_private(&context.config().state_dir)?;
    let _log = telemetry::start(&context.config().state_dir)?;
    let say = |line: String| context.print.progress(&line);
    let ask =
        |incident: &Incident, proposal: &Proposal| decision(context, args, incident, proposal);
    let stage = Stage { say: &say, ask: &ask };
    let Some(fault) = fault else {
        let one_by_one = !args.yes;
        let tour = Tour { target: args.target.clone(), ttl: args.ttl, one_by_one };
        let legs = tour::run(context.config(), &tour, stage).await?;
        table::print(context.print, &legs)?;
        return Ok(if legs.iter().all(tour::Leg::is_fine) { ExitCode::SUCCESS } else { NO });
    };
    let drill = drill::Drill { fault, target: args.target.clone(), ttl: args.ttl };
    let outcome = drill::run(context.config(), drill, stage).await?;
    print(context, &outcome)?;
    Ok(if outcome.passed { ExitCode::SUCCESS } else { NO })
}

fn decision(context: &Context, args: &Drill, incident: &Incident, proposal: &Proposal) -> Verdict {
    if args.yes {
        let typed = proposal.ruling.demand == Demand::Typed;
        return Verdict::Approve { typed: typed.then(|| proposal.target.to_string()) };
    }
    match decide::ask_in_drill(context, incident, proposal) {
        Ok(Answer::Yes { typed }) => Verdict::Approve { typed },
        Ok(Answer::No) => Verdict::Reject { reason: "not approved on the terminal".into() },
        Err(error) => Verdict::Reject { reason: format!("could not ask: {error:#}") },
    }
}

fn print(context: &Context, outcome: &Outcome) -> anyhow::Result<()> {
    if context.print.json {
        return context.print.json(outcome);
    }
    let rows = rows(outcome);
    context.print.table(&["WHAT", "MEASURED"], &rows, "nothing was measured")?;
    context.print.line(verdict(outcome))
}

fn verdict(outcome: &Outcome) -> String {
    if outcome.passed && outcome.actions.is_empty() {
        return "PASS: cause found, handed over to a person, nothing left over".into();
    }
    if outcome.passed {
        return "PASS: recovery proven, nothing left over".into();
    }
    match outcome.unexpected.as_slice() {
        [] => "FAIL".into(),
        wrong => format!("FAIL: {}", wrong.join("; ")),
    }
}

/// What there is to tell, in the order it happened.
fn rows(outcome: &Outcome) -> Vec<Vec<String>> {
    let Outcome { times, health, .. } = outcome;
    let score = |score: Option<u8>| or_dash(score);
    let cause = outcome.cause.as_ref().zip(outcome.grade.as_ref());
    let cost: Vec<String> = outcome.cost.iter().map(ToString::to_string).collect();
    let levels = [health.before, health.at_open, health.after].map(score).join(" → ");
    let told = [
        ("fault", outcome.fault.clone()),
        ("target", outcome.target.clone()),
        ("incident", format!("{} {} {}", outcome.incident, outcome.finding, outcome.severity)),
        ("detected after", took(times.detected)),
        ("after the symptom", took(times.detected_after_symptom)),
        ("cause", cause.map_or("unknown".into(), |(cause, grade)| format!("{cause} ({grade})"))),
        ("because", or_dash(outcome.because.as_ref())),
        ("proposed after", took(times.proposed)),
        ("action", listed(&outcome.actions, ", ", "none ran")),
        ("cost", listed(&cost, ", ", "nothing")),
        ("approval to action", took(times.approval_to_action)),
        ("acted for", took(times.acted)),
        ("symptom-free after", took(times.symptom_free)),
        ("held for", took(times.held)),
        ("recovered after", took(times.recovered)),
        ("health", levels),
        ("status", outcome.failure.clone().unwrap_or_else(|| outcome.status.clone())),
        ("left over", listed(&outcome.left_over, "; ", "nothing")),
    ];
    told.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn listed(all: &[String], between: &str, none: &str) -> String {
    if all.is_empty() { none.to_owned() } else { all.join(between) }
}

/// A duration; one below zero is said as such.
fn took(ms: Option<i64>) -> String {
    let Some(ms) = ms else { return "-".to_owned() };
    let sign = if ms < 0 { "-" } else { "" };
    format!("{sign}{}", duration(ms.unsigned_abs()))
}
