//! Asking a Redis: one connection, a deadline for each answer, no command that walks over all keys at once.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, FromRedisValue, Pipeline, Value};
use tokio::time::Instant;

use super::earlier::Earlier;
use super::unknown::Unknown;
use crate::domain::sample::Answer;
use crate::ports::probe::Probe;
use crate::targets::redis::{Info, RedisLink, RedisProbe};
use crate::targets::{Unanswered, felt};

/// A connection to ask over, with what was learnt before over it.
pub struct RedisDesk {
    link: RedisLink,
    connection: MultiplexedConnection,
    /// No question starts after this.
    until: Instant,
    pub(super) earlier: Earlier,
    /// The settings of when it was last known to be well.
    pub(super) baseline: Option<BTreeMap<String, String>>,
}

impl RedisDesk {
    pub(super) async fn open(
        link: &RedisLink,
        budget: Duration,
        baseline: Option<BTreeMap<String, String>>,
    ) -> Result<Self, Unknown> {
        let opened = link.connect("inspect").await;
        let connection = opened.map_err(|error| of_answer(felt(&error), link))?;
        let until = Instant::now() + budget;
        Ok(Self { link: link.clone(), connection, until, earlier: Earlier::default(), baseline })
    }

    /// Gives the next inspection its time.
    pub(super) fn begin(&mut self, budget: Duration) {
        self.until = Instant::now() + budget;
    }

    pub(super) fn database(&self) -> i64 {
        self.link.database
    }

    /// One command, one value.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Unknown> {
        if Instant::now() >= self.until {
            return Err(Unknown::TimedOut { after_ms: 0 });
        }
        let asked = command.query_async(&mut self.connection).await;
        asked.map_err(|error| of_answer(self.link.answer_of(&error), &self.link))
    }

    /// All at once, one value for each; an error of one is nothing for it.
    pub(super) async fn ask_all(&mut self, questions: &Pipeline) -> Result<Vec<Value>, Unknown> {
        if Instant::now() >= self.until {
            return Err(Unknown::TimedOut { after_ms: 0 });
        }
        let asked = self.connection.req_packed_commands(questions, 0, questions.len()).await;
        asked.map_err(|error| of_answer(self.link.answer_of(&error), &self.link))
    }

    /// These sections of INFO.
    pub(super) async fn info(&mut self) -> Result<Info, Unknown> {
        Ok(Info::parse(&self.ask::<Value>(&redis::cmd("INFO")).await?))
    }

    /// One setting; `None` where this version does not have it.
    pub(super) async fn setting(&mut self, name: &str) -> Result<Option<String>, Unknown> {
        let pairs: Vec<(String, String)> =
            self.ask(redis::cmd("CONFIG").arg("GET").arg(name)).await?;
        Ok(pairs.into_iter().next().map(|(_, value)| value))
    }

    /// The closed list of settings a baseline is made of, secrets masked.
    pub(super) async fn settings(&mut self) -> Result<BTreeMap<String, String>, Unknown> {
        let settings = RedisProbe::new(self.link.clone()).settings().await;
        settings.map_err(|error| of_answer(felt(&error), &self.link))
    }

    /// How long an answer takes, in milliseconds.
    pub(super) async fn ping(&mut self) -> Result<f64, Unknown> {
        let began = Instant::now();
        self.ask::<Value>(&redis::cmd("PING")).await?;
        Ok(began.elapsed().as_secs_f64() * 1_000.0)
    }
}

/// What a failure tells of why it is not known.
fn of_answer(answer: Answer, link: &RedisLink) -> Unknown {
    let login = link.user.as_deref().unwrap_or("default");
    match answer {
        Answer::Hung { after_ms } => Unknown::TimedOut { after_ms },
        Answer::Error { code, text } if code == "NOPERM" => Unknown::NotPermitted {
            said: text,
            grant: format!("give {login} the commands that `simctl grants redis` lists"),
        },
        Answer::Error { code, text } if code == "ERR" && text.contains("unknown") => {
            Unknown::NotInThisVersion { since: "a later Redis".into(), is: text }
        }
        Answer::Error { code, text }
            if code == "ERR" && !text.contains("max number of clients") =>
        {
            Unknown::Failed { code, said: text }
        }
        Answer::Error { code, text } => Unknown::Refused { code, said: text },
        other => Unknown::Refused { code: "DOWN".into(), said: Unanswered(other).to_string() },
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn what_the_server_said_becomes_the_reason() {
        let link = RedisLink {
            name: "x".into(),
            host: "h".into(),
            port: 1,
            database: 0,
            user: Some("ops".into()),
            password: None,
            tls: None,
            deadline: Duration::from_secs(1),
            kept: Default::default(),
        };
        let word = |code: &str, text: &str| {
            of_answer(Answer::Error { code: code.into(), text: text.into() }, &link).word()
        };
        assert_eq!(word("NOPERM", "NOPERM this user"), "not_permitted");
        assert_eq!(word("ERR", "ERR unknown subcommand 'HISTOGRAM'"), "not_in_this_version");
        assert_eq!(word("ERR", "ERR max number of clients reached"), "refused");
        assert_eq!(word("ERR", "ERR syntax error"), "failed");
        assert_eq!(word("WRONGPASS", "WRONGPASS no"), "refused");
        assert_eq!(of_answer(Answer::Hung { after_ms: 500 }, &link).word(), "timed_out");
    }
}
