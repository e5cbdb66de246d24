//! Somebody switches the default user off: new clients are turned away, those who were in stay in.

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

pub(super) struct UserOff;

const PASSWORD: &str = "password";
const USER: &str = "user";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "user-off",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "The default user switched off",
    about: "Switches the user `default` off. New connections are refused; those that were open go on. A user of its own lets it in again to undo that.",
    finding: FindingKind::ProbeFailing,
    cause: "user-off",
    fixed_by: &["reset_redis_acl"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "connections that are open", "every setting"],
    undo: &[
        "ACL SETUSER default on, unless somebody did already",
        "ACL DELUSER of the user it made",
    ],
    takes_within: Duration::from_secs(2),
};

#[async_trait]
impl Fault for UserOff {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            "ACL SETUSER <user> on ><password> +acl +ping +client, to get in again".into(),
            "ACL SETUSER default off".into(),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        let mut con = reach::redis(server, reach::OURS).await?;
        let users = redis_state::users(&mut con).await?;
        let default = users.iter().find(|(name, _)| name == "acl user default");
        if !default.is_some_and(|(_, rule)| rule.starts_with("on nopass ")) {
            return Err(FaultError::Precondition(format!(
                "the default user of {} is not on, or has a password",
                server.target.id
            )));
        }
        Ok(Saved::from([
            (USER.into(), json!(words::program(seed))),
            (PASSWORD.into(), json!(words::secret(seed))),
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
        let password = format!(">{}", text(saved, PASSWORD)?);
        let user =
            ["ACL", "SETUSER", text(saved, USER)?, "on", &password, "+acl", "+ping", "+client"];
        let () = reach::ask(&mut con, &user).await?;
        let () = reach::ask(&mut con, &["ACL", "SETUSER", "default", "off"]).await?;
        progress("the default user is off".into());
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
        let user = text(saved, USER)?;
        let mut con = if reach::turned_away(server).await?.is_none() {
            reach::redis(server, reach::OURS).await?
        } else {
            let mut con = reach::redis_as(server, Some(user), text(saved, PASSWORD)?).await?;
            let () = reach::ask(&mut con, &["ACL", "SETUSER", "default", "on"]).await?;
            reach::redis(server, reach::OURS).await?
        };
        let _gone: u64 = reach::ask(&mut con, &["ACL", "DELUSER", user]).await?;
        Ok(())
    }
}
