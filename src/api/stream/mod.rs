//! What happens, as it happens: over a WebSocket, and as server-sent events. A reader that comes back says which
//! event it has and misses none; one that is too slow is told what it missed and cut off.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::door::Door;
use super::events::{self, Line};
use super::extract::Query;
use super::problem::Problem;
use super::until;
use crate::domain::event::Sealed;
use crate::domain::ids::IncidentId;
use message::{Message, Teller};

mod fix;
mod message;
mod socket;

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .routes(routes!(server_sent))
        // The description has no words for a protocol that is no HTTP.
        .route("/ws", get(socket::follow))
        .route("/ws/execute-fix", get(fix::execute))
}

/// So often a stream shows that it is still there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Where a stream begins, and what it is about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Begin {
    /// The last event the reader has; without it the stream begins with the next one that happens.
    after: Option<u64>,
    /// Only what is about this incident.
    incident: Option<String>,
}

/// Follow what happens, as server-sent events
///
/// The id of each is the event's number: a browser that comes back goes on by itself.
#[utoipa::path(
    get, path = "/api/v1/stream", tag = "live",
    params(Begin, ("Last-Event-ID" = Option<String>, Header, description = "As `after`; it wins")),
    responses((status = 200, description = "Until the engine ends", content_type = "text/event-stream", body = String)),
)]
async fn server_sent(
    State(door): State<Door>,
    Query(begin): Query<Begin>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>> + Send>, Problem> {
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    let about = about(&door, begin.incident.as_deref()).await?;
    let messages = messages(&door, last.or(begin.after), about).map(|message| {
        let sent = Sent::default().event(message.kind()).data(message.text());
        Ok(match message.seq() {
            Some(seq) => sent.id(seq.to_string()),
            None => sent,
        })
    });
    let life = KeepAlive::new().interval(SIGN_OF_LIFE);
    Ok(Sse::new(until(messages, door.stop.clone())).keep_alive(life))
}

/// The incident a stream is about, if it is about one.
async fn about(door: &Door, named: Option<&str>) -> Result<Option<IncidentId>, Problem> {
    match named {
        Some(named) => Ok(Some(door.incident(named).await?.id)),
        None => Ok(None),
    }
}

/// What is told: of everything, or of one incident.
fn messages(
    door: &Door,
    after: Option<u64>,
    about: Option<IncidentId>,
) -> impl Stream<Item = Message> + Send + use<> {
    let snapshot = door.snapshot();
    let teller = Teller::knowing(snapshot.incidents.iter().map(|incident| &**incident));
    let lines = sealed(door, after);
    stream::unfold(
        (Box::pin(lines), teller, after),
        move |(mut lines, mut teller, mut last)| async move {
            loop {
                let message = match lines.next().await? {
                    Line::Event(sealed) => {
                        last = Some(sealed.event.seq);
                        let message = teller.tell(&sealed.event);
                        if about.is_some() && sealed.event.incident != about {
                            continue;
                        }
                        message
                    }
                    Line::CutOff(cut) => Message::cut_off(cut, last),
                };
                return Some((message, (lines, teller, last)));
            }
        },
    )
}

fn sealed(door: &Door, after: Option<u64>) -> impl Stream<Item = Line> + Send + use<> {
    events::follow(&door.handle, door.store.as_ref().map(Arc::clone), after)
}

/// An event of a line, where it is one.
fn event(line: &Line) -> Option<&Sealed> {
    match line {
        Line::Event(sealed) => Some(sealed),
        Line::CutOff(_) => None,
    }
}
