//! Proof that nobody changed the log: every hash recomputed, every link followed, and the end compared with
//! what the store and this machine remember.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::domain::event::{Head, RawEvent};
use crate::domain::proposal::hex;
use crate::ports::store::{Store, StoreError};

/// Records read at a time.
const PAGE: u32 = 1_000;
const ANCHOR: &str = "head.json";

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// Records that are as they were written, from the first on.
    pub intact: u64,
    /// The first record that is not.
    pub broken: Option<Broken>,
}

impl AuditReport {
    /// Whether the whole log is as it was written.
    pub fn is_ok(&self) -> bool {
        self.broken.is_none()
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broken {
            None => write!(f, "{} records, all as they were written", self.intact),
            Some(broken) => write!(f, "record {}: {}", broken.seq, broken.what),
        }
    }
}

/// A record that is not as it was written, or not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Broken {
    pub seq: u64,
    /// What is wrong with it, in words.
    pub what: String,
}

impl Broken {
    fn at(seq: u64, what: impl Into<String>) -> Self {
        Self { seq, what: what.into() }
    }

    fn missing(from: u64, to: u64) -> Self {
        let which = if from == to { format!("{from} is") } else { format!("{from} to {to} are") };
        Self::at(from, format!("{which} missing"))
    }

    fn cut(from: u64, to: u64, who: &str) -> Self {
        let last = if from == to {
            format!("the last record, {from}, was")
        } else {
            format!("the last records, {from} to {to}, were")
        };
        Self::at(from, format!("{last} deleted; {who} remembers the log to go up to {to}"))
    }
}

/// Reads the whole log and says whether it is as it was written; `anchor` is what this machine remembers.
pub async fn verify(store: &dyn Store, anchor: Option<&Head>) -> Result<AuditReport, StoreError> {
    // An engine may append meanwhile: what is remembered now must be there at the end of the walk, and what is
    // remembered then must not lie behind it.
    let before = store.remembered_head().await?;
    let known = [before.as_ref().map(|h| (h, "the store")), anchor.map(|h| (h, "this machine"))];
    let mut walk = Walk { end: Head::genesis(), known: known.into_iter().flatten().collect() };
    loop {
        let page = match page(store, walk.end.seq).await? {
            Ok(page) => page,
            Err(broken) => return Ok(walk.report(Some(broken))),
        };
        if page.is_empty() {
            break;
        }
        for record in &page {
            if let Some(broken) = walk.check(record) {
                return Ok(walk.report(Some(broken)));
            }
        }
    }
    let after = store.remembered_head().await?;
    let broken = walk.check_end(after.as_ref());
    Ok(walk.report(broken))
}

/// The next records. Where one cannot be read, those before it come first.
async fn page(store: &dyn Store, after: u64) -> Result<Result<Vec<RawEvent>, Broken>, StoreError> {
    match store.events(after, PAGE).await {
        Ok(page) => return Ok(Ok(page)),
        Err(StoreError::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    match store.events(after, 1).await {
        Ok(page) => Ok(Ok(page)),
        Err(StoreError::Corrupt { reason, .. }) => {
            Ok(Err(Broken::at(after + 1, format!("cannot be read: {reason}"))))
        }
        Err(error) => Err(error),
    }
}

struct Walk<'a> {
    end: Head,
    /// Records that must be there, and who remembers them.
    known: Vec<(&'a Head, &'static str)>,
}

impl Walk<'_> {
    fn report(&self, broken: Option<Broken>) -> AuditReport {
        AuditReport { intact: self.end.seq, broken }
    }

    /// Checks the next record and steps onto it when it is intact.
    fn check(&mut self, record: &RawEvent) -> Option<Broken> {
        let next = self.end.seq + 1;
        if record.seq > next {
            return Some(Broken::missing(next, record.seq - 1));
        }
        if record.hash != record.expected_hash() {
            return Some(Broken::at(
                record.seq,
                format!("its columns do not give its hash: the {} was edited", record.kind),
            ));
        }
        if record.prev_hash != self.end.hash {
            return Some(Broken::at(
                record.seq,
                format!("it does not continue record {}: one of both was replaced", self.end.seq),
            ));
        }
        let other = self.known.iter().find(|(h, _)| h.seq == record.seq && h.hash != record.hash);
        if let Some((_, who)) = other {
            return Some(Broken::at(
                record.seq,
                format!("it is not the record that {who} remembers: one of both was replaced"),
            ));
        }
        self.end = Head { seq: record.seq, hash: record.hash.clone() };
        None
    }

    fn check_end(&self, remembered: Option<&Head>) -> Option<Broken> {
        let end = self.end.seq;
        let further = self.known.iter().filter(|(h, _)| h.seq > end).max_by_key(|(h, _)| h.seq);
        if let Some((head, who)) = further {
            return Some(Broken::cut(end + 1, head.seq, who));
        }
        let remembered = remembered.map_or(0, |head| head.seq);
        (remembered < end).then(|| {
            Broken::at(
                end,
                format!(
                    "the store remembers the log to end at {remembered} and it goes on to here: that memory was \
                     edited"
                ),
            )
        })
    }
}

/// Where this machine remembers the end of this store's log.
pub fn anchor_dir(state_dir: &Path, store: &dyn Store) -> PathBuf {
    anchor_dir_at(state_dir, store.url())
}

/// The same, by the store's address as it is shown.
pub(super) fn anchor_dir_at(state_dir: &Path, url: &str) -> PathBuf {
    let digest = hex(&Sha256::digest(url));
    state_dir.join("anchors").join(digest.get(..16).unwrap_or(&digest))
}

/// Forgets the end of a log that was removed on purpose.
pub(super) fn forget(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Remembers the end of the log in `dir`. A crash leaves the old memory or the new one.
pub fn remember(dir: &Path, head: &Head) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let next = dir.join(format!("{ANCHOR}.next"));
    std::fs::write(&next, serde_json::to_vec(head)?)?;
    std::fs::rename(next, dir.join(ANCHOR))
}

/// The end of the log as remembered in `dir`, if anything is.
pub fn recall(dir: &Path) -> Result<Option<Head>, anyhow::Error> {
    let file = dir.join(ANCHOR);
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        anyhow!("read {}: {error}; remove the file if you do not need its proof", file.display())
    })
}

/// Every column of a record, as it is exported.
pub fn line(record: &RawEvent) -> Value {
    json!({
        "seq": record.seq,
        "at": record.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "kind": record.kind,
        "incident": record.incident,
        "target": record.target,
        "actor": record.actor,
        "body": record.body,
        "prev_hash": record.prev_hash,
        "hash": record.hash,
    })
}

/// Writes every record as one line of JSON. Returns how many.
pub async fn export(store: &dyn Store, out: &mut (dyn Write + Send)) -> Result<u64, anyhow::Error> {
    let (mut after, mut written) = (0, 0);
    loop {
        let page = store.events(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for record in &page {
            let line = line(record);
            writeln!(out, "{line}").context("write the export")?;
            written += 1;
        }
    }
    out.flush().context("write the export")?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_remembered_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        assert_eq!(recall(&inner).unwrap(), None);
        let head = Head { seq: 7, hash: "ab".into() };
        remember(&inner, &head).unwrap();
        remember(&inner, &head).unwrap();
        assert_eq!(recall(&inner).unwrap(), Some(head));
        std::fs::write(inner.join(ANCHOR), "{").unwrap();
        assert!(recall(&inner).unwrap_err().to_string().contains("head.json"));
        forget(&inner).unwrap();
        forget(&inner).unwrap();
        assert_eq!(recall(&inner).unwrap(), None);
    }
}
