//! The event stream: stored events after a number, then live ones, one JSON object per line, without a gap.
//!
//! A reader that is too slow, or asks for more than the store has, gets a last line that says what it missed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::turns::reading;
use crate::domain::event::{RawEvent, Sealed};
use crate::engine::handle::Handle;
use crate::ports::store::{Store, StoreError};

/// How many stored events are read at once. Each reader that is behind holds as many, and there may be hundreds.
const PAGE: u32 = 32;

/// The last line of a stream that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CutOff {
    /// How many events the reader did not get, when that is known.
    pub(crate) missed: Option<u64>,
    pub(crate) reason: String,
}

impl CutOff {
    /// What a person reads.
    pub(crate) fn sentence(&self) -> String {
        match self.missed {
            Some(missed) => format!("{missed} events are missing here: {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// One line of the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Event(Arc<Sealed>),
    CutOff(CutOff),
}

impl Line {
    fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Where the stream stands.
enum Stage {
    Stored(Arc<dyn Store>),
    Live,
    Over,
}

struct Reader {
    stage: Stage,
    live: Receiver<Arc<Sealed>>,
    /// The last event that was sent.
    last: Option<u64>,
    /// The last event that was shown when this reader began to listen; one more may be on its way.
    newest: u64,
}

/// The response.
pub(super) fn stream(
    handle: &Handle,
    store: Option<Arc<dyn Store>>,
    after: Option<u64>,
    stop: CancellationToken,
) -> Response {
    let lines = follow(handle, store, after).map(|line| Ok::<_, Infallible>(line.text()));
    let body = Body::from_stream(super::until(lines, stop));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// The lines. Listening starts here, before the store is read, so nothing falls between the two.
pub(crate) fn follow(
    handle: &Handle,
    store: Option<Arc<dyn Store>>,
    after: Option<u64>,
) -> impl Stream<Item = Line> + Send + use<> {
    let live = handle.events.subscribe();
    let newest = handle.snapshots.borrow().seq;
    let stage = match (after, store) {
        (Some(_), Some(store)) => Stage::Stored(store),
        _ => Stage::Live,
    };
    lines(Reader { stage, live, last: after, newest })
}

fn lines(reader: Reader) -> impl Stream<Item = Line> + Send {
    stream::unfold(reader, |mut reader| async move {
        let lines = reader.next().await?;
        Some((stream::iter(lines), reader))
    })
    .flatten()
}

impl Reader {
    async fn next(&mut self) -> Option<Vec<Line>> {
        match &self.stage {
            Stage::Over => None,
            Stage::Live => Some(self.next_live().await),
            Stage::Stored(store) => {
                let turn = reading().await;
                let page = store.events(self.last.unwrap_or(0), PAGE).await;
                drop(turn);
                Some(self.page(page))
            }
        }
    }

    fn page(&mut self, page: Result<Vec<RawEvent>, StoreError>) -> Vec<Line> {
        let read = page
            .map_err(|error| error.to_string())
            .and_then(|raws| raws.iter().map(sealed).collect::<Result<Vec<_>, _>>());
        let events = match read {
            Ok(events) => events,
            // A reader that has everything needs nothing of a store that is away.
            Err(_) if self.last >= Some(self.newest) => {
                self.stage = Stage::Live;
                return Vec::new();
            }
            Err(reason) => return self.cut_off(None, reason),
        };
        if events.len() < PAGE as usize {
            self.stage = Stage::Live;
        }
        self.last = events.last().map(|sealed| sealed.event.seq).or(self.last);
        events.into_iter().map(|sealed| Line::Event(Arc::new(sealed))).collect()
    }

    async fn next_live(&mut self) -> Vec<Line> {
        loop {
            match self.live.recv().await {
                Ok(sealed) => {
                    let seq = sealed.event.seq;
                    match self.last {
                        Some(last) if seq <= last => continue,
                        Some(last) if seq > last + 1 => {
                            let why = "the store does not have them yet; ask again from there";
                            return self.cut_off(Some(seq - last - 1), why.into());
                        }
                        _ => {}
                    }
                    self.last = Some(seq);
                    return vec![Line::Event(sealed)];
                }
                Err(RecvError::Lagged(missed)) => {
                    let why = "this reader was too slow; ask again from the last event it has";
                    return self.cut_off(Some(missed), why.into());
                }
                Err(RecvError::Closed) => {
                    self.stage = Stage::Over;
                    return Vec::new();
                }
            }
        }
    }

    fn cut_off(&mut self, missed: Option<u64>, reason: String) -> Vec<Line> {
        self.stage = Stage::Over;
        vec![Line::CutOff(CutOff { missed, reason })]
    }
}

/// A stored record as the stream gives it; else which one cannot be read, and why.
pub(crate) fn sealed(raw: &RawEvent) -> Result<Sealed, String> {
    let event = raw.event().map_err(|error| format!("read event {}: {error}", raw.seq))?;
    Ok(Sealed { event, prev_hash: raw.prev_hash.clone(), hash: raw.hash.clone() })
}
