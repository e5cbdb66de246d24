//! A model's telling of an incident: beside the facts of the report, never instead, and marked as what it is.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::clean::plain;
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::{Before, Talk};
use super::{Advisor, Recording};
use crate::config::agent::Share;
use crate::domain::consult::{Purpose, Spend, StandingNow};
use crate::domain::event::{Event, EventBody};
use crate::domain::incident::Incident;
use crate::narrate;
use crate::ports::model::{Ask, Message};
use crate::report::inline;

/// Of the whole narrative.
const LONGEST_PARAGRAPH: usize = 1_500;
const MOST_PARAGRAPHS: usize = 6;
/// Lines of the timeline that are told.
const MOST_LINES: usize = 40;

/// The section to put after a report.
pub async fn section(
    advisor: &Advisor,
    (incident, events): (&Incident, &[Event]),
    standing: StandingNow,
    record: Recording<'_>,
) -> Result<String, String> {
    let before = Before { incident: spent_on(events), standing };
    let mut talk = Talk::open(advisor, &|_| (), record, before)?;
    let came = Box::pin(telling(&mut talk, incident, events)).await;
    let reason = came.as_ref().err().map_or("it told what happened", String::as_str);
    let reason = talk.judged(came.is_ok(), reason, Vec::new());
    came.map_err(|_| format!("{}: {reason}", advisor.name()))
}

/// An incident that ended long ago is counted nowhere else.
fn spent_on(events: &[Event]) -> Spend {
    let mut spent = Spend::default();
    for event in events {
        if let EventBody::ModelAsked { exchange, .. } = &event.body {
            spent += exchange.spend;
        }
    }
    spent
}

async fn telling(
    talk: &mut Talk<'_>,
    incident: &Incident,
    events: &[Event],
) -> Result<String, String> {
    let advisor = talk.advisor;
    let is_hidden = advisor.redactor.share() == Share::Metrics;
    let mode = if is_hidden { Mode::Placeholders } else { Mode::Shown };
    let mut lexicon = Lexicon::default();
    let mut writer = Writer { mode, redactor: &advisor.redactor, lexicon: &mut lexicon };
    let told = writer.write(&facts(incident, events));
    let task = prompt::narrate(incident.is_open());
    let ask = Ask {
        messages: vec![
            Message::System { text: prompt::RULES.into() },
            Message::User { text: prompt::opening(&told, &task) },
        ],
        answer_tokens: advisor.limits().answer_tokens,
        ..Ask::default()
    };
    let text = talk.ask(Purpose::Narrate, &ask, 0).await?.text;
    written(advisor, &text, talk.spent)
}

fn written(advisor: &Advisor, text: &str, spent: Spend) -> Result<String, String> {
    let name = advisor.name();
    let mut section = format!(
        "\n## Told by {name}\n\nWritten by a model ({spent}) and checked by nobody; the facts are above.\n"
    );
    let paragraphs = text.split("\n\n").map(|part| plain(part, LONGEST_PARAGRAPH));
    let paragraphs: Vec<String> =
        paragraphs.filter(|part| !part.is_empty()).take(MOST_PARAGRAPHS).collect();
    if paragraphs.is_empty() {
        return Err("it says nothing".into());
    }
    for paragraph in paragraphs {
        // Quoted and plain, so that nothing in it can pass for a heading, a link or a fact of the report.
        let _ = write!(section, "\n> {}\n", inline(&paragraph));
    }
    Ok(section)
}

fn facts(incident: &Incident, events: &[Event]) -> Node {
    let lines = events.iter().filter(|event| !is_log(&event.body)).filter_map(|event| {
        let (word, text) = narrate::words(event)?;
        Some(Node::map([
            ("at", Node::ours(event.at.format("%H:%M:%S").to_string())),
            ("what", Node::ours(word)),
            ("words", Node::Text(text)),
        ]))
    });
    Node::map([
        ("incident", Node::ours(incident.name())),
        ("target", Node::ours(incident.target.as_str())),
        ("finding", Node::ours(incident.finding.about().phrase)),
        ("cause", incident.cause().map_or(Node::Figure(Value::Null), |id| Node::ours(id.as_str()))),
        ("status", Node::ours(incident.status.as_str())),
        ("health", Node::observed(json!([incident.health_at_open, incident.health_at_end]))),
        ("timeline", Node::List(lines.take(MOST_LINES).collect())),
    ])
}

fn is_log(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::Phase { .. }
            | EventBody::ReportWritten { .. }
            | EventBody::ModelAsked { .. }
            | EventBody::ModelJudged { execution: None, .. }
    )
}
