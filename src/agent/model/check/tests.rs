//! Answers that are accepted, and every way to be refused, on facts as the lab showed them.

use serde_json::json;

use super::*;
use crate::agent::tests::{incident, server};
use crate::diagnose::testing::{leak, lowered, lowered_and_leaking, postgres, sessions};
use crate::domain::finding::FindingKind;
use crate::domain::incident::Tried;

/// Judges an answer to an incident with these facts.
struct Court {
    engine: Engine,
    facts: Facts,
    incident: Incident,
    known: Known,
}

impl Court {
    fn of(engine: Engine, facts: Facts) -> Self {
        let incident = incident(facts.finding, &server(engine), "It hurts.");
        Self { engine, facts, incident, known: Known::default() }
    }

    fn judge(&self, answer: &Value) -> Result<Decision, Refusal> {
        let diagnosis = diagnose::diagnose(&self.facts);
        let answer = Answer::read(&answer.to_string()).expect("a proper answer");
        let grounds = Grounds {
            engine: self.engine,
            incident: &self.incident,
            known: &self.known,
            facts: &self.facts,
            diagnosis: &diagnosis,
        };
        check(&answer, &grounds, &str::to_owned)
    }

    fn refusal(&self, answer: &Value) -> String {
        match self.judge(answer) {
            Ok(accepted) => panic!("accepted: {accepted:?}"),
            Err(refusal) => refusal.reason().to_owned(),
        }
    }
}

fn answer(cause: &str, actions: &[&str]) -> Value {
    let actions: Vec<Value> =
        actions.iter().map(|id| json!({"action": id, "arguments": []})).collect();
    json!({
        "causes": [{"cause": cause, "because": "the limit fell", "evidence": ["e2"]}],
        "severity": "critical", "solution": "Put it back.", "actions": actions,
        "effect": "writes work", "prevention": "a review",
    })
}

fn with(mut answer: Value, pointer: &str, value: Value) -> Value {
    *answer.pointer_mut(pointer).expect("it is there") = value;
    answer
}

fn argument(name: &str, value: &Value) -> Value {
    json!([{"name": name, "value": value.to_string()}])
}

fn good() -> Value {
    answer("maxmemory-lowered", &["reset_redis_setting"])
}

#[test]
fn a_grounded_answer_gets_its_arguments_from_the_evidence() {
    let court = Court::of(Engine::Redis, lowered());
    let decision = court.judge(&good()).unwrap();
    assert_eq!(decision.cause.cause, *"maxmemory-lowered");
    assert!(decision.cause.evidence.contains(&"e2".to_owned()));
    let (id, args) = &decision.candidate.steps[0];
    assert_eq!(
        (id.as_str(), &args["name"], &args["value"]),
        ("reset_redis_setting", &json!("maxmemory"), &json!("52428800"))
    );
    let same = with(good(), "/actions/0/arguments", argument("value", &json!("52428800")));
    assert_eq!(court.judge(&same).unwrap().candidate, decision.candidate);
}

#[test]
fn what_is_not_grounded_is_refused_with_its_reason() {
    let court = Court::of(Engine::Redis, lowered());
    let wrong_value = argument("value", &json!("1gb"));
    let not_known = argument("shell", &json!("rm -rf /"));
    let cases = [
        (
            with(good(), "/causes/0/evidence", json!(["e2", "e99"])),
            "cites the evidence `e99`, which does not exist",
        ),
        (with(good(), "/causes/0/evidence", json!([])), "cites no evidence for maxmemory-lowered"),
        (with(good(), "/causes", json!([])), "names no cause"),
        (answer("gremlins", &["reset_redis_setting"]), "`gremlins` is no cause of writes-refused"),
        (
            answer("idle-leak", &["kill_idle_connections"]),
            "`idle-leak` is no cause of writes-refused",
        ),
        (answer("requirepass-added", &["reset_redis_setting"]), "no cause of writes-refused"),
        (answer("big-key", &["unlink_big_key"]), "the evidence does not support big-key"),
        (
            with(good(), "/severity", json!("low")),
            "the severity is critical by the metrics, and low is lower",
        ),
        (answer("maxmemory-lowered", &["FLUSHALL"]), "there is no action `FLUSHALL` for redis"),
        (
            answer("maxmemory-lowered", &["kill_idle_connections"]),
            "there is no action `kill_idle_connections` for redis",
        ),
        (answer("maxmemory-lowered", &["clear_redis_cache"]), "clear_redis_cache is"),
        (
            answer("maxmemory-lowered", &["reset_redis_setting", "restart_redis"]),
            "is no remedy for maxmemory-lowered",
        ),
        (
            with(good(), "/actions/0/arguments", wrong_value),
            "`value` of reset_redis_setting is not within",
        ),
        (with(good(), "/actions/0/arguments", not_known), "gets no argument `shell` here"),
    ];
    for (answer, reason) in cases {
        let said = court.refusal(&answer);
        assert!(said.contains(reason), "{said}\nwanted: {reason}");
    }
}

