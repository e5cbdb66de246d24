//! From an incident to a draft by way of a model: look, decide, decide again without the server's texts, preview.

use serde_json::{Value, json};

use super::case;
use super::check::{Decision, Grounds};
use super::clean::plain;
use super::decide::{Decided, Undecided, decide};
use super::explore::{Ground, Seen, explore};
use super::node::{Lexicon, Mode, Node, Writer};
use super::prompt;
use super::talk::{Before, Talk};
use super::{Advisor, Recording};
use crate::actions;
use crate::agent::playbook::Remedies;
use crate::agent::{Report, choose, think};
use crate::config::agent::Share;
use crate::diagnose;
use crate::diagnose::facts::Facts;
use crate::domain::consult::Purpose;
use crate::domain::diagnosis::Diagnosis;
use crate::domain::effect::{Investigation, Known};
use crate::domain::ids::ActionId;
use crate::domain::incident::Incident;
use crate::domain::proposal::Args;
use crate::ports::store::SimilarIncident;
use crate::targets::Server;

/// What a model is asked about.
pub struct Question<'a> {
    pub server: &'a Server,
    pub incident: &'a Incident,
    pub known: &'a Known,
    pub facts: &'a Facts,
    /// Earlier incidents like it.
    pub similar: &'a [SimilarIncident],
}

/// What the model decided, checked and previewed; or why the playbook has to.
pub async fn advise(
    advisor: &Advisor,
    on: &Question<'_>,
    report: Report<'_>,
    record: Recording<'_>,
) -> Result<Investigation, String> {
    let before = Before { incident: on.incident.model_spend, standing: on.known.model };
    let mut talk = Talk::open(advisor, report, record, before)?;
    let mut answers = Vec::new();
    let came = Box::pin(consult(&mut talk, on, &mut answers)).await;
    let reason = match &came {
        Ok(investigation) => match &investigation.plan {
            Ok(draft) => format!("{} for {}", draft.actions(), draft.cause),
            Err(reason) => reason.clone(),
        },
        Err(reason) => reason.clone(),
    };
    let reason = talk.judged(came.is_ok(), &reason, answers);
    came.map_err(|_| format!("{} decides nothing here: {reason}", advisor.name()))
}

async fn consult(
    talk: &mut Talk<'_>,
    on: &Question<'_>,
    answers: &mut Vec<Value>,
) -> Result<Investigation, String> {
    let advisor = talk.advisor;
    let share = advisor.redactor.share();
    let mode = if share == Share::Metrics { Mode::Placeholders } else { Mode::Shown };
    let mut lexicon = Lexicon::default();
    let case = whole_case(on, share);
    let written = Writer { mode, redactor: &advisor.redactor, lexicon: &mut lexicon }.write(&case);
    let ground = Ground { server: on.server, finding: on.incident.finding, known: on.known, mode };
    let task = (&written, prompt::LOOK, Purpose::Look);
    let seen = explore(talk, ground, task, &mut lexicon).await?.seen;
    let case = with_looks(case, &seen);
    let diagnosis = judged(on, advisor, &seen);
    let grounds = Grounds {
        engine: on.server.target.engine,
        incident: on.incident,
        known: on.known,
        facts: on.facts,
        diagnosis: &diagnosis,
    };
    let as_of = |purpose| (&grounds, purpose);
    let first = decide(talk, on.server, &case, mode, &mut lexicon, as_of(Purpose::Decide)).await;
    let first = first.map_err(|undecided| {
        answers.extend(undecided.answer);
        undecided.reason
    })?;
    answers.push(masked(&first, advisor));
    if mode == Mode::Shown {
        let again = "The same question again, with no text of the server in it.";
        think(talk.report, again.into());
        let hidden = Mode::Placeholders;
        let second =
            decide(talk, on.server, &case, hidden, &mut lexicon, as_of(Purpose::Doubt)).await;
        answers.extend(match &second {
            Ok(second) => Some(masked(second, advisor)),
            Err(undecided) => undecided.answer.clone(),
        });
        if let Some(reason) = why_held(&first, second.as_ref()) {
            return Err(reason);
        }
    }
    conclude(talk, on, &first, diagnosis).await
}

fn whole_case(on: &Question<'_>, share: Share) -> Node {
    let case = case::case(on.server, on.incident, on.known, on.facts, share);
    if on.similar.is_empty() {
        return case;
    }
    extended(case, "similar_incidents_before", case::memory(on.similar))
}

fn with_looks(case: Node, seen: &[Seen]) -> Node {
    if seen.is_empty() {
        return case;
    }
    extended(case, "looks", Node::List(seen.iter().map(Seen::node).collect()))
}

fn extended(case: Node, name: &str, part: Node) -> Node {
    match case {
        Node::Map(mut parts) => {
            parts.push((name.to_owned(), part));
            Node::Map(parts)
        }
        other => other,
    }
}

