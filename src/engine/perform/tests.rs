//! Whatever becomes of a piece of work, somebody is told.

use uuid::Uuid;

use super::*;
use crate::domain::effect::Besides;
use crate::domain::target::{Engine, Periods, Profile, Target, Thresholds};
use crate::targets::redis::RedisLink;
use crate::targets::{Link, Server};

const REDIS: TargetId = TargetId::of("redis-test");

/// A server that nobody has started.
fn watched() -> Watched {
    let target = Target {
        id: REDIS,
        engine: Engine::Redis,
        profile: Profile::Lab,
        lab: None,
        has_runtime: false,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(1),
    };
    let link = RedisLink {
        name: "redis-test".into(),
        host: "127.0.0.1".into(),
        port: 9,
        database: 0,
        user: None,
        password: None,
        tls: None,
        deadline: Duration::from_millis(100),
        kept: Default::default(),
    };
    let periods = Periods::of(Engine::Redis);
    let server = Server { target, periods, link: Link::Redis(link), place: None };
    let probe = server.probe();
    Watched { server, probe, nudges: Arc::default() }
}

async fn performer(
    watched: BTreeMap<TargetId, Watched>,
) -> (Performer, mpsc::UnboundedReceiver<Input>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let url = crate::config::secret::Secret::new("sqlite:");
    let store = crate::store::open(&url, dir.path()).await.expect("a store");
    let (told, results) = mpsc::unbounded_channel();
    (Performer::new(watched, told, store, dir.path().to_owned()), results, dir)
}

fn ids() -> (IncidentId, ExecutionId) {
    (IncidentId(Uuid::nil()), ExecutionId(Uuid::nil()))
}

#[tokio::test]
async fn work_on_a_target_that_is_not_watched_ends_at_once() {
    let (mut performer, mut results, _dir) = performer(BTreeMap::new()).await;
    let (incident, execution) = ids();
    let goal = Goal {
        hold: Duration::from_secs(1),
        above_score: 80.0,
        or_level: None,
        besides: Besides::default(),
    };
    let (target, steps) = (REDIS, Vec::new());
    performer.perform(Effect::Verify { incident, execution, target, steps, goal });
    let Ok(Input::Verified { verification, .. }) = results.try_recv() else { panic!("no answer") };
    assert!(!verification.passed());
    assert!(verification.checks[0].detail.contains("not watched"), "{verification:?}");
    let (target, steps) = (REDIS, Vec::new());
    performer.perform(Effect::Undo { incident, execution, target, steps });
    assert!(matches!(results.try_recv(), Ok(Input::Undone { ok: false, .. })));
}

#[tokio::test]
async fn work_that_panics_is_a_failed_result_and_cancelled_work_is_none() {
    let (mut performer, mut results, _dir) = performer(BTreeMap::from([(REDIS, watched())])).await;
    let (incident, execution) = ids();
    let failed = move |detail| Input::Undone { incident, execution, ok: false, detail };
    performer.start("undo", (incident, execution, &REDIS), failed, async |_, _| panic!("at {}", 7));
    let Some(Input::Undone { detail, .. }) = results.recv().await else { panic!("no answer") };
    assert!(detail.contains("undo broke off") && detail.contains("at 7"), "{detail}");

    performer.start("undo", (incident, execution, &REDIS), failed, async |_, _| {
        std::future::pending().await
    });
    performer.perform(Effect::Cancel { execution });
    performer.tasks.stop().await;
    assert!(results.try_recv().is_err());
}
