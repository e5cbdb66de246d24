//! The disk is full when Redis wants to save a snapshot: it refuses writes until one can be saved.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{number, text};
use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier,
    full_volume, reach, redis_state, snapshot,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::redis::HEARTBEAT_KEY;
use crate::targets::{Server, disk};

pub(super) struct RdbEnospc;

/// After five seconds with one change.
const SAVE_POINT: &str = "5 1";
const DIR: &str = "dir";
const RESERVE: &str = "reserve";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "rdb-enospc",
    aliases: &[],
    tier: Tier::First,
    runtimes: IN_CONTAINERS,
    engine: Some(Engine::Redis),
    class: Class::Persists,
    title: "No room to save a snapshot",
    about: "Fills the bounded data volume with ballast and has Redis save snapshots. The first one fails, and Redis \
            refuses writes until one works.",
    finding: FindingKind::WritesRefused,
    cause: "rdb-enospc",
    fixed_by: &["free_space", "save_redis"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "an older snapshot", "the reserve"],
    undo: &["rm the ballast", snapshot::UNDO[0], snapshot::UNDO[1]],
    takes_within: Duration::from_secs(10),
};

#[async_trait]
impl Fault for RdbEnospc {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            format!("dd if=/dev/zero of=<dir>/{} until the volume is full", disk::BALLAST),
            format!("CONFIG SET save \"{SAVE_POINT}\""),
            format!("SET {HEARTBEAT_KEY} 0 EX 60, so that there is something to save"),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        if redis_state::setting(&mut con, "appendonly").await? == "yes" {
            let text =
                format!("{} keeps an append-only file, which would fail too", server.target.id);
            return Err(FaultError::Precondition(text));
        }
        let volume = full_volume::fillable(server, &mut con).await?;
        let mut saved = Saved::from([
            (RESERVE.into(), json!(full_volume::reserve(&volume))),
            (DIR.into(), json!(volume.dir)),
        ]);
        snapshot::save(server, &mut con, &mut saved).await?;
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
        let bytes = full_volume::fill(server, text(saved, DIR)?).await?;
        progress(format!("{} kB of ballast, the volume is full", bytes >> 10));
        snapshot::set_points(&mut con, SAVE_POINT).await?;
        let () = reach::ask(&mut con, &["SET", HEARTBEAT_KEY, "0", "EX", "60"]).await?;
        progress("waiting for the next save".into());
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
        full_volume::empty(server, text(saved, DIR)?, number(saved, RESERVE)?).await?;
        let mut con = reach::redis(server, reach::OURS).await?;
        snapshot::revert(server, &mut con, SAVE_POINT, saved).await
    }
}
