//! The local journal: batches that could not reach the store, kept on this machine's disk until it is back.
//!
//! One line per batch, with its length in front, synced before [`Journal::append`] returns. A line that a crash
//! tore is dropped: nothing acted on it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

pub use super::merge::merge;
use crate::ports::store::{Batch, StoreError};

const FILE: &str = "journal.jsonl";

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{verb} the journal {path}")]
    Io {
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "read the journal {path}: line {line} is damaged; move the file away to go on without its events"
    )]
    Damaged { path: PathBuf, line: u64 },
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        Self::Failed { verb: "merge the journal", source: error.into() }
    }
}

/// The journal of one engine.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    events: u64,
}

impl Journal {
    /// Opens the journal in `dir`, with what an earlier run left in it.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let failed = |verb, source| JournalError::Io { verb, path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(|error| failed("create", error))?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(&path).map_err(|error| failed("open", error))?;
        sync_dir(dir).map_err(|error| failed("create", error))?;
        let mut journal = Self { path, file, events: 0 };
        journal.drop_torn_line()?;
        for batch in journal.batches()? {
            journal.events += batch?.events.len() as u64;
        }
        Ok(journal)
    }

    /// Events that wait for the store.
    pub fn pending(&self) -> u64 {
        self.events
    }

    /// Adds a batch. It is on disk when this returns.
    pub fn append(&mut self, batch: &Batch) -> Result<(), JournalError> {
        let line = line(batch).map_err(|error| self.failed("write", error))?;
        let end = self.file.metadata().map_err(|error| self.failed("write", error))?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line in the middle would make the rest unreadable.
            let _ = self.file.set_len(end);
            return Err(self.failed("write", error));
        }
        self.events += batch.events.len() as u64;
        Ok(())
    }

    /// The batches in the order they came.
    pub fn batches(&self) -> Result<Batches, JournalError> {
        let file = File::open(&self.path).map_err(|error| self.failed("read", error))?;
        Ok(Batches { path: self.path.clone(), lines: BufReader::new(file), line: 0 })
    }

    /// Forgets all batches; the store has them.
    pub fn clear(&mut self) -> Result<(), JournalError> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.sync_data());
        cleared.map_err(|error| self.failed("clear", error))?;
        self.events = 0;
        Ok(())
    }

    /// Puts other batches in place of all there are. A crash leaves the old ones or the new ones.
    pub(super) fn replace(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        let next = self.path.with_extension("next");
        let replaced = write_all(&next, batches)
            .and_then(|()| std::fs::rename(&next, &self.path))
            .and_then(|()| self.path.parent().map_or(Ok(()), sync_dir))
            .and_then(|()| OpenOptions::new().read(true).append(true).open(&self.path));
        self.file = replaced.map_err(|error| self.failed("rewrite", error))?;
        self.events = batches.iter().map(|batch| batch.events.len() as u64).sum();
        Ok(())
    }

    fn failed(&self, verb: &'static str, source: std::io::Error) -> JournalError {
        JournalError::Io { verb, path: self.path.clone(), source }
    }

    /// Cuts off a last line that has no end: the crash came before it was synced.
    fn drop_torn_line(&mut self) -> Result<(), JournalError> {
        let kept = whole_lines(&mut self.file).map_err(|error| self.failed("read", error))?;
        let repaired = self.file.metadata().and_then(|metadata| {
            if metadata.len() == kept {
                return Ok(());
            }
            tracing::warn!(path = %self.path.display(), "dropped the torn last line of the journal");
            self.file.set_len(kept).and_then(|()| self.file.sync_data())
        });
        repaired.map_err(|error| self.failed("repair", error))
    }
}

/// Where the last whole line ends: one with a line feed that is as long as it says.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = BufReader::new(file);
    let (mut text, mut end, mut before_last) = (Vec::new(), 0, 0);
    let mut last_is_whole = true;
    loop {
        text.clear();
        let read = lines.read_until(b'\n', &mut text)? as u64;
        if read == 0 {
            return Ok(if last_is_whole { end } else { before_last });
        }
        before_last = end;
        end += read;
        last_is_whole = content(&text).is_some();
    }
}

