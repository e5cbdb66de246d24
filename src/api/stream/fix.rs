//! `/ws/execute-fix`: approve a fix with the first message, and be told every phase of it to its end. A client that
//! names the incident in the query only watches, and after a break goes on after the last event it has.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use tokio::time::timeout;

use super::message::{Message, Teller};
use super::socket::{Talk, Upgrade, bounded};
use super::{Begin, event, sealed};
use crate::api::caller::Caller;
use crate::api::door::Door;
use crate::api::events::Line;
use crate::api::extract::Query;
use crate::api::incidents::decisions::{Naming, approve_named};
use crate::api::problem::Problem;
use crate::api::until;
use crate::config::http::Role;
use crate::domain::event::{Event, EventBody};
use crate::domain::execution::ExecutionState;
use crate::domain::ids::{ExecutionId, IncidentId};
use crate::domain::incident::Incident;

/// A client that opens the socket says what it wants within this.
const FIRST_WORD: Duration = Duration::from_secs(30);

/// The first message: a yes to exactly what was read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    incident: Option<String>,
    execution_id: Option<String>,
    fingerprint: Option<String>,
    typed: Option<String>,
}

pub(super) async fn execute(
    State(door): State<Door>,
    Query(begin): Query<Begin>,
    caller: Caller,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    let upgrade = bounded(upgrade)?;
    let watched = match &begin.incident {
        Some(named) => Some(door.incident(named).await?),
        None => None,
    };
    Ok(upgrade.on_upgrade(move |socket| async move {
        let mut talk = Talk::new(socket);
        let incident = match watched {
            Some(incident) => incident,
            None => match Box::pin(begun(&door, &caller, &mut talk)).await {
                Some(Ok(incident)) => incident,
                Some(Err(problem)) => {
                    let Problem { status, detail, .. } = problem;
                    let said = stream::iter([Message::Problem { status, detail }]);
                    return talk.tell(said).await;
                }
                None => return,
            },
        };
        let after = match begin.after {
            Some(after) => Some(after),
            None => beginning(&door, incident.id).await,
        };
        let phases = until(phases(&door, &incident, after), door.stop.clone());
        Box::pin(talk.tell(phases)).await;
    }))
}

/// Hears what is wanted and approves it.
async fn begun(
    door: &Door,
    caller: &Caller,
    talk: &mut Talk,
) -> Option<Result<std::sync::Arc<Incident>, Problem>> {
    let heard = tokio::select! {
        heard = timeout(FIRST_WORD, talk.hear()) => heard,
        () = door.stop.cancelled() => return None,
    };
    let Ok(text) = heard else {
        return Some(Err(Problem::invalid("nothing was said within 30 s")));
    };
    let approved = approve(door, caller, &text?).await;
    Some(match approved {
        Ok((incident, message)) => {
            talk.say(&Message::Accepted { message }).await.ok()?;
            Ok(incident)
        }
        Err(problem) => Err(problem),
    })
}

async fn approve(
    door: &Door,
    caller: &Caller,
    text: &str,
) -> Result<(std::sync::Arc<Incident>, String), Problem> {
    caller.may(Role::Operator)?;
    let bad = |error: serde_json::Error| Problem::invalid(format!("not understood: {error}"));
    let wish: Wish = serde_json::from_str(text).map_err(bad)?;
    let naming = match (&wish.incident, &wish.execution_id) {
        (_, Some(id)) => Naming::Execution(id),
        (Some(named), None) => Naming::Incident(named),
        (None, None) => return Err(Problem::invalid("say which `incident` or `execution_id`")),
    };
    let (incident, accepted) =
        approve_named(door, caller, naming, wish.fingerprint, wish.typed).await?;
    Ok((incident, accepted.message))
}

/// The event before the incident's first, so that its whole story is told; `None` where records are away.
async fn beginning(door: &Door, id: IncidentId) -> Option<u64> {
    let first = door.store.as_ref()?.incident_events(id).await.ok()?;
    first.first().map(|raw| raw.seq.saturating_sub(1))
}

/// Which execution is followed, and how far it has come.
struct Followed {
    teller: Teller,
    incident: IncidentId,
    name: String,
    /// The one that is under way, or was last, when the client came.
    execution: Option<ExecutionId>,
    last: Option<u64>,
    is_over: bool,
}

/// The phases of an incident in order, until the execution that the client came for is over.
fn phases(
    door: &Door,
    incident: &Incident,
    after: Option<u64>,
) -> impl Stream<Item = Message> + Send + use<> {
    let followed = Followed {
        teller: Teller::knowing([incident]),
        incident: incident.id,
        name: incident.name(),
        execution: incident.executions.last().map(|execution| execution.id),
        last: after,
        is_over: false,
    };
    let lines = Box::pin(sealed(door, after));
    stream::unfold((lines, followed), |(mut lines, mut followed)| async move {
        while !followed.is_over {
            let line = lines.next().await?;
            if let Some(message) = followed.take(line) {
                return Some((message, (lines, followed)));
            }
        }
        None
    })
}

impl Followed {
    fn take(&mut self, line: Line) -> Option<Message> {
        let Some(sealed) = event(&line) else {
            self.is_over = true;
            let Line::CutOff(cut) = line else { return None };
            return Some(Message::cut_off(cut, self.last));
        };
        let event = &sealed.event;
        self.last = Some(event.seq);
        if event.incident != Some(self.incident) {
            return None;
        }
        match self.teller.tell(event) {
            phase @ Message::Phase(_) => Some(phase),
            _ => self.end(event),
        }
    }

    fn end(&mut self, event: &Event) -> Option<Message> {
        let EventBody::ExecutionEnded { execution, state, error, .. } = &event.body else {
            return None;
        };
        let is_it = self.execution.is_none_or(|followed| followed == *execution);
        self.is_over = is_it;
        is_it.then(|| self.over(event.seq, *state, error.clone()))
    }

    fn over(&self, seq: u64, state: ExecutionState, error: Option<String>) -> Message {
        Message::End { seq, incident: self.name.clone(), state, error }
    }
}
