//! A script that runs on and on: every other command is answered with BUSY until it ends or is killed.

use std::time::Duration;

use async_trait::async_trait;

use super::script::{self, Kind};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct BusyScript;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "busy-script",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Expires,
    title: "A script that does not end",
    about: "Runs a Lua script that only reads the clock, over and over. Redis does nothing else meanwhile; it says so \
            to everybody and would kill the script when told to.",
    finding: FindingKind::ProbeFailing,
    cause: "busy-script",
    fixed_by: &["kill_redis_script"],
    params: script::PARAMS,
    risk: Risk::Medium,
    untouched: &["every key", "the connections of clients, which wait or are told"],
    undo: &[
        "SCRIPT KILL, or wait for the end of the script",
        "CONFIG SET busy-reply-threshold back to the value it had",
    ],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for BusyScript {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, params: &Params) -> Vec<String> {
        script::calls(Kind::Reads, params)
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        script::save(server, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        script::inject(server, Kind::Reads, params, saved, progress).await
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        script::took(server).await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        script::revert(server, saved).await
    }
}
