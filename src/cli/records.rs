//! `history`, `report`, `metrics`: what the store knows about the past.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::Done;
use super::consulted::{About, on_record};
use super::context::{Context, stored_incident};
use super::parse::{self, When};
use super::print::{Print, or_dash, time};
use crate::agent::model::{self, Recording};
use crate::domain::ids::incident_name;
use crate::domain::incident::Incident;
use crate::engine::clock;
use crate::metrics::{Counts, Group, Slow, Spread, Stages, Success};
use crate::narrate::duration;
use crate::ports::store::{ActionLine, Store};

/// List executed actions, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl history\n  simctl history INC-0042 --json")]
pub(super) struct History {
    /// Only of this incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// Print the post-mortem of an incident as Markdown, from recorded facts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl report INC-0042 --output inc-0042.md")]
pub(super) struct Report {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
    /// Write it to a file instead
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Add a telling by the configured model below the facts, marked as such; its cost is on record
    #[arg(long)]
    model: bool,
}

/// Print MTTD, MTTA, MTTR, where the time goes, and success by cause, target, actor and action
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl metrics --since 30d")]
pub(super) struct Metrics {
    /// Only incidents opened since then: `24h`, or a UTC time
    #[arg(long, value_name = "WHEN", value_parser = parse::when)]
    since: Option<When>,
}

pub(super) async fn history(context: &Context, args: &History) -> Done {
    let store = context.store().await?;
    if let Some(number) = args.incident {
        stored_incident(&*store, number).await?;
    }
    let lines = store.history(args.incident, args.limit).await?;
    if context.print.json {
        context.print.json(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = lines.iter().map(row).collect();
    let head =
        ["AT (UTC)", "INC", "TARGET", "ACTION", "RESULT", "EXIT", "TOOK", "HEALTH", "COMMAND"];
    context.print.table(&head, &rows, "no action was executed")?;
    Ok(ExitCode::SUCCESS)
}

fn row(line: &ActionLine) -> Vec<String> {
    vec![
        time(line.executed_at),
        incident_name(line.incident),
        line.target.clone(),
        line.action.clone(),
        line.result.clone(),
        or_dash(line.exit_code),
        or_dash(line.duration_ms.map(duration)),
        format!("{} → {}", or_dash(line.health_before), or_dash(line.health_after)),
        shortened(&line.command),
    ]
}

/// The first line of a command, cut; `--json` and the report have all of it.
fn shortened(command: &str) -> String {
    const SHOWN: usize = 80;
    let first = command.lines().next().unwrap_or_default();
    if command.lines().count() == 1 && first.chars().count() <= SHOWN {
        return first.to_owned();
    }
    first.chars().take(SHOWN).chain(['…']).collect()
}

pub(super) async fn report(context: &Context, args: &Report) -> Done {
    let store = context.store().await?;
    let incident = stored_incident(&*store, args.incident).await?;
    let mut markdown = crate::report::from_store(&*store, args.incident).await?.unwrap_or_default();
    // The facts do not wait for a model's words, nor go when there are none.
    let told = if args.model { Some(told(context, &store, &incident).await) } else { None };
    if let Some(Ok(section)) = &told {
        markdown.push_str(section);
    }
    let print = context.print;
    match &args.output {
        Some(file) => {
            std::fs::write(file, &markdown)
                .with_context(|| format!("write the report to {}", file.display()))?;
            print.progress(&format!("written to {}", file.display()));
        }
        None if print.json => {
            print.json(&json!({ "incident": incident.name(), "markdown": markdown }))?;
        }
        None => print.line(markdown.trim_end())?,
    }
    told.transpose().context("the facts are all there is")?;
    Ok(ExitCode::SUCCESS)
}

/// The section of a model's.
async fn told(
    context: &Context,
    store: &Arc<dyn Store>,
    incident: &Incident,
) -> anyhow::Result<String> {
    let advisor = super::agent::advisor(context)?;
    let events = crate::report::events_of(&**store, incident).await?;
    let about = About { incident: Some(incident.id), target: incident.target.clone() };
    let asking = async |standing, record: Recording<'_>| {
        model::narrative(&advisor, (incident, &events), standing, record).await
    };
    on_record(context, Arc::clone(store), &about, asking).await
}

pub(super) async fn metrics(context: &Context, args: &Metrics) -> Done {
    let since = args.since.map(|when| when.at(clock::now()));
    let times = context.store().await?.times(since).await?;
    let metrics = crate::metrics::of(&times);
    let print = context.print;
    if print.json {
        print.json(&metrics)?;
        return Ok(ExitCode::SUCCESS);
    }
    print.line(format_args!(
        "{} incidents: {} resolved, {} need a person, {} going on\n",
        metrics.incidents, metrics.resolved, metrics.failed, metrics.open
    ))?;
    let spreads = [("MTTD", metrics.mttd), ("MTTA", metrics.mtta), ("MTTR", metrics.mttr)];
    let rows: Vec<_> = spreads.iter().map(|(name, spread)| spread_row(name, *spread)).collect();
    print.table(&["TIME", "COUNT", "MEAN", "P50", "P90", "P99"], &rows, "")?;
    stages(print, metrics.stages)?;
    counts(print, metrics.counts)?;
    for (title, all) in [
        ("CAUSE", &metrics.by_cause),
        ("TARGET", &metrics.by_target),
        ("APPROVED BY", &metrics.by_actor),
    ] {
        groups(print, title, all)?;
    }
    success(print, "ACTION", &metrics.by_action)?;
    slowest(print, &metrics.slowest)?;
    Ok(ExitCode::SUCCESS)
}

fn seconds(value: Option<f64>) -> String {
    or_dash(value.map(|value| format!("{value:.2} s")))
}

fn spread_row(name: &str, spread: Spread) -> Vec<String> {
    let figures = [spread.mean_s, spread.p50_s, spread.p90_s, spread.p99_s].map(seconds);
    [name.to_owned(), spread.count.to_string()].into_iter().chain(figures).collect()
}

fn stages(print: Print, stages: Stages) -> anyhow::Result<()> {
    if stages.incidents == 0 {
        return Ok(());
    }
    let rows: Vec<_> =
        stages.named().map(|(stage, mean)| vec![stage.to_owned(), seconds(mean)]).to_vec();
    print.line("")?;
    print.table(&["WHERE THE TIME GOES", "MEAN"], &rows, "")
}

fn counts(print: Print, counts: Counts) -> anyhow::Result<()> {
    let Counts { by_agent, by_operator, by_itself, denied, expired, automatic, undone } = counts;
    print.line(format_args!(
        "\nended by the agent {by_agent}, by an operator {by_operator}, by itself {by_itself}; \
         proposals automatic {automatic}, denied {denied}, expired {expired}; undone {undone}"
    ))
}

fn groups(print: Print, title: &str, groups: &[Group]) -> anyhow::Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let row = |group: &Group| {
        let rate = or_dash(group.percent().map(|percent| format!("{percent} %")));
        let times = [group.mttr.mean_s, group.mttr.p90_s].map(seconds);
        let success = format!("{} of {}", group.ok, group.total);
        let [mean, p90] = times;
        vec![group.name.clone(), group.incidents.to_string(), mean, p90, success, rate]
    };
    let rows: Vec<_> = groups.iter().map(row).collect();
    print.line("")?;
    print.table(&[title, "INCIDENTS", "MTTR", "P90", "SUCCESS", "RATE"], &rows, "")
}

fn slowest(print: Print, slowest: &[Slow]) -> anyhow::Result<()> {
    if slowest.is_empty() {
        return Ok(());
    }
    let row = |slow: &Slow| {
        let name = incident_name(slow.number);
        let took = seconds(Some(slow.took_s));
        vec![name, slow.cause.clone(), took, slow.why.clone().unwrap_or_default()]
    };
    let rows: Vec<_> = slowest.iter().map(row).collect();
    print.line("")?;
    print.table(&["SLOWEST", "CAUSE", "MTTR", "WHY"], &rows, "")
}

fn success(print: Print, title: &str, groups: &[Success]) -> anyhow::Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = groups
        .iter()
        .map(|group| {
            let percent = or_dash(group.percent().map(|percent| format!("{percent} %")));
            vec![group.name.clone(), format!("{} of {}", group.ok, group.total), percent]
        })
        .collect();
    print.line("")?;
    print.table(&[title, "SUCCESS", "RATE"], &rows, "")
}
