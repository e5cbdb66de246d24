//! The deterministic judgement of a model's answer. What passes is a remedy of the playbook for a cause that the
//! evidence supports, with arguments no wider than what was observed; everything else is refused with its reason.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::{Answer, NamedAction, NamedArgument, UNKNOWN};
use crate::actions;
use crate::agent::playbook::{self, Candidate};
use crate::diagnose;
use crate::diagnose::facts::Facts;
use crate::domain::diagnosis::{Diagnosis, Grade, JudgedCause};
use crate::domain::effect::Known;
use crate::domain::ids::ActionId;
use crate::domain::incident::Incident;
use crate::domain::proposal::Args;
use crate::domain::target::Engine;

/// What an answer is judged by.
pub(super) struct Grounds<'a> {
    pub(super) engine: Engine,
    pub(super) incident: &'a Incident,
    pub(super) known: &'a Known,
    pub(super) facts: &'a Facts,
    /// What the judges of `diagnose` make of the facts, with the evidence of the looks added.
    pub(super) diagnosis: &'a Diagnosis,
}

/// Gives a text that the model named as it was read.
pub(super) type Resolve<'a> = &'a dyn Fn(&str) -> String;

/// What an accepted answer comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) cause: JudgedCause,
    pub(super) candidate: Candidate,
}

/// Why an answer is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may be asked to mend it.
    Mend(String),
    /// It is a proper answer, and no decision.
    NoDecision(String),
}

impl Refusal {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Mend(reason) | Self::NoDecision(reason) => reason,
        }
    }
}

/// Judges an answer.
pub(super) fn check(
    answer: &Answer,
    on: &Grounds<'_>,
    resolve: Resolve<'_>,
) -> Result<Decision, Refusal> {
    every_cause_is_grounded(answer, on).map_err(Refusal::Mend)?;
    severity_is_kept(answer, on).map_err(Refusal::Mend)?;
    let ids = named_actions(answer, on.engine).map_err(Refusal::Mend)?;
    let Some(lead) = answer.causes.iter().find(|named| named.cause != UNKNOWN) else {
        return Err(Refusal::NoDecision("the model names no cause".into()));
    };
    if ids.is_empty() {
        return Err(Refusal::NoDecision("the model proposes no action".into()));
    }
    let judged = judged(&lead.cause, on.diagnosis).map_err(Refusal::Mend)?;
    may_be_acted_on(judged, on.diagnosis).map_err(Refusal::Mend)?;
    let candidate = remedy(judged, &ids, on).map_err(Refusal::Mend)?;
    let candidate = narrowed(candidate, &answer.actions, resolve).map_err(Refusal::Mend)?;
    let mut cause = judged.clone();
    for id in &lead.evidence {
        if !cause.evidence.contains(id) {
            cause.evidence.push(id.clone());
        }
    }
    Ok(Decision { cause, candidate })
}

fn every_cause_is_grounded(answer: &Answer, on: &Grounds<'_>) -> Result<(), String> {
    if answer.causes.is_empty() {
        return Err("it names no cause, not even `unknown`".into());
    }
    for named in &answer.causes {
        let id = &named.cause;
        for cited in &named.evidence {
            if !on.diagnosis.evidence.iter().any(|evidence| evidence.id == *cited) {
                return Err(format!("it cites the evidence `{cited}`, which does not exist"));
            }
        }
        if id == UNKNOWN {
            continue;
        }
        let listed = diagnose::ALL.iter().find(|judge| judge.cause == id.as_str());
        if !listed.is_some_and(|judge| judge.findings.contains(&on.facts.finding)) {
            return Err(format!("`{id}` is no cause of {}", on.facts.finding.as_str()));
        }
        if named.evidence.is_empty() {
            return Err(format!("it cites no evidence for {id}"));
        }
        judged(id, on.diagnosis)?;
    }
    Ok(())
}

fn judged<'a>(cause: &str, diagnosis: &'a Diagnosis) -> Result<&'a JudgedCause, String> {
    let found = diagnosis.causes.iter().find(|judged| judged.cause == *cause);
    found.ok_or_else(|| format!("the evidence does not support {cause}: {}", diagnosis.summary))
}

fn severity_is_kept(answer: &Answer, on: &Grounds<'_>) -> Result<(), String> {
    let (named, measured) = (answer.severity, on.incident.severity);
    if named >= measured {
        return Ok(());
    }
    Err(format!(
        "the severity is {} by the metrics, and {} is lower",
        measured.as_str(),
        named.as_str()
    ))
}

