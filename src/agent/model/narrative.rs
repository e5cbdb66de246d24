//! A model's telling of an ended incident: beside the facts of the report, never instead, and marked as what it is.

use std::fmt::Write as _;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::clean::plain;
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::{Before, Talk};
use super::{Advisor, Record};
use crate::config::agent::Share;
use crate::domain::consult::{Purpose, Spend};
use crate::domain::event::{Event, EventBody};
use crate::domain::incident::Incident;
use crate::narrate;
use crate::ports::model::{Ask, Message};

/// Of the whole narrative.
const LONGEST_PARAGRAPH: usize = 1_500;
const MOST_PARAGRAPHS: usize = 6;
/// Lines of the timeline that are told.
const MOST_LINES: usize = 40;

/// The section to put after a report.
pub async fn section(
    advisor: &Advisor,
    incident: &Incident,
    events: &[Event],
) -> Result<String, String> {
    let spent = Mutex::new(Spend::default());
    let record = |record: Record| {
        if let (Record::Asked(exchange), Ok(mut spent)) = (record, spent.lock()) {
            *spent += exchange.spend;
        }
    };
    let mut talk = Talk::new(advisor, &|_| (), &record, Before::default());
    let is_hidden = advisor.redactor.share() == Share::Metrics;
    let mode = if is_hidden { Mode::Placeholders } else { Mode::Shown };
    let mut lexicon = Lexicon::default();
    let mut writer = Writer { mode, redactor: &advisor.redactor, lexicon: &mut lexicon };
    let told = writer.write(&facts(incident, events));
    let ask = Ask {
        messages: vec![
            Message::System { text: prompt::RULES.into() },
            Message::User { text: prompt::opening(&told, prompt::NARRATE) },
        ],
        answer_tokens: advisor.limits().answer_tokens,
        ..Ask::default()
    };
    let text = talk.ask(Purpose::Look, &ask, 0).await?.text;
    let spent = spent.lock().map(|spent| *spent).unwrap_or_default();
    written(advisor, &text, spent)
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
        return Err(format!("{name} says nothing"));
    }
    for paragraph in paragraphs {
        // Quoted, so that nothing in it can pass for a heading or a fact of the report.
        let _ = write!(section, "\n> {}\n", paragraph.replace('<', "&lt;"));
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
        EventBody::Phase { .. } | EventBody::ReportWritten { .. } | EventBody::ModelAsked { .. }
    )
}
