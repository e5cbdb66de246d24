//! Records what reaches the console, so that what a person saw can be seen again: the last messages always, all of
//! them when asked. Its files are private and hold no passwords.

pub mod key;
mod line;
pub mod mouse;
mod start;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::console::Console;
use super::message::{Effect, Msg, Now};
use super::outside;
use crate::domain::event::Sealed;
use crate::engine::handle::Snapshot;
use line::Coder;
pub use start::Start;

/// So many messages are kept at most …
pub const MOST_MESSAGES: usize = 10_000;
/// … and about so many bytes.
pub const MOST_BYTES: usize = 32 << 20;
/// Log lines from before the oldest message that are kept with it.
const EVENTS_BEFORE: usize = 2_000;

/// Where a panic's recording was written.
static LEFT: OnceLock<PathBuf> = OnceLock::new();

/// The recording that a panic left, if there is one.
pub fn left_by_panic() -> Option<&'static Path> {
    LEFT.get().map(PathBuf::as_path)
}

/// What `:record FILE` asks for; the reason when it names no file.
pub fn order(file: &str) -> Result<Effect, String> {
    match file.trim() {
        "" => Err("name a file: :record FILE".into()),
        file => Ok(Effect::Record { file: file.to_owned() }),
    }
}

/// The last messages, in two parts: when the newer one is full the older one goes, so that what is left always
/// begins with a start.
pub struct Recorder {
    older: Option<Part>,
    newer: Part,
    /// Events of parts that are gone.
    gone: VecDeque<Arc<Sealed>>,
    stream: Option<Stream>,
    /// A panic of this thread writes here.
    state_dir: PathBuf,
}

struct Part {
    start: Start,
    /// The log lines known at the start.
    events: Vec<Arc<Sealed>>,
    messages: Vec<(Now, Msg)>,
    bytes: usize,
    last: Arc<Snapshot>,
}

struct Stream {
    file: File,
    coder: Coder,
}

impl Part {
    fn new(start: Start, events: Vec<Arc<Sealed>>) -> Self {
        let last = Arc::clone(&start.snapshot);
        Self { start, events, messages: Vec::new(), bytes: 0, last }
    }

    fn push(&mut self, now: Now, msg: Msg) {
        self.bytes += weight(&msg, &self.last);
        if let Msg::Snapshot(snapshot) = &msg {
            self.last = Arc::clone(snapshot);
        }
        self.messages.push((now, msg));
    }

    /// Whether it holds this share of what it may hold at most.
    fn holds(&self, percent: usize) -> bool {
        let full = |has: usize, most: usize| has >= most / 2 * percent / 100;
        full(self.messages.len(), MOST_MESSAGES) || full(self.bytes, MOST_BYTES)
    }
}

/// About what a message keeps in memory that nothing else does.
fn weight(msg: &Msg, last: &Snapshot) -> usize {
    const ENTRY: usize = 256;
    const VIEW: usize = 2 << 10;
    const INCIDENT: usize = 8 << 10;
    fn fresh<T>(before: &[Arc<T>], after: &[Arc<T>]) -> usize {
        let same = before.iter().zip(after).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        after.len() - same
    }
    ENTRY
        + match msg {
            Msg::Snapshot(snapshot) => {
                let shared = 8 * (snapshot.targets.len() + snapshot.incidents.len());
                shared
                    + VIEW * fresh(&last.targets, &snapshot.targets)
                    + INCIDENT * fresh(&last.incidents, &snapshot.incidents)
                    + VIEW * snapshot.injections.len()
            }
            Msg::Event(_) => VIEW,
            Msg::Answered { result: Ok(answer), .. } => {
                serde_json::to_vec(answer).map_or(VIEW, |text| text.len())
            }
            Msg::Paste(text) | Msg::Progress(text) => text.len(),
            _ => 0,
        }
}

impl Recorder {
    /// Records a console from here on.
    pub fn new(console: &Console, now: Now, state_dir: &Path) -> Self {
        Self {
            older: None,
            newer: Part::new(Start::of(console, now), Vec::new()),
            gone: VecDeque::new(),
            stream: None,
            state_dir: state_dir.to_owned(),
        }
    }

    /// Streams every message from here on into a file that was made for it.
    pub fn stream_to(&mut self, mut file: File) -> io::Result<()> {
        let start = &self.newer.start;
        writeln!(file, "{}", line::written(start))?;
        self.stream = Some(Stream { file, coder: Coder::new(Arc::clone(&start.snapshot)) });
        Ok(())
    }

