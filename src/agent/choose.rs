//! From candidates to a draft: the first one whose every precondition holds on the live server.

use crate::actions::{Action, ActionError};
use crate::domain::diagnosis::Diagnosis;
use crate::domain::ids::ActionId;
use crate::domain::incident::Incident;
use crate::domain::proposal::{Args, Draft, ProposedStep};
use crate::targets::Server;

use super::playbook::{Candidate, Remedies};
use super::{Report, narration, think};

/// How an action is found by its name.
pub(super) type Lookup = fn(&str) -> Option<&'static dyn Action>;

/// What a choice is made for.
pub(super) struct Case<'a> {
    pub(super) server: &'a Server,
    pub(super) identity: &'a str,
    pub(super) incident: &'a Incident,
    pub(super) diagnosis: &'a Diagnosis,
}

/// Previews the candidates in order; the first that may run becomes the draft. Skipped ones are said with
/// their reason, and if none is left the error names what a person should look at.
pub(super) async fn choose(
    case: &Case<'_>,
    remedies: &Remedies,
    lookup: Lookup,
    report: Report<'_>,
) -> Result<Draft, String> {
    let mut skipped = Vec::new();
    for candidate in &remedies.candidates {
        match preview(case.server, candidate, lookup).await {
            Ok(steps) => {
                let draft = draft(case, candidate, steps);
                think(report, narration::proposed(&draft, case.incident));
                return Ok(draft);
            }
            Err(reason) => {
                think(report, narration::skipped(candidate, &reason));
                skipped.push(format!("{}: {reason}", candidate.actions()));
            }
        }
    }
    Err(narration::hand_over(case.diagnosis, remedies, case.incident, &skipped))
}

fn draft(case: &Case<'_>, candidate: &Candidate, steps: Vec<ProposedStep>) -> Draft {
    Draft {
        cause: candidate.cause.clone(),
        effect: narration::effect(candidate.effect, &steps),
        steps,
        why: format!("{}.", narration::capital(&candidate.why)),
        if_not: case.incident.finding.about().if_not.into(),
        target_identity: case.identity.to_owned(),
    }
}

async fn preview(
    server: &Server,
    candidate: &Candidate,
    lookup: Lookup,
) -> Result<Vec<ProposedStep>, String> {
    let mut steps = Vec::with_capacity(candidate.steps.len());
    for (id, args) in &candidate.steps {
        steps.push(preview_step(server, id, args, lookup).await?);
    }
    Ok(steps)
}

pub(super) async fn preview_step(
    server: &Server,
    id: &ActionId,
    args: &Args,
    lookup: Lookup,
) -> Result<ProposedStep, String> {
    let action = lookup(id.as_str()).ok_or_else(|| format!("there is no action {id}"))?;
    let descriptor = action.descriptor();
    if descriptor.needs_runtime && server.place.is_none() {
        return Err(format!("simctl cannot reach what {} runs in", server.target.id));
    }
    if descriptor.engine.is_some_and(|engine| engine != server.target.engine) {
        return Err(format!("it is not for {}", server.target.engine.as_str()));
    }
    let preview = action.preview(server, args).await.map_err(|error| sentence(&error))?;
    Ok(ProposedStep {
        action: ActionId::of(descriptor.id),
        args: args.clone(),
        risk: action.risk(server, args, &preview),
        undo: action.undo_kind(args),
        verify: descriptor.verify.into(),
        preview,
    })
}

fn sentence(error: &ActionError) -> String {
    match error {
        ActionError::Failed { doing, source } => format!("{doing}: {source:#}"),
        ActionError::Argument { .. } | ActionError::Precondition(_) => error.to_string(),
    }
}
