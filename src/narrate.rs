//! One line of plain words per event: `run --plain`, `watch`, transcripts, and everywhere else events are read aloud.
//!
//! `14:02:40 INC-0042 critical redis-test operator ops1 approved 7f3a9c`; never a control character.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::domain::consult::{Exchange, Verdict};
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{Approval, Decision, Output, PhaseLine, StepEnd, Verification};
use crate::domain::finding::Severity;
use crate::domain::health::Health;
use crate::domain::ids::{IncidentId, incident_name};
use crate::domain::incident::{Incident, Request};
use crate::domain::injection::InjectionState;
use crate::domain::job::JobEnd;
use crate::domain::proposal::Proposal;

mod before;

pub use before::before;

/// The line for an event; `None` for events that tell a reader nothing, or nothing that a line of the agent's log
/// does not tell. `names` gives what people call an incident: its number with its severity (`INC-0042 critical`).
pub fn sentence(event: &Event, names: &dyn Fn(IncidentId) -> Option<String>) -> Option<String> {
    if is_told_by_the_log(&event.body) {
        return None;
    }
    let (word, text) = words(event)?;
    let mut line = event.at.format("%H:%M:%S").to_string();
    let opened = match &event.body {
        EventBody::IncidentOpened { incident, .. } => Some(label(incident)),
        _ => None,
    };
    let incident = opened.or_else(|| event.incident.and_then(names));
    let target = event.target.as_ref().map(|target| target.as_str().to_owned());
    for part in [incident, target, Some(word.to_owned()), Some(text)].into_iter().flatten() {
        let _ = write!(line, " {}", clean(&part));
    }
    Some(line.trim_end().to_owned())
}

/// The agent streams a line of its log beside each of these.
pub(crate) fn is_told_by_the_log(body: &EventBody) -> bool {
    match body {
        // What a person asked has no log of its own.
        EventBody::ModelAsked { execution, .. } | EventBody::ModelJudged { execution, .. } => {
            execution.is_some()
        }
        EventBody::Diagnosed { .. }
        | EventBody::Proposed { .. }
        | EventBody::ActionStarted { .. }
        | EventBody::ActionFinished { .. }
        | EventBody::Verified { .. }
        | EventBody::StopOrdered { .. }
        | EventBody::UndoStarted { .. }
        | EventBody::RolledBack { .. }
        | EventBody::ExecutionEnded { .. } => true,
        EventBody::Decided { approval, .. } => {
            matches!(approval.decision, Decision::Approved { .. } | Decision::Denied { .. })
        }
        _ => false,
    }
}

/// The event without its time and place: the kind of line it is, and what it says on one clean line.
pub fn words(event: &Event) -> Option<(&'static str, String)> {
    let (word, text) = told(event)?;
    let lines: Vec<&str> = text.split(['\n', '\r']).map(str::trim_end).collect();
    Some((word, clean(&lines.join(" | "))))
}

/// What people call an incident: `INC-0042 critical`.
pub fn label(incident: &Incident) -> String {
    format!("{} {}", incident.name(), incident.severity.as_str())
}

/// The labels of the incidents seen so far, for [`sentence`].
#[derive(Clone, Debug, Default)]
pub struct Labels(BTreeMap<IncidentId, (u64, Severity)>);

impl Labels {
    /// Starts with incidents that are known already.
    pub fn of<'a>(incidents: impl IntoIterator<Item = &'a Incident>) -> Self {
        let known = |incident: &Incident| (incident.id, (incident.number, incident.severity));
        Self(incidents.into_iter().map(known).collect())
    }

    /// Remembers one incident, unless more is known of it already.
    pub fn know(&mut self, id: IncidentId, number: u64, severity: Severity) {
        self.0.entry(id).or_insert((number, severity));
    }

    /// Learns from an event, before it is told.
    pub fn learn(&mut self, event: &Event) {
        match (&event.body, event.incident) {
            (EventBody::IncidentOpened { incident, .. }, _) => {
                self.0.insert(incident.id, (incident.number, incident.severity));
            }
            (
                EventBody::IncidentEscalated { finding, .. }
                | EventBody::IncidentRecurred { finding },
                Some(id),
            ) => {
                if let Some((_, severity)) = self.0.get_mut(&id) {
                    *severity = finding.severity.max(*severity);
                }
            }
            _ => {}
        }
    }

    /// What people call an incident.
    pub fn get(&self, id: IncidentId) -> Option<String> {
        let (number, severity) = self.0.get(&id)?;
        Some(format!("{} {}", incident_name(*number), severity.as_str()))
    }
}

