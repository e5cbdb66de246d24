//! Connections to Redis. The greeting is spoken on the bare socket, so that the server's own words arrive even
//! when it turns us away (`ERR max number of clients reached` comes unasked, before the first command).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, RedisConnectionInfo, RedisError, ServerError, Value};
use tokio::io::AsyncWriteExt;

use super::RedisLink;
use super::held::{Entered, Held};
use crate::domain::sample::Answer;
use crate::ports::probe::ProbeError;
use crate::targets::dial::{self, Trust, Wire};
use crate::targets::session::Driver;
use crate::targets::{Limit, connect_error, felt};

/// Every connection of ours is named with it, so that it is never mistaken for an application's.
pub const CLIENT_NAME_PREFIX: &str = "simctl/";

impl RedisLink {
    /// A connection named `simctl/<purpose>`, greeted and logged in.
    pub async fn connect(&self, purpose: &str) -> Result<MultiplexedConnection, ProbeError> {
        let opened = self.open(purpose, &Trust::default(), Limit::of(self.deadline)).await;
        let talk = opened.map_err(|answer| connect_error(&self.name, answer))?;
        let (connection, driver) = multiplex(talk, Some(self.deadline))
            .await
            .map_err(|answer| connect_error(&self.name, answer))?;
        // Ends by itself when the last clone of the connection is dropped.
        drop(driver);
        Ok(connection)
    }

    /// A way in: a new connection, or the kept one where a new client is turned away.
    pub async fn enter(&self, purpose: &str) -> Result<Entered, ProbeError> {
        let refused = match self.connect(purpose).await {
            Ok(connection) => {
                self.kept.remember(None);
                return Ok(Entered::new(connection));
            }
            Err(error) => error,
        };
        match self.instead(&felt(&refused)).await {
            Some(held) => Ok(Entered::over(held)),
            None => Err(refused),
        }
    }

    /// The kept connection, for one whom the server turned away as a new client. A server that is only starting
    /// turns nobody away.
    pub(super) async fn instead(&self, told: &Answer) -> Option<Arc<Held>> {
        let starting = matches!(told, Answer::Starting { .. });
        let held = if starting { None } else { self.kept.slot().present().await };
        self.kept.remember(held.is_some().then_some(told));
        held
    }

    /// Connects, logs in, chooses the database, names the connection. One round trip after TCP and TLS.
    pub(super) async fn open(
        &self,
        purpose: &str,
        trust: &Trust,
        limit: Limit,
    ) -> Result<Talk, Answer> {
        let mut talk = Talk::new(limit.run(self.dial(trust)).await?);
        let (greeting, must_work) = self.greeting(purpose);
        let replies = talk.ask(&greeting, limit).await;
        for (nth, reply) in replies.iter().enumerate() {
            match reply {
                Ok(_) => {}
                Err(answer) if nth < must_work || turns_us_away(answer) => {
                    return Err(answer.clone());
                }
                // A user who may not name the connection may still use it.
                Err(_) => {}
            }
        }
        Ok(talk)
    }

    async fn dial(&self, trust: &Trust) -> Result<Box<dyn Wire>, Answer> {
        let stream = dial::tcp(&self.host, self.port).await?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => {
                let connector = trust.connector(tls)?;
                dial::encrypt(stream, &self.host, connector).await.inspect_err(|_| trust.forget())
            }
        }
    }

    /// What is said first, and how many of its commands must succeed.
    fn greeting(&self, purpose: &str) -> (Pipeline, usize) {
        let mut greeting = Pipeline::new();
        if let Some(password) = &self.password {
            greeting.cmd("AUTH");
            if let Some(user) = &self.user {
                greeting.arg(user);
            }
            greeting.arg(password.reveal());
        }
        if self.database != 0 {
            greeting.cmd("SELECT").arg(self.database);
        }
        let must_work = greeting.len();
        greeting.cmd("CLIENT").arg("SETNAME").arg(format!("{CLIENT_NAME_PREFIX}{purpose}"));
        (greeting, must_work)
    }
}