/// The JSON of a line that is whole.
fn content(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (length, json) = line.split_at_checked(8)?;
    let length = usize::from_str_radix(std::str::from_utf8(length).ok()?, 16).ok()?;
    json.strip_prefix(b" ").filter(|json| json.len() == length)
}

fn line(batch: &Batch) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_vec(batch)?;
    let mut line = format!("{:08x} ", json.len()).into_bytes();
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

fn write_all(path: &Path, batches: &[Batch]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    for batch in batches {
        file.write_all(&line(batch)?)?;
    }
    file.sync_all()
}

/// Makes a created or renamed file survive a power cut.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The batches of a journal, read one at a time.
#[derive(Debug)]
pub struct Batches {
    path: PathBuf,
    lines: BufReader<File>,
    line: u64,
}

impl Iterator for Batches {
    type Item = Result<Batch, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = Vec::new();
        match self.lines.read_until(b'\n', &mut text) {
            Ok(0) => return None,
            Ok(_) => self.line += 1,
            Err(source) => {
                let path = self.path.clone();
                return Some(Err(JournalError::Io { verb: "read", path, source }));
            }
        }
        let batch = content(&text).and_then(|json| serde_json::from_slice(json).ok());
        Some(
            batch.ok_or_else(|| JournalError::Damaged { path: self.path.clone(), line: self.line }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Event, EventBody, Head};

    fn batch(head: &Head, reason: &str) -> Batch {
        let event = Event {
            seq: 0,
            at: chrono::DateTime::UNIX_EPOCH,
            incident: None,
            target: None,
            actor: "engine".into(),
            body: EventBody::StoreLost { reason: reason.into() },
        };
        Batch { events: vec![event.seal(head)], rows: Vec::new() }
    }

    fn kept(dir: &Path) -> Vec<Batch> {
        Journal::open(dir).unwrap().batches().unwrap().map(Result::unwrap).collect()
    }

    fn two(dir: &Path) -> (Vec<Batch>, Vec<u8>) {
        let one = batch(&Head::genesis(), "line\nfeeds\n");
        let other = batch(&one.events[0].head(), "other");
        let mut journal = Journal::open(dir).unwrap();
        journal.append(&one).unwrap();
        journal.append(&other).unwrap();
        assert_eq!(journal.pending(), 2);
        (vec![one, other], std::fs::read(dir.join(FILE)).unwrap())
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let (batches, _) = two(dir.path());
        assert_eq!(kept(dir.path()), batches);
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.pending(), 2);
        journal.replace(&batches[1..]).unwrap();
        assert_eq!(kept(dir.path()), &batches[1..]);
        journal.append(&batches[0]).unwrap();
        assert_eq!(kept(dir.path()), [batches[1].clone(), batches[0].clone()]);
        journal.clear().unwrap();
        assert_eq!(journal.pending(), 0);
        assert!(kept(dir.path()).is_empty());
    }

    #[test]
    fn a_line_torn_anywhere_is_dropped_and_the_journal_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (batches, whole) = two(dir.path());
        let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let (early, late) = (second..second + 12, whole.len() - 12..whole.len());
        for end in early.chain(late) {
            std::fs::write(dir.path().join(FILE), &whole[..end]).unwrap();
            let mut journal = Journal::open(dir.path()).unwrap();
            assert_eq!(journal.pending(), 1, "cut at byte {end}");
            journal.append(&batches[1]).unwrap();
            drop(journal);
            assert_eq!(kept(dir.path()), batches, "cut at byte {end}");
        }
    }

    #[test]
    fn damage_before_the_last_line_is_named_not_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut whole) = two(dir.path());
        whole[3] = b'f';
        std::fs::write(dir.path().join(FILE), &whole).unwrap();
        let error = Journal::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("line 1 is damaged"), "{error}");
    }
}