#[test]
fn no_cause_and_no_action_are_answers_and_no_decision() {
    let court = Court::of(Engine::Redis, lowered());
    for (answer, reason) in [
        (with(answer("unknown", &[]), "/causes/0/evidence", json!([])), "the model names no cause"),
        (answer("maxmemory-lowered", &[]), "the model proposes no action"),
    ] {
        assert_eq!(court.judge(&answer), Err(Refusal::NoDecision(reason.into())));
    }
}

fn judged(cause: &'static str, grade: Grade) -> JudgedCause {
    JudgedCause {
        cause: cause.into(),
        grade,
        because: "so".into(),
        evidence: vec!["e1".into()],
        missing: Some("the log".into()),
    }
}

#[test]
fn what_is_confirmed_goes_first_and_what_is_inconclusive_not_at_all() {
    use Grade::{Confirmed, Inconclusive, Likely};
    let why = |grade, other| {
        let causes = vec![judged("leak-oom", grade), judged("big-key", other)];
        let all = Diagnosis { causes, evidence: vec![], summary: String::new() };
        may_be_acted_on(&all.causes[0], &all).err()
    };
    assert_eq!(why(Confirmed, Confirmed), None);
    assert_eq!(why(Likely, Likely), None, "which of two likely ones is the model's to say");
    assert_eq!(
        why(Likely, Confirmed).unwrap(),
        "leak-oom is only likely, and big-key is confirmed"
    );
    let open = why(Inconclusive, Inconclusive).unwrap();
    assert_eq!(open, "leak-oom is inconclusive; to settle it: the log");
}

#[test]
fn what_was_tried_does_not_come_again() {
    let mut court = Court::of(Engine::Redis, lowered_and_leaking());
    court.judge(&good()).unwrap();
    court.incident.tried.push(Tried {
        cause: "maxmemory-lowered".into(),
        actions: vec!["reset_redis_setting".into()],
        outcome: "no".into(),
    });
    let said = court.refusal(&good());
    assert!(said.contains("already tried"), "{said}");
}

#[test]
fn the_order_of_remedies_is_the_playbooks() {
    let court = Court::of(Engine::Redis, leak());
    let accepted =
        court.judge(&answer("leak-oom", &["kill_redis_clients", "unlink_keys"])).unwrap();
    assert_eq!(accepted.candidate.actions(), "kill_redis_clients and unlink_keys");
    let said = court.refusal(&answer("leak-oom", &["clear_redis_cache"]));
    assert!(said.contains("clear_redis_cache"), "{said}");
}

#[test]
fn arguments_may_be_narrower_and_never_wider() {
    let idle = [sessions(1, 12, "idle", 3.0), sessions(40, 2, "active", 0.1)].concat();
    let court = Court::of(Engine::Postgres, postgres(FindingKind::ClientsRefused, idle));
    let good = answer("idle-leak", &["kill_idle_connections"]);
    let all = court.judge(&good).unwrap().candidate.steps[0].1["sessions"].clone();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 12);
    let some = json!([all[0], all[3]]);
    let narrowed = with(good.clone(), "/actions/0/arguments", argument("sessions", &some));
    assert_eq!(court.judge(&narrowed).unwrap().candidate.steps[0].1["sessions"], some);
    let mut stranger = all[0].clone();
    stranger["pid"] = json!(40);
    for wider in [json!([all[0], stranger]), json!([]), json!("all"), json!([{"pid": 1}])] {
        let answer = with(good.clone(), "/actions/0/arguments", argument("sessions", &wider));
        assert!(court.refusal(&answer).contains("not within"), "{wider}");
    }
}

#[test]
fn figures_stay_within_what_was_observed() {
    for (name, given, fits) in [
        ("max", json!(10), true),
        ("max", json!(12), true),
        ("max", json!(13), false),
        ("max", json!(-1), false),
        ("max", json!("10"), false),
        ("min_idle_s", json!(12), true),
        ("min_idle_s", json!(99), true),
        ("min_idle_s", json!(1), false),
    ] {
        assert_eq!(is_within(name, &given, &json!(12)), fits, "{name} {given}");
    }
}