/// The word that says what kind of line it is, and the line.
fn told(event: &Event) -> Option<(&'static str, String)> {
    match &event.body {
        EventBody::EngineStarted { .. }
        | EventBody::EngineStopped { .. }
        | EventBody::StoreLost { .. }
        | EventBody::StoreReturned { .. }
        | EventBody::RuntimeObserved { .. }
        | EventBody::ReportWritten { .. }
        | EventBody::InjectionStarted { .. }
        | EventBody::InjectionMoved { .. }
        | EventBody::JobStarted { .. }
        | EventBody::JobEnded { .. } => surroundings(event),
        EventBody::IncidentOpened { .. }
        | EventBody::IncidentEscalated { .. }
        | EventBody::IncidentRecurred { .. }
        | EventBody::StatusChanged { .. }
        | EventBody::IncidentNoted { .. }
        | EventBody::IncidentAmended { .. }
        | EventBody::AlertReceived { .. }
        | EventBody::IncidentResolved { .. }
        | EventBody::IncidentFailed { .. } => incident(event),
        EventBody::InvestigationStarted { .. }
        | EventBody::Phase { .. }
        | EventBody::ModelAsked { .. }
        | EventBody::ModelJudged { .. }
        | EventBody::Diagnosed { .. }
        | EventBody::Proposed { .. }
        | EventBody::Decided { .. }
        | EventBody::DecisionRefused { .. }
        | EventBody::ActionStarted { .. }
        | EventBody::ActionFinished { .. }
        | EventBody::Verified { .. }
        | EventBody::StopOrdered { .. }
        | EventBody::UndoStarted { .. }
        | EventBody::RolledBack { .. }
        | EventBody::ExecutionEnded { .. } => execution(event),
        EventBody::BaselineRecorded { .. } | EventBody::ExecutionMoved { .. } => None,
    }
}

/// Engine, store, runtime and injections.
fn surroundings(event: &Event) -> Option<(&'static str, String)> {
    Some(match &event.body {
        EventBody::EngineStarted { version, holder } => {
            ("engine", format!("simctl {version} started as {holder}"))
        }
        EventBody::EngineStopped { reason } => ("engine", format!("stopped: {reason}")),
        EventBody::StoreLost { reason } => {
            ("store", format!("lost: {reason}; events go to the journal"))
        }
        EventBody::StoreReturned { merged } => {
            ("store", format!("back; {} merged from the journal", counted(*merged, "event")))
        }
        EventBody::RuntimeObserved { event } => {
            ("runtime", joined(event.kind.as_str(), &event.detail))
        }
        EventBody::ReportWritten { .. } => ("report", "written".to_owned()),
        EventBody::InjectionStarted { injection } => {
            let ttl = (injection.deadline - injection.started_at).num_seconds();
            let (name, fault, actor) = (injection.name(), &injection.fault, &event.actor);
            ("injection", format!("{name} {fault} by {actor}, for at most {ttl} s"))
        }
        EventBody::InjectionMoved { state, .. } => ("injection", injection_state(state)),
        EventBody::JobStarted { job } => {
            let (actor, what, database) = (&event.actor, &job.what, &job.database);
            let how = format!("{what} on {database} by {actor}, {}", job.permitted);
            ("job", joined(&how, &job.commands.join("; ")))
        }
        EventBody::JobEnded { end, .. } => ("job", job_end(end)),
        _ => return None,
    })
}

fn job_end(end: &JobEnd) -> String {
    if !end.ok {
        return format!("not done: {}", end.error.as_deref().unwrap_or("failed"));
    }
    match (end.rows, &end.lsn) {
        (Some(rows), Some(lsn)) => format!("done, {}, lsn {lsn}", counted(rows, "row")),
        (Some(rows), None) => format!("done, {}", counted(rows, "row")),
        (None, _) => "done".to_owned(),
    }
}

