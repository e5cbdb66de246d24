//! Gives a role one thing back that it had when the server was healthy: LOGIN, time, CONNECT, or rights on a table.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::access::must;
use super::channel::{Channel, within};
use super::checks::{announced, kept, measured, unmeasured};
use super::postgres::look_in;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;
use grant::Wanted;

mod grant;

const ID: &str = "restore_role_access";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Give a role its access back",
    about: "One grant at a time: LOGIN, VALID UNTIL, CONNECT on a database, or rights on a table, as they were when \
            the server was healthy. No password is touched.",
    args: &[
        Arg::text("role", "the role; for connect also `public`, which is everybody"),
        Arg::text("grant", "login, valid-until, connect or table"),
        Arg::text("database", "the application's database, where the grant is made"),
        Arg::text("value", "for valid-until: the time it was valid until, or infinity").optional(),
        Arg::text("table", "for table: its schema and name, as public.hb").optional(),
        Arg::texts("rights", "for table: a list out of SELECT, INSERT, UPDATE").optional(),
    ],
    needs: &[Need::PgSuperuser("ALTER ROLE of other roles, GRANT on what others own")],
    verify: "the catalog says that the role has it",
};

/// See the module.
#[derive(Debug)]
pub(super) struct RestoreRoleAccess;

/// How it stands with what is to be given.
#[derive(Debug, Deserialize)]
struct Seen {
    /// All of it.
    has: bool,
    /// The value before, where there is one.
    was: Option<String>,
    is_superuser: bool,
    exists: bool,
}

async fn look(server: &Server, wanted: &Wanted) -> Result<Seen, ActionError> {
    look_in(server, Some(wanted.place()), ID, wanted.question(), &wanted.vars()).await
}

async fn lacking(server: &Server, wanted: &Wanted) -> Result<Seen, ActionError> {
    let seen = look(server, wanted).await?;
    let refused = |why: String| Err(ActionError::Precondition(why));
    if !seen.exists {
        return refused(format!("there is no {} to give anything to", wanted.whom()));
    }
    if seen.has {
        return refused(format!("{} has {} already", wanted.whom(), wanted.what()));
    }
    if seen.is_superuser {
        return refused(format!("{} is a superuser; a person decides about those", wanted.whom()));
    }
    Ok(seen)
}

#[async_trait]
impl Action for RestoreRoleAccess {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        let doing = format!("look at {}", server.target.id);
        let seen = within(LOOK_DEADLINE, doing, lacking(server, &wanted)).await?;
        let was = seen.was.unwrap_or_else(|| "none".into());
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.give())],
            scope: [
                ("role".into(), wanted.whom()),
                ("gets".into(), wanted.what()),
                ("before".into(), was.clone()),
            ]
            .into(),
            consequences: Vec::new(),
            notes: vec![
                format!("{} gets {}; before: {was}", wanted.whom(), wanted.what()),
                "no password is read or changed, and sessions that are there go on".into(),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("takes the same thing away again".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        Ok(Saved::from([("was".into(), json!(lacking(server, &wanted).await?.was))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&wanted.give())));
        channel.perform(&wanted.give(), CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        const NAME: &str = "the role has it";
        let measuring = async {
            let wanted = Wanted::read(&DESCRIPTOR, args)?;
            let has = look(server, &wanted).await?.has;
            let verb = if has { "has" } else { "lacks" };
            Ok(measured(NAME, has, format!("{} {verb} {}", wanted.whom(), wanted.what())))
        };
        let check = within(LOOK_DEADLINE, "look at the role", measuring).await;
        vec![check.unwrap_or_else(|error| unmeasured(NAME, &error))]
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let spell = || {
            let wanted = Wanted::read(&DESCRIPTOR, args)?;
            let call = wanted.take(kept(saved, "was")?);
            Ok::<_, ActionError>(Channel::new(server, ID).spell(&call))
        };
        spell().map(|command| vec![command]).unwrap_or_default()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(&DESCRIPTOR, args)?;
        let (whom, what) = (wanted.whom(), wanted.what());
        if !look(server, &wanted).await?.has {
            return Ok(format!("{whom} lacks {what} already"));
        }
        let call = wanted.take(kept(saved, "was")?);
        must(server, ID, &call, format!("take {what} from {whom}")).await?;
        Ok(format!("{whom} is without {what} again"))
    }
}
