//! Ends one prepared transaction that nobody comes back for. Only its coordinator knows whether it should have been
//! committed, so a person decides; it has no session, and nothing else frees what it locks.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::{costs, count, measured, unmeasured};
use super::postgres::{database, look_in};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::{Engine, Profile};
use crate::targets::Server;

const ID: &str = "end_prepared";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// A coordinator that was restarted may still come back for a younger one.
const OLD_S: f64 = 600.0;

const LOOK: &str = "select json_build_object('server_start', pg_postmaster_start_time(),
  'waiting', (select count(*) from pg_stat_activity a
    where a.wait_event_type = 'Lock' and 0 = any(pg_blocking_pids(a.pid))),
  'found', (select json_build_object('owner', x.owner, 'age_s', extract(epoch from now() - x.prepared),
      'locked', array(select distinct l.relation::regclass::text from pg_locks l
        where l.pid is null and l.relation is not null
          and l.virtualtransaction in (select o.virtualtransaction from pg_locks o
            where o.pid is null and o.transactionid = x.transaction)
          and l.database = (select oid from pg_database where datname = x.database) order by 1 limit 5))
    from pg_prepared_xacts x where x.gid = :'gid' and x.database = current_database()
      and x.prepared = :'prepared'::timestamptz))::text";

/// Only the one that was looked at: the same name may come again.
const END: &str = "select statement from (values
  (1, format('%s PREPARED %L', :'how', :'gid')), (2, 'SELECT true::text')) as both_of_them (n, statement)
where exists (select from pg_prepared_xacts x where x.gid = :'gid' and x.database = current_database()
  and x.prepared = :'prepared'::timestamptz)
order by n";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Destructive,
    title: "End a prepared transaction",
    about: "ROLLBACK PREPARED, or COMMIT PREPARED, of one prepared transaction. Right when its coordinator is gone for \
            good and others wait for its locks; no session can be ended instead, and a restart keeps it.",
    args: &[
        Arg::text("gid", "the name it was prepared under"),
        Arg::text("prepared", "when it was prepared, to the microsecond"),
        Arg::text("end", "rollback or commit"),
    ],
    needs: &[Need::PgSuperuser("ROLLBACK PREPARED of another role's transaction")],
    verify: "it is gone, and nobody waits behind a prepared transaction",
};

/// See the module.
#[derive(Debug)]
pub(super) struct EndPrepared;

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    /// Sessions behind any prepared transaction.
    waiting: u64,
    found: Option<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    owner: String,
    age_s: f64,
    locked: Vec<String>,
}

struct Wanted {
    gid: String,
    prepared: String,
    how: &'static str,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let prepared: DateTime<Utc> = given.required("prepared", "a time")?;
        let end: String = given.required("end", "rollback or commit")?;
        let how = match end.as_str() {
            "rollback" => "ROLLBACK",
            "commit" => "COMMIT",
            _ => return Err(wrong("end", format!("`{end}` is neither rollback nor commit"))),
        };
        Ok(Self {
            gid: given.required("gid", "the name of a prepared transaction")?,
            prepared: prepared.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            how,
        })
    }

    fn vars(&self) -> Vars {
        vec![("gid", self.gid.clone()), ("prepared", self.prepared.clone())]
    }

    fn call(&self, server: &Server) -> Result<Call, ActionError> {
        let mut vars = self.vars();
        vars.push(("how", self.how.to_owned()));
        Ok(Call::Composed { database: Some(database(server)?), sql: END, vars })
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let (database, vars) = (database(server)?, self.vars());
        let looking = look_in(server, Some(database.as_str()), ID, LOOK, &vars);
        within(LOOK_DEADLINE, "look at the prepared transactions", looking).await
    }

    async fn orphan(&self, server: &Server) -> Result<(Seen, Found), ActionError> {
        let mut seen = self.look(server).await?;
        let refused = |why: String| Err(ActionError::Precondition(why));
        let Some(found) = seen.found.take() else {
            return refused(format!(
                "the prepared transaction {} is gone, or another one",
                self.gid
            ));
        };
        if server.target.profile == Profile::Production && found.age_s < OLD_S {
            return refused(format!(
                "{} was prepared {:.0} s ago: its coordinator may still come back for it",
                self.gid, found.age_s
            ));
        }
        Ok((seen, found))
    }
}

#[async_trait]
impl Action for EndPrepared {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (seen, found) = wanted.orphan(server).await?;
        let (ended, else_said) = match wanted.how {
            "COMMIT" => ("transactions committed", "rolled it back"),
            _ => ("transactions rolled back, writes included", "committed it"),
        };
        let locked =
            if found.locked.is_empty() { "no table".into() } else { found.locked.join(", ") };
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(server)?)],
            scope: [
                ("transaction".into(), wanted.gid.clone()),
                ("owner".into(), found.owner),
                ("server start".into(), seen.server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![costs(1, ended), costs(0, "sessions cut")],
            notes: vec![
                format!("prepared {:.0} s ago; it locks {locked}", found.age_s),
                format!("{} behind prepared transactions now", count(seen.waiting, "session")),
                format!("where its coordinator has {else_said} elsewhere, the two no longer agree"),
            ],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Impossible
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        wanted.orphan(server).await?;
        Channel::new(server, ID).carry_out(&wanted.call(server)?, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let measuring = async { Wanted::read(args)?.look(server).await };
        match measuring.await {
            Ok(seen) => {
                let detail = if seen.found.is_none() { "it is" } else { "it is still there" };
                vec![
                    measured("the prepared transaction is gone", seen.found.is_none(), detail),
                    measured(
                        "nobody waits behind a prepared transaction",
                        seen.waiting == 0,
                        count(seen.waiting, "session"),
                    ),
                ]
            }
            Err(error) => vec![unmeasured("the prepared transaction is gone", &error)],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn one_transaction_is_named_for_good_and_how_it_ends_is_said() {
        let at = "2026-11-20T10:00:00.000001Z";
        let read = |args: Value| {
            Wanted::read(&serde_json::from_value(args).unwrap()).map(|w| (w.how, w.prepared))
        };
        let all = |end: &str| json!({"gid": "a'b", "prepared": at, "end": end});
        assert_eq!(read(all("rollback")).unwrap(), ("ROLLBACK", at.to_owned()));
        assert_eq!(read(all("commit")).unwrap().0, "COMMIT");
        for args in [
            all("drop table"),
            json!({"gid": "a", "prepared": at}),
            json!({"gid": "a", "end": "rollback"}),
            json!({"gid": "a", "prepared": "lately", "end": "rollback"}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
