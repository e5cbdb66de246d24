//! The facts about an incident as lines: what it is, how the target is, why, what was tried, what was like it.

use chrono::TimeDelta;

use super::cards;
use super::desk::{Desk, proposal_of};
use super::incidents::row::state;
use super::log::Ring;
use super::readings;
use super::text::{age, clean, countdown, wrap};
use super::theme::Role;
use super::widgets::spark::{Scale, spark};
use crate::domain::diagnosis::Grade;
use crate::domain::execution::{Decision, Execution};
use crate::domain::incident::Incident;
use crate::domain::injection::InjectionState;
use crate::narrate::duration;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub text: String,
    pub role: Role,
}

/// Collects lines of at most so many columns.
struct Sheet {
    columns: usize,
    facts: Vec<Fact>,
}

impl Sheet {
    fn line(&mut self, text: impl Into<String>, role: Role) {
        let text = text.into();
        let text = clean(&text);
        let wrapped = wrap(&text, self.columns, 2).enumerate();
        let lines =
            wrapped.map(|(n, line)| if n == 0 { line.to_owned() } else { format!("  {line}") });
        self.facts.extend(lines.map(|text| Fact { text, role }));
    }

    fn heading(&mut self, text: &str) {
        if !self.facts.is_empty() {
            self.facts.push(Fact { text: String::new(), role: Role::Text });
        }
        self.line(text, Role::Title);
    }
}

/// Everything known about an incident. `similar` is what the store found, once it was asked.
pub fn of(
    desk: &Desk,
    incident: &Incident,
    ring: Option<&Ring>,
    similar: Option<&[String]>,
    columns: usize,
) -> Vec<Fact> {
    let mut sheet = Sheet { columns: columns.max(1), facts: Vec::new() };
    head(&mut sheet, desk, incident);
    causes(&mut sheet, incident);
    waiting(&mut sheet, desk, incident);
    target(&mut sheet, desk, incident);
    phases(&mut sheet, desk, ring);
    attempts(&mut sheet, incident);
    evidence(&mut sheet, incident);
    related(&mut sheet, similar);
    notes(&mut sheet, incident);
    sheet.facts
}

fn head(sheet: &mut Sheet, desk: &Desk, incident: &Incident) {
    let (word, role) = state(incident);
    let took = match incident.resolved_at {
        Some(at) => format!("took {}", spoken(at - incident.opened_at)),
        None => format!("open {}", age(desk.now.at - incident.opened_at).trim_start()),
    };
    sheet.line(format!("{}  {word}  {took}", incident.severity.as_str()), role);
    let cause =
        incident.subject().map_or_else(|| format!("{}?", incident.finding.as_str()), str::to_owned);
    sheet.line(format!("{}  {cause}", incident.target), Role::Text);
    sheet.line(incident.message.clone(), Role::Text);
    let health = |health: crate::domain::health::Health| health.to_string();
    match incident.health_at_end {
        Some(end) => {
            sheet.line(
                format!("health {}  (was {})", health(end), health(incident.health_at_open)),
                Role::Ok,
            );
        }
        None => sheet
            .line(format!("health {} when it opened", health(incident.health_at_open)), Role::Text),
    }
    if let Some(reason) = &incident.failure_reason {
        sheet.line(format!("needs a person: {reason}"), Role::Bad);
    }
    let mut injections = desk.snapshot.injections.iter().rev();
    if let Some(injection) = injections.find(|one| one.target == incident.target) {
        let at = injection.started_at.format("%H:%M:%S");
        let (name, fault, actor) = (injection.name(), &injection.fault, &injection.actor);
        sheet.line(format!("injected {name} {fault} by {actor} {at}"), Role::Operator);
        match &injection.state {
            InjectionState::Reverted { at, .. } => {
                sheet.line(format!("fault gone since {}", at.format("%H:%M:%S")), Role::Text);
            }
            state if state.is_live() => {
                let left = countdown(injection.deadline - desk.now.at);
                sheet.line(format!("fault reverts in {left}"), Role::Text);
            }
            state => sheet.line(format!("fault {}", state.as_str().replace('_', " ")), Role::Text),
        }
    }
}

fn target(sheet: &mut Sheet, desk: &Desk, incident: &Incident) {
    let Some(view) = desk.target(incident.target.as_str()) else { return };
    let (_, role) = cards::mark(desk, &view.state);
    sheet.heading(&format!("Now on {}", incident.target));
    sheet.line(format!("{}  health {}", view.state, view.health), role);
    for reading in readings::of(view) {
        let text = cards::line(desk, &reading, sheet.columns);
        sheet.facts.push(Fact { text, role: Role::Text });
    }
    if !desk.settings.compact {
        let points =
            desk.past.stretches(incident.target.as_str(), desk.snapshot.at, sheet.columns.min(60));
        let scale = Scale::Fixed { low: 0.0, high: 100.0 };
        let course = spark(&points, sheet.columns.min(60), scale, desk.theme.glyphs);
        sheet.line("how full, last 10 min", Role::Muted);
        sheet.facts.push(Fact { text: course, role: Role::Text });
    }
}

