//! Somebody takes the right to write from the default user: reads work, writes are answered with NOPERM.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
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

pub(super) struct AclNoWrite;

const RULE: &str = "rule";
const BROKEN: &str = "on nopass ~* &* +@all -@write";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "acl-no-write",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "The default user may not write",
    about: "Takes every writing command from the user `default`. Reads go on, writes are answered with NOPERM.",
    finding: FindingKind::WritesRefused,
    cause: "acl-no-write",
    fixed_by: &["reset_redis_acl"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "every setting", "every other user"],
    undo: &["ACL SETUSER default +@all, unless somebody did already"],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for AclNoWrite {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec!["ACL SETUSER default -@write".into()]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let rule = default_rule(&mut con).await?;
        if rule != "on nopass ~* &* +@all" {
            return Err(FaultError::Precondition(format!(
                "the rule of the default user of {} is `{rule}`, which could not be put back exactly",
                server.target.id
            )));
        }
        Ok(Saved::from([(RULE.into(), json!(rule))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        text(saved, RULE)?;
        let mut con = reach::redis(server, reach::OURS).await?;
        let () = reach::ask(&mut con, &["ACL", "SETUSER", "default", "-@write"]).await?;
        progress("the default user may not write".into());
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::write_refused(&mut con, "NOPERM").await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        text(saved, RULE)?;
        let mut con = reach::redis(server, reach::OURS).await?;
        if default_rule(&mut con).await? == BROKEN {
            let () = reach::ask(&mut con, &["ACL", "SETUSER", "default", "+@all"]).await?;
        }
        Ok(())
    }
}

async fn default_rule(con: &mut MultiplexedConnection) -> Result<String, FaultError> {
    let users = redis_state::users(con).await?;
    let found = users.into_iter().find(|(name, _)| name == "acl user default");
    Ok(found.map(|(_, rule)| rule).unwrap_or_default())
}
