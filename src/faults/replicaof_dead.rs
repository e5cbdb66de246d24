//! Somebody makes the server a replica of one that is not there: it takes no writes any more.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::text;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    redis_state,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct ReplicaofDead;

const ROLE: &str = "role";
/// An address of a private network that no lab has; a live server there would replace the data.
const HOST: &str = "10.255.255.1";
const PORT: &str = "6379";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "replicaof-dead",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "A replica of nobody",
    about: "Makes the server a replica of an address that nobody answers at. Reads go on with the data it has, writes are refused.",
    finding: FindingKind::WritesRefused,
    cause: "replicaof-dead",
    fixed_by: &["detach_replica"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "every setting"],
    undo: &["REPLICAOF NO ONE, unless it follows another master by now"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for ReplicaofDead {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![format!("REPLICAOF {HOST} {PORT}")]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let role = redis_state::info(&mut con, "replication", "role").await?;
        if role != "master" {
            let text = format!("{} is a replica already", server.target.id);
            return Err(FaultError::Precondition(text));
        }
        Ok(Saved::from([(ROLE.into(), json!(role))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        text(saved, ROLE)?;
        let mut con = reach::redis(server, reach::OURS).await?;
        let () = reach::ask(&mut con, &["REPLICAOF", HOST, PORT]).await?;
        progress(format!("it follows {HOST}, where nobody is"));
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::write_refused(&mut con, "READONLY").await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        text(saved, ROLE)?;
        let mut con = reach::redis(server, reach::OURS).await?;
        if redis_state::setting(&mut con, "replicaof").await? == format!("{HOST} {PORT}") {
            let () = reach::ask(&mut con, &["REPLICAOF", "NO", "ONE"]).await?;
        }
        Ok(())
    }
}
