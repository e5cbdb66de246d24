//! What a person asks for, made into a proposal: no diagnosis, no choice, only the preview on the live server.

use super::{Report, choose, narration, think};
use crate::actions;
use crate::domain::diagnosis::Diagnosis;
use crate::domain::effect::Investigation;
use crate::domain::finding::FindingKind;
use crate::domain::incident::Request;
use crate::domain::proposal::Draft;
use crate::targets::Server;

/// Previews the action. The error is the sentence that says why it does not fit.
pub async fn draft(server: &Server, by: &str, request: &Request) -> Result<Draft, String> {
    let engine = server.target.engine;
    let action = actions::fitting(request.action.as_str(), engine, &request.args)
        .map_err(|error| error.to_string())?;
    let descriptor = action.descriptor();
    let identity = server.identity().await;
    let (id, args) = (descriptor.id.into(), &request.args);
    let step = choose::preview_step(server, &id, args, actions::find).await?;
    let steps = vec![step];
    let why = match request.reason.trim() {
        "" => format!("{by} asks for it, and gives no reason."),
        reason => format!("{by} asks for it: {}.", reason.trim_end_matches('.')),
    };
    Ok(Draft {
        cause: Request::CAUSE,
        effect: narration::effect(descriptor.title, &steps),
        steps,
        why,
        if_not: FindingKind::Requested.about().if_not.into(),
        target_identity: identity,
    })
}

/// The same once more, for a request that already has an incident.
pub async fn again(
    server: &Server,
    (by, request): (&str, &Request),
    report: Report<'_>,
) -> Investigation {
    think(report, format!("{by} asks for {}, so: what it would do now.", request.action));
    let plan = draft(server, by, request).await;
    if let Err(reason) = &plan {
        think(report, narration::no_proposal(reason));
    }
    let summary = format!("{by} asks for {}", request.action);
    let diagnosis = Diagnosis { causes: Vec::new(), evidence: Vec::new(), summary };
    Investigation { agent: Request::AGENT.into(), diagnosis, plan }
}
