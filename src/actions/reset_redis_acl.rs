//! Puts the rule of one Redis user back to what it was when the server was healthy. Passwords are never touched.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, Words, succeeded, within};
use super::checks::{announced, kept, measured, unmeasured};
use super::redis::Redis;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;
use crate::targets::redis::acl;

const ID: &str = "reset_redis_acl";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(15);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Redis),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Put a user's rule back",
    about: "ACL SETUSER of one user to the rule it had when the server was healthy. Right when the rule was changed; \
            passwords and other users stay as they are.",
    args: &[
        Arg::text("user", "the user's name, like default"),
        Arg::text("rule", "the rule it had, as ACL LIST told it, passwords left out"),
    ],
    needs: &[Need::Redis(&["acl|list", "acl|setuser", "info"])],
    verify: "the user's rule reads back as the baseline",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ResetRedisAcl;

struct Wanted {
    user: String,
    rule: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let user: String = given.required("user", "the name of a user")?;
        let rule: String = given.required("rule", "the rule to go back to, as text")?;
        check(&rule)?;
        Ok(Self { user, rule })
    }

    fn call(&self) -> Call {
        set(&self.user, &self.rule)
    }

    /// The present rule, or why it is not changed.
    async fn current(&self, redis: &mut Redis) -> Result<String, ActionError> {
        let current = rule_of(redis, &self.user).await?;
        if current == self.rule {
            let text = format!("the rule of {} is `{current}` already, as it was", self.user);
            return Err(ActionError::Precondition(text));
        }
        check(&current)?;
        if logins(&current) != logins(&self.rule) {
            return Err(ActionError::Precondition(format!(
                "{} has another kind of login than it had; its password is a person's business",
                self.user
            )));
        }
        Ok(current)
    }
}

/// Selectors are rules within the rule, which this does not take apart.
fn check(rule: &str) -> Result<(), ActionError> {
    let known = |word: &str| {
        matches!(word, "on" | "off" | "nopass" | "sanitize-payload" | "skip-sanitize-payload")
            || word == acl::HIDDEN
            || word.starts_with(['~', '&', '+', '-', '%'])
            || matches!(word, "resetchannels" | "resetkeys" | "allkeys" | "allchannels")
    };
    match rule.split_whitespace().find(|word| !known(word)) {
        None if !rule.trim().is_empty() => Ok(()),
        None => Err(wrong("rule", "is empty")),
        Some(word) => Err(wrong("rule", format!("holds `{word}`, which is not set by itself"))),
    }
}

/// How the user proves who it is: no password, some password, or neither.
fn logins(rule: &str) -> Vec<&str> {
    rule.split_whitespace().filter(|word| *word == "nopass" || *word == acl::HIDDEN).collect()
}

/// One command, so that nobody meets half a rule: what is not in the new one goes first.
fn set(user: &str, rule: &str) -> Call {
    let words = rule.split_whitespace().filter(|word| *word != "nopass" && *word != acl::HIDDEN);
    let start = ["ACL", "SETUSER", user, "resetkeys", "resetchannels", "-@all"];
    Call::Redis(vec![Words::of(start.into_iter().chain(words))])
}

async fn rule_of(redis: &mut Redis, user: &str) -> Result<String, ActionError> {
    let lines: Vec<String> = redis.ask(&["ACL", "LIST"]).await?;
    let name = format!("{}{user}", acl::RULE);
    let found = acl::rules(&lines).into_iter().find(|(known, _)| *known == name);
    found.map(|(_, rule)| rule).ok_or_else(|| wrong("user", format!("there is no user `{user}`")))
}

#[async_trait]
impl Action for ResetRedisAcl {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let mut redis = Redis::open(server, ID).await?;
            let current = wanted.current(&mut redis).await?;
            let info = redis.info().await?;
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&wanted.call())],
                scope: [
                    ("user".into(), wanted.user.clone()),
                    ("old".into(), current.clone()),
                    ("new".into(), wanted.rule.clone()),
                    ("server run".into(), info.text("run_id").into()),
                ]
                .into(),
                consequences: Vec::new(),
                notes: vec![
                    format!("{}: `{current}` becomes `{}`", wanted.user, wanted.rule),
                    "passwords and other users are not touched".into(),
                    "holds until the server restarts, unless its configuration says the same"
                        .into(),
                ],
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("sets the user's rule to what it was before".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(args)?;
        let current = wanted.current(&mut Redis::open(server, ID).await?).await?;
        Ok(Saved::from([("rule".into(), json!(current))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            wanted.current(&mut Redis::open(server, ID).await?).await
        })
        .await?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&wanted.call())));
        channel.perform(&wanted.call(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "read the rule", async {
            let wanted = Wanted::read(args)?;
            let current = rule_of(&mut Redis::open(server, ID).await?, &wanted.user).await?;
            let said = format!("{}: `{current}`", wanted.user);
            Ok(vec![measured("rule is back", current == wanted.rule, said)])
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("rule", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let (Ok(wanted), Ok(rule)) = (Wanted::read(args), kept::<String>(saved, "rule")) else {
            return Vec::new();
        };
        vec![Channel::new(server, ID).spell(&set(&wanted.user, &rule))]
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        let rule: String = kept(saved, "rule")?;
        let current = rule_of(&mut Redis::open(server, ID).await?, &wanted.user).await?;
        if current == rule {
            return Ok(format!("the rule of {} is `{rule}` already", wanted.user));
        }
        if current != wanted.rule {
            return Err(ActionError::Precondition(format!(
                "the rule of {} was changed to `{current}` by somebody else and stays",
                wanted.user
            )));
        }
        let call = set(&wanted.user, &rule);
        let output = Channel::new(server, ID).perform(&call, CALL_DEADLINE).await?;
        if !succeeded(&output) {
            let said = anyhow::anyhow!("{}", output.stderr.trim().to_owned());
            return Err(failed(format!("set the rule of {} back", wanted.user), said));
        }
        Ok(format!("the rule of {} is `{rule}` again", wanted.user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_set_whole_and_without_passwords() {
        let Call::Redis(commands) = set("shop", "on <password> ~cart:* &* -@all +get") else {
            panic!("another call")
        };
        let expected = "ACL SETUSER shop resetkeys resetchannels -@all on ~cart:* &* -@all +get";
        assert_eq!(commands, [Words::of(expected.split(' '))]);
    }

    #[test]
    fn what_is_no_plain_rule_is_refused() {
        let read = |rule: &str| {
            let args = [("user".into(), json!("default")), ("rule".into(), json!(rule))].into();
            Wanted::read(&args).map(|wanted| wanted.rule).map_err(|e| e.to_string())
        };
        for rule in ["on nopass ~* &* +@all", "off <password> ~* resetchannels -@all +get"] {
            assert_eq!(read(rule).as_deref(), Ok(rule));
        }
        for rule in ["", "on >secret ~*", "on ~* (~x:* +get)", "on resetpass"] {
            assert!(read(rule).is_err(), "{rule}");
        }
    }
}
