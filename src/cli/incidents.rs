//! `incidents`: list and show them from the store; note and resolve through the engine.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::context::{Context, stored_incident};
use super::parse::{self, When};
use super::print::{or_dash, time};
use super::{Done, bad_input};
use crate::domain::effect::Command;
use crate::domain::finding::Severity;
use crate::domain::ids::incident_name;
use crate::domain::incident::{Incident, Status};
use crate::engine::clock;
use crate::narrate;
use crate::ports::store::{IncidentFilter, IncidentLine};
use crate::report;

/// List, show, note or resolve incidents
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  simctl incidents --status failed --since 24h\n  simctl incidents show INC-0042"
)]
pub(super) struct Incidents {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List incidents, newest first
    List(Filter),
    /// Show one incident with its story
    Show {
        /// Which incident
        #[arg(value_name = "INC", value_parser = parse::incident)]
        incident: u64,
    },
    /// Add a remark to an incident
    Note {
        /// Which incident
        #[arg(value_name = "INC", value_parser = parse::incident)]
        incident: u64,
        /// The remark
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Declare an incident over
    Resolve {
        /// Which incident
        #[arg(value_name = "INC", value_parser = parse::incident)]
        incident: u64,
        /// Why; it stands in the records
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Which incidents to list; every option narrows.
#[derive(Debug, Args)]
struct Filter {
    /// Only in this state: triage, investigating, fixing, resolved, failed (repeatable)
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse::status)]
    status: Vec<Status>,
    /// Only on this target
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Only with this finding or cause
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only this severe: low, medium, high, critical (repeatable)
    #[arg(long, value_name = "SEV", value_delimiter = ',', value_parser = parse::severity)]
    severity: Vec<Severity>,
    /// Only opened since then: `24h`, or a UTC time
    #[arg(long, value_name = "WHEN", value_parser = parse::when)]
    since: Option<When>,
    /// Only with these words in message, cause or notes
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only those before this one: the next page
    #[arg(long, value_name = "INC", value_parser = parse::incident)]
    before: Option<u64>,
}

pub(super) async fn run(context: &Context, args: &Incidents) -> Done {
    match &args.what {
        None => list(context, &args.filter).await,
        Some(What::List(filter)) => list(context, filter).await,
        Some(What::Show { incident }) => show(context, *incident).await,
        Some(What::Note { incident, text }) => {
            let text = said(text, "say what to note")?;
            let engine = context.engine().await?;
            context.order(&engine, Command::Note { incident: *incident, text }).await
        }
        Some(What::Resolve { incident, reason }) => {
            let reason = said(reason, "say why it is over")?;
            let engine = context.engine().await?;
            context.order(&engine, Command::Resolve { incident: *incident, reason }).await
        }
    }
}

fn said(text: &str, otherwise: &str) -> anyhow::Result<String> {
    let text = text.trim();
    if text.is_empty() { Err(bad_input(otherwise)) } else { Ok(text.to_owned()) }
}

impl Filter {
    fn of(&self) -> IncidentFilter {
        IncidentFilter {
            status: self.status.clone(),
            target: self.target.clone(),
            fault_type: self.kind.clone(),
            severity: self.severity.clone(),
            created_after: self.since.map(|when| when.at(clock::now())),
            created_before: None,
            text: self.text.clone(),
            before_number: self.before,
            limit: self.limit,
        }
    }
}

async fn list(context: &Context, filter: &Filter) -> Done {
    let lines = context.store().await?.incidents(&filter.of()).await?;
    if context.print.json {
        context.print.json(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = lines.iter().map(row).collect();
    let head = ["ID", "SEVERITY", "STATUS", "TARGET", "CAUSE", "OPENED (UTC)", "MESSAGE"];
    context.print.table(&head, &rows, "no incident")?;
    let full = u32::try_from(lines.len()).is_ok_and(|len| len == filter.limit);
    if let Some(last) = lines.last().filter(|_| full) {
        let last = incident_name(last.number);
        context.print.progress(&format!("there may be more: add `--before {last}`"));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(line: &IncidentLine) -> Vec<String> {
    vec![
        incident_name(line.number),
        line.severity.clone(),
        line.status.clone(),
        line.target.clone(),
        or_dash(line.cause.as_ref()),
        time(line.created_at),
        line.message.clone(),
    ]
}

async fn show(context: &Context, number: u64) -> Done {
    let store = context.store().await?;
    let incident = stored_incident(&*store, number).await?;
    let print = context.print;
    if print.json {
        print.json(&incident)?;
        return Ok(ExitCode::SUCCESS);
    }
    let events = report::events_of(&*store, &incident).await?;
    print.line(summary(&incident))?;
    for one in store.similar(&incident, MOST_SIMILAR).await? {
        print.line(format_args!("before   {}", narrate::before(&one)))?;
    }
    let waiting = incident.active_execution().and_then(|execution| execution.proposal.as_ref());
    if let Some(proposal) = waiting {
        print.line(super::show::proposal(&incident, proposal))?;
    }
    let labels = narrate::Labels::of([&incident]);
    for event in &events {
        if let Some(line) = narrate::sentence(event, &|id| labels.get(id)) {
            print.line(line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Earlier incidents that are shown beside one.
const MOST_SIMILAR: u32 = 5;

fn summary(incident: &Incident) -> String {
    let cause = incident.diagnosis.as_ref().and_then(|diagnosis| diagnosis.leading());
    let cause = cause.map(|judged| format!("{} ({})", judged.cause, judged.grade));
    let mut lines = vec![
        format!(
            "{}  {}  {}",
            incident.name(),
            incident.severity.as_str(),
            incident.status.as_str()
        ),
        format!("target   {}", incident.target),
        format!("finding  {}: {}", incident.finding.as_str(), incident.message),
        format!("cause    {}", or_dash(cause)),
        format!("opened   {} UTC, seen {} times", time(incident.opened_at), incident.occurrences),
    ];
    let health = incident.health_at_end.map_or(String::new(), |health| format!(" → {health}"));
    lines.push(format!("health   {}{health}", incident.health_at_open));
    lines.extend(incident.resolved_at.map(|at| format!("resolved {} UTC", time(at))));
    lines.extend(incident.failure_reason.as_ref().map(|why| format!("needs a person: {why}")));
    lines
        .extend(incident.notes.iter().map(|note| format!("note by {}: {}", note.actor, note.text)));
    lines.join("\n")
}
