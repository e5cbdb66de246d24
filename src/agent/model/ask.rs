//! A question of the operator's about the live system: read-only, answered as it arrives.

use std::sync::Mutex;

use super::case;
use super::explore::{Ground, explore};
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::{Before, Talk};
use super::{Advisor, Record};
use crate::agent::Report;
use crate::config::agent::Share;
use crate::domain::consult::{Purpose, Spend};
use crate::domain::effect::Known;
use crate::domain::finding::FindingKind;
use crate::domain::target::Engine;
use crate::ports::model::{Ask, Message};
use crate::targets::Server;

/// Asks a model about a server. Every line goes to `report` as it comes; returns what it cost.
pub async fn question(
    advisor: &Advisor,
    server: &Server,
    asked: &str,
    report: Report<'_>,
) -> Result<Spend, String> {
    let spent = Mutex::new(Spend::default());
    let record = |record: Record| {
        if let (Record::Asked(exchange), Ok(mut spent)) = (record, spent.lock()) {
            *spent += exchange.spend;
        }
    };
    let mut talk = Talk::new(advisor, report, &record, Before::default());
    let finding = broadest(server.target.engine);
    let known = now(server).await;
    let facts = server.facts(finding, &known, &|_| ()).await;
    let share = advisor.redactor.share();
    let mode = if share == Share::Metrics { Mode::Placeholders } else { Mode::Shown };
    let mut lexicon = Lexicon::default();
    let case = case::situation(server, &facts, share);
    let case = extended(case, asked);
    let case = Writer { mode, redactor: &advisor.redactor, lexicon: &mut lexicon }.write(&case);
    let ground = Ground { server, finding, known: &known, mode };
    let task = (&case, prompt::QUESTION);
    let left = explore(&mut talk, ground, task, &mut lexicon).await?.left;
    if let Some(messages) = left {
        let end = Message::User { text: prompt::ENOUGH.into() };
        let known = messages.len();
        let ask = Ask {
            messages: messages.into_iter().chain([end]).collect(),
            answer_tokens: advisor.limits().answer_tokens,
            stream: advisor.config.stream,
            ..Ask::default()
        };
        talk.ask(Purpose::Look, &ask, known).await?;
    }
    let spent = spent.lock().map(|spent| *spent).unwrap_or_default();
    Ok(spent)
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
async fn now(server: &Server) -> Known {
    let probe = server.probe();
    let (held, fresh) = tokio::join!(probe.held(), probe.fresh());
    Known { samples: vec![held, fresh], ..Known::default() }
}