/// What becomes of an incident.
fn incident(event: &Event) -> Option<(&'static str, String)> {
    Some(match &event.body {
        EventBody::IncidentOpened { incident, finding } => {
            ("opened", format!("{}: {}", incident.finding.as_str(), finding.sentence))
        }
        EventBody::IncidentEscalated { finding, health } => (
            "escalated",
            format!("{}: {}, health {health}", finding.kind.as_str(), finding.sentence),
        ),
        EventBody::IncidentRecurred { finding } => ("recurred", finding.sentence.clone()),
        EventBody::StatusChanged { from, to, reason } => {
            ("status", joined(&format!("{} → {}", from.as_str(), to.as_str()), reason))
        }
        EventBody::IncidentNoted { text } => ("operator", format!("{} noted: {text}", event.actor)),
        EventBody::IncidentAmended { severity, team, reason } => {
            let (actor, severity) = (&event.actor, severity.as_str());
            let team = team.as_deref().unwrap_or("none");
            ("operator", joined(&format!("{actor} set severity {severity}, team {team}"), reason))
        }
        EventBody::AlertReceived { alert } => {
            let stands = if alert.is_firing { "fires" } else { "is over" };
            ("alert", format!("{} {stands}, says {}: {}", alert.name, event.actor, alert.message))
        }
        EventBody::IncidentResolved { health, reason } => {
            ("resolved", format!("health {health}: {reason}"))
        }
        EventBody::IncidentFailed { reason } => ("failed", reason.clone()),
        _ => return None,
    })
}

/// What the agent and the people who decide do.
fn execution(event: &Event) -> Option<(&'static str, String)> {
    Some(match &event.body {
        EventBody::InvestigationStarted { agent, revision, .. } if agent == Request::AGENT => {
            ("thinking", format!("a person knows why; revision {revision} is only previewed"))
        }
        EventBody::InvestigationStarted { agent, revision, .. } => {
            ("thinking", format!("{agent} investigates revision {revision}"))
        }
        EventBody::Phase { line, .. } => (line.phase.as_str(), phase(line)),
        EventBody::ModelAsked { exchange, .. } => ("model", asked(exchange)),
        EventBody::ModelJudged { verdict, .. } => ("model", judged(verdict)),
        EventBody::Diagnosed { diagnosis, .. } => ("diagnosis", diagnosis.summary.clone()),
        EventBody::Proposed { proposal, .. } => ("proposal", proposed(proposal)),
        EventBody::Decided { approval, .. } => decided(approval),
        EventBody::DecisionRefused { reason } => ("refused", format!("{}: {reason}", event.actor)),
        EventBody::ActionStarted { run, .. } => {
            ("started", format!("{}, health {}", run.action, run.health_before))
        }
        EventBody::ActionFinished { end, .. } => ("finished", finished(end)),
        EventBody::Verified { verification, .. } => ("verified", verified(verification)),
        EventBody::StopOrdered { kill, .. } => {
            let what = if *kill { "kills what runs" } else { "stops it" };
            ("operator", format!("{} {what}", event.actor))
        }
        EventBody::UndoStarted { .. } => {
            ("operator", format!("{} takes back what was done", event.actor))
        }
        EventBody::RolledBack { ok, detail, .. } => {
            let how = if *ok { "taken back" } else { "could not be taken back" };
            ("undo", format!("{how}: {detail}"))
        }
        EventBody::ExecutionEnded { state, error, .. } => {
            ("execution", joined(state.as_str(), error.as_deref().unwrap_or_default()))
        }
        _ => return None,
    })
}

/// `gpt-x of openai, to decide: 1,204 + 88 tokens in 1.35 s`.
fn asked(exchange: &Exchange) -> String {
    let Exchange { model, provider, purpose, spend, .. } = exchange;
    let took = duration(exchange.latency_ms);
    let head = format!("{model} of {provider}, to {purpose}: {spend} in {took}");
    joined(&head, exchange.error.as_deref().unwrap_or_default())
}

fn judged(verdict: &Verdict) -> String {
    let how = if verdict.accepted { "accepted" } else { "not accepted" };
    format!("{} {how}: {}", verdict.agent, verdict.reason)
}

fn phase(line: &PhaseLine) -> String {
    let mut parts = Vec::new();
    if !line.text.is_empty() {
        parts.push(line.text.clone());
    }
    // A question carries its command in its text already.
    if let Some(command) = line.command.as_ref().filter(|command| !line.text.starts_with(*command))
    {
        parts.push(command.clone());
    }
    parts.extend(line.output.as_ref().filter(|output| output.exit_code.is_some()).map(output));
    parts.extend(line.health.map(|health| format!("health {health}")));
    parts.join(", ")
}

