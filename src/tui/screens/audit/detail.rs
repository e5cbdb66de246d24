//! Everything about one record, as lines to wrap: place, result, hashes, commands, output, undo.

use chrono::{DateTime, Utc};

use super::book::{Book, Entry};
use super::deed::Deed;
use crate::domain::consult::Exchange;
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::{Decision, Execution, Output, Verification};
use crate::domain::ids::incident_name;
use crate::domain::injection::Injection;
use crate::domain::proposal::{Proposal, Undo};
use crate::domain::undo::UNDO_WINDOW;
use crate::narrate::duration;
use crate::tui::desk::Desk;
use crate::tui::theme::Role;

/// Lines of output shown before anybody asks for all.
const HEAD: usize = 8;

/// One line, before it is wrapped.
pub(super) type Line = (String, Role);

struct Lines {
    lines: Vec<Line>,
    /// All of an output, or its head.
    whole: bool,
}

impl Lines {
    fn say(&mut self, role: Role, text: impl Into<String>) {
        self.lines.push((text.into(), role));
    }

    fn head(&mut self, title: &str) {
        self.say(Role::Text, "");
        self.say(Role::Title, title);
    }

    /// Text of a server, indented; all of its lines only when that is asked for.
    fn body(&mut self, role: Role, text: &str) {
        let count = text.lines().count();
        let shown = if self.whole || count <= HEAD + 1 { count } else { HEAD };
        for line in text.lines().take(shown) {
            self.say(role, format!("  {line}"));
        }
        if shown < count {
            self.say(Role::Muted, format!("  {} more lines (enter, o)", count - shown));
        }
    }
}

/// The lines of a record; `whole` unfolds outputs.
pub(super) fn lines(entry: &Entry, book: &Book, desk: &Desk, whole: bool) -> Vec<Line> {
    let deed = &entry.deed;
    let mut out = Lines { lines: Vec::new(), whole };
    let time = deed.at.format("%H:%M:%S%.3f");
    let target = deed.target.as_deref().unwrap_or("-");
    out.say(Role::Text, format!("{time}  {}  {}  {target}", deed.actor, deed.action));
    out.say(Role::Text, belongs(deed, book, desk));
    out.say(deed.role, deed.result.clone());
    let (text, role) = chain(entry, book);
    out.say(role, text);
    match entry.event() {
        Some(event) => about(&mut out, &event, entry, book),
        None => out.body(Role::Muted, &pretty(entry)),
    }
    if let Some(undo) = undo(deed, desk) {
        out.head("undo");
        out.body(Role::Text, &undo);
    }
    out.lines
}

/// The record as text, for the pager: what people read, and every column as it is stored.
pub(super) fn text(entry: &Entry, book: &Book, desk: &Desk) -> String {
    let lines = lines(entry, book, desk, true);
    let words: Vec<&str> = lines.iter().map(|(text, _)| text.as_str()).collect();
    format!("{}\n\n{}\n", words.join("\n"), pretty(entry))
}

fn pretty(entry: &Entry) -> String {
    let line = crate::store::audit::line(&entry.raw());
    serde_json::to_string_pretty(&line).unwrap_or_default()
}

/// The incident, the proposal, and who let it run.
fn belongs(deed: &Deed, book: &Book, desk: &Desk) -> String {
    let mut parts = Vec::new();
    if let Some(incident) = deed.incident {
        parts.push(number(deed, book, desk).map_or_else(|| incident.to_string(), incident_name));
    }
    parts.extend(digits(deed, book));
    let decided = deed.execution.and_then(|id| book.execution(id)?.decided.clone());
    parts.extend(decided.map(|(actor, at)| format!("by {actor} {}", at.format("%H:%M:%S"))));
    if parts.is_empty() { "belongs to no incident".into() } else { parts.join("  ") }
}

