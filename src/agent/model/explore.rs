//! The looks a model takes before it answers: read-only questions, each seen by the operator and kept as evidence.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::clean::plain;
use super::fit::fitted;
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::Talk;
use super::tools::{self, Tool};
use crate::agent::Report;
use crate::domain::consult::{Purpose, ToolCall};
use crate::domain::diagnosis::Evidence;
use crate::domain::effect::Known;
use crate::domain::execution::{Output, Phase, PhaseLine};
use crate::domain::finding::FindingKind;
use crate::inspect::Desk;
use crate::ports::model::{Ask, Message};
use crate::targets::Server;

/// In one turn; the rest is told to come again.
const CALLS_PER_TURN: usize = 4;

/// What is looked at, and for what.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) server: &'a Server,
    pub(super) finding: FindingKind,
    pub(super) known: &'a Known,
    pub(super) mode: Mode,
}

impl Ground<'_> {
    /// Where its server is inspected.
    fn desk(&self) -> Desk {
        let baseline = (!self.known.baseline.is_empty()).then(|| self.known.baseline.clone());
        Desk::new(self.server.clone()).with_baseline(baseline)
    }
}

/// What one look saw.
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) asked: String,
    pub(super) node: Node,
}

impl Seen {
    /// As a judgement can cite it.
    pub(super) fn evidence(&self, text: &str) -> Evidence {
        Evidence { id: self.id.clone(), source: self.asked.clone(), text: text.to_owned() }
    }

    /// As the case tells it.
    pub(super) fn node(&self) -> Node {
        Node::map([
            ("id", Node::ours(self.id.clone())),
            ("look", Node::Text(self.asked.clone())),
            ("seen", self.node.clone()),
        ])
    }
}

/// What came of it.
pub(super) struct Explored {
    pub(super) seen: Vec<Seen>,
    /// Its words when it had enough.
    pub(super) said: String,
    /// The conversation, where the model did not come to an end by itself.
    pub(super) left: Option<Vec<Message>>,
}

/// Lets the model look around until it has enough or its turns are over.
pub(super) async fn explore(
    talk: &mut Talk<'_>,
    on: Ground<'_>,
    (case, task, purpose): (&Value, &str, Purpose),
    lexicon: &mut Lexicon,
) -> Result<Explored, String> {
    let mut desk = on.desk();
    let explored = turns(talk, (on, &mut desk), (case, task, purpose), lexicon).await;
    desk.close().await;
    explored
}

async fn turns(
    talk: &mut Talk<'_>,
    (on, desk): (Ground<'_>, &mut Desk),
    (case, task, purpose): (&Value, &str, Purpose),
    lexicon: &mut Lexicon,
) -> Result<Explored, String> {
    let opening = prompt::opening(case, task);
    let system = Message::System { text: prompt::RULES.into() };
    let mut ask = Ask {
        messages: vec![system, Message::User { text: opening }],
        tools: tools::of(on.server.target.engine).map(Tool::offer).collect(),
        answer_tokens: talk.advisor.limits().answer_tokens,
        stream: talk.advisor.config.stream,
        ..Ask::default()
    };
    let mut seen = Vec::new();
    let mut known = 0;
    for _ in 0..talk.advisor.limits().turns {
        let reply = talk.ask(purpose, &ask, known).await?;
        known = ask.messages.len();
        if reply.calls.is_empty() {
            return Ok(Explored { seen, said: reply.text, left: None });
        }
        let calls: Vec<ToolCall> = numbered(reply.calls, known);
        ask.messages.push(Message::Assistant { text: reply.text, calls: calls.clone() });
        for (place, call) in calls.into_iter().enumerate() {
            let text = if place < CALLS_PER_TURN {
                take(talk, (on, desk), &call, lexicon, &mut seen).await
            } else {
                refused("too many looks at once; ask again", talk.report)
            };
            ask.messages.push(Message::Tool { call: call.id, text });
        }
    }
    let turns = talk.advisor.limits().turns;
    (talk.report)(PhaseLine::say(
        Phase::Thinking,
        format!("{} has looked {turns} times; now it must answer.", talk.advisor.short_name()),
    ));
    Ok(Explored { seen, said: String::new(), left: Some(ask.messages) })
}

/// Some servers leave the ids of calls out, and the protocol wants them back.
fn numbered(calls: Vec<ToolCall>, turn: usize) -> Vec<ToolCall> {
    let named = calls.into_iter().enumerate().map(|(place, mut call)| {
        if call.id.is_empty() {
            call.id = format!("call-{turn}-{place}");
        }
        call
    });
    named.collect()
}

async fn take(
    talk: &Talk<'_>,
    (on, desk): (Ground<'_>, &mut Desk),
    call: &ToolCall,
    lexicon: &mut Lexicon,
    seen: &mut Vec<Seen>,
) -> String {
    let redactor = &talk.advisor.redactor;
    let offered = tools::of(on.server.target.engine).find(|tool| tool.name() == call.name);
    let Some(tool) = offered else {
        let name = plain(&call.name, 60);
        return refused(&format!("there is no tool `{name}`"), talk.report);
    };
    let resolve = |said: &str| lexicon.resolve(said, redactor);
    let given = match tool.read(&call.arguments, &resolve) {
        Ok(given) => given,
        Err(reason) => return refused(&plain(&reason, 200), talk.report),
    };
    let asked = format!("{} {}", tool.name(), plain(&redactor.text(&call.arguments), 200));
    say(talk.report, Phase::Command, format!("look: {asked}   [read-only]"), None);
    let began = Instant::now();
    let looked = timeout_at(talk.until(), given.ask(on, desk, redactor.share())).await;
    let took = began.elapsed();
    let result = looked.unwrap_or_else(|_| {
        // What it was asked still runs on that session.
        *desk = on.desk();
        Err("it took longer than the time that is left".into())
    });
    match result {
        Ok(node) => {
            let node = fitted(node, redactor);
            let value = Writer { mode: on.mode, redactor, lexicon }.write(&node);
            say(talk.report, Phase::Result, plain(&value.to_string(), 160), Some(took));
            let id = format!("m{}", seen.len() + 1);
            let told = json!({"id": &id, "seen": value}).to_string();
            seen.push(Seen { id, asked, node });
            told
        }
        Err(reason) => {
            say(talk.report, Phase::Result, reason.clone(), Some(took));
            json!({"nothing": plain(&reason, 200)}).to_string()
        }
    }
}

fn refused(reason: &str, report: Report<'_>) -> String {
    say(report, Phase::Result, format!("a look was refused: {reason}"), None);
    json!({ "error": reason }).to_string()
}

fn say(report: Report<'_>, phase: Phase, text: String, took: Option<Duration>) {
    let output = took.map(|took| Output {
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        ..Output::default()
    });
    let line = PhaseLine { output, ..PhaseLine::say(phase, text) };
    report(line);
}
