//! Drops a replication slot that nobody reads, so that the server may remove the WAL it kept for it. Never touches a
//! WAL file itself: the server removes what nobody needs at the checkpoint that follows.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, within};
use super::checks::{bytes, costs, gone};
use super::postgres::look;
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::targets::Server;

const ID: &str = "drop_replication_slot";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
/// The checkpoint may have much to write.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

const LOOK: &str = "select json_build_object('server_start', pg_postmaster_start_time(),
  'slot', (select json_build_object('kind', s.slot_type, 'active', s.active, 'position', s.restart_lsn::text,
      'database', coalesce(s.database::text, ''),
      'retained', greatest(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn()
        else pg_current_wal_lsn() end, s.restart_lsn), 0)::bigint)
    from pg_replication_slots s where s.slot_name = :'name'))::text";

/// Only while nobody reads it and nobody has since it was looked at.
const DROP: &str = "select statement from (values
  (1, format('SELECT pg_drop_replication_slot(%L)', :'name')),
  (2, 'CHECKPOINT'),
  (3, 'SELECT true::text')) as all_of_them (n, statement)
where exists (select from pg_replication_slots s where s.slot_name = :'name' and not s.active
  and s.restart_lsn = :'position'::pg_lsn)
order by n";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::High,
    title: "Drop a replication slot",
    about: "Drops one replication slot that nobody is connected to, then a checkpoint. Right when its consumer is gone \
            for good and the WAL it keeps fills the volume; a consumer that comes back has to be built anew.",
    args: &[
        Arg::text("name", "the slot to drop"),
        Arg::text("position", "its restart_lsn: whoever reads it moves that"),
    ],
    needs: &[Need::PgSuperuser("pg_drop_replication_slot() and CHECKPOINT")],
    verify: "the slot is gone",
};

/// See the module.
#[derive(Debug)]
pub(super) struct DropReplicationSlot;

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    slot: Option<Slot>,
}

#[derive(Debug, Deserialize)]
struct Slot {
    kind: String,
    active: bool,
    position: Option<String>,
    database: String,
    retained: Option<u64>,
}

struct Wanted {
    name: String,
    position: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let name: String = given.required("name", "the name of a slot")?;
        let position: String = given.required("position", "an LSN like 0/3000028")?;
        let is_hex = |part: &str| {
            !part.is_empty() && part.len() <= 8 && part.chars().all(|c| c.is_ascii_hexdigit())
        };
        if !position.split_once('/').is_some_and(|(high, low)| is_hex(high) && is_hex(low)) {
            return Err(wrong("position", format!("`{position}` is no LSN like 0/3000028")));
        }
        Ok(Self { name, position })
    }

    fn vars(&self) -> Vars {
        vec![("name", self.name.clone())]
    }

    fn call(&self) -> Call {
        let mut vars = self.vars();
        vars.push(("position", self.position.clone()));
        Call::Composed { database: None, sql: DROP, vars }
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        let vars = self.vars();
        let looking = look(server, ID, LOOK, &vars);
        within(LOOK_DEADLINE, "look at the replication slots", looking).await
    }

    async fn unread(&self, server: &Server) -> Result<(DateTime<Utc>, Slot), ActionError> {
        let seen = self.look(server).await?;
        let refused = |why: &str| {
            Err(ActionError::Precondition(format!("replication slot {} {why}", self.name)))
        };
        let Some(slot) = seen.slot else { return refused("is gone") };
        if slot.active {
            return refused("is read by somebody");
        }
        if slot.position.as_deref() != Some(self.position.as_str()) {
            return refused("was read since it was looked at");
        }
        Ok((seen.server_start, slot))
    }
}

#[async_trait]
impl Action for DropReplicationSlot {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        let (server_start, slot) = wanted.unread(server).await?;
        let of = if slot.database.is_empty() {
            format!("a {} slot", slot.kind)
        } else {
            format!("a {} slot of database {}", slot.kind, slot.database)
        };
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call())],
            scope: [
                ("slot".into(), wanted.name.clone()),
                ("position".into(), wanted.position.clone()),
                ("server start".into(), server_start.to_rfc3339()),
            ]
            .into(),
            consequences: vec![
                costs(1, "consumers to be built anew, if they come back"),
                costs(0, "sessions cut"),
            ],
            notes: vec![
                format!("{of}, read by nobody; it keeps {}", bytes(slot.retained.unwrap_or(0))),
                "the server itself removes that WAL; the checkpoint makes it do so now".into(),
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
        let call = Wanted::read(args)?.call();
        Channel::new(server, ID).carry_out(&call, CALL_DEADLINE, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<Check> {
        let looking = async { Ok(Wanted::read(args)?.look(server).await?.slot.is_some()) };
        vec![gone("the replication slot", looking.await)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_slot_is_named_with_its_position() {
        let read = |args: Value| Wanted::read(&serde_json::from_value(args).unwrap());
        assert!(read(json!({"name": "b", "position": "16/B374D848"})).is_ok());
        for args in [
            json!({"name": "b"}),
            json!({"name": "b", "position": ""}),
            json!({"name": "b", "position": "0/"}),
            json!({"name": "b", "position": "0/3 or true"}),
            json!({"position": "0/3"}),
        ] {
            assert!(read(args.clone()).is_err(), "{args}");
        }
    }
}