/// The number of a record's incident, from the records or from what the desk knows.
pub(super) fn number(deed: &Deed, book: &Book, desk: &Desk) -> Option<u64> {
    let id = deed.incident?;
    book.number(id).or_else(|| desk.incident(id).map(|incident| incident.number))
}

/// The proposal's digits or the injection's name.
pub(super) fn digits(deed: &Deed, book: &Book) -> Option<String> {
    let known = || book.execution(deed.execution?)?.fingerprint.clone();
    deed.about.clone().or_else(known)
}

fn chain(entry: &Entry, book: &Book) -> (String, Role) {
    let (prev, this) = entry.hashes();
    let short = |hash: &str| hash.get(..4).unwrap_or(hash).to_owned();
    let seq = entry.deed.seq;
    let before = seq.checked_sub(1).and_then(|before| book.get(before));
    let continues = before.is_none_or(|before| before.hashes().1 == prev);
    let (state, role) = match (entry.raw().expected_hash() == this, continues) {
        (false, _) => ("EDITED: its columns do not give its hash", Role::Bad),
        (true, false) => ("BROKEN: it does not continue the record before", Role::Bad),
        (true, true) => ("chain ok", Role::Muted),
    };
    (format!("prev {}..  this {}..  {state}", short(prev), short(this)), role)
}

fn about(out: &mut Lines, event: &Event, entry: &Entry, book: &Book) {
    match &event.body {
        EventBody::Proposed { proposal, .. } => proposed(out, proposal),
        EventBody::Decided { approval, .. } => {
            if let Decision::Approved { seen: Some(seen), .. } = &approval.decision {
                out.body(Role::Text, &format!("the proposal was {seen}"));
            }
        }
        EventBody::ActionStarted { run, .. } => {
            out.head("commands");
            out.body(Role::Command, &run.command);
        }
        EventBody::ActionFinished { run, end, .. } => {
            if let Some(step) = book.run(entry.deed.seq, *run) {
                out.head("commands");
                out.body(Role::Command, &step.command);
            }
            output(out, &end.output);
        }
        EventBody::Phase { line, .. } => {
            if let Some(command) = &line.command {
                out.head("commands");
                out.body(Role::Command, command);
            }
            if let Some(result) = &line.output {
                output(out, result);
            }
        }
        EventBody::Verified { verification, .. } => verified(out, verification),
        EventBody::IncidentOpened { incident, finding } => {
            out.head("finding");
            out.body(Role::Text, &finding.sentence);
            out.body(Role::Text, &incident.error_logs.join("\n"));
        }
        EventBody::IncidentNoted { text } => out.body(Role::Text, text),
        EventBody::Diagnosed { diagnosis, .. } => {
            out.head("diagnosis");
            for cause in &diagnosis.causes {
                out.body(Role::Text, &format!("{}: {}", cause.cause, cause.because));
            }
        }
        EventBody::ModelAsked { exchange, .. } => asked(out, exchange),
        EventBody::ModelJudged { verdict, .. } => {
            let answers =
                verdict.answers.iter().filter_map(|one| serde_json::to_string_pretty(one).ok());
            answers.for_each(|answer| out.body(Role::Text, &answer));
        }
        EventBody::InjectionStarted { injection } => injected(out, injection),
        EventBody::ReportWritten { markdown, .. } => out.body(Role::Text, markdown),
        _ => {}
    }
}

fn asked(out: &mut Lines, exchange: &Exchange) {
    out.head("sent");
    for message in &exchange.sent {
        let text = message["content"].as_str().unwrap_or_default();
        out.body(Role::Muted, &format!("{}: {text}", message["role"].as_str().unwrap_or("?")));
    }
    out.head("said");
    out.body(Role::Text, &exchange.said);
    for call in &exchange.calls {
        out.body(Role::Command, &format!("{} {}", call.name, call.arguments));
    }
}

