//! The other end of the control socket, for commands and attached consoles.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use super::Problem;
use super::events::{CutOff, Line};
use super::socket;
use crate::domain::effect::{Accepted, Ordered, Refused};
use crate::domain::event::Sealed;
use crate::engine::handle::Snapshot;

/// An engine that does not answer a plain question within this has a problem of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The stream of events could not go on; read on from the last event that arrived.
    #[error("the stream of events ended: {reason}")]
    CutOff { missed: Option<u64>, reason: String },
    #[error("the engine did not answer within {} s; see the log in the state directory", PATIENCE.as_secs())]
    Silent,
    #[error("{doing} over the control socket {path}")]
    Failed {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: anyhow::Error,
    },
}

/// A way to the running engine.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

/// A response whose connection lives as long as it does.
struct Answer {
    response: Response<Incoming>,
    driver: AbortOnDropHandle<()>,
}

impl Client {
    /// The engine that serves this state directory; `None` when none is running.
    pub async fn connect(state_dir: &Path) -> Result<Option<Self>, ClientError> {
        let path = socket::path(state_dir);
        match UnixStream::connect(&path).await {
            Ok(_) => Ok(Some(Self { path })),
            Err(error) if socket::is_nobody(&error) => Ok(None),
            Err(error) => Err(ClientError::Failed { doing: "connect", path, source: error.into() }),
        }
    }

    /// Gives a command.
    pub async fn order(&self, ordered: &Ordered) -> Result<Accepted, ClientError> {
        let body = serde_json::to_vec(ordered).map_err(|error| self.failed("write", error))?;
        self.ask(Method::POST, "/api/v1/commands", body).await
    }

    /// The newest snapshot.
    pub async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        self.ask(Method::GET, "/api/v1/snapshot", Vec::new()).await
    }

    /// Events as they happen, beginning after `after` when it is given. Ends when the engine does; an error is
    /// the last item.
    pub async fn events(
        &self,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Result<Arc<Sealed>, ClientError>> + Send + use<>, ClientError>
    {
        let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
        let path = format!("/api/v1/events{query}");
        let answer = self.patiently(self.send(Method::GET, &path, Vec::new())).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(self.problem(answer).await);
        }
        Ok(lines(self.path.clone(), answer))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        self.patiently(async {
            let answer = self.send(method, path, body).await?;
            if answer.response.status() != StatusCode::OK {
                return Err(self.problem(answer).await);
            }
            let body = self.body(answer).await?;
            serde_json::from_slice(&body)
                .map_err(|error| self.failed("understand the answer", error))
        })
        .await
    }

    async fn patiently<T>(
        &self,
        asking: impl Future<Output = Result<T, ClientError>> + Send,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(ClientError::Silent))
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, ClientError> {
        let stream =
            UnixStream::connect(&self.path).await.map_err(|error| self.failed("connect", error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed("connect", error))?;
        let driver = drive(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "simctl")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.failed("ask", error))?;
        let response =
            sender.send_request(request).await.map_err(|error| self.failed("ask", error))?;
        Ok(Answer { response, driver })
    }

    async fn body(&self, answer: Answer) -> Result<Bytes, ClientError> {
        let Answer { response, driver } = answer;
        let body = response.into_body().collect().await;
        drop(driver);
        Ok(body.map_err(|error| self.failed("read the answer", error))?.to_bytes())
    }

    async fn problem(&self, answer: Answer) -> ClientError {
        let status = answer.response.status();
        let body = match self.body(answer).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let reason = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => problem.reason,
            Err(_) => format!("the engine answered {status}"),
        };
        ClientError::Refused(Refused { reason })
    }

    fn failed(&self, doing: &'static str, source: impl Into<anyhow::Error>) -> ClientError {
        ClientError::Failed { doing, path: self.path.clone(), source: source.into() }
    }
}

#[expect(clippy::disallowed_methods, reason = "a connection's driver, ended with its answer")]
fn drive(connection: http1::Connection<TokioIo<UnixStream>, Full<Bytes>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a control connection ended");
        }
    }))
}

/// Whole lines out of the chunks they arrive in.
struct Lines {
    path: PathBuf,
    answer: Answer,
    buffer: Vec<u8>,
    over: bool,
}

fn lines(
    path: PathBuf,
    answer: Answer,
) -> impl Stream<Item = Result<Arc<Sealed>, ClientError>> + Send {
    let lines = Lines { path, answer, buffer: Vec::new(), over: false };
    stream::unfold(lines, |mut lines| async move {
        let line = lines.next().await?;
        Some((lines.event(line), lines))
    })
    .boxed()
}

impl Lines {
    async fn next(&mut self) -> Option<Result<Vec<u8>, hyper::Error>> {
        while !self.over {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Some(Ok(self.buffer.drain(..=end).collect()));
            }
            match self.answer.response.frame().await? {
                Ok(frame) => self.buffer.extend(frame.into_data().unwrap_or_default()),
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    fn event(&mut self, line: Result<Vec<u8>, hyper::Error>) -> Result<Arc<Sealed>, ClientError> {
        let failed = |doing, source| ClientError::Failed { doing, path: self.path.clone(), source };
        let line = line.map_err(|error| failed("read events", error.into()))?;
        match serde_json::from_slice(&line) {
            Ok(Line::Event(sealed)) => Ok(sealed),
            Ok(Line::CutOff(CutOff { missed, reason })) => {
                self.over = true;
                Err(ClientError::CutOff { missed, reason })
            }
            Err(error) => {
                self.over = true;
                Err(failed("understand an event", error.into()))
            }
        }
    }
}
