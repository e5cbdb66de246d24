//! The post-mortem of one incident as Markdown, from recorded facts only.

use std::fmt::{Display, Write as _};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::diagnosis::{Diagnosis, JudgedCause};
use crate::domain::event::{Event, EventBody, RawEvent};
use crate::domain::execution::{Decision, Execution, StepRun, Verification};
use crate::domain::incident::Incident;
use crate::domain::injection::{Injection, InjectionState};
use crate::domain::proposal::Proposal;
use crate::narrate::{clean, duration, words};
use crate::ports::store::{Store, StoreError};

/// The post-mortem. Of `injections`, those count that were on this target during the incident.
pub fn markdown(incident: &Incident, events: &[Event], injections: &[Injection]) -> String {
    let mut doc = Doc::default();
    header(&mut doc, incident);
    timeline(&mut doc, incident, events);
    cause(&mut doc, incident);
    for (index, execution) in incident.executions.iter().enumerate() {
        attempt(&mut doc, index + 1, execution);
    }
    injected(&mut doc, incident, injections);
    errors(&mut doc, incident);
    notes(&mut doc, incident);
    doc.0
}

/// The post-mortem of a recorded incident; `None` when there is no such incident.
pub async fn from_store(store: &dyn Store, number: u64) -> Result<Option<String>, StoreError> {
    /// Injections older than the newest so many are not looked through.
    const INJECTIONS: u32 = 1_000;
    let Some(incident) = store.incident(number).await? else { return Ok(None) };
    let events = events_of(store, &incident).await?;
    let injections = store.injections(INJECTIONS).await?;
    Ok(Some(markdown(&incident, &events, &injections)))
}

/// What happened to one incident, in order.
pub async fn events_of(store: &dyn Store, incident: &Incident) -> Result<Vec<Event>, StoreError> {
    let raws = store.incident_events(incident.id).await?;
    let read = |raw: &RawEvent| {
        let corrupt = |error: serde_json::Error| StoreError::Corrupt {
            what: format!("event {}", raw.seq),
            reason: error.to_string(),
        };
        raw.event().map_err(corrupt)
    };
    raws.iter().map(read).collect()
}

#[derive(Default)]
struct Doc(String);

impl Doc {
    fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.0, "{line}");
    }

    fn heading(&mut self, title: &str) {
        self.line(format_args!("\n## {title}\n"));
    }

    /// A row of a table.
    fn row(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("| {name} | {} |", inline(&value.to_string())));
    }

    /// A code block that its own content cannot end.
    fn code(&mut self, text: &str) {
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(3.max(longest + 1));
        if !self.0.ends_with("\n\n") {
            self.line("");
        }
        self.line(format_args!("{fence}text"));
        for line in text.lines() {
            self.line(clean(line));
        }
        self.line(fence);
    }
}

