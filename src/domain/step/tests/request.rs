//! What a person asks for: when it may wait, how it ends, and that it disturbs nothing else.

use super::story::investigation;
use super::*;
use crate::domain::effect::Ordered;
use crate::domain::incident::Request;
use crate::domain::proposal::Draft;
use crate::domain::step::actor;

fn draft(risk: Risk) -> Draft {
    let plan = investigation(risk).plan.unwrap();
    Draft { cause: Request::CAUSE, ..plan }
}

fn ask_on(story: &mut Story, target: TargetId, risk: Risk) -> Result<Accepted, String> {
    let reason = "before the upgrade".to_owned();
    let request = Request { action: ActionId::of("unlink_keys"), args: BTreeMap::new(), reason };
    let input = Input::Requested { actor: "ops1".into(), target, request, draft: draft(risk) };
    story.say(input).expect("it is answered").map_err(|refused| refused.reason)
}

fn ask(story: &mut Story, risk: Risk) -> Result<Accepted, String> {
    ask_on(story, REDIS, risk)
}

fn asked(risk: Risk) -> Story {
    let mut story = Story::new();
    super::make_healthy(&mut story);
    ask(&mut story, risk).unwrap();
    story
}

#[test]
fn what_is_asked_for_waits_runs_is_proven_and_can_be_taken_back() {
    let mut story = Story::new();
    super::make_healthy(&mut story);
    let accepted = ask(&mut story, Risk::Low).unwrap();
    let print = story.fingerprint();
    let short = &print[..6];
    let said = format!(
        "INC-0001 waits for approval: unlink_keys on redis-test, low risk, proposal {short}"
    );
    assert_eq!((accepted.message, accepted.incident), (said, Some(1)));
    assert!(story.effects.is_empty(), "nothing runs without a decision: {:?}", story.effects);
    let incident = story.incident();
    assert_eq!((&*incident.source, incident.finding), ("ops1", FindingKind::Requested));
    assert_eq!(incident.message, "ops1 asks for unlink_keys: before the upgrade");
    assert_eq!((incident.cause(), incident.subject()), (None, Some("unlink_keys")));
    assert!(story.approve("000000", None).unwrap_err().contains("names no proposal"));
    story.approve(&print, None).unwrap();
    story.ready();
    story.ran(true);
    assert!(story.lines().iter().any(|line| line.contains("what was asked for is done")));
    story.measured(Some(true));
    assert_eq!(story.statuses(), ["triage", "investigating", "fixing", "resolved"]);
    story.order(Command::Undo { incident: 1, typed: Some("redis-test".into()) }).unwrap();
    assert!(matches!(story.effects[..], [Effect::Undo { .. }]), "{:?}", story.effects);
    story.after_crash();
}

#[test]
fn whoever_asks_does_not_approve_where_two_people_are_wanted() {
    let mut story = asked(Risk::Low);
    story.world.limits.two_people = true;
    let print = story.fingerprint();
    let refused = story.approve(&print, None).unwrap_err();
    assert!(refused.contains("ops1 asked for it, so somebody else approves it"), "{refused}");
    assert!(story.effects.is_empty(), "{:?}", story.effects);
    let command = Command::Approve { incident: 1, fingerprint: print, typed: None, seen: None };
    let other = Ordered { actor: "ops2".into(), command };
    story.say(Input::Command(other)).expect("it is answered").unwrap();
    assert!(matches!(story.effects[..], [Effect::Recheck { .. }]), "{:?}", story.effects);
}

#[test]
fn what_somebodys_agent_asked_for_was_asked_by_them() {
    let mut story = asked(Risk::Low);
    story.world.limits.two_people = true;
    for incident in story.world.ledger.incidents.values_mut() {
        incident.source = actor::through_an_agent("ops1");
    }
    let print = story.fingerprint();
    let refused = story.approve(&print, None).unwrap_err();
    assert!(refused.contains("somebody else approves it"), "{refused}");
}

#[test]
fn the_decision_itself_never_previews() {
    let mut story = Story::new();
    let (target, action) = (REDIS, ActionId::of("unlink_keys"));
    let refused = story.order(Command::Propose {
        target,
        action,
        args: BTreeMap::new(),
        reason: String::new(),
    });
    assert!(refused.unwrap_err().contains("was not previewed"));
    assert!(story.log.is_empty() && story.effects.is_empty());
}

