//! Somebody demands more connected replicas than there are: every write is refused.

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

pub(super) struct MinReplicas;

const SETTING: &str = "min-replicas-to-write";
const DEMANDED: &str = "1";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "min-replicas",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "More replicas demanded than there are",
    about: "Sets min-replicas-to-write to 1 on a server without replicas. Writes are refused, reads go on.",
    finding: FindingKind::WritesRefused,
    cause: "min-replicas",
    fixed_by: &["reset_redis_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "every other setting"],
    undo: &[
        "CONFIG SET min-replicas-to-write back to the value it had, unless somebody did already",
    ],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for MinReplicas {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec!["CONFIG SET min-replicas-to-write 1".into()]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let original = redis_state::setting(&mut con, SETTING).await?;
        let replicas = redis_state::info(&mut con, "replication", "connected_slaves").await?;
        if original == DEMANDED || replicas != "0" {
            return Err(FaultError::Precondition(format!(
                "{} has replicas, or demands some already",
                server.target.id
            )));
        }
        Ok(Saved::from([(SETTING.into(), json!(original))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        text(saved, SETTING)?;
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::set(&mut con, SETTING, DEMANDED).await?;
        progress("a replica is demanded that is not there".into());
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::write_refused(&mut con, "NOREPLICAS").await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::set_back(&mut con, SETTING, DEMANDED, text(saved, SETTING)?).await
    }
}
