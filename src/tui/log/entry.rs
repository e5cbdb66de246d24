//! One line of the log: an event as it came, told when it is shown.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::domain::event::{Event, EventBody, RawEvent, Sealed};
use crate::domain::execution::{Output, Phase, PhaseLine};
use crate::domain::health::Health;
use crate::domain::words::count;
use crate::narrate::{duration, is_told_by_the_log, words};
use crate::tui::theme::Role;

/// So many lines of an output are shown until a person asks for more.
pub(crate) const FOLDED_LINES: usize = 8;
/// A longer line of output stands below the others, so that it cannot hide them.
const LONGEST_INLINE: usize = 400;
/// What an entry takes beside its text.
const OVERHEAD_BYTES: usize = 128;
/// What an event takes that is no line of the agent's log, about.
const EVENT_BYTES: usize = 512;

/// One line of an incident's log, with the output that belongs to it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub phase: Phase,
    /// So many lines between this one and the next never came.
    pub missed_after: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Event(Arc<Sealed>),
    /// A record of the store that this version cannot read.
    Unreadable(Arc<str>),
}

/// A piece of a line with its look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub text: Cow<'a, str>,
    pub role: Role,
}

/// One line of an entry before it is cleaned and wrapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<'a>(pub Vec<Part<'a>>);

impl<'a> Line<'a> {
    fn of(text: impl Into<Cow<'a, str>>, role: Role) -> Self {
        Self::default().and(text, role)
    }

    fn and(mut self, text: impl Into<Cow<'a, str>>, role: Role) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.0.push(Part { text, role });
        }
        self
    }

    /// The text again after three blanks, where something stands before it.
    fn then(self, text: impl Into<Cow<'a, str>>, role: Role) -> Self {
        if self.0.is_empty() { self.and(text, role) } else { self.and("   ", role).and(text, role) }
    }
}

impl Entry {
    /// The line for an event; `None` for one that tells a reader nothing, or that another line tells.
    pub fn of(sealed: &Arc<Sealed>) -> Option<Self> {
        let event = &sealed.event;
        let phase = phase(&event.body)?;
        let what = What::Event(Arc::clone(sealed));
        Some(Self { seq: event.seq, at: event.at, phase, missed_after: 0, what })
    }

    /// The line for a stored record that this version cannot read.
    pub(super) fn unreadable(raw: &RawEvent, error: &serde_json::Error) -> Self {
        let text = format!("record {} ({}) cannot be read: {error}", raw.seq, raw.kind);
        let what = What::Unreadable(text.into());
        Self { seq: raw.seq, at: raw.at, phase: Phase::Error, missed_after: 0, what }
    }

    /// Who did it.
    pub fn actor(&self) -> &str {
        match &self.what {
            What::Event(sealed) => &sealed.event.actor,
            What::Unreadable(_) => "engine",
        }
    }

    /// About what the entry takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let text = match &self.what {
            What::Event(sealed) => match &sealed.event.body {
                EventBody::Phase { line, .. } => phase_bytes(line),
                _ => EVENT_BYTES,
            },
            What::Unreadable(text) => text.len(),
        };
        text + OVERHEAD_BYTES
    }

    /// Whether it is the answer to a command.
    fn phase_line(&self) -> Option<&PhaseLine> {
        match &self.what {
            What::Event(sealed) => match &sealed.event.body {
                EventBody::Phase { line, .. } => Some(line),
                _ => None,
            },
            What::Unreadable(_) => None,
        }
    }

    /// Whether it says that something begins whose end comes as another line.
    pub(super) fn announces_work(&self) -> bool {
        self.phase_line().is_some_and(|line| match line.phase {
            Phase::Executing | Phase::Verifying => true,
            Phase::Command => line.command.is_some(),
            _ => false,
        })
    }

    /// What colour its glyph and word have; a proof shows whether it passed.
    pub fn role(&self, usual: Role) -> Role {
        let failed = self.phase == Phase::Verification
            && self.phase_line().is_some_and(|line| line.text.starts_with("FAIL"));
        if failed { Role::Bad } else { usual }
    }

    /// Whether it is a proof that failed, which has the glyph of an error.
    pub fn is_failed_proof(&self) -> bool {
        self.role(Role::Ok) == Role::Bad
    }

    /// What it says, output and all, as it came: for copying and searching.
    pub fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for line in self.lines(usize::MAX, None) {
            lines.push(line.0.iter().map(|part| part.text.as_ref()).collect());
        }
        lines.join("\n")
    }

    /// Its lines, the first beside the phase; nothing is cleaned yet. Of each output at most so many are shown.
    pub fn lines(&self, most: usize, health_before: Option<Health>) -> Vec<Line<'_>> {
        match &self.what {
            What::Unreadable(text) => vec![Line::of(text.as_ref(), Role::Text)],
            What::Event(sealed) => match &sealed.event.body {
                EventBody::Phase { line, .. } => phase_lines(line, most, health_before),
                _ => vec![Line::of(told(&sealed.event), Role::Text)],
            },
        }
    }
}

fn phase_bytes(line: &PhaseLine) -> usize {
    let output = line.output.as_ref().map_or(0, |output| output.stdout.len() + output.stderr.len());
    line.text.len() + line.command.as_ref().map_or(0, String::len) + output
}