#[test]
fn a_request_that_cannot_be_decided_is_refused_and_leaves_nothing() {
    type Arrange<'a> = &'a dyn Fn(&mut Story);
    let forbidding = |story: &mut Story| {
        let rule =
            Rule { name: "never".into(), demand: Some(Demand::Forbidden), ..Rule::default() };
        story.world.policy.rules.push(rule);
    };
    let failing = |story: &mut Story| {
        let (action, last_used) = (ActionId::of("unlink_keys"), story.now);
        story.world.ledger.breakers.push(Breaker { target: REDIS, action, failures: 3, last_used });
    };
    let asked = |story: &mut Story| drop(ask(story, Risk::Low));
    let begun = |story: &mut Story| {
        ask(story, Risk::Low).unwrap();
        story.begin();
    };
    let failed = |story: &mut Story| {
        begun(story);
        story.ran(true);
        story.measured(Some(false));
        story.taken_back(true);
    };
    let cases: &[(Arrange<'_>, &str)] = &[
        (&forbidding, "the policy forbids it (never)"),
        (&failing, "unlink_keys failed 3 times in a row on redis-test"),
        (&|s| s.world.remediation = RemediationMode::Advisory, "remediation mode advisory"),
        (&|s| s.world.remediation = RemediationMode::Manual, "remediation mode manual"),
        (
            &asked,
            "INC-0001 (unlink_keys, asked for by ops1) waits for a decision on redis-test; approve or reject it first",
        ),
        (&begun, "is under way on redis-test; wait for its end first"),
        (&failed, "needs a person on redis-test; retry or resolve it first"),
    ];
    for (arrange, said) in cases {
        let mut story = Story::new();
        super::make_healthy(&mut story);
        arrange(&mut story);
        let before = story.log.len();
        let refused = ask(&mut story, Risk::Low).unwrap_err();
        assert!(refused.contains(said), "{refused}");
        assert_eq!(story.log.len(), before, "{said}");
        assert!(story.effects.is_empty(), "{said}: {:?}", story.effects);
    }
    let mut story = Story::new();
    let elsewhere = TargetId::of("elsewhere");
    assert!(ask_on(&mut story, elsewhere, Risk::Low).unwrap_err().contains("is not watched here"));
}

#[test]
fn what_never_ran_leaves_nothing_to_do() {
    type Act<'a> = &'a dyn Fn(&mut Story);
    let reject = |story: &mut Story| {
        let reason = "not now".into();
        story.order(Command::Reject { incident: 1, fingerprint: None, reason }).unwrap();
    };
    let drifts = |story: &mut Story| {
        let print = story.fingerprint();
        story.approve(&print, None).unwrap();
        let (incident, execution) = story.active();
        let result = Err("keys was 5 and is now 9".to_owned());
        story.say(Input::Rechecked { incident, execution, step: 0, result });
        let (incident, execution, revision) = story.thinking();
        let mut result = investigation(Risk::Low);
        result.plan = Err("there are no such keys".into());
        story.say(Input::Diagnosed { incident, execution, revision, result });
    };
    let cases: &[(Act<'_>, &str)] = &[
        (&reject, "nothing ran: denied by ops1: not now"),
        (&|s| drop(s.later(300).say(Input::Tick)), "nothing ran: nobody decided"),
        (&|s| drop(s.order(Command::Stop { incident: 1 })), "stopped by ops1 before anything ran"),
        (&drifts, "nothing ran: there are no such keys"),
    ];
    for (act, said) in cases {
        let mut story = asked(Risk::Low);
        act(&mut story);
        assert_eq!(story.incident().status, Status::Resolved, "{said}");
        let ends = |event: &Event| {
            let EventBody::IncidentResolved { reason, .. } = &event.body else { return None };
            Some(reason.clone())
        };
        let reason = story.log.iter().find_map(ends).unwrap();
        assert!(reason.contains(said), "{reason}");
        assert_eq!(story.count("action_started"), 0);
        assert!(story.incident().diagnosis.is_none(), "nobody diagnosed anything");
        ask(&mut story, Risk::Low).expect("the next one may be asked for");
        story.after_crash();
    }
}

#[test]
fn what_ran_and_is_not_proven_is_taken_back_and_needs_a_person() {
    let mut story = asked(Risk::Low);
    story.begin();
    story.ran(true);
    story.measured(Some(false));
    assert!(matches!(story.effects[..], [Effect::Undo { .. }]), "{:?}", story.effects);
    story.taken_back(true);
    assert_eq!(story.incident().status, Status::Failed);
    assert!(!story.effects.iter().any(|effect| matches!(effect, Effect::Investigate { .. })));
    // A person may have it previewed and asked about once more.
    story.order(Command::Retry { incident: 1 }).unwrap();
    let [Effect::Investigate { ref incident, .. }] = story.effects[..] else {
        panic!("{:?}", story.effects)
    };
    assert!(incident.request.is_some());
    story.propose(Risk::Low);
    assert_eq!(story.state(), Some(ExecutionState::AwaitingApproval));
    story.after_crash();
}

#[test]
fn a_healthy_target_does_not_end_it_and_trouble_does_not_take_it_over() {
    let mut story = asked(Risk::Low);
    for _ in 0..40 {
        story.later(1);
        super::make_healthy(&mut story);
    }
    assert_eq!(story.state(), Some(ExecutionState::AwaitingApproval));
    let print = story.fingerprint();
    for _ in 0..2 {
        story.now += TimeDelta::milliseconds(250);
        let sample = refused_write(story.now);
        story.say(Input::Sampled { target: REDIS, sample });
    }
    let kinds: Vec<_> =
        story.world.ledger.open_on(&REDIS).iter().map(|open| open.finding).collect();
    assert_eq!(kinds, [FindingKind::Requested, FindingKind::WritesRefused]);
    story.approve(&print, None).expect("it may be carried out while something else is wrong");
}

#[test]
fn a_request_explains_no_symptom_of_another_incident() {
    let mut story = Story::begun(Risk::Low);
    ask(&mut story, Risk::Low).unwrap();
    story.ran(true);
    let goal = story.effects.iter().find_map(|effect| {
        let Effect::Verify { goal, .. } = effect else { return None };
        Some(goal.clone())
    });
    assert!(goal.unwrap().besides.is_empty());
}

#[test]
fn the_policy_may_let_it_run_by_itself() {
    let mut story = Story::new();
    super::make_healthy(&mut story);
    story.world.remediation = RemediationMode::Automatic;
    let rule = Rule { name: "all".into(), demand: Some(Demand::Automatic), ..Rule::default() };
    story.world.policy.rules.push(rule);
    let accepted = ask(&mut story, Risk::Low).unwrap();
    assert!(accepted.message.contains("runs by policy (all)"), "{}", accepted.message);
    assert!(matches!(story.effects[..], [Effect::Recheck { .. }]), "{:?}", story.effects);
}
