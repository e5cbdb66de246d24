//! Somebody pauses the writes of every client: no error, no answer, and reads go on.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Param, Params, Progress, Saved, Tier,
    reach,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;
use crate::targets::redis::HEARTBEAT_KEY;

pub(super) struct ClientPause;

const SECONDS: &str = "seconds";
/// A write that is not answered within this hangs.
const SILENCE: Duration = Duration::from_millis(500);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "client-pause",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Expires,
    title: "Writes held back by CLIENT PAUSE",
    about: "Pauses writes for a bounded time. They wait without an error; reads are answered.",
    finding: FindingKind::WritesRefused,
    cause: "client-pause",
    fixed_by: &["unpause_redis_clients"],
    params: &[Param {
        name: SECONDS,
        about: "how long writes are held back when nobody lets them go on",
        default: 90,
        min: 5,
        max: 90,
    }],
    risk: Risk::Medium,
    untouched: &["every key", "reads", "writes that wait, which are carried out later"],
    undo: &["CLIENT UNPAUSE"],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for ClientPause {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _: Option<&Server>, params: &Params) -> Vec<String> {
        vec![format!("CLIENT PAUSE {} WRITE", params[SECONDS] * 1_000)]
    }

    async fn save(&self, server: &Server, _: &Params, _: u64) -> Result<Saved, FaultError> {
        if hangs(server).await? {
            let text = format!("writes to {} hang already", server.target.id);
            return Err(FaultError::Precondition(text));
        }
        Ok(Saved::new())
    }

    async fn inject(
        &self,
        server: &Server,
        params: &Params,
        _: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let ms = (params[SECONDS] * 1_000).to_string();
        let () = reach::ask(&mut con, &["CLIENT", "PAUSE", &ms, "WRITE"]).await?;
        progress(format!("writes wait for {} s at most", params[SECONDS]));
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        if hangs(server).await? {
            return Ok(format!("a write is not answered within {} ms", SILENCE.as_millis()));
        }
        Err(FaultError::Precondition("a write is still answered".into()))
    }

    async fn revert(&self, server: &Server, _: &Params, _: &Saved) -> Result<(), FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        reach::ask(&mut con, &["CLIENT", "UNPAUSE"]).await
    }
}

/// Whether a write of the key every probe writes waits; the connection goes with the answer it may still get.
async fn hangs(server: &Server) -> Result<bool, FaultError> {
    let mut con = reach::redis(server, reach::OURS).await?;
    con.set_response_timeout(SILENCE);
    let mut set = redis::cmd("SET");
    set.arg(HEARTBEAT_KEY).arg("0").arg("EX").arg(60);
    match set.query_async::<()>(&mut con).await {
        Ok(()) => Ok(false),
        Err(error) if error.is_timeout() => Ok(true),
        Err(error) => Err(FaultError::failed("write a key", error)),
    }
}