/// What the judges make of the facts; the looks can be cited too.
fn judged(on: &Question<'_>, advisor: &Advisor, seen: &[Seen]) -> Diagnosis {
    let mut diagnosis = diagnose::diagnose(on.facts);
    let mut apart = Lexicon::default();
    for one in seen {
        let mut writer =
            Writer { mode: Mode::Shown, redactor: &advisor.redactor, lexicon: &mut apart };
        let text = plain(&writer.write(&one.node).to_string(), 600);
        diagnosis.evidence.push(one.evidence(&text));
    }
    diagnosis
}

fn masked(decided: &Decided, advisor: &Advisor) -> Value {
    let text = advisor.redactor.text(&json!(decided.answer).to_string());
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn is_same(one: &Decision, other: &Decision) -> bool {
    one.cause.cause == other.cause.cause && one.candidate.steps == other.candidate.steps
}

/// A decision that a text of the server brought about is no decision.
fn why_held(first: &Decided, second: Result<&Decided, &Undecided>) -> Option<String> {
    let with = told(&first.decision);
    match second {
        Ok(second) if is_same(&second.decision, &first.decision) => None,
        Ok(second) => Some(format!(
            "its decision is held, for it is another one without the server's texts. With them: {with}. \
             Without: {}",
            told(&second.decision)
        )),
        Err(undecided) => Some(format!(
            "its decision is held, for there is none without the server's texts. With them: {with}. \
             Without: {}",
            undecided.reason
        )),
    }
}

fn told(decision: &Decision) -> String {
    /// A list longer than this is told by its length; the whole answers are in the record.
    const LISTED: usize = 3;
    let value = |value: &Value| match value.as_array() {
        Some(all) if all.len() > LISTED => format!("{} of them", all.len()),
        _ => value.to_string(),
    };
    let step = |(id, args): &(ActionId, Args)| {
        let args: Vec<String> =
            args.iter().map(|(name, given)| format!("{name} {}", value(given))).collect();
        format!("{id} ({})", args.join(", "))
    };
    let steps: Vec<String> = decision.candidate.steps.iter().map(step).collect();
    format!("{} for {}", steps.join(" and "), decision.cause.cause)
}

/// Says what was decided, and previews it on the live server.
async fn conclude(
    talk: &Talk<'_>,
    on: &Question<'_>,
    decided: &Decided,
    diagnosis: Diagnosis,
) -> Result<Investigation, String> {
    let name = talk.advisor.name();
    for line in said(decided, talk.advisor) {
        think(talk.report, line);
    }
    let diagnosis = led_by(diagnosis, &decided.decision, name);
    let mut candidate = decided.decision.candidate.clone();
    let solution = talk.advisor.redactor.text(&decided.answer.solution);
    candidate.why = format!("{}. {name}: {}", candidate.why, solution.trim_end_matches('.'));
    let remedies = Remedies { candidates: vec![candidate], ..Remedies::default() };
    let identity = on.server.identity().await;
    let case = choose::Case {
        server: on.server,
        identity: &identity,
        incident: on.incident,
        diagnosis: &diagnosis,
    };
    let draft = choose::choose(&case, &remedies, actions::find, talk.report).await;
    let draft = draft.map_err(|reason| format!("its proposal is not possible now: {reason}"))?;
    Ok(Investigation { agent: name.to_owned(), diagnosis, plan: Ok(draft) })
}

fn said(decided: &Decided, advisor: &Advisor) -> Vec<String> {
    let (who, answer) = (advisor.short_name(), &decided.answer);
    let words = |text: &str| advisor.redactor.text(text).trim_end_matches('.').to_owned();
    let mut lines: Vec<String> = answer
        .causes
        .iter()
        .map(|named| {
            let cited = named.evidence.join(", ");
            let cause = plain(&named.cause, 60);
            format!("{who}: cause {cause}: {} ({}).", words(&named.because), plain(&cited, 120))
        })
        .collect();
    lines.push(format!(
        "{who}: {}. It should bring: {}.",
        words(&answer.solution),
        words(&answer.effect)
    ));
    lines.push(format!("{who}, to prevent it: {}.", words(&answer.prevention)));
    let grade = decided.decision.cause.grade;
    lines.push(format!("Checked against the evidence: {}, {grade}.", decided.decision.cause.cause));
    lines
}

/// The diagnosis with the decided cause in front.
fn led_by(mut diagnosis: Diagnosis, decision: &Decision, name: &str) -> Diagnosis {
    let cause = &decision.cause;
    diagnosis.causes.retain(|judged| judged.cause != cause.cause);
    diagnosis.causes.insert(0, cause.clone());
    diagnosis.summary =
        format!("{}, {} (found by {name}): {}", cause.cause, cause.grade, cause.because);
    diagnosis
}
