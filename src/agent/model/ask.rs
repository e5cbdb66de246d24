//! A question of the operator's about the live system: read-only, answered as it arrives.

use super::case;
use super::explore::{Ground, explore};
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::{Before, Talk};
use super::{Advisor, Recording};
use crate::agent::Report;
use crate::config::agent::Share;
use crate::domain::consult::{Purpose, Spend};
use crate::domain::effect::Known;
use crate::domain::finding::FindingKind;
use crate::domain::target::Engine;
use crate::ports::model::{Ask, Message};
use crate::targets::Server;

/// A question about a server.
pub struct Inquiry<'a> {
    pub server: &'a Server,
    pub asked: &'a str,
    /// What is known without asking the server, as the settings of when it was well.
    pub known: Known,
    pub before: Before,
}

/// Asks a model about a server. Every line goes to `report` as it comes; returns what it cost.
pub async fn question(
    advisor: &Advisor,
    on: Inquiry<'_>,
    report: Report<'_>,
    record: Recording<'_>,
) -> Result<Spend, String> {
    let mut talk = Talk::open(advisor, report, record, on.before)?;
    let came = Box::pin(answer(&mut talk, on)).await;
    let reason = came.as_ref().err().map_or("it answered the question", String::as_str);
    let reason = talk.judged(came.is_ok(), reason, Vec::new());
    came.map_err(|_| format!("{}: {reason}", advisor.name()))?;
    Ok(talk.spent)
}

async fn answer(talk: &mut Talk<'_>, on: Inquiry<'_>) -> Result<(), String> {
    let (advisor, server) = (talk.advisor, on.server);
    let finding = broadest(server.target.engine);
    let known = Known { samples: now(server).await, ..on.known };
    let facts = server.facts(finding, &known, &|_| ()).await;
    let share = advisor.redactor.share();
    let mode = if share == Share::Metrics { Mode::Placeholders } else { Mode::Shown };
    let mut lexicon = Lexicon::default();
    let case = case::situation(server, &facts, share);
    let case = extended(case, on.asked);
    let case = Writer { mode, redactor: &advisor.redactor, lexicon: &mut lexicon }.write(&case);
    let ground = Ground { server, finding, known: &known, mode };
    let task = (&case, prompt::QUESTION, Purpose::Answer);
    let explored = explore(talk, ground, task, &mut lexicon).await?;
    let said = match explored.left {
        None => explored.said,
        Some(messages) => last_word(talk, messages).await?,
    };
    if said.trim().is_empty() { Err("it says nothing".into()) } else { Ok(()) }
}

/// Asks for the answer without any more looking.
async fn last_word(talk: &mut Talk<'_>, messages: Vec<Message>) -> Result<String, String> {
    let end = Message::User { text: prompt::ENOUGH.into() };
    let known = messages.len();
    let ask = Ask {
        messages: messages.into_iter().chain([end]).collect(),
        answer_tokens: talk.advisor.limits().answer_tokens,
        stream: talk.advisor.config.stream,
        ..Ask::default()
    };
    Ok(talk.ask(Purpose::Answer, &ask, known).await?.text)
}

/// The operator's words are theirs, and no server's.
fn extended(case: Node, asked: &str) -> Node {
    match case {
        Node::Map(mut parts) => {
            parts.push(("question_of_the_operator".into(), Node::ours(asked)));
            Node::Map(parts)
        }
        other => other,
    }
}

/// The finding for which most is looked at.
fn broadest(engine: Engine) -> FindingKind {
    match engine {
        Engine::Redis => FindingKind::Slow,
        Engine::Postgres => FindingKind::DeadRows,
    }
}

/// What a client and the server itself say now.
async fn now(server: &Server) -> Vec<crate::domain::sample::Sample> {
    let probe = server.probe();
    let (held, fresh) = tokio::join!(probe.held(), probe.fresh());
    vec![held, fresh]
}
