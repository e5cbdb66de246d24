//! What a person orders besides deciding, through a whole engine on a real server.

use simctl::domain::effect::Command;
use simctl::domain::finding::FindingKind;
use simctl::domain::incident::Status;
use simctl::domain::undo::undoable;
use simctl::engine::clock;

use super::watched::{MB, Watched, fingerprint, waits};

#[tokio::test]
async fn what_was_approved_and_proven_is_taken_back_and_the_trouble_is_a_new_incident() {
    let watched = Watched::start().await;
    watched.wait_until_calm().await;
    watched.lower_the_limit().await;
    let waiting = watched.incident(1, waits).await;
    let target = waiting.target.to_string();
    assert_eq!(waiting.finding, FindingKind::WritesRefused);

    let fingerprint = fingerprint(&waiting);
    let dry = Command::DryRun { incident: 1, fingerprint: fingerprint.clone() };
    watched.order(dry).await.expect("a dry run");
    assert_eq!(watched.maxmemory().await, 5 * MB, "nothing ran");
    let typed = Some(target.clone());
    let approve = Command::Approve { incident: 1, fingerprint, typed: typed.clone(), seen: None };
    watched.order(approve).await.expect("approved");
    let resolved = watched.incident(1, |incident| incident.status == Status::Resolved).await;
    assert_eq!(watched.maxmemory().await, 50 * MB);

    let plan = undoable(&resolved, clock::now()).expect("it can be taken back");
    let [command] = plan.lines.as_slice() else { panic!("{:?}", plan.lines) };
    assert!(command.ends_with(&format!("CONFIG SET maxmemory {}", 5 * MB)), "{command}");
    let mistyped = Command::Undo { incident: 1, typed: Some("elsewhere".into()) };
    let refused = watched.order(mistyped).await.expect_err("another name").reason;
    assert!(refused.contains("`elsewhere` was typed"), "{refused}");
    watched.order(Command::Undo { incident: 1, typed }).await.expect("taken back");
    let undone = watched.incident(1, |incident| incident.executions[0].rolled_back).await;
    assert_eq!(watched.maxmemory().await, 5 * MB);
    assert_eq!(undone.status, Status::Resolved);

    let again = watched.incident(2, waits).await;
    assert_eq!(again.finding, FindingKind::WritesRefused);
    watched.order(Command::Stop { incident: 2 }).await.expect("stopped");
    let stopped = watched.incident(2, |incident| incident.status == Status::Failed).await;
    let reason = stopped.failure_reason.clone().unwrap_or_default();
    assert_eq!(reason, "needs a person: stopped by ops1 before anything ran");
    watched.engine.stop("the test is over").await;
}
