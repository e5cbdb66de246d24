//! What a model said is recorded, and said again without a network.

use super::super::watched::{Watched, waits};
use super::*;

async fn proposal(advisor: Advisor) -> (String, String) {
    let watched = Watched::advised(Some(advisor), &[]).await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let waiting = watched.incident(1, waits).await;
    let execution = &waiting.executions[0];
    let actions = execution.proposal.as_ref().expect("a proposal").draft.actions();
    watched.engine.stop("the test is over").await;
    (execution.agent.clone(), actions)
}

#[tokio::test]
async fn a_recording_is_replayed_without_a_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("tape.jsonl");
    let server = Scripted::start(plain_script(good_answer));
    let recording = advisor(&server, &format!("record = {:?}", file.display().to_string()));
    let first = proposal(recording).await;
    assert_eq!(server.asked().len(), 3);
    let tape = std::fs::read_to_string(&file).expect("a recording");
    assert_eq!(tape.lines().count(), 3);
    assert!(!tape.contains(KEY), "a secret in the recording");

    let replaying = advisor(&server, &format!("replay = {:?}", file.display().to_string()));
    assert_eq!(proposal(replaying).await, first);
    assert_eq!(server.asked().len(), 3, "nothing went over the network");
}

#[tokio::test]
async fn a_recording_of_something_else_leaves_it_to_the_playbook() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("tape.jsonl");
    std::fs::write(&file, "").expect("an empty recording");
    let server = Scripted::start(|_, _| Play::Hang);
    let replaying = advisor(&server, &format!("replay = {:?}", file.display().to_string()));
    assert_eq!(proposal(replaying).await, ("playbook".into(), "reset_redis_setting".into()));
}
