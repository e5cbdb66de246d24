//! Somebody sets a password: new clients are turned away, those who were in stay in.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::text;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    redis_state, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct Requirepass;

const PASSWORD: &str = "password";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "requirepass",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "A password nobody has",
    about: "Sets requirepass to a password that no client has. New connections are refused; those that were open go on.",
    finding: FindingKind::ProbeFailing,
    cause: "requirepass",
    fixed_by: &["reset_redis_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "connections that are open", "every other setting"],
    undo: &[
        "log in with the password it set and CONFIG SET requirepass to nothing, unless somebody did already",
    ],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for Requirepass {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec!["CONFIG SET requirepass <a password made for this injection>".into()]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        if !redis_state::setting(&mut con, "requirepass").await?.is_empty() {
            let text = format!("{} has a password already", server.target.id);
            return Err(FaultError::Precondition(text));
        }
        Ok(Saved::from([(PASSWORD.into(), json!(words::secret(seed)))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        redis_state::set(&mut con, "requirepass", text(saved, PASSWORD)?).await?;
        progress("a password is set".into());
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        reach::locked_out(server).await
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        if reach::turned_away(server).await?.is_none() {
            return Ok(());
        }
        let mut con = reach::redis_as(server, None, text(saved, PASSWORD)?).await?;
        redis_state::set(&mut con, "requirepass", "").await
    }
}
