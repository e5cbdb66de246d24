//! The live stream: first the whole snapshot, then what changed since the line before, one JSON object per line.
//!
//! A line is made when the connection can take one, from the newest snapshot: a slow reader gets fewer and larger
//! steps, and the engine keeps nothing for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{IncidentId, TargetId};
use crate::domain::incident::Incident;
use crate::domain::injection::Injection;
use crate::engine::handle::{Snapshot, StoreView, TargetView};

/// Samples alone are sent this often at most; an event does not wait.
const PERIOD: Duration = Duration::from_millis(250);

/// What changed from one snapshot to a later one. What is not named is as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    pub at: DateTime<Utc>,
    pub seq: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Arc<TargetView>>,
    /// Targets that are no longer watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets_left: Vec<TargetId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Arc<Incident>>,
    /// Incidents that ended too long ago to be in a snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents_left: Vec<IncidentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injections: Option<Vec<Injection>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreView>,
}

impl Delta {
    /// What leads from `before` to `now`. Items that are shared by both cost a comparison of pointers.
    pub fn between(before: &Snapshot, now: &Snapshot) -> Self {
        let incidents_left = left(&before.incidents, &now.incidents, number);
        let targets_left = left(&before.targets, &now.targets, name);
        Self {
            at: now.at,
            seq: now.seq,
            targets: changed(&before.targets, &now.targets, name),
            targets_left: targets_left.map(|view| view.target.id.clone()).collect(),
            incidents: changed(&before.incidents, &now.incidents, number),
            incidents_left: incidents_left.map(|incident| incident.id).collect(),
            injections: (before.injections != now.injections).then(|| now.injections.clone()),
            store: (before.store != now.store).then(|| now.store.clone()),
        }
    }

    /// The snapshot that follows `before`; what did not change is shared with it.
    pub fn apply(self, before: &Snapshot) -> Snapshot {
        let targets = before.targets.iter().filter(|v| !self.targets_left.contains(&v.target.id));
        let incidents = before.incidents.iter().filter(|i| !self.incidents_left.contains(&i.id));
        Snapshot {
            at: self.at,
            seq: self.seq,
            targets: merged(targets, self.targets, name),
            incidents: merged(incidents, self.incidents, number),
            injections: self.injections.unwrap_or_else(|| before.injections.clone()),
            store: self.store.unwrap_or_else(|| before.store.clone()),
        }
    }
}

/// What a snapshot's targets are in order of.
fn name(view: &TargetView) -> &TargetId {
    &view.target.id
}

/// What a snapshot's incidents are in order of.
fn number(incident: &Incident) -> &u64 {
    &incident.number
}

/// The items of `now` that are not the very same in `before`; both are in order of `key`.
fn changed<T, K: Ord>(before: &[Arc<T>], now: &[Arc<T>], key: fn(&T) -> &K) -> Vec<Arc<T>> {
    let mut olds = before.iter().peekable();
    let is_new = |item: &&Arc<T>| {
        while olds.next_if(|old| key(old) < key(item)).is_some() {}
        !olds.next_if(|old| key(old) == key(item)).is_some_and(|old| Arc::ptr_eq(old, item))
    };
    now.iter().filter(is_new).cloned().collect()
}

/// The items of `before` that `now` has no more; both are in order of `key`.
fn left<'a, T, K: Ord>(
    before: &'a [Arc<T>],
    now: &'a [Arc<T>],
    key: fn(&T) -> &K,
) -> impl Iterator<Item = &'a Arc<T>> {
    before.iter().filter(move |old| now.binary_search_by(|item| key(item).cmp(key(old))).is_err())
}

/// The kept items with the changed ones in their places, in order of `key`.
fn merged<'a, T: 'a, K: Ord + Clone>(
    kept: impl Iterator<Item = &'a Arc<T>>,
    changed: Vec<Arc<T>>,
    key: fn(&T) -> &K,
) -> Vec<Arc<T>> {
    let all = kept.cloned().chain(changed).map(|item| (key(&item).clone(), item));
    let by_key: BTreeMap<K, Arc<T>> = all.collect();
    by_key.into_values().collect()
}

/// One line of the stream.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Line {
    Whole(Arc<Snapshot>),
    Delta(Box<Delta>),
}

impl Line {
    fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The response.
pub(super) fn stream(
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: CancellationToken,
) -> Response {
    let lines = lines(snapshots).map(|line| Ok::<_, Infallible>(line.text()));
    let body = Body::from_stream(super::until(lines, stop));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// The lines; they end when the engine does.
pub(super) fn lines(
    snapshots: watch::Receiver<Arc<Snapshot>>,
) -> impl Stream<Item = Line> + Send + use<> {
    let teller = Teller { snapshots, sent: None, due: Instant::now() };
    stream::unfold(teller, |mut teller| async move {
        let line = teller.next().await?;
        Some((line, teller))
    })
}

struct Teller {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    sent: Option<Arc<Snapshot>>,
    /// When samples alone are worth a line again.
    due: Instant,
}

impl Teller {
    async fn next(&mut self) -> Option<Line> {
        let Some(sent) = self.sent.clone() else {
            let first = self.newest();
            self.note(&first);
            return Some(Line::Whole(first));
        };
        let mut is_over = false;
        loop {
            let newest = self.newest();
            let is_same = Arc::ptr_eq(&newest, &sent);
            if is_same && is_over {
                return None;
            }
            let is_due = is_over || newest.seq != sent.seq || Instant::now() >= self.due;
            if !is_same && is_due {
                self.note(&newest);
                return Some(Line::Delta(Box::new(Delta::between(&sent, &newest))));
            }
            tokio::select! {
                () = sleep_until(self.due), if !is_same => {}
                changed = self.snapshots.changed() => is_over = changed.is_err(),
            }
        }
    }

    fn newest(&mut self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow_and_update())
    }

    fn note(&mut self, sent: &Arc<Snapshot>) {
        self.sent = Some(Arc::clone(sent));
        self.due = Instant::now() + PERIOD;
    }
}