fn causes(sheet: &mut Sheet, incident: &Incident) {
    let Some(diagnosis) = &incident.diagnosis else { return };
    sheet.heading("Causes");
    if diagnosis.causes.is_empty() {
        sheet.line("nothing known fits", Role::Warn);
    }
    for judged in &diagnosis.causes {
        let role = match judged.grade {
            Grade::Confirmed => Role::Ok,
            Grade::Likely => Role::Warn,
            Grade::Inconclusive => Role::Muted,
        };
        sheet.line(format!("{} {}", judged.cause, judged.grade), role);
        let cited = if judged.evidence.is_empty() {
            String::new()
        } else {
            format!(" [{}]", judged.evidence.join(" "))
        };
        sheet.line(format!("  {}{cited}", judged.because), Role::Text);
        if let Some(missing) = &judged.missing {
            sheet.line(format!("  would settle it: {missing}"), Role::Muted);
        }
    }
}

fn waiting(sheet: &mut Sheet, desk: &Desk, incident: &Incident) {
    let Some(proposal) = proposal_of(incident) else { return };
    sheet.heading("Proposal");
    let left = countdown(proposal.expires_at - desk.now.at);
    let (print, risk) = (proposal.fingerprint.short(), proposal.risk);
    sheet.line(format!("{print}  risk {risk}  expires in {left}"), Role::Warn);
    for step in &proposal.draft.steps {
        sheet.line(format!("  {}", step.action), Role::Command);
        for consequence in &step.preview.consequences {
            sheet.line(format!("    {consequence}"), Role::Text);
        }
    }
    sheet.line(proposal.draft.effect.clone(), Role::Text);
    sheet.line("a shows every command and asks", Role::Muted);
}

fn phases(sheet: &mut Sheet, desk: &Desk, ring: Option<&Ring>) {
    let Some(ring) = ring else { return };
    sheet.heading("Phases");
    for time in ring.phases() {
        let (glyph, role) = desk.theme.phase(time.phase);
        let took = match (time.elapsed(desk.now.at), time.since) {
            (None, _) => "-".to_owned(),
            (Some(_), Some(since)) => {
                format!("for {}", age(desk.now.at - since).trim_start())
            }
            (Some(took), None) => spoken(took),
        };
        let word = match time.phase {
            crate::domain::execution::Phase::Command => "waiting",
            crate::domain::execution::Phase::Complete => "in all",
            phase => phase.as_str(),
        };
        sheet.line(format!("{glyph} {word:12} {took}"), role);
    }
}

fn attempts(sheet: &mut Sheet, incident: &Incident) {
    let decided = incident.executions.iter().filter(|execution| execution.approval.is_some());
    let decided: Vec<&Execution> = decided.collect();
    if decided.is_empty() {
        return;
    }
    sheet.heading("Decided and done");
    for execution in decided {
        let Some(approval) = &execution.approval else { continue };
        let (at, print) = (approval.at.format("%H:%M:%S"), approval.fingerprint.short());
        let (word, actor) = (approval.decision.as_str(), &approval.actor);
        sheet.line(format!("{at} {print} {word} by {actor}"), Role::Operator);
        if let Decision::Denied { reason } = &approval.decision
            && !reason.is_empty()
        {
            sheet.line(format!("  {reason}"), Role::Text);
        }
        for step in &execution.steps {
            let end = step.end.as_ref().map_or("still running, or its end is not known", |end| {
                if end.ok { "ok" } else { "not ok" }
            });
            sheet.line(format!("  {}: {end}", step.action), Role::Command);
        }
        if let Some(verification) = &execution.verification {
            match verification.failure() {
                None => {
                    let (checks, held) =
                        (verification.checks.len(), duration(verification.held_ms));
                    sheet.line(format!("  proven: {checks} checks held {held}"), Role::Ok);
                }
                Some(failure) => sheet.line(format!("  not proven: {failure}"), Role::Bad),
            }
        }
        if execution.rolled_back {
            sheet.line("  taken back", Role::Warn);
        }
    }
}

fn evidence(sheet: &mut Sheet, incident: &Incident) {
    let Some(diagnosis) = incident.diagnosis.as_ref().filter(|d| !d.evidence.is_empty()) else {
        return;
    };
    sheet.heading("Evidence");
    for one in &diagnosis.evidence {
        sheet.line(format!("{} {}", one.id, one.source), Role::Command);
        sheet.line(format!("  {}", one.text), Role::Text);
    }
}

fn related(sheet: &mut Sheet, similar: Option<&[String]>) {
    let Some(similar) = similar else { return };
    sheet.heading("Like it before");
    if similar.is_empty() {
        sheet.line("none on record", Role::Muted);
    }
    for line in similar {
        sheet.line(line.clone(), Role::Text);
    }
}

fn notes(sheet: &mut Sheet, incident: &Incident) {
    if !incident.error_logs.is_empty() {
        sheet.heading("Error lines");
        for line in &incident.error_logs {
            sheet.line(line.clone(), Role::Text);
        }
    }
    if !incident.notes.is_empty() {
        sheet.heading("Notes");
        for note in &incident.notes {
            let at = note.at.format("%H:%M:%S");
            sheet.line(format!("{at} {}: {}", note.actor, note.text), Role::Operator);
        }
    }
}

/// A span in words: `18 ms`, `1.35 s`, `2m09s`.
fn spoken(span: TimeDelta) -> String {
    duration(u64::try_from(span.num_milliseconds()).unwrap_or(0))
}
