//! Asking and measuring once more because a person wants to know.

use super::*;
use crate::domain::execution::Check;
use crate::domain::health::Health;
use crate::domain::proposal::Preview;

#[test]
fn a_probe_asks_and_records_nothing() {
    let mut story = Story::new();
    for target in [None, Some(REDIS)] {
        let accepted = story.order(Command::Probe { target }).unwrap();
        assert_eq!(accepted.message, "asking redis-test");
        assert_eq!(story.effects, [Effect::Probe { target: REDIS }]);
    }
    let elsewhere = Some(TargetId::of("elsewhere"));
    let refused = story.order(Command::Probe { target: elsewhere }).unwrap_err();
    assert_eq!(refused, "elsewhere is not watched here; watched are: redis-test");
    assert!(story.effects.is_empty() && story.log.is_empty());
}

fn reverify(story: &mut Story) -> Result<Accepted, String> {
    story.order(Command::Reverify { incident: 1 })
}

/// The proof of the execution that acted arrives, whether it is over or not.
fn measured_again(story: &mut Story, passed: Option<bool>) {
    let incident = story.incident();
    let (id, execution) = (incident.id, incident.last_that_acted().unwrap().id);
    let check = Check { name: "it writes".into(), passed, detail: "as measured".into() };
    let checks = vec![check];
    let health_after = Health::Score(97);
    let verification = Verification { checks, rounds: 3, health_after, ..Verification::default() };
    story.say(Input::Verified { incident: id, execution, verification });
}

#[test]
fn a_fix_that_is_proven_later_resolves_what_had_failed() {
    for given in [Story::failed as fn() -> Story, stopped, looking_again] {
        let mut story = given();
        let was = story.incident().last_that_acted().unwrap().state;
        reverify(&mut story).unwrap();
        let [Effect::Verify { ref steps, .. }] = story.effects[..] else {
            panic!("{:?}", story.effects)
        };
        assert_eq!(steps.len(), 1);
        assert!(reverify(&mut story).unwrap_err().contains("is being verified already"));
        measured_again(&mut story, Some(true));
        assert_eq!(story.incident().status, Status::Resolved);
        assert_eq!(story.incident().health_at_end, Some(Health::Score(97)));
        assert!(story.incident().active_execution().is_none());
        let acted = story.incident().last_that_acted().unwrap();
        assert_eq!(acted.state, was, "how it went stays on record");
        assert!(acted.verification.as_ref().unwrap().passed());
        assert!(matches!(story.effects.last(), Some(Effect::Report { .. })));
        story.after_crash();
    }
}

/// A person ended it after its first step.
fn stopped() -> Story {
    let mut story = Story::begun(Risk::Low);
    story.order(Command::Stop { incident: 1 }).unwrap();
    story.ran(true);
    story
}

/// The fix was not proven, and the agent thinks of another.
fn looking_again() -> Story {
    let mut story = Story::begun(Risk::Low);
    story.ran(true);
    story.measured(Some(false));
    story.taken_back(true);
    assert_eq!(story.state(), Some(ExecutionState::Thinking));
    story
}

#[test]
fn what_is_not_proven_again_stays_as_it_is() {
    for passed in [Some(false), None] {
        let mut story = Story::failed();
        let before = story.incident().clone();
        reverify(&mut story).unwrap();
        measured_again(&mut story, passed);
        assert!(story.effects.is_empty(), "{:?}", story.effects);
        let after = story.incident();
        assert_eq!((after.status, &after.failure_reason), (Status::Failed, &before.failure_reason));
        assert_eq!(after.executions.len(), before.executions.len());
        assert!(story.lines().last().unwrap().starts_with("FAIL"));
        reverify(&mut story).unwrap();
    }
}

#[test]
fn a_proof_that_overlaps_with_another_action_resolves_nothing() {
    let mut story = looking_again();
    reverify(&mut story).unwrap();
    let (incident, execution, revision) = story.thinking();
    let result = investigation_of(&[("clear_redis_cache", Risk::Low)]);
    story.say(Input::Diagnosed { incident, execution, revision, result });
    let (first, print) = (story.incident().executions[0].id, story.fingerprint());
    story.approve(&print, None).unwrap();
    let check = Check { name: "it writes".into(), passed: Some(true), detail: String::new() };
    let verification = Verification { checks: vec![check], rounds: 1, ..Verification::default() };
    story.say(Input::Verified { incident, execution: first, verification });
    assert_eq!(story.incident().status, Status::Fixing);
    assert!(story.lines().last().unwrap().contains("its own proof counts"));
}

