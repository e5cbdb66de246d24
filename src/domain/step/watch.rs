//! Samples become findings, findings become incidents; symptoms that are gone let incidents end.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Turn, actor};
use crate::detect;
use crate::domain::effect::Effect;
use crate::domain::event::EventBody;
use crate::domain::execution::ExecutionState;
use crate::domain::finding::{Family, Finding, FindingKind, Verdict};
use crate::domain::health::{self, Health};
use crate::domain::ids::{IncidentId, TargetId};
use crate::domain::incident::{Incident, IncidentType, RemediationMode, Status};
use crate::domain::sample::{RuntimeEvent, RuntimeEventKind, Sample};
use crate::domain::world::Watch;

/// A symptom must stay away this long before an incident ends by itself, so that flapping is one incident.
const CALM: TimeDelta = TimeDelta::seconds(5);

/// What an action did shows at the next look.
const NOTICED: TimeDelta = TimeDelta::seconds(2);

/// What is read for a baseline grew over the versions; a new number here has the old ones completed.
pub(crate) const BASELINE_FORMAT: &str = "baseline.format";
const CURRENT_FORMAT: &str = "3";

impl Turn<'_> {
    pub(super) fn sampled(&mut self, target: &TargetId, sample: Sample) {
        let Some(watch) = self.world.watches.get_mut(target) else { return };
        let was_bad =
            watch.window.last(sample.origin).is_some_and(|last| last.first_bad().is_some());
        let (origin, is_bad) = (sample.origin, sample.first_bad().is_some());
        watch.window.push(sample);
        if is_bad && !was_bad {
            self.outcome.effects.push(Effect::Confirm { target: target.clone(), origin });
        }
        self.judge(target);
    }

    pub(super) fn runtime_spoke(&mut self, target: &TargetId, event: RuntimeEvent) {
        let Some(watch) = self.world.watches.get_mut(target) else { return };
        watch.window.push_runtime(event.clone());
        let ended = matches!(event.kind, RuntimeEventKind::Died | RuntimeEventKind::OutOfMemory);
        let body = EventBody::RuntimeObserved { event };
        self.emit(None, Some(target.clone()), actor::DETECTOR, body);
        self.outcome.effects.push(Effect::Probe { target: target.clone() });
        if ended {
            self.think_again(target);
        }
    }

    /// The socket closes before the runtime says why: an investigation under way should know.
    fn think_again(&mut self, target: &TargetId) {
        let thinking = self.world.ledger.open_on(target).into_iter().find_map(|incident| {
            let active = incident.active_execution()?;
            (active.state == ExecutionState::Thinking).then_some(incident.id)
        });
        if let Some(id) = thinking {
            self.start_over(id, "the runtime said what became of the server");
        }
    }

    /// The first settings seen of a healthy, untroubled target are its baseline. One that an earlier version
    /// recorded, which read fewer, is completed: what it knows stays, since a fault may be at work unseen.
    pub(super) fn settings_read(&mut self, target: &TargetId, settings: BTreeMap<String, String>) {
        let ledger = &self.world.ledger;
        let known = ledger.baselines.get(target);
        let is_current = |known: &BTreeMap<String, String>| {
            known.get(BASELINE_FORMAT).is_some_and(|format| *format == CURRENT_FORMAT)
        };
        let troubled =
            !ledger.open_on(target).is_empty() || !ledger.live_injections(target).is_empty();
        if troubled || known.is_some_and(is_current) {
            return;
        }
        let mut settings = settings;
        settings.extend(known.cloned().unwrap_or_default());
        settings.insert(BASELINE_FORMAT.into(), CURRENT_FORMAT.into());
        self.emit(
            None,
            Some(target.clone()),
            actor::DETECTOR,
            EventBody::BaselineRecorded { settings },
        );
    }

    fn judge(&mut self, target: &TargetId) {
        let Some(watch) = self.world.watches.get(target) else { return };
        let verdicts: Vec<(FindingKind, Verdict)> =
            detect::ALL.iter().map(|d| (d.kind, (d.judge)(&watch.window, self.now))).collect();
        for (_, verdict) in &verdicts {
            if let Verdict::Present(finding) = verdict {
                self.present(target, finding);
            }
        }
        self.clear_what_is_gone(target, &verdicts);
        self.note_calm_level(target);
    }

    fn present(&mut self, target: &TargetId, finding: &Finding) {
        let ledger = &self.world.ledger;
        let said = || ledger.open_by_alert(target, finding.kind);
        let Some(incident) = ledger.open_in_family(target, finding.kind).or_else(said) else {
            // What an action does on its way (a restart cuts everybody off) is judged by its verification.
            let is_ours = finding.kind.family() == Family::Data && self.did_it(target, finding);
            if self.world.ledger.acting_on(target).is_none() && !self.is_away(target) && !is_ours {
                self.open(target, finding.clone());
            }
            return;
        };
        let (id, known) = (incident.id, incident.finding);
        if known == FindingKind::Noticed {
            self.escalate(target, id, finding.clone());
            self.take_over(id);
            return;
        }
        if finding.kind.is_stronger_than(known) {
            self.escalate(target, id, finding.clone());
            return;
        }
        let came_back =
            self.world.watches.get_mut(target).and_then(|w| w.clear_since.remove(&id)).is_some();
        if came_back && finding.kind == known && self.world.ledger.acting_on(target).is_none() {
            self.emit_on(
                id,
                actor::DETECTOR,
                EventBody::IncidentRecurred { finding: finding.clone() },
            );
        }
    }

    /// Whether it began while an action ran: what was approved is no news.
    fn did_it(&self, target: &TargetId, finding: &Finding) -> bool {
        let on_target = self.world.ledger.incidents.values().filter(|i| i.target == *target);
        let mut steps = on_target.flat_map(|i| &i.executions).flat_map(|e| &e.steps);
        steps.any(|step| {
            let until = step.end.as_ref().map_or(self.now, |end| end.at + NOTICED);
            (step.started_at..=until).contains(&finding.since)
        })
    }

    /// Whether the server is known to be gone or silent: what else seems wrong on its way back is no news until
    /// that incident has ended.
    fn is_away(&self, target: &TargetId) -> bool {
        let open = self.world.ledger.open_on(target);
        open.iter().any(|incident| incident.finding.family() == Family::Availability)
    }

    fn open(&mut self, target: &TargetId, finding: Finding) {
        if !self.world.watches.contains_key(target) {
            return;
        }
        let incident = self.new_incident(target, &finding);
        let id = incident.id;
        let body = EventBody::IncidentOpened { incident: Box::new(incident), finding };
        self.emit(Some(id), Some(target.clone()), actor::DETECTOR, body);
        if self.world.remediation != RemediationMode::Manual {
            self.investigate(id, None);
        }
    }

    /// An incident as it is when it opens, with how its target is right now where that is known.
    pub(super) fn new_incident(&mut self, target: &TargetId, finding: &Finding) -> Incident {
        let watch = self.world.watches.get(target);
        let read = watch.and_then(|watch| watch.window.last_readings());
        let metrics = read.map(|sample| sample.readings.to_map()).unwrap_or_default();
        let is_lab = watch.is_some_and(|watch| watch.window.target.is_lab());
        Incident {
            id: IncidentId(self.ids.next(self.now)),
            number: self.world.ledger.last_incident + 1,
            revision: 1,
            target: target.clone(),
            finding: finding.kind,
            status: Status::Triage,
            severity: finding.severity,
            message: finding.sentence.clone(),
            source: actor::DETECTOR.into(),
            team: None,
            notes: Vec::new(),
            error_logs: finding.error_lines.clone(),
            metrics,
            incident_type: if is_lab { IncidentType::Drill } else { IncidentType::Real },
            remediation: self.world.remediation,
            health_at_open: watch.map_or(Health::Inconclusive, Watch::health),
            health_before: watch.and_then(|watch| watch.calm_level),
            occurrences: 1,
            first_bad_at: finding.since.min(self.now),
            opened_at: self.now,
            last_seen: self.now,
            updated_at: self.now,
            acknowledged_at: None,
            resolved_at: None,
            health_at_end: None,
            failure_reason: None,
            diagnosis: None,
            executions: Vec::new(),
            tried: Vec::new(),
            model_spend: Default::default(),
            attempts_from: 0,
            request: None,
            alerts: Vec::new(),
        }
    }

    fn escalate(&mut self, target: &TargetId, id: IncidentId, finding: Finding) {
        let health = self.world.health(target);
        if let Some(watch) = self.world.watches.get_mut(target) {
            watch.clear_since.remove(&id);
        }
        if self.world.ledger.acting_on(target).is_some() {
            return;
        }
        self.emit_on(id, actor::DETECTOR, EventBody::IncidentEscalated { finding, health });
        self.start_over(id, "the problem reached a later stage");
    }

    /// Ends incidents whose symptom is gone for good, when nobody is working on the target.
    fn clear_what_is_gone(&mut self, target: &TargetId, verdicts: &[(FindingKind, Verdict)]) {
        let open: Vec<(IncidentId, Vec<FindingKind>, Option<u8>)> = self
            .world
            .ledger
            .open_on(target)
            .iter()
            // What nobody measures is not gone when nothing is measured.
            .filter(|i| i.finding.is_measured() || i.ends_with_its_alerts())
            .map(|i| (i.id, symptoms(i), i.health_before))
            .collect();
        for (id, kinds, level_before) in open {
            let is_still_said = self.incident(id).is_some_and(Incident::is_still_said);
            let gone = !is_still_said && self.is_gone(target, &kinds, level_before, verdicts);
            let now = self.now;
            let Some(watch) = self.world.watches.get_mut(target) else { return };
            if !gone {
                watch.clear_since.remove(&id);
                continue;
            }
            let since = *watch.clear_since.entry(id).or_insert(now);
            if now - since >= CALM && self.world.ledger.acting_on(target).is_none() {
                self.ended_by_itself(target, id, since);
            }
        }
    }

    fn is_gone(
        &self,
        target: &TargetId,
        kinds: &[FindingKind],
        level_before: Option<u8>,
        verdicts: &[(FindingKind, Verdict)],
    ) -> bool {
        let Some(watch) = self.world.watches.get(target) else { return false };
        let of_family = |(other, _): &&(FindingKind, Verdict)| {
            kinds.iter().any(|kind| other.family() == kind.family())
        };
        let absent =
            verdicts.iter().filter(of_family).all(|(_, verdict)| *verdict == Verdict::Absent);
        let Health::Score(score) = watch.health() else { return false };
        let good = f64::from(score) > watch.window.target.thresholds.resolve_above_score
            || level_before.is_some_and(|level| health::is_back_at(score, level));
        absent && good && watch.client_is_content()
    }

    fn ended_by_itself(&mut self, target: &TargetId, id: IncidentId, since: DateTime<Utc>) {
        let health = self.world.health(target);
        self.cancel_active(id, "the symptom is gone");
        let seconds = (self.now - since).num_seconds();
        let has_alerts = self.incident(id).is_some_and(|incident| !incident.alerts.is_empty());
        let and = if has_alerts { "its alerts are over, and " } else { "" };
        let reason =
            format!("{and}the symptom has been gone for {seconds} s without an action of ours");
        self.emit_on(id, actor::DETECTOR, EventBody::IncidentResolved { health, reason });
        self.report(id);
        if let Some(watch) = self.world.watches.get_mut(target) {
            watch.clear_since.remove(&id);
        }
    }

    fn note_calm_level(&mut self, target: &TargetId) {
        if !self.world.ledger.open_on(target).is_empty()
            || !self.world.ledger.live_injections(target).is_empty()
        {
            return;
        }
        if let Some(watch) = self.world.watches.get_mut(target)
            && watch.client_is_content()
            && let Some(score) = watch.health().score()
        {
            watch.calm_level = Some(score);
        }
    }
}

/// What must be gone before it ends: its symptom, and those that alerts about it stand for.
fn symptoms(incident: &Incident) -> Vec<FindingKind> {
    let said = incident.alerts.iter().filter_map(|alert| alert.finding);
    std::iter::once(incident.finding).chain(said).collect()
}