/// Text from outside as plain words on one line.
pub(crate) fn inline(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in clean(&text.lines().collect::<Vec<_>>().join(" ")).chars() {
        match c {
            '<' => plain.push_str("&lt;"),
            '|' | '`' | '*' | '[' | '\\' => plain.extend(['\\', c]),
            other => plain.push(other),
        }
    }
    plain
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

fn took(span: TimeDelta) -> String {
    duration(u64::try_from(span.num_milliseconds()).unwrap_or(0))
}

fn header(doc: &mut Doc, incident: &Incident) {
    doc.line(format_args!("# {}: {}\n", incident.name(), inline(&incident.message)));
    doc.line("| | |\n|---|---|");
    doc.row("target", &incident.target);
    doc.row("finding", incident.finding.as_str());
    doc.row("severity", incident.severity.as_str());
    doc.row("status", incident.status.as_str());
    if let Some(reason) = &incident.failure_reason {
        doc.row("needs a person", reason);
    }
    doc.row("type", incident.incident_type.as_str());
    doc.row("remediation", incident.remediation.as_str());
    let whence = if incident.request.is_some() { "asked for by" } else { "noticed by" };
    doc.row(whence, &incident.source);
    doc.row("occurrences", incident.occurrences);
    doc.row("first bad sample", time(incident.first_bad_at));
    doc.row("opened", time(incident.opened_at));
    doc.row("time to detect", took(incident.opened_at - incident.first_bad_at));
    if let Some(at) = incident.acknowledged_at {
        doc.row("time to acknowledge", took(at - incident.opened_at));
    }
    match incident.resolved_at {
        Some(at) => {
            doc.row("resolved", time(at));
            doc.row("time to mitigate", took(at - incident.opened_at));
        }
        None => doc.row("resolved", "not yet"),
    }
    let before = incident.health_before.map_or("-".into(), |health| health.to_string());
    let end = incident.health_at_end.map_or("-".into(), |health| health.to_string());
    let health = format!("{before} → {} → {end}", incident.health_at_open);
    doc.row("health before → at open → at end", health);
}

fn timeline(doc: &mut Doc, incident: &Incident, events: &[Event]) {
    doc.heading("Timeline");
    doc.line(format_args!("- {} first bad sample", time(incident.first_bad_at)));
    for event in events {
        // The agent's log is long, and what matters of it stands below.
        if matches!(event.body, EventBody::Phase { .. } | EventBody::ReportWritten { .. }) {
            continue;
        }
        if let Some((word, text)) = words(event) {
            doc.line(format_args!("- {} **{word}** {}", time(event.at), inline(&text)));
        }
    }
}

fn cause(doc: &mut Doc, incident: &Incident) {
    doc.heading("Cause");
    if let Some(request) = &incident.request {
        let (by, action) = (inline(&incident.source), &request.action);
        doc.line(format_args!("{by} asked for {action}."));
        if !request.reason.trim().is_empty() {
            doc.line(format_args!("\n> {}", inline(request.reason.trim())));
        }
        return;
    }
    let diagnosis = incident.diagnosis.as_ref();
    let Some(diagnosis) = diagnosis else {
        doc.line("No diagnosis was made.");
        return;
    };
    match diagnosis.leading() {
        Some(judged) => judgement(doc, diagnosis, judged),
        None => doc.line(inline(&diagnosis.summary)),
    }
    let rest: Vec<&JudgedCause> = {
        let leading = diagnosis.leading().map(|judged| &judged.cause);
        diagnosis.causes.iter().filter(|judged| Some(&judged.cause) != leading).collect()
    };
    if !rest.is_empty() {
        doc.line("\nAlso considered:\n");
    }
    for judged in rest {
        let because = inline(&judged.because);
        doc.line(format_args!("- {} ({}): {because}", judged.cause, judged.grade));
    }
}

fn judgement(doc: &mut Doc, diagnosis: &Diagnosis, judged: &JudgedCause) {
    let because = inline(&judged.because);
    doc.line(format_args!("\n**{}** ({}): {because}\n", judged.cause, judged.grade));
    for id in &judged.evidence {
        match diagnosis.evidence.iter().find(|evidence| evidence.id == *id) {
            Some(evidence) => {
                let (source, text) = (inline(&evidence.source), inline(&evidence.text));
                doc.line(format_args!("- {id}: {text} ({source})"));
            }
            None => doc.line(format_args!("- {id}: this evidence was not kept")),
        }
    }
    if let Some(missing) = &judged.missing {
        doc.line(format_args!("\nWhat would settle it: {}", inline(missing)));
    }
}

fn attempt(doc: &mut Doc, number: usize, execution: &Execution) {
    let state = execution.state.as_str();
    doc.heading(&format!("Attempt {number} by {}: {state}", inline(&execution.agent)));
    match &execution.proposal {
        Some(proposal) => proposed(doc, proposal),
        None => doc.line("Nothing was proposed."),
    }
    if let Some(approval) = &execution.approval {
        let actor = inline(&approval.actor);
        let at = time(approval.at);
        let why = match &approval.decision {
            Decision::Approved { typed, seen } => {
                let typed = typed.as_ref().map_or("", |_| " and typed the target's name");
                let read = seen.map_or_else(String::new, |seen| format!(" ({seen})"));
                format!("{typed}{read}")
            }
            Decision::Expired => String::new(),
            Decision::Automatic { rule } => format!(" ({})", inline(rule)),
            Decision::Denied { reason } | Decision::Superseded { reason } => {
                format!(": {}", inline(reason))
            }
        };
        let word = approval.decision.as_str();
        doc.line(format_args!("\nDecision: {word} by {actor} at {at}{why}."));
    }
    for step in &execution.steps {
        ran(doc, step);
    }
    if let Some(verification) = &execution.verification {
        verified(doc, verification);
    }
    if execution.rolled_back {
        doc.line("\nThe actions were taken back.");
    }
    if let Some(error) = &execution.error {
        doc.line(format_args!("\nError: {}", inline(error)));
    }
}

fn proposed(doc: &mut Doc, proposal: &Proposal) {
    let (actions, print) = (proposal.draft.actions(), proposal.fingerprint.short());
    doc.line(format_args!("Proposal {print}: {actions} ({} risk).", proposal.risk));
    doc.line(format_args!("\n- why: {}", inline(&proposal.draft.why)));
    doc.line(format_args!("- effect: {}", inline(&proposal.draft.effect)));
    doc.line(format_args!("- if not: {}", inline(&proposal.draft.if_not)));
    for step in &proposal.draft.steps {
        for consequence in &step.preview.consequences {
            doc.line(format_args!("- {}", inline(&consequence.to_string())));
        }
        let undo = inline(&step.undo.describe());
        doc.line(format_args!("- undo of {}: {undo}", step.action));
    }
}

fn ran(doc: &mut Doc, step: &StepRun) {
    let at = time(step.started_at);
    doc.line(format_args!("\n### {} at {at}", step.action));
    doc.code(&step.command);
    let Some(end) = &step.end else {
        doc.line("Its end is not known.");
        return;
    };
    let output = &end.output;
    let exit = output.exit_code.map_or("none".into(), |code| code.to_string());
    doc.line("\n| | |\n|---|---|");
    doc.row("result", if end.ok { "success" } else { "failed" });
    doc.row("exit code", exit);
    doc.row("duration", duration(output.duration_ms));
    doc.row("health", format_args!("{} → {}", step.health_before, end.health_after));
    for (name, text) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !text.is_empty() {
            doc.line(format_args!("\n{name}:"));
            doc.code(&head(text));
        }
    }
}

