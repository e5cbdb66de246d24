//! The disk is full when Redis appends to its file: it refuses writes until it can append again.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{number, text};
use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier,
    full_volume, reach, redis_state,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::redis::HEARTBEAT_KEY;
use crate::targets::{Server, disk};

pub(super) struct AofEnospc;

const APPEND: &str = "appendonly";
const DIR: &str = "dir";
const RESERVE: &str = "reserve";
const FILES: &str = "files";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "aof-enospc",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: IN_CONTAINERS,
    engine: Some(Engine::Redis),
    class: Class::Persists,
    title: "No room for the append-only file",
    about: "Turns the append-only file on and fills the bounded data volume with ballast. The next write cannot be \
            appended, and Redis refuses further ones until it can.",
    finding: FindingKind::WritesRefused,
    cause: "aof-enospc",
    fixed_by: &["free_space"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "the reserve"],
    undo: &["rm the ballast", "CONFIG SET appendonly no, and rm the append-only files it made"],
    takes_within: Duration::from_secs(10),
};

#[async_trait]
impl Fault for AofEnospc {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            "CONFIG SET appendonly yes".into(),
            format!("dd if=/dev/zero of=<dir>/{} until the volume is full", disk::BALLAST),
            format!("SET {HEARTBEAT_KEY} 0 EX 60, again and again"),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let volume = full_volume::fillable(server, &mut con).await?;
        let name = redis_state::setting(&mut con, "appenddirname").await?;
        let files = disk::path(&volume.dir, &name);
        if redis_state::setting(&mut con, APPEND).await? == "yes"
            || full_volume::exists(server, &files).await?
        {
            let text = format!("{} has an append-only file already", server.target.id);
            return Err(FaultError::Precondition(text));
        }
        Ok(Saved::from([
            (RESERVE.into(), json!(full_volume::reserve(&volume))),
            (DIR.into(), json!(volume.dir)),
            (FILES.into(), json!(files)),
        ]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::set(&mut con, APPEND, "yes").await?;
        full_volume::wait_for_child(&mut con).await?;
        progress("the append-only file is on".into());
        let bytes = full_volume::fill(server, text(saved, DIR)?).await?;
        progress(format!("{} kB of ballast, the volume is full", bytes >> 10));
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
        full_volume::wait_for_child(&mut con).await?;
        redis_state::set_back(&mut con, APPEND, "yes", "no").await?;
        full_volume::remove(server, text(saved, FILES)?).await
    }
}
