//! What the workbench does stands in the records in the name of who agreed to it.

use uuid::Uuid;

use super::*;
use crate::domain::ids::Fingerprint;
use crate::domain::job::{Entry, Job, JobEnd};

#[test]
fn a_job_is_recorded_as_it_was_told_and_moves_nothing_else() {
    let mut story = Story::opened();
    let (before, ledger) = (story.log.len(), story.world.ledger.incidents.clone());
    let job = Job {
        id: Uuid::from_u128(7),
        what: "query".into(),
        database: "shop".into(),
        commands: vec!["delete from t where id = ?".into()],
        fingerprint: Fingerprint("abc123".into()),
        permitted: "--yes".into(),
    };
    let end = JobEnd { ok: true, rows: Some(3), lsn: Some("0/1".into()), error: None };
    let started = Entry::Started(job.clone());
    let ended = Entry::Ended { job: job.id, end: end.clone() };
    // A server that is in no configuration has records too.
    let target = TargetId::of("10.0.0.5:5432");
    for entry in [started, ended] {
        story.order(Command::Record { target: target.clone(), entry }).unwrap();
        assert!(story.effects.is_empty());
    }
    let [began, over] = &story.log[before..] else { panic!("two events") };
    assert_eq!(began.body, EventBody::JobStarted { job: job.clone() });
    assert_eq!(over.body, EventBody::JobEnded { job: job.id, end });
    assert_eq!((began.incident, began.target.as_ref()), (None, Some(&target)));
    assert_eq!(story.world.ledger.incidents, ledger);
}