/// Whether a failed naming means that nothing else will work either.
fn turns_us_away(answer: &Answer) -> bool {
    match answer {
        Answer::Error { code, text } => {
            matches!(code.as_str(), "NOAUTH" | "WRONGPASS" | "DENIED") || is_full(code, text)
        }
        Answer::Gone { .. } | Answer::Hung { .. } => true,
        Answer::Ok | Answer::Starting { .. } | Answer::NotAsked => false,
    }
}

/// Redis gives its refusal for lack of room no prefix of its own.
pub(crate) fn is_full(code: &str, text: &str) -> bool {
    code == "ERR" && text.contains("max number of clients")
}

/// A bare connection, for a few questions in a row.
pub(super) struct Talk {
    wire: Box<dyn Wire>,
    /// Set while an answer is outstanding: when it never came, what comes next belongs to nobody.
    lost: Option<Answer>,
}

impl Talk {
    fn new(wire: Box<dyn Wire>) -> Self {
        Self { wire, lost: None }
    }

    /// Sends all commands at once and reads one reply for each. After a failed read the rest are that failure.
    pub(super) async fn ask(
        &mut self,
        pipeline: &Pipeline,
        limit: Limit,
    ) -> Vec<Result<Value, Answer>> {
        if let Some(lost) = &self.lost {
            return vec![Err(lost.clone()); pipeline.len()];
        }
        self.lost = Some(limit.hung());
        // A server that turned us away has closed already; what it said is still there to read.
        let packed = pipeline.get_packed_pipeline();
        let send = async { self.wire.write_all(&packed).await.map_err(|e| dial::io_answer(&e)) };
        let sent = limit.run(send).await;
        let mut decoder = Default::default();
        let mut replies = Vec::with_capacity(pipeline.len());
        while replies.len() < pipeline.len() {
            let next = async {
                let next = redis::parse_redis_value_async(&mut decoder, &mut self.wire).await;
                next.map_err(|error| answer_of(&error))
            };
            match limit.run(next).await {
                Ok(value) => replies.push(reply(value)),
                Err(answer) => {
                    let first = sent.err().unwrap_or(answer);
                    self.lost = Some(first.clone());
                    replies.resize(pipeline.len(), Err(first));
                    return replies;
                }
            }
        }
        self.lost = None;
        replies
    }
}

/// Hands a greeted connection to the redis crate.
pub(super) async fn multiplex(
    talk: Talk,
    deadline: Option<Duration>,
) -> Result<(MultiplexedConnection, Driver), Answer> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(deadline);
    let silent = RedisConnectionInfo::default().set_skip_set_lib_name();
    let (connection, driver) = MultiplexedConnection::new_with_config(&silent, talk.wire, config)
        .await
        .map_err(|error| answer_of(&error))?;
    Ok((connection, Driver::spawn(driver)))
}

/// A reply as a client takes it: an error is not a value.
pub(super) fn reply(value: Value) -> Result<Value, Answer> {
    match value {
        Value::ServerError(error) => Err(server_answer(&error)),
        other => Ok(other),
    }
}

fn server_answer(error: &ServerError) -> Answer {
    coded(error.code(), error.details().unwrap_or_default())
}

fn coded(code: &str, details: &str) -> Answer {
    let text = format!("{code} {details}").trim_end().to_owned();
    match code {
        "LOADING" => Answer::Starting { text },
        _ => Answer::Error { code: code.to_owned(), text },
    }
}

/// What a failed command comes to.
pub(crate) fn answer_of(error: &RedisError) -> Answer {
    if let Some(code) = error.code() {
        return coded(code, error.detail().unwrap_or_default());
    }
    let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    match cause {
        Some(cause) => dial::io_answer(cause),
        None if error.is_connection_dropped() => Answer::Gone { text: error.to_string() },
        None => dial::failed("CLIENT", error.to_string()),
    }
}
