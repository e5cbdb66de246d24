//! No process can be forked to save a snapshot: Redis refuses writes although its disk has room.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier,
    process_limit, reach, redis_state, snapshot,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;
use crate::targets::redis::HEARTBEAT_KEY;

pub(super) struct ForkFails;

/// After an hour with one change, as a Redis without a configuration has it.
const SAVE_POINT: &str = "3600 1";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "fork-fails",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: IN_CONTAINERS,
    engine: Some(Engine::Redis),
    class: Class::Persists,
    title: "No process can be forked to save",
    about: "Lowers the container's limit of processes to as many as it has and asks for a snapshot. The child that \
            would write it cannot be started, and Redis refuses writes until a snapshot works.",
    finding: FindingKind::WritesRefused,
    cause: "fork-fails",
    fixed_by: &["reset_pids_limit", "save_redis"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "an older snapshot", "the disk"],
    undo: &[
        "set the limit of processes back to what it was, unless somebody did already",
        snapshot::UNDO[0],
        snapshot::UNDO[1],
    ],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for ForkFails {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        process_limit::available(server).await
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            process_limit::call(server),
            format!("CONFIG SET save \"{SAVE_POINT}\""),
            format!("SET {HEARTBEAT_KEY} 0 EX 60, so that there is something to save"),
            "BGSAVE".into(),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let mut saved = Saved::new();
        snapshot::save(server, &mut con, &mut saved).await?;
        process_limit::save(server, &mut saved).await?;
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        process_limit::lower(server, saved, progress).await?;
        snapshot::set_points(&mut con, SAVE_POINT).await?;
        let () = reach::ask(&mut con, &["SET", HEARTBEAT_KEY, "0", "EX", "60"]).await?;
        // That it fails is what it is for; whether it did is seen by its symptom.
        let asked: redis::RedisResult<String> = redis::cmd("BGSAVE").query_async(&mut con).await;
        progress(asked.unwrap_or_else(|error| format!("BGSAVE: {error}")));
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::write_refused(&mut con, "MISCONF").await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        process_limit::raise(server, saved).await?;
        let mut con = reach::redis(server, reach::OURS).await?;
        snapshot::revert(server, &mut con, SAVE_POINT, saved).await
    }
}