/// The first lines; the store keeps all of them.
fn head(text: &str) -> String {
    const SHOWN: usize = 12;
    let more = text.lines().count().saturating_sub(SHOWN);
    if more <= 1 {
        return text.to_owned();
    }
    let shown: Vec<&str> = text.lines().take(SHOWN).collect();
    format!("{}\n… {more} more lines", shown.join("\n"))
}

fn verified(doc: &mut Doc, verification: &Verification) {
    let held = duration(verification.held_ms);
    let verdict = if verification.passed() { "PASS" } else { "FAIL" };
    let (rounds, health) = (verification.rounds, verification.health_after);
    doc.line(format_args!(
        "\nVerification: {verdict}, rounds: {rounds}, held for {held}, health {health}."
    ));
    if let Some(ms) = verification.symptom_free_after_ms {
        doc.line(format_args!("The symptom was first seen gone after {}.", duration(ms)));
    }
    doc.line("");
    for check in &verification.checks {
        let verdict = match check.passed {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "not measured",
        };
        let (name, detail) = (inline(&check.name), inline(&check.detail));
        doc.line(format_args!("- {verdict}: {name}: {detail}"));
    }
}

fn injected(doc: &mut Doc, incident: &Incident, injections: &[Injection]) {
    let during = |injection: &&Injection| {
        let over = match &injection.state {
            InjectionState::Reverted { at, .. } => *at,
            InjectionState::Starting
            | InjectionState::Active { .. }
            | InjectionState::DidNotTake { .. }
            | InjectionState::Reverting => injection.deadline,
        };
        injection.target == incident.target
            && over >= incident.first_bad_at
            && incident.resolved_at.is_none_or(|end| injection.started_at <= end)
    };
    let during: Vec<&Injection> = injections.iter().filter(during).collect();
    if during.is_empty() {
        return;
    }
    doc.heading("Injected at the time");
    for injection in during {
        let (at, actor) = (time(injection.started_at), inline(&injection.actor));
        let (name, fault, state) = (injection.name(), &injection.fault, injection.state.as_str());
        doc.line(format_args!("- {name} {fault} by {actor} at {at}: {state}"));
    }
}

fn errors(doc: &mut Doc, incident: &Incident) {
    if incident.error_logs.is_empty() {
        return;
    }
    doc.heading("What clients were told");
    doc.code(&incident.error_logs.join("\n"));
}

fn notes(doc: &mut Doc, incident: &Incident) {
    if incident.notes.is_empty() {
        return;
    }
    doc.heading("Notes");
    for note in &incident.notes {
        let (at, actor) = (time(note.at), inline(&note.actor));
        doc.line(format_args!("- {at} {actor}: {}", inline(&note.text)));
    }
}

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
