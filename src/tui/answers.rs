//! Questions of the console, answered out of the store.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::message::{Answer, Question};
use super::record_answers;
use crate::domain::ids::incident_name;
use crate::domain::incident::Incident;
use crate::narrate::before;
use crate::ports::store::Store;
use crate::report;

/// Past incidents that are shown as similar.
const SIMILAR: u32 = 6;
/// Points of the targets' past that are read at most; ten minutes have sixty for each target.
const PAST: u32 = 10_000;

/// Answers one question, or says in a sentence why it cannot.
pub async fn answer(
    question: Question,
    store: &dyn Store,
    state_dir: &Path,
    now: DateTime<Utc>,
) -> Result<Answer, String> {
    let what = subject(&question);
    read(question, store, state_dir, now)
        .await
        .map_err(|error| format!("{what} could not be read: {error:#}"))
}

async fn read(
    question: Question,
    store: &dyn Store,
    state_dir: &Path,
    now: DateTime<Utc>,
) -> anyhow::Result<Answer> {
    Ok(match question {
        Question::Incidents(filter) => {
            let lines = store.incidents(&filter).await?;
            Answer::Incidents { filter, lines }
        }
        Question::Incident(number) => Answer::Incident(store.incident(number).await?.map(Box::new)),
        Question::Log(incident) => {
            Answer::Log { incident, events: store.incident_events(incident).await? }
        }
        Question::Audit { before, limit } => record_answers::audit(store, before, limit).await?,
        Question::VerifyChain => record_answers::verify_chain(store, state_dir).await?,
        Question::Metrics { since } => record_answers::metrics(store, since, now).await?,
        Question::History { since } => Answer::History(store.past(None, since, PAST).await?),
        Question::Similar(incident) => {
            let lines = similar(store, &incident).await?;
            Answer::Similar { incident: incident.id, lines }
        }
        Question::Report(number) => {
            let markdown = report::from_store(store, number).await?;
            let none = || anyhow::anyhow!("there is no incident {}", incident_name(number));
            Answer::Report { incident: number, markdown: markdown.ok_or_else(none)? }
        }
        // The errands ask the target itself.
        Question::Inspect { target, .. } => anyhow::bail!("no record says how {target} is now"),
    })
}

/// What a question is about, for the sentence that says why it was not answered.
fn subject(question: &Question) -> String {
    match question {
        Question::Incidents(_) => "incidents".into(),
        Question::Incident(number) => incident_name(*number),
        Question::Log(_) => "the log of an incident".into(),
        Question::Audit { .. } => "records".into(),
        Question::VerifyChain => "the chain of records".into(),
        Question::Metrics { .. } => "figures".into(),
        Question::History { .. } => "history".into(),
        Question::Similar(incident) => format!("incidents like {}", incident.name()),
        Question::Report(number) => format!("the report of {}", incident_name(*number)),
        Question::Inspect { target, verb } => format!("`{verb}` of {target}"),
    }
}

/// Earlier incidents like this one, newest first, each as a line: what helped, or that nothing did.
async fn similar(store: &dyn Store, incident: &Incident) -> anyhow::Result<Vec<String>> {
    let found = store.similar(incident, SIMILAR).await?;
    Ok(found.iter().filter(|one| one.number != incident.number).map(before).collect())
}
