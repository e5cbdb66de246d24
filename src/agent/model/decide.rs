//! A model's answer, asked for in a conversation of its own and judged; mended once where it can be.

use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::case;
use super::check::{self, Decision, Grounds, Refusal};
use super::clean::enclosed;
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::Talk;
use crate::diagnose;
use crate::domain::consult::Purpose;
use crate::ports::model::{Ask, Message};
use crate::targets::Server;

/// An accepted answer.
pub(super) struct Decided {
    pub(super) answer: Answer,
    pub(super) decision: Decision,
}

/// What went wrong, with the last answer that could be read.
pub(super) struct Undecided {
    pub(super) reason: String,
    pub(super) answer: Option<Value>,
}

impl From<String> for Undecided {
    fn from(reason: String) -> Self {
        Self { reason, answer: None }
    }
}

/// Asks for the answer to a case. The model sees the case and what was looked at; nothing it said itself.
pub(super) async fn decide(
    talk: &mut Talk<'_>,
    server: &Server,
    case: &Node,
    mode: Mode,
    lexicon: &mut Lexicon,
    (on, purpose): (&Grounds<'_>, Purpose),
) -> Result<Decided, Undecided> {
    let redactor = talk.advisor.redactor.clone();
    let case = Writer { mode, redactor: &redactor, lexicon }.write(case);
    let mut ask = opening(talk, server, &case, on);
    let text = talk.ask(purpose, &ask, 0).await?.text;
    let refused = match judged(&text, lexicon, &redactor, on) {
        Ok(decided) => return Ok(decided),
        Err(refused) => refused,
    };
    let Refusal::Mend(reason) = refused.refusal else { return Err(refused.into()) };
    // Without the server's texts a reason that may hold one tells nothing.
    let told = match mode {
        Mode::Shown => enclosed(&redactor.text(&reason), 400),
        Mode::Placeholders => {
            "an id, a citation, an action or an argument does not fit the case".into()
        }
    };
    let known = ask.messages.len();
    ask.messages.push(Message::Assistant { text, calls: Vec::new() });
    ask.messages.push(Message::User { text: prompt::mend(&told) });
    let text = talk.ask(Purpose::Repair, &ask, known).await?.text;
    judged(&text, lexicon, &redactor, on).map_err(|again| {
        let second = again.refusal.reason();
        let reason = format!("its answer was refused twice: {reason}; then: {second}");
        Undecided { reason, answer: again.answer }
    })
}

fn opening(talk: &Talk<'_>, server: &Server, case: &Value, on: &Grounds<'_>) -> Ask {
    let fitting = diagnose::ALL.iter().filter(|judge| judge.findings.contains(&on.facts.finding));
    let causes: Vec<&str> = fitting.map(|judge| judge.cause).collect();
    let actions: Vec<&str> = case::possible(server).map(|descriptor| descriptor.id).collect();
    let schema = answer::schema(&causes, &actions);
    Ask {
        messages: vec![
            Message::System { text: prompt::RULES.into() },
            Message::User { text: prompt::opening(case, &prompt::with_schema(&schema)) },
        ],
        answer: Some(schema),
        answer_tokens: talk.advisor.limits().answer_tokens,
        stream: talk.advisor.config.stream,
        ..Ask::default()
    }
}

struct Refused {
    refusal: Refusal,
    answer: Option<Value>,
}

impl From<Refused> for Undecided {
    fn from(refused: Refused) -> Self {
        Self { reason: refused.refusal.reason().to_owned(), answer: refused.answer }
    }
}

fn judged(
    text: &str,
    lexicon: &Lexicon,
    redactor: &super::Redactor,
    on: &Grounds<'_>,
) -> Result<Decided, Refused> {
    let answer = Answer::read(text)
        .map_err(|reason| Refused { refusal: Refusal::Mend(reason), answer: None })?;
    let resolve = |said: &str| lexicon.resolve(said, redactor);
    match check::check(&answer, on, &resolve) {
        Ok(decision) => Ok(Decided { answer, decision }),
        Err(refusal) => Err(Refused { refusal, answer: Some(json!(answer)) }),
    }
}
