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
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use super::caller::AGENT_HEADER;
use super::events::{CutOff, Line};
use super::live::Delta;
use super::socket;
use super::{Problem, SEQ_HEADER};
use crate::domain::effect::{Accepted, Ordered, Refused};
use crate::domain::event::Sealed;
use crate::engine::handle::Snapshot;

/// An engine that does not answer a plain question within this has a problem of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The stream of events could not go on; read on from the last event that arrived.
    #[error("the stream of events ended: {reason}")]
    CutOff { missed: Option<u64>, reason: String },
    #[error("the engine did not answer within {} s; see the log in the state directory", .0.as_secs())]
    Silent(Duration),
    #[error("{doing} over the control socket {path}")]
    Failed {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: anyhow::Error,
    },
}

impl ClientError {
    /// Whether nobody was there to be asked, so that nothing can have happened.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(self, Self::Failed { doing: "connect", .. })
    }
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
        Ok(self.order_seen(ordered).await?.0)
    }

    /// Gives a command; also the newest event in the snapshot that showed its effect.
    pub(super) async fn order_seen(
        &self,
        ordered: &Ordered,
    ) -> Result<(Accepted, Option<u64>), ClientError> {
        let body = serde_json::to_vec(ordered).map_err(|error| self.failed("write", error))?;
        self.patiently(async {
            let answer = self.send(Method::POST, "/api/v1/commands", body).await?;
            let seq = answer.response.headers().get(SEQ_HEADER);
            let seq = seq.and_then(|seq| seq.to_str().ok()?.parse().ok());
            Ok((self.understand(answer).await?, seq))
        })
        .await
    }

    /// Asks any route in an agent's name, which may less than its owner. Returns the status and the answer's JSON.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        patience: Duration,
    ) -> Result<(u16, Value), ClientError> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        within(patience, async {
            let answer = self.send_as(method, path, body, true).await?;
            let status = answer.response.status().as_u16();
            let text = self.body(answer).await?;
            let read = serde_json::from_slice(&text);
            Ok((status, read.map_err(|error| self.failed("understand the answer", error))?))
        })
        .await
    }

    /// The newest snapshot.
    pub async fn snapshot(&self) -> Result<Snapshot, ClientError> {
        self.patiently(async {
            let answer = self.send(Method::GET, "/api/v1/snapshot", Vec::new()).await?;
            self.understand(answer).await
        })
        .await
    }

    /// Events as they happen, beginning after `after` when it is given. Ends when the engine does; an error is
    /// the last item.
    pub async fn events(
        &self,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Result<Arc<Sealed>, ClientError>> + Send + use<>, ClientError>
    {
        let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
        let lines = self.patiently(self.lines(&format!("/api/v1/events{query}"))).await?;
        Ok(stream::unfold(lines, |mut lines| async move {
            let line = lines.next().await?;
            Some((lines.event(line), lines))
        })
        .boxed())
    }

    /// The newest snapshot, and every change from there on as it happens.
    pub async fn live(&self) -> Result<(Snapshot, Live), ClientError> {
        self.patiently(async {
            let mut lines = self.lines("/api/v1/live").await?;
            let Some(first) = lines.next().await else {
                let reason = "the engine is ending".to_owned();
                return Err(ClientError::CutOff { missed: None, reason });
            };
            let snapshot = lines.read("understand the snapshot", &first?)?;
            Ok((snapshot, Live(lines)))
        })
        .await
    }

    async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let answer = self.send(Method::GET, path, Vec::new()).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(self.problem(answer).await);
        }
        Ok(Lines { path: self.path.clone(), answer, buffer: Vec::new(), searched: 0, over: false })
    }

    async fn understand<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, ClientError> {
        if answer.response.status() != StatusCode::OK {
            return Err(self.problem(answer).await);
        }
        let body = self.body(answer).await?;
        serde_json::from_slice(&body).map_err(|error| self.failed("understand the answer", error))
    }

    async fn patiently<T>(
        &self,
        asking: impl Future<Output = Result<T, ClientError>> + Send,
    ) -> Result<T, ClientError> {
        within(PATIENCE, asking).await
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, ClientError> {
        self.send_as(method, path, body, false).await
    }

    async fn send_as(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        is_agent: bool,
    ) -> Result<Answer, ClientError> {
        let stream =
            UnixStream::connect(&self.path).await.map_err(|error| self.failed("connect", error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed("connect", error))?;
        let driver = drive(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "simctl")
            .header("content-type", "application/json");
        if is_agent {
            request = request.header(AGENT_HEADER, "mcp");
        }
        let request = request
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
            Ok(problem) => problem.detail,
            Err(_) => format!("the engine answered {status}"),
        };
        ClientError::Refused(Refused { reason })
    }

    fn failed(&self, doing: &'static str, source: impl Into<anyhow::Error>) -> ClientError {
        ClientError::Failed { doing, path: self.path.clone(), source: source.into() }
    }
}

async fn within<T>(
    patience: Duration,
    asking: impl Future<Output = Result<T, ClientError>> + Send,
) -> Result<T, ClientError> {
    tokio::time::timeout(patience, asking).await.unwrap_or(Err(ClientError::Silent(patience)))
}

#[expect(clippy::disallowed_methods, reason = "a connection's driver, ended with its answer")]
fn drive(connection: http1::Connection<TokioIo<UnixStream>, Full<Bytes>>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a control connection ended");
        }
    }))
}

/// What the live stream says, one change after the other.
pub struct Live(Lines);

impl Live {
    /// The next change; `None` when the engine ended the stream. May be dropped and asked again.
    pub async fn next(&mut self) -> Option<Result<Delta, ClientError>> {
        let line = self.0.next().await?;
        Some(line.and_then(|line| self.0.read("understand the live stream", &line)))
    }
}

/// Whole lines out of the chunks they arrive in.
struct Lines {
    path: PathBuf,
    answer: Answer,
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no end of a line.
    searched: usize,
    over: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<Result<Vec<u8>, ClientError>> {
        while !self.over {
            let fresh = self.buffer.iter().skip(self.searched);
            if let Some(end) = fresh.clone().position(|byte| *byte == b'\n') {
                let line = self.buffer.drain(..=self.searched + end).collect();
                self.searched = 0;
                return Some(Ok(line));
            }
            self.searched = self.buffer.len();
            match self.answer.response.frame().await? {
                Ok(frame) => self.buffer.extend(frame.into_data().unwrap_or_default()),
                Err(error) => {
                    self.over = true;
                    return Some(Err(self.failed("read the stream", error)));
                }
            }
        }
        None
    }

    fn read<T: DeserializeOwned>(
        &mut self,
        doing: &'static str,
        line: &[u8],
    ) -> Result<T, ClientError> {
        serde_json::from_slice(line).map_err(|error| {
            self.over = true;
            self.failed(doing, error)
        })
    }

    fn failed(&self, doing: &'static str, source: impl Into<anyhow::Error>) -> ClientError {
        ClientError::Failed { doing, path: self.path.clone(), source: source.into() }
    }

    fn event(&mut self, line: Result<Vec<u8>, ClientError>) -> Result<Arc<Sealed>, ClientError> {
        match self.read("understand an event", &line?)? {
            Line::Event(sealed) => Ok(sealed),
            Line::CutOff(CutOff { missed, reason }) => {
                self.over = true;
                Err(ClientError::CutOff { missed, reason })
            }
        }
    }
}