/// Under which phase an event is shown.
fn phase(body: &EventBody) -> Option<Phase> {
    if is_told_by_the_log(body) {
        return None;
    }
    Some(match body {
        EventBody::Phase { line, .. } => line.phase,
        EventBody::IncidentOpened { .. }
        | EventBody::IncidentEscalated { .. }
        | EventBody::IncidentRecurred { .. }
        | EventBody::AlertReceived { .. }
        | EventBody::StatusChanged { .. }
        | EventBody::InvestigationStarted { .. } => Phase::Thinking,
        EventBody::IncidentNoted { .. }
        | EventBody::IncidentAmended { .. }
        | EventBody::Decided { .. }
        | EventBody::DecisionRefused { .. }
        | EventBody::StopOrdered { .. }
        | EventBody::UndoStarted { .. }
        | EventBody::InjectionStarted { .. }
        | EventBody::InjectionMoved { .. }
        | EventBody::JobStarted { .. }
        | EventBody::JobEnded { .. } => Phase::Operator,
        EventBody::IncidentResolved { .. } | EventBody::ReportWritten { .. } => Phase::Complete,
        EventBody::IncidentFailed { .. } | EventBody::StoreLost { .. } => Phase::Error,
        EventBody::RuntimeObserved { .. }
        | EventBody::StoreReturned { .. }
        | EventBody::EngineStarted { .. }
        | EventBody::EngineStopped { .. } => Phase::Result,
        EventBody::BaselineRecorded { .. }
        | EventBody::ModelAsked { .. }
        | EventBody::ModelJudged { .. }
        | EventBody::Diagnosed { .. }
        | EventBody::Proposed { .. }
        | EventBody::ExecutionMoved { .. }
        | EventBody::ActionStarted { .. }
        | EventBody::ActionFinished { .. }
        | EventBody::Verified { .. }
        | EventBody::RolledBack { .. }
        | EventBody::ExecutionEnded { .. } => return None,
    })
}

/// The words of an event that is no line of the agent's log, led by what kind it is.
fn told(event: &Event) -> String {
    let Some((word, text)) = words(event) else { return event.body.kind().to_owned() };
    match word {
        "operator" | "thinking" => text,
        "opened" | "resolved" | "failed" => format!("incident {word}: {text}"),
        "policy" | "expired" | "superseded" | "report" => format!("{word} {text}"),
        _ => format!("{word}: {text}"),
    }
}

fn phase_lines(line: &PhaseLine, most: usize, before: Option<Health>) -> Vec<Line<'_>> {
    let mut text = line.text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut head = Line::of(text.next().unwrap_or_default(), Role::Text);
    // A question carries its command in its text already.
    if let Some(command) = line.command.as_ref().filter(|command| !line.text.starts_with(*command))
    {
        head = head.then(command.as_str(), Role::Command);
    }
    let mut lines: Vec<Line<'_>> = text.map(|line| Line::of(line, Role::Text)).collect();
    if let Some(output) = &line.output {
        head = with_output(head, output);
        if !line.text.contains(output.stderr.as_str()) {
            body(&mut lines, &output.stderr, Some("stderr "), most);
        }
        if output.exit_code.is_none() || !is_inline(&output.stdout) {
            body(&mut lines, &output.stdout, None, most);
        }
    }
    if let Some(health) = line.health {
        let changed = before.filter(|_| line.phase == Phase::Result);
        let shown = changed
            .map_or(format!("health {health}"), |before| format!("health {before} → {health}"));
        head = head.then(shown, Role::Text);
    }
    lines.insert(0, head);
    lines
}

/// `exit 0  1.35 s  stdout 3 lines  stderr 1 line`, when a process ran.
fn with_output<'a>(head: Line<'a>, output: &'a Output) -> Line<'a> {
    let Some(code) = output.exit_code else { return head };
    let role = if code == 0 { Role::Text } else { Role::Bad };
    let took = format!("  {}", duration(output.duration_ms));
    let head = head.then(exit(code), role).and(took, Role::Text);
    let counted = |name: &str, text: &str| {
        let lines = text.lines().count() as u64;
        format!("  {name} {} line{}", count(lines), if lines == 1 { "" } else { "s" })
    };
    let head = match output.stdout.trim_end_matches(['\n', '\r']) {
        "" => head.and("  stdout empty", Role::Muted),
        line if is_inline(line) => head.and("  stdout 1 line: ", Role::Text).and(line, Role::Text),
        _ => head.and(counted("stdout", &output.stdout), Role::Text),
    };
    if output.stderr.is_empty() {
        head
    } else {
        head.and(counted("stderr", &output.stderr), Role::Bad)
    }
}

/// Whether an output is one short line.
fn is_inline(output: &str) -> bool {
    let line = output.trim_end_matches(['\n', '\r']);
    line.len() <= LONGEST_INLINE && !line.contains('\n')
}

/// The end of a process in words. A shell, and a container engine, add 128 to the signal that ended it.
fn exit(code: i64) -> String {
    match code {
        129..=159 => format!("exit {code} (signal {})", code - 128),
        _ => format!("exit {code}"),
    }
}

/// The first lines of an output, and how many more there are.
fn body<'a>(lines: &mut Vec<Line<'a>>, text: &'a str, prefix: Option<&'static str>, most: usize) {
    let role = if prefix.is_some() { Role::Bad } else { Role::Text };
    let mut all = text.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    for line in all.by_ref().take(most) {
        lines.push(Line::of(prefix.unwrap_or_default(), role).and(line, role));
    }
    let more = all.count() as u64;
    if more > 0 {
        let plural = if more == 1 { "" } else { "s" };
        lines
            .push(Line::of(format!("… {} more line{plural} (enter, o)", count(more)), Role::Muted));
    }
}
