//! Recorded replies: every call and what came of it, one JSON line each, and a model that says them again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::ports::model::{Ask, Hear, Model, ModelError, Reply};

/// One line of a recording.
#[derive(Serialize, Deserialize)]
struct Line {
    ask: Ask,
    came: Result<Reply, ModelError>,
}

/// Passes every call on and writes down what came of it.
pub(super) struct Recorder {
    model: Arc<dyn Model>,
    path: PathBuf,
    file: Mutex<File>,
}

impl Recorder {
    /// Appends to the file, which only its owner may read.
    pub(super) fn new(model: Arc<dyn Model>, path: &Path) -> Result<Self, ModelError> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = file.map_err(|error| trouble(path, &error))?;
        Ok(Self { model, path: path.to_owned(), file: Mutex::new(file) })
    }

    fn write(&self, line: &Line) -> Result<(), ModelError> {
        let mut text = serde_json::to_string(line).map_err(|error| trouble(&self.path, &error))?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(|error| trouble(&self.path, &error))
    }
}

#[async_trait]
impl Model for Recorder {
    async fn ask(&self, ask: &Ask, within: Duration, hear: Hear<'_>) -> Result<Reply, ModelError> {
        let came = self.model.ask(ask, within, hear).await;
        self.write(&Line { ask: ask.clone(), came: came.clone() })?;
        came
    }
}

/// Says what was recorded, in the same order, without a network.
pub(super) struct Player {
    path: PathBuf,
    left: Mutex<std::vec::IntoIter<Line>>,
}

impl Player {
    /// Reads the whole recording.
    pub(super) fn new(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|error| trouble(path, &error))?;
        let lines: Result<Vec<Line>, _> = text.lines().map(serde_json::from_str).collect();
        let lines = lines.map_err(|error| trouble(path, &error))?;
        Ok(Self { path: path.to_owned(), left: Mutex::new(lines.into_iter()) })
    }

    fn next(&self) -> Option<Line> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

#[async_trait]
impl Model for Player {
    /// A call of another kind than the recorded one is refused: its reply would answer something else.
    async fn ask(&self, ask: &Ask, _within: Duration, hear: Hear<'_>) -> Result<Reply, ModelError> {
        let line = self.next().ok_or_else(|| trouble(&self.path, &"it has no more replies"))?;
        let kind = |ask: &Ask| (ask.answer.is_some(), !ask.tools.is_empty(), ask.messages.len());
        if kind(&line.ask) != kind(ask) {
            return Err(trouble(&self.path, &"the next reply answers another question"));
        }
        if let Ok(reply) = &line.came {
            hear(&reply.text);
        }
        line.came
    }
}

fn trouble(path: &Path, reason: &impl ToString) -> ModelError {
    ModelError::Recording { file: path.display().to_string(), reason: reason.to_string() }
}