/// `exit 0 in 1.35 s, stdout 3 lines`; a single line stands inline.
fn output(output: &Output) -> String {
    let exit = output.exit_code.map_or("no exit code".to_owned(), |code| format!("exit {code}"));
    let mut text = format!("{exit} in {}", duration(output.duration_ms));
    for (name, stream) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let lines: Vec<&str> = stream.lines().collect();
        match lines.as_slice() {
            [] => {}
            [line] => drop(write!(text, ", {name}: {}", shortened(line))),
            more => drop(write!(text, ", {name} {} lines", more.len())),
        }
    }
    text
}

fn shortened(line: &str) -> String {
    const LONGEST: usize = 200;
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    line.chars().take(LONGEST).chain(['…']).collect()
}

fn proposed(proposal: &Proposal) -> String {
    format!(
        "{} {}, {} risk, {} until {}: {}",
        proposal.fingerprint.short(),
        proposal.draft.actions(),
        proposal.risk,
        match proposal.ruling.demand {
            crate::domain::policy::Demand::Automatic => "runs by policy",
            crate::domain::policy::Demand::Approval => "waits for approval",
            crate::domain::policy::Demand::Typed => "waits for approval with the target's name",
            crate::domain::policy::Demand::Forbidden => "forbidden by policy",
        },
        proposal.expires_at.format("%H:%M:%S"),
        proposal.draft.why,
    )
}

fn decided(approval: &Approval) -> (&'static str, String) {
    let (actor, print) = (&approval.actor, approval.fingerprint.short());
    match &approval.decision {
        Decision::Approved { seen, .. } => {
            let read = seen.map_or_else(String::new, |seen| format!(" ({seen})"));
            ("operator", format!("{actor} approved {print}{read}"))
        }
        Decision::Denied { reason } => ("operator", format!("{actor} rejected {print}: {reason}")),
        Decision::Automatic { rule } => ("policy", format!("approved {print} by rule: {rule}")),
        Decision::Expired => ("expired", format!("{print}: nobody decided in time")),
        Decision::Superseded { reason } => ("superseded", format!("{print}: {reason}")),
    }
}

fn finished(end: &StepEnd) -> String {
    let how = if end.ok { "ok" } else { "not ok" };
    format!("{how}, {}, health {}", output(&end.output), end.health_after)
}

fn verified(verification: &Verification) -> String {
    let passed = verification.checks.iter().filter(|check| check.passed == Some(true)).count();
    let health = shown(verification.health_after);
    match verification.failure() {
        None => {
            let checks = counted(passed as u64, "check");
            let held = duration(verification.held_ms);
            let rounds = counted(u64::from(verification.rounds), "round");
            format!("PASS, {checks} in {rounds}, held {held}, {health}")
        }
        Some(failure) => format!("FAIL, {failure}, {health}"),
    }
}

fn shown(health: Health) -> String {
    format!("health {health}")
}

fn injection_state(state: &InjectionState) -> String {
    match state {
        InjectionState::Starting => "starting".into(),
        InjectionState::Active { symptom, .. } => format!("took: {symptom}"),
        InjectionState::DidNotTake { reason } => format!("did not take: {reason}"),
        InjectionState::Reverting => "reverting".into(),
        InjectionState::Reverted { by, left_over, .. } if left_over.is_empty() => {
            format!("reverted by {by}, nothing left over")
        }
        InjectionState::Reverted { by, left_over, .. } => {
            format!("reverted by {by}, left over: {}", left_over.join(", "))
        }
    }
}

fn joined(first: &str, rest: &str) -> String {
    if rest.is_empty() { first.to_owned() } else { format!("{first}: {rest}") }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A duration as people read it: `18 ms`, `1.35 s`, `2m09s`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10),
        _ => format!("{}m{:02}s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// Text that a server may have written, made harmless for a terminal: control, bidirectional and invisible
/// characters become visible escapes, tabs a space.
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        let code = u32::from(c);
        match c {
            '\t' => cleaned.push(' '),
            c if c.is_control() && code < 0x100 => drop(write!(cleaned, "\\x{code:02x}")),
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                let _ = write!(cleaned, "\\u{{{code:x}}}");
            }
            c => cleaned.push(c),
        }
    }
    cleaned
}

/// Characters that show nothing, turn the direction of others, or have a width on which terminals disagree.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests;
