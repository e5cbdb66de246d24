//! A line to ask over: a connection of its own, or the kept one where new clients are turned away.

use std::sync::Arc;

use redis::{Cmd, Pipeline, Value};

use super::RedisLink;
use super::connect::{Talk, reply};
use super::held::Held;
use crate::domain::sample::Answer;
use crate::targets::Limit;
use crate::targets::dial::Trust;

pub(super) enum Line {
    New(Talk),
    Kept { held: Arc<Held>, why: Answer },
}

impl Line {
    /// A new connection, else the kept one; the error is what the new client was told.
    pub(super) async fn open(
        link: &RedisLink,
        purpose: &str,
        limit: Limit,
    ) -> Result<Self, Answer> {
        match link.open(purpose, &Trust::default(), limit).await {
            Ok(talk) => {
                link.kept.remember(None);
                Ok(Self::New(talk))
            }
            Err(why) => match link.instead(&why).await {
                Some(held) => Ok(Self::Kept { held, why }),
                None => Err(why),
            },
        }
    }

    /// What a new client was told, when that was not to come in.
    pub(super) fn turned_away(&self) -> Option<&Answer> {
        match self {
            Self::New(_) => None,
            Self::Kept { why, .. } => Some(why),
        }
    }

    /// One command, one reply.
    pub(super) async fn one(&mut self, command: &Cmd, limit: Limit) -> Result<Value, Answer> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command.clone());
        self.ask(&pipeline, limit).await.pop().unwrap_or(Err(Answer::NotAsked))
    }

    /// Sends all commands at once, one reply for each.
    pub(super) async fn ask(
        &mut self,
        questions: &Pipeline,
        limit: Limit,
    ) -> Vec<Result<Value, Answer>> {
        match self {
            Self::New(talk) => talk.ask(questions, limit).await,
            Self::Kept { held, .. } => match held.ask(questions, limit).await {
                Ok(replies) => replies.into_iter().map(reply).collect(),
                Err(answer) => vec![Err(answer); questions.len()],
            },
        }
    }
}
