//! The agent: an incident in, a diagnosis and a proposal out. The default one follows a fixed playbook; a
//! [`model`] may take its place where it gives reasons that hold.
//!
//! It asks the server, lets `diagnose` judge, and proposes the least destructive remedy whose precondition
//! holds right now. It changes nothing.

use futures::future::BoxFuture;

use crate::actions;
use crate::diagnose::facts::Facts;
use crate::diagnose::{self, postgres_connections};
use crate::domain::diagnosis::Diagnosis;
use crate::domain::effect::{Investigation, Known};
use crate::domain::execution::{Phase, PhaseLine};
use crate::domain::incident::Incident;
use crate::ports::store::SimilarIncident;
use crate::targets::Server;

mod choose;
pub mod model;
mod narration;
pub mod playbook;
pub mod request;

#[cfg(test)]
mod tests;

/// The name the default agent is recorded under.
pub const NAME: &str = "playbook";

/// Where the agent says what it does, as it happens.
pub type Report<'a> = &'a (dyn Fn(PhaseLine) + Send + Sync);

const MOST_LOOKS: u32 = 2;
/// So many earlier incidents are told of.
const MOST_SHOWN: usize = 5;

/// Remembers earlier incidents like one, by its finding and what its cause seems to be.
pub type Recall<'a> = &'a (dyn Fn(Incident) -> BoxFuture<'a, Vec<SimilarIncident>> + Send + Sync);

/// Finds the cause and chooses a remedy. Read-only.
pub async fn investigate(
    server: &Server,
    incident: &Incident,
    known: &Known,
    recall: Recall<'_>,
    report: Report<'_>,
) -> Investigation {
    think(report, narration::opening(incident));
    let facts = gather(server, incident, known, report).await;
    let similar = remember(incident, &facts, recall, report).await;
    by_the_playbook((server, incident, known), &facts, &similar, report).await
}

/// The same by way of a model. What it cannot decide, the playbook does, from the same facts.
pub async fn consult(
    advisor: &model::Advisor,
    (server, incident, known): (&Server, &Incident, &Known),
    recall: Recall<'_>,
    report: Report<'_>,
    record: model::Recording<'_>,
) -> Investigation {
    think(report, narration::opening(incident));
    let facts = gather(server, incident, known, report).await;
    let similar = remember(incident, &facts, recall, report).await;
    let newest = &similar[..similar.len().min(MOST_SHOWN)];
    let question = model::Question { server, incident, known, facts: &facts, similar: newest };
    match Box::pin(model::advise(advisor, &question, report, record)).await {
        Ok(investigation) => investigation,
        Err(reason) => {
            think(report, format!("The playbook decides: {}.", reason.trim_end_matches('.')));
            by_the_playbook((server, incident, known), &facts, &similar, report).await
        }
    }
}

/// Incidents of the same finding and cause, or of the same target where nothing points to a cause yet.
async fn remember(
    incident: &Incident,
    facts: &Facts,
    recall: Recall<'_>,
    report: Report<'_>,
) -> Vec<SimilarIncident> {
    let judged = Incident { diagnosis: Some(diagnose::diagnose(facts)), ..incident.clone() };
    let similar = recall(judged).await;
    let newest = &similar[..similar.len().min(MOST_SHOWN)];
    for line in narration::remembered(newest) {
        think(report, line);
    }
    similar
}

async fn by_the_playbook(
    (server, incident, known): (&Server, &Incident, &Known),
    facts: &Facts,
    similar: &[SimilarIncident],
    report: Report<'_>,
) -> Investigation {
    let (diagnosis, mut remedies) = conclude(facts, incident, known, report);
    let (candidates, learned) = playbook::ordered(remedies.candidates, similar);
    remedies.candidates = candidates;
    for sentence in learned {
        think(report, format!("Learned: {sentence}."));
    }
    let plan = if remedies.candidates.is_empty() {
        Err(narration::hand_over(&diagnosis, &remedies, incident, &[]))
    } else {
        let identity = server.identity().await;
        let case = choose::Case { server, identity: &identity, incident, diagnosis: &diagnosis };
        choose::choose(&case, &remedies, actions::find, report).await
    };
    if let Err(reason) = &plan {
        think(report, narration::no_proposal(reason));
    }
    Investigation { agent: NAME.into(), diagnosis, plan }
}

/// Asks the server, and asks again where only a moment's wait can tell two causes apart.
async fn gather(server: &Server, incident: &Incident, known: &Known, report: Report<'_>) -> Facts {
    let mut facts = server.facts(incident.finding, known, report).await;
    for looked in 0..MOST_LOOKS {
        let Some(pause) = postgres_connections::another_look(&facts, looked) else { break };
        think(report, narration::another_look());
        tokio::time::sleep(pause).await;
        facts = server.facts(incident.finding, known, report).await;
    }
    facts
}

/// Judges the facts and looks the causes up in the playbook, saying both.
fn conclude(
    facts: &Facts,
    incident: &Incident,
    known: &Known,
    report: Report<'_>,
) -> (Diagnosis, playbook::Remedies) {
    let diagnosis = diagnose::diagnose(facts);
    for line in narration::judgement(&diagnosis) {
        think(report, line);
    }
    let remedies = playbook::remedies(&diagnosis, facts, &incident.tried, &known.barred);
    for line in narration::choice(&remedies) {
        think(report, line);
    }
    (diagnosis, remedies)
}

fn think(report: Report<'_>, text: String) {
    report(PhaseLine::say(Phase::Thinking, text));
}
