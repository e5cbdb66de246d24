//! Messages as lines of a file: of a snapshot only what changed since the one before, and no secret.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::incident::Incident;
use crate::domain::injection::Injection;
use crate::engine::handle::{Snapshot, StoreView, TargetView};
use crate::tui::message::{Msg, Now};

#[derive(Serialize, Deserialize)]
struct Line {
    ms: u64,
    at: DateTime<Utc>,
    what: What,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Msg(Msg),
    Change(Box<Change>),
}

/// A snapshot by what is new in it.
#[derive(Serialize, Deserialize)]
struct Change {
    at: DateTime<Utc>,
    seq: u64,
    targets: Vec<Part<TargetView>>,
    incidents: Vec<Part<Incident>>,
    injections: Option<Vec<Injection>>,
    store: Option<StoreView>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part<T> {
    /// So many from this place on are as they were.
    Same(usize, usize),
    New(Arc<T>),
}

/// Writes lines, or reads them: both need the snapshot before.
pub(super) struct Coder {
    before: Arc<Snapshot>,
}

impl Coder {
    /// For the lines after a start with this snapshot.
    pub(super) fn new(before: Arc<Snapshot>) -> Self {
        Self { before }
    }

    /// A message as a line, without its line break.
    pub(super) fn write(&mut self, now: Now, msg: &Msg) -> String {
        let what = match msg {
            Msg::Snapshot(snapshot) => {
                let change = Change::between(&self.before, snapshot);
                self.before = Arc::clone(snapshot);
                What::Change(Box::new(change))
            }
            other => What::Msg(other.clone()),
        };
        written(&Line { ms: now.ms, at: now.at, what })
    }

    /// Reads a line; the reason says what is wrong with it.
    pub(super) fn read(&mut self, line: &str) -> Result<(Now, Msg), String> {
        let Line { ms, at, what } =
            serde_json::from_str(line).map_err(|error| error.to_string())?;
        let msg = match what {
            What::Msg(msg) => msg,
            What::Change(change) => {
                self.before = Arc::new(change.applied(&self.before)?);
                Msg::Snapshot(Arc::clone(&self.before))
            }
        };
        Ok((Now { at, ms }, msg))
    }
}

impl Change {
    fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let injections = after.injections != before.injections;
        let store = after.store != before.store;
        Self {
            at: after.at,
            seq: after.seq,
            targets: parts(&before.targets, &after.targets),
            incidents: parts(&before.incidents, &after.incidents),
            injections: injections.then(|| after.injections.clone()),
            store: store.then(|| after.store.clone()),
        }
    }

    fn applied(self, before: &Snapshot) -> Result<Snapshot, String> {
        Ok(Snapshot {
            at: self.at,
            seq: self.seq,
            targets: whole(&before.targets, self.targets)?,
            incidents: whole(&before.incidents, self.incidents)?,
            injections: self.injections.unwrap_or_else(|| before.injections.clone()),
            store: self.store.unwrap_or_else(|| before.store.clone()),
        })
    }
}

/// What did not change is shared between snapshots, so that it is found without comparing.
fn parts<T>(before: &[Arc<T>], after: &[Arc<T>]) -> Vec<Part<T>> {
    let mut parts = Vec::new();
    let mut at = 0;
    for one in after {
        let known = before.get(at).is_some_and(|known| Arc::ptr_eq(known, one));
        let found = match known {
            true => Some(at),
            false => before.iter().position(|known| Arc::ptr_eq(known, one)),
        };
        match (found, parts.last_mut()) {
            (Some(found), Some(Part::Same(from, count))) if *from + *count == found => *count += 1,
            (Some(found), _) => parts.push(Part::Same(found, 1)),
            (None, _) => parts.push(Part::New(Arc::clone(one))),
        }
        at = found.unwrap_or(at) + 1;
    }
    parts
}

fn whole<T>(before: &[Arc<T>], parts: Vec<Part<T>>) -> Result<Vec<Arc<T>>, String> {
    let mut all = Vec::new();
    for part in parts {
        match part {
            Part::New(one) => all.push(one),
            Part::Same(from, count) => {
                let same = from.checked_add(count).and_then(|to| before.get(from..to));
                let same = same.ok_or("it continues a snapshot that is not there")?;
                all.extend(same.iter().map(Arc::clone));
            }
        }
    }
    Ok(all)
}

/// Anything as one line of JSON without secrets.
pub(super) fn written<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(mut value) => {
            mask(&mut value);
            value.to_string()
        }
        Err(error) => {
            tracing::warn!(%error, "a message could not be recorded");
            String::new()
        }
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = masked(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The last `@` of a word ends a login, as a password may hold others.
static LOGIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):\S*@").expect("it is a constant")
});
static OPTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(password|passwd|pgpassword|requirepass|secret|token)(\s*[=:]\s*)[^\s&,;]+")
        .expect("it is a constant")
});

/// A text with every password in it as `***`.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    match LOGIN.replace_all(text, "$1:***@") {
        Cow::Borrowed(text) => OPTION.replace_all(text, "$1$2***"),
        Cow::Owned(text) => Cow::Owned(OPTION.replace_all(&text, "$1$2***").into_owned()),
    }
}
