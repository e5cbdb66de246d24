//! A script that has written and runs on and on: Redis refuses to kill it, so that no half of its work stays.

use std::time::Duration;

use async_trait::async_trait;

use super::script::{self, Kind};
use super::{ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct BusyScriptWrote;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "busy-script-wrote",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Expires,
    title: "A script that has written and does not end",
    about: "Runs a Lua script that sets one key of its own and then only reads the clock, over and over. SCRIPT KILL is \
            refused; the script ends by itself, or the server is stopped without saving.",
    finding: FindingKind::ProbeFailing,
    cause: "busy-script-wrote",
    fixed_by: &["stop_redis_nosave"],
    params: script::PARAMS,
    risk: Risk::High,
    untouched: &["every other key", "the connections of clients, which wait or are told"],
    undo: &[
        "wait for the end of the script, and UNLINK its key",
        "CONFIG SET busy-reply-threshold back to the value it had",
    ],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for BusyScriptWrote {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, params: &Params) -> Vec<String> {
        script::calls(Kind::Writes, params)
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
        script::inject(server, Kind::Writes, params, saved, progress).await
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
