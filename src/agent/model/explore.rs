//! The looks a model takes before it answers: read-only questions, each seen by the operator and kept as evidence.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::clean::plain;
use super::looks::{self, Look, Scene};
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::Talk;
use crate::agent::Report;
use crate::diagnose::facts::Facts;
use crate::domain::consult::{Purpose, ToolCall};
use crate::domain::diagnosis::Evidence;
use crate::domain::effect::Known;
use crate::domain::execution::{Output, Phase, PhaseLine};
use crate::domain::finding::FindingKind;
use crate::ports::model::{Ask, Message};
use crate::targets::Server;

/// Of one look's result.
const LONGEST_RESULT: usize = 6_000;
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
    /// The conversation, where the model did not come to an end by itself.
    pub(super) left: Option<Vec<Message>>,
}

/// Lets the model look around until it has enough or its turns are over.
pub(super) async fn explore(
    talk: &mut Talk<'_>,
    on: Ground<'_>,
    (case, task): (&Value, &str),
    lexicon: &mut Lexicon,
) -> Result<Explored, String> {
    let opening = prompt::opening(case, task);
    let system = Message::System { text: prompt::RULES.into() };
    let mut ask = Ask {
        messages: vec![system, Message::User { text: opening }],
        tools: looks::of(on.server.target.engine).map(Look::tool).collect(),
        answer_tokens: talk.advisor.limits().answer_tokens,
        stream: talk.advisor.config.stream,
        ..Ask::default()
    };
    let mut seen = Vec::new();
    let mut known = 0;
    for _ in 0..talk.advisor.limits().turns {
        let reply = talk.ask(Purpose::Look, &ask, known).await?;
        known = ask.messages.len();
        if reply.calls.is_empty() {
            return Ok(Explored { seen, left: None });
        }
        let calls: Vec<ToolCall> = numbered(reply.calls, known);
        ask.messages.push(Message::Assistant { text: reply.text, calls: calls.clone() });
        for (place, call) in calls.into_iter().enumerate() {
            let text = if place < CALLS_PER_TURN {
                take(talk, on, &call, lexicon, &mut seen).await
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
    Ok(Explored { seen, left: Some(ask.messages) })
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
    on: Ground<'_>,
    call: &ToolCall,
    lexicon: &mut Lexicon,
    seen: &mut Vec<Seen>,
) -> String {
    let redactor = &talk.advisor.redactor;
    let offered = looks::of(on.server.target.engine).find(|look| look.name == call.name);
    let Some(look) = offered else {
        let name = plain(&call.name, 60);
        return refused(&format!("there is no tool `{name}`"), talk.report);
    };
    let resolve = |said: &str| lexicon.resolve(said, redactor);
    let given = match look.read(&call.arguments, &resolve) {
        Ok(given) => given,
        Err(reason) => return refused(&plain(&reason, 200), talk.report),
    };
    let asked = format!("{} {}", look.name, plain(&redactor.text(&call.arguments), 200));
    say(talk.report, Phase::Command, format!("look: {asked}   [read-only]"), None);
    let began = Instant::now();
    let facts = observe(on).await;
    let result = (look.see)(&Scene { facts: &facts, known: on.known }, &given);
    let took = began.elapsed();
    match result {
        Ok(node) => {
            let value = Writer { mode: on.mode, redactor, lexicon }.write(&node);
            let text = cut(&value.to_string());
            say(talk.report, Phase::Result, plain(&text, 160), Some(took));
            let id = format!("m{}", seen.len() + 1);
            let told = format!("{{\"id\":\"{id}\",\"seen\":{text}}}");
            seen.push(Seen { id, asked, node });
            told
        }
        Err(reason) => {
            say(talk.report, Phase::Result, reason.clone(), Some(took));
            format!("{{\"nothing\":\"{}\"}}", plain(&reason, 200))
        }
    }
}

/// Asks the server anew, so that a look never tells of the past.
async fn observe(on: Ground<'_>) -> Facts {
    on.server.facts(on.finding, on.known, &|_| ()).await
}

fn refused(reason: &str, report: Report<'_>) -> String {
    say(report, Phase::Result, format!("a look was refused: {reason}"), None);
    format!("{{\"error\":\"{}\"}}", reason.replace(['"', '\\'], "'"))
}

fn say(report: Report<'_>, phase: Phase, text: String, took: Option<Duration>) {
    let output = took.map(|took| Output {
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        ..Output::default()
    });
    let line = PhaseLine { output, ..PhaseLine::say(phase, text) };
    report(line);
}

fn cut(text: &str) -> String {
    let count = text.chars().count();
    if count <= LONGEST_RESULT {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LONGEST_RESULT).collect();
    format!("{kept}… ({} more characters cut)", count - LONGEST_RESULT)
}