#[test]
fn a_proof_without_an_end_is_given_up_and_a_crash_forgets_it() {
    let mut story = Story::failed();
    reverify(&mut story).unwrap();
    assert!(story.after_crash().effects.is_empty());
    story.later(121).say(Input::Tick);
    assert!(matches!(story.effects[..], [Effect::Cancel { .. }]));
    measured_again(&mut story, Some(true));
    assert_eq!(story.incident().status, Status::Failed, "what comes late is not believed");
    reverify(&mut story).unwrap();
}

#[test]
fn a_verification_is_refused_with_the_reason() {
    type Case<'a> = (fn() -> Story, &'a str);
    let cases: &[Case<'_>] = &[
        (|| Story::proposed(Risk::Low), "nothing was executed for INC-0001 yet"),
        (|| Story::begun(Risk::Low), "an action for INC-0001 still runs on redis-test"),
        (
            || {
                let mut story = Story::begun(Risk::Low);
                story.ran(true);
                story
            },
            "is being verified already",
        ),
        (Story::resolved, "INC-0001 is resolved"),
        (Story::new, "INC-0001 is not open"),
    ];
    for (given, reason) in cases {
        let mut story = given();
        let refused = reverify(&mut story).expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
        assert!(story.effects.is_empty(), "{reason}");
    }
}

fn dry_run(story: &mut Story) -> Result<Accepted, String> {
    let fingerprint = story.fingerprint();
    story.order(Command::DryRun { incident: 1, fingerprint })
}

fn dry_ran(story: &mut Story, effect: &Effect, result: Result<Vec<Preview>, String>) {
    let Effect::DryRun { incident, execution, fingerprint, .. } = effect else {
        panic!("{effect:?}")
    };
    let (incident, execution) = (*incident, *execution);
    story.say(Input::DryRan { incident, execution, fingerprint: fingerprint.clone(), result });
}

#[test]
fn a_dry_run_tells_what_would_run_and_leaves_the_proposal_waiting() {
    let mut story = Story::proposed(Risk::High);
    let print = story.fingerprint();
    dry_run(&mut story).unwrap();
    let [ref effect @ Effect::DryRun { ref steps, .. }] = story.effects[..] else {
        panic!("{:?}", story.effects)
    };
    let (effect, preview) = (effect.clone(), steps[0].preview.clone());
    dry_ran(&mut story, &effect, Ok(vec![preview]));
    let said = story.lines();
    let [.., step, command, result] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(step, "dry run 1/1  unlink_keys");
    assert_eq!(command, "redis-cli unlink_keys");
    assert_eq!(result, "dry run: as it was shown; nothing ran");
    assert_eq!(story.count("action_started"), 0);
    story.approve(&print, Some("redis-test")).unwrap();

    // It was decided meanwhile: the check right before acting is what counts.
    dry_ran(&mut story, &effect, Err("keys was 5 and is now 9".into()));
    assert_eq!(story.state(), Some(ExecutionState::Previewing));
    assert!(story.effects.is_empty());
}

#[test]
fn a_dry_run_that_differs_voids_the_proposal() {
    let mut story = Story::proposed(Risk::Low);
    let print = story.fingerprint();
    dry_run(&mut story).unwrap();
    let effect = story.effects[0].clone();
    dry_ran(&mut story, &effect, Err("keys was 5 and is now 9".into()));
    assert_eq!(story.state(), Some(ExecutionState::Thinking));
    assert!(matches!(story.effects[..], [Effect::Investigate { .. }]));
    let text = "the proposal no longer fits, nothing ran: keys was 5 and is now 9";
    assert!(story.lines().contains(&text.to_owned()), "{:?}", story.lines());
    let superseded = |event: &Event| matches!(&event.body, EventBody::Decided { approval, .. } if matches!(approval.decision, Decision::Superseded { .. }));
    assert!(story.log.iter().any(superseded));
    assert!(story.approve(&print, None).is_err());
    // The answer to a proposal that is gone changes nothing.
    story.propose(Risk::High);
    dry_ran(&mut story, &effect, Err("again".into()));
    assert_eq!(story.state(), Some(ExecutionState::AwaitingApproval));
}

#[test]
fn a_dry_run_is_for_what_waits() {
    let mut story = Story::proposed(Risk::Low);
    let other = Command::DryRun { incident: 1, fingerprint: "000000".into() };
    assert!(story.order(other).unwrap_err().contains("names no proposal"));
    let print = story.fingerprint();
    story.approve(&print, None).unwrap();
    let late = Command::DryRun { incident: 1, fingerprint: print };
    assert!(story.order(late.clone()).unwrap_err().contains("is decided already"));
    assert!(story.effects.is_empty());
    assert!(Story::resolved().order(late).unwrap_err().contains("is resolved"));
}