/// The canonical names of the actions, or which of them is in no set.
fn named_actions(answer: &Answer, engine: Engine) -> Result<Vec<ActionId>, String> {
    let find = |named: &NamedAction| {
        let found = actions::find_for(&named.action, engine);
        let id = found.map(|action| ActionId::of(action.descriptor().id));
        id.ok_or_else(|| format!("there is no action `{}` for {}", named.action, engine.as_str()))
    };
    answer.actions.iter().map(find).collect()
}

/// What is confirmed goes before what is likely; what is neither is not acted on.
fn may_be_acted_on(judged: &JudgedCause, diagnosis: &Diagnosis) -> Result<(), String> {
    let of = |grade| diagnosis.causes.iter().find(move |other| other.grade == grade);
    match (judged.grade, of(Grade::Confirmed)) {
        (Grade::Confirmed, _) | (Grade::Likely, None) => Ok(()),
        (Grade::Likely, Some(other)) => {
            Err(format!("{} is only likely, and {} is confirmed", judged.cause, other.cause))
        }
        (Grade::Inconclusive, _) => {
            let missing = judged.missing.as_deref().unwrap_or("more");
            Err(format!("{} is inconclusive; to settle it: {missing}", judged.cause))
        }
    }
}

/// The playbook's remedy for this cause with exactly these actions.
fn remedy(judged: &JudgedCause, ids: &[ActionId], on: &Grounds<'_>) -> Result<Candidate, String> {
    let alone =
        Diagnosis { causes: vec![judged.clone()], evidence: Vec::new(), summary: String::new() };
    let found = playbook::remedies(&alone, on.facts, &on.incident.tried, &on.known.barred);
    let names: Vec<&str> = ids.iter().map(ActionId::as_str).collect();
    let names = names.join(" and ");
    if let Some(fits) = found.candidates.into_iter().find(|one| one.actions() == names) {
        return Ok(fits);
    }
    if let Some((_, reason)) = found.passed_over.iter().find(|(actions, _)| *actions == names) {
        return Err(format!("{names}: {reason}"));
    }
    let row = playbook::rows().find(|row| judged.cause == *row.cause);
    let wrong = row.and_then(|row| row.wrong.iter().find(|wrong| wrong.what == names));
    Err(match wrong {
        Some(wrong) => format!("{names} is wrong for {}: it {}", judged.cause, wrong.does),
        None => format!("{names} is no remedy for {}", judged.cause),
    })
}

/// The candidate with the arguments the model gave, each within what the evidence gives.
fn narrowed(
    mut candidate: Candidate,
    named: &[NamedAction],
    resolve: Resolve<'_>,
) -> Result<Candidate, String> {
    for ((id, bound), named) in candidate.steps.iter_mut().zip(named) {
        let mut given = BTreeMap::new();
        for NamedArgument { name, value } in &named.arguments {
            let read: Value = serde_json::from_str(value).unwrap_or_else(|_| value.clone().into());
            given.insert(name.clone(), resolved(read, resolve));
        }
        narrow(id, bound, given)?;
    }
    Ok(candidate)
}

fn resolved(value: Value, resolve: Resolve<'_>) -> Value {
    match value {
        Value::String(text) => Value::String(resolve(&text)),
        Value::Array(items) => items.into_iter().map(|item| resolved(item, resolve)).collect(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(k, v)| (k, resolved(v, resolve))).collect())
        }
        figure @ (Value::Null | Value::Bool(_) | Value::Number(_)) => figure,
    }
}

fn narrow(id: &ActionId, bound: &mut Args, given: Args) -> Result<(), String> {
    for (name, value) in given {
        let observed = bound
            .get_mut(&name)
            .ok_or_else(|| format!("{id} gets no argument `{name}` here; leave it out"))?;
        if !is_within(&name, &value, observed) {
            return Err(format!("`{name}` of {id} is not within what the evidence gives: {value}"));
        }
        *observed = value;
    }
    Ok(())
}

/// Fewer of the same, a lower limit, a higher threshold, or just the same.
fn is_within(name: &str, given: &Value, observed: &Value) -> bool {
    match (given, observed) {
        (Value::Array(some), Value::Array(all)) => {
            !some.is_empty() && some.iter().all(|item| all.contains(item))
        }
        (Value::Number(given), Value::Number(observed)) => {
            let (Some(given), Some(observed)) = (given.as_f64(), observed.as_f64()) else {
                return false;
            };
            if name.starts_with("min_") {
                given >= observed
            } else {
                (0.0..=observed).contains(&given)
            }
        }
        (given, observed) => given == observed,
    }
}

#[cfg(test)]
mod tests;