    /// Notes a message before the console takes it. The words say that the file takes no more.
    pub fn note(&mut self, msg: &Msg, now: Now, console: &Console) -> Option<String> {
        // A start does not know of dialogs and typed text: rather between two of them.
        let is_at_rest = console.overlay().is_none()
            && console.screen().is_none_or(|screen| screen.prompt().is_none());
        if self.newer.holds(if is_at_rest { 80 } else { 100 }) {
            self.turn_over(Start::of(console, now));
        }
        self.newer.push(now, msg.clone());
        let stream = self.stream.as_mut()?;
        let mut line = stream.coder.write(now, msg);
        line.push('\n');
        let failed = stream.file.write_all(line.as_bytes()).err()?;
        self.stream = None;
        Some(format!("recording stopped: {failed}"))
    }

    fn turn_over(&mut self, start: Start) {
        if let Some(gone) = self.older.take() {
            self.gone.extend(events(&gone.messages).cloned());
            let surplus = self.gone.len().saturating_sub(EVENTS_BEFORE);
            self.gone.drain(..surplus);
        }
        let known = self.gone.iter().chain(events(&self.newer.messages));
        let known: Vec<_> = known.cloned().collect();
        let known = known[known.len().saturating_sub(EVENTS_BEFORE)..].to_vec();
        self.older = Some(std::mem::replace(&mut self.newer, Part::new(start, known)));
    }

    /// What is kept, as a recording's text and the number of its messages.
    pub fn text(&self) -> (String, usize) {
        let first = self.older.as_ref().unwrap_or(&self.newer);
        let mut coder = Coder::new(Arc::clone(&first.start.snapshot));
        let mut text = line::written(&first.start);
        let mut add = |now, msg: &Msg| {
            let _ = write!(text, "\n{}", coder.write(now, msg));
        };
        for event in &first.events {
            add(first.start.now(), &Msg::Event(Arc::clone(event)));
        }
        let parts = self.older.iter().chain([&self.newer]);
        let mut count = 0;
        for (now, msg) in parts.flat_map(|part| &part.messages) {
            add(*now, msg);
            count += 1;
        }
        text.push('\n');
        (text, count)
    }

    /// Writes what is kept to a new private file; a sentence about it.
    pub fn write(&self, file: &str) -> Result<String, String> {
        let (text, count) = self.text();
        let path = Path::new(file);
        let written = create(path).and_then(|mut made| made.write_all(text.as_bytes()));
        match written {
            Ok(()) => Ok(format!("the last {count} messages are recorded in {file}")),
            Err(error) => Err(refusal(path, &error)),
        }
    }

    /// Writes what led to a panic under the state directory.
    pub fn leave(&self) {
        let at = self.newer.messages.last().map_or(self.newer.start.at, |(now, _)| now.at);
        let name = format!("panic-{}.jsonl", at.format("%Y%m%d-%H%M%S"));
        match outside::write_private(&self.state_dir, &name, &self.text().0) {
            Ok(path) => drop(LEFT.set(path)),
            Err(error) => tracing::error!(%error, "what led to the panic was not recorded"),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.leave();
        }
    }
}

fn events(messages: &[(Now, Msg)]) -> impl Iterator<Item = &Arc<Sealed>> {
    messages.iter().filter_map(|(_, msg)| match msg {
        Msg::Event(sealed) => Some(sealed),
        _ => None,
    })
}

/// Makes a private file that was not there.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Why a recording could not be written, and what to do.
pub fn refusal(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AlreadyExists => "; name a file that is not there yet",
        _ => "",
    };
    format!("{} was not written: {error}{remedy}", path.display())
}

/// A recording that was read.
#[derive(Clone, Debug)]
pub struct Recording {
    pub start: Start,
    pub messages: Vec<(Now, Msg)>,
}

impl Recording {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|reason| format!("{}:{reason}", path.display()))
    }

    /// Reads a text; the reason begins with the line. A last line that was cut off is left out.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let bad = |line: usize, reason: &dyn std::fmt::Display| {
            format!("{line}: this is no recording of this version of simctl: {reason}")
        };
        let start: Start = serde_json::from_str(first).map_err(|error| bad(1, &error))?;
        if start.version != start::VERSION {
            return Err(bad(1, &format!("version {}", start.version)));
        }
        let mut coder = Coder::new(Arc::clone(&start.snapshot));
        let mut messages = Vec::new();
        for (index, line) in rest.split_inclusive('\n').enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            match coder.read(line) {
                Ok(message) => messages.push(message),
                Err(_) if !line.ends_with('\n') => break,
                Err(reason) => return Err(bad(index + 2, &reason)),
            }
        }
        Ok(Self { start, messages })
    }

    /// When its last message came.
    pub fn end(&self) -> Now {
        self.messages.last().map_or(self.start.now(), |(now, _)| *now)
    }
}

#[cfg(test)]
pub(crate) mod tests;
