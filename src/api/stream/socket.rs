//! `/ws`: what happens, one JSON message for each, over a WebSocket.

use std::pin::pin;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::stream::{Stream, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::message::Message;
use super::{Begin, SIGN_OF_LIFE, about, messages};
use crate::api::door::Door;
use crate::api::extract::Query;
use crate::api::problem::Problem;
use crate::api::until;

/// Larger messages than anybody has a reason to send.
const MOST_BYTES: usize = 64 * 1_024;

/// An upgrade, or the problem that there is none.
pub(super) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The upgrade with bounds on what a client may send.
pub(super) fn bounded(upgrade: Upgrade) -> Result<WebSocketUpgrade, Problem> {
    let upgrade = upgrade.map_err(|bad| Problem::new(bad.status(), bad.body_text()))?;
    Ok(upgrade.max_message_size(MOST_BYTES).max_frame_size(MOST_BYTES))
}

pub(super) async fn follow(
    State(door): State<Door>,
    Query(begin): Query<Begin>,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    let upgrade = bounded(upgrade)?;
    let about = about(&door, begin.incident.as_deref()).await?;
    // Listening begins before the client is told that it is let in, so what happens then is not missed.
    let messages = until(messages(&door, begin.after, about), door.stop.clone());
    Ok(upgrade.on_upgrade(move |socket| async move {
        Box::pin(Talk::new(socket).tell(messages)).await;
    }))
}

/// How a conversation goes on after a message was sent.
enum Next {
    More,
    Over,
}

/// A WebSocket that is being told something.
pub(super) struct Talk {
    socket: WebSocket,
    /// Whether the client has not yet answered the last sign of life.
    is_silent: bool,
}

impl Talk {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self { socket, is_silent: false }
    }

    /// The next text the client sends; `None` when it is gone.
    pub(super) async fn hear(&mut self) -> Option<String> {
        loop {
            match self.socket.recv().await?.ok()? {
                Frame::Text(text) => return Some(text.as_str().to_owned()),
                Frame::Close(_) => return None,
                Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) => {}
            }
        }
    }

    /// Tells every message, and says goodbye. A client that is gone or answers no ping ends it.
    pub(super) async fn tell(mut self, messages: impl Stream<Item = Message> + Send) {
        let mut messages = pin!(messages);
        let mut life = interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
        life.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.send(&message).await,
                    None => return self.close(close_code::AWAY, "the engine is ending").await,
                },
                heard = self.socket.recv() => self.note(heard.as_ref()),
                _ = life.tick() => self.ping().await,
            };
            if matches!(next, Next::Over) {
                return;
            }
        }
    }

    /// Sends one message; after the last one of a stream, the goodbye that fits.
    async fn send(&mut self, message: &Message) -> Next {
        if self.say(message).await.is_err() {
            return Next::Over;
        }
        match message {
            Message::Event(_) | Message::Phase(_) | Message::Accepted { .. } => return Next::More,
            Message::End { .. } => self.farewell(close_code::NORMAL, "it is over").await,
            Message::CutOff { .. } => self.farewell(close_code::AGAIN, "cut off").await,
            Message::Problem { .. } => self.farewell(close_code::POLICY, "not done").await,
        }
        Next::Over
    }

    pub(super) async fn say(&mut self, message: &Message) -> Result<(), axum::Error> {
        self.socket.send(Frame::Text(message.text().into())).await
    }

    fn note(&mut self, heard: Option<&Result<Frame, axum::Error>>) -> Next {
        match heard {
            Some(Ok(Frame::Close(_)) | Err(_)) | None => Next::Over,
            Some(Ok(Frame::Text(_) | Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_))) => {
                self.is_silent = false;
                Next::More
            }
        }
    }

    async fn ping(&mut self) -> Next {
        if self.is_silent {
            self.farewell(close_code::POLICY, "no answer to a ping").await;
            return Next::Over;
        }
        self.is_silent = true;
        match self.socket.send(Frame::Ping(Default::default())).await {
            Ok(()) => Next::More,
            Err(_) => Next::Over,
        }
    }

    async fn close(mut self, code: u16, reason: &'static str) {
        self.farewell(code, reason).await;
    }

    async fn farewell(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        // A client that is gone needs no goodbye.
        let _ = self.socket.send(Frame::Close(Some(frame))).await;
    }
}