fn proposed(out: &mut Lines, proposal: &Proposal) {
    out.head("commands");
    let commands = proposal.draft.steps.iter().flat_map(|step| &step.preview.commands);
    for (index, command) in commands.enumerate() {
        out.body(Role::Command, &format!("{}. {command}", index + 1));
    }
    out.head("why");
    out.body(Role::Text, &proposal.draft.why);
    out.body(Role::Text, &format!("rule: {}", proposal.ruling.rule));
    let expires = proposal.expires_at.format("%H:%M:%S");
    out.body(Role::Text, &format!("expires {expires}"));
    for step in &proposal.draft.steps {
        out.body(Role::Text, &format!("undo of {}: {}", step.action, step.undo.describe()));
    }
}

fn output(out: &mut Lines, output: &Output) {
    let counted = |text: &str| match text.lines().count() {
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    };
    let exit = output.exit_code.map_or("no exit code".into(), |code| format!("exit {code}"));
    let (took, streams) = (duration(output.duration_ms), (&output.stdout, &output.stderr));
    let role = if output.exit_code == Some(0) { Role::Text } else { Role::Bad };
    let (stdout, stderr) = (counted(streams.0), counted(streams.1));
    out.say(role, format!("{exit}  {took}  stdout {stdout}  stderr {stderr}"));
    for (name, text, role) in [("stdout", streams.0, Role::Text), ("stderr", streams.1, Role::Bad)]
    {
        if !text.is_empty() {
            let more = if out.whole { "" } else { " (first lines, enter shows all)" };
            out.head(&format!("{name}{more}"));
            out.body(role, text);
        }
    }
}

fn verified(out: &mut Lines, verification: &Verification) {
    out.head("checks");
    for check in &verification.checks {
        let (word, role) = match check.passed {
            Some(true) => ("pass", Role::Ok),
            Some(false) => ("FAIL", Role::Bad),
            None => ("not measured", Role::Warn),
        };
        out.body(role, &format!("{word} {}: {}", check.name, check.detail));
    }
    let (rounds, held) = (verification.rounds, duration(verification.held_ms));
    out.body(Role::Text, &format!("rounds {rounds}, held {held}"));
}

fn injected(out: &mut Lines, injection: &Injection) {
    let deadline = injection.deadline.format("%H:%M:%S");
    out.head("injection");
    out.body(Role::Text, &format!("{} reverts at {deadline}", injection.name()));
    for (name, value) in &injection.params {
        out.body(Role::Text, &format!("{name}={value}"));
    }
    out.head("undo");
    out.body(Role::Text, &injection.undo.join("\n"));
}

/// Until when what was executed can be taken back, and how.
fn undo(deed: &Deed, desk: &Desk) -> Option<String> {
    let of_step = matches!(deed.kind.as_str(), "action_started" | "action_finished" | "verified");
    if !of_step {
        return None;
    }
    let incident = desk.incident(deed.incident?)?;
    let execution = incident.executions.iter().find(|e| Some(e.id) == deed.execution)?;
    let proposal = execution.proposal.as_ref()?;
    let commands = execution.steps.iter().rev().flat_map(|step| step.undo_commands.clone());
    let how = proposal.draft.steps.iter().rev().map(|step| step.undo.describe());
    let how: Vec<String> = how.chain(commands).collect();
    Some(format!("{}\n{}", until(execution, desk.now.at), how.join("\n")))
}

fn until(execution: &Execution, now: DateTime<Utc>) -> String {
    let steps = execution.proposal.iter().flat_map(|proposal| &proposal.draft.steps);
    let mut possible =
        steps.filter(|step| matches!(step.undo, Undo::Exact(_) | Undo::Compensating(_)));
    match execution.completed_at.map(|ended| ended + UNDO_WINDOW) {
        _ if execution.rolled_back => "taken back already".into(),
        _ if possible.next().is_none() => "cannot be taken back".into(),
        None => "possible when its execution has ended".into(),
        Some(until) if now < until => format!("until {}", until.format("%H:%M:%S")),
        Some(until) => format!("window closed {}", until.format("%H:%M")),
    }
}
