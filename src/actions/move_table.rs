//! Moves a PostgreSQL table to another tablespace: the volume it filled has room again, and no row is lost.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{announced, bytes, costs, kept, measured, unmeasured};
use super::postgres::{link, look};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed, unit};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::target::Engine;
use crate::ports::runtime::ExecLimits;
use crate::targets::Server;

const ID: &str = "move_table";
const LOOK_DEADLINE: Duration = Duration::from_secs(15);
const CALL_DEADLINE: Duration = Duration::from_secs(120);
const KB: u64 = 1_024;
/// What must be free at the other place, against the size of the table.
const ROOM_PERCENT: u64 = 150;
/// A copy of more than this locks the table for longer than anybody should be asked for by a machine.
const LARGEST: u64 = 1 << 30;

/// The move, only from where the table was seen. The copy waits for the lock no longer than the session allows.
const MOVE: &str = "select statement from (values
  (1, format('ALTER TABLE %I.%I SET TABLESPACE %I', :'schema', :'table', :'to')),
  (2, 'SELECT true::text')) as both_of_them (n, statement)
where exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
  left join pg_tablespace s on s.oid = c.reltablespace
  where n.nspname = :'schema' and c.relname = :'table' and c.relkind = 'r'
    and coalesce(s.spcname, 'pg_default') = :'from')
order by n";

const QUESTION: &str = "select json_build_object('from', coalesce(s.spcname, 'pg_default'),
  'bytes', pg_table_size(c.oid),
  'indexes', pg_indexes_size(c.oid),
  'at', coalesce(nullif(pg_tablespace_location(s.oid), ''), current_setting('data_directory')),
  'database_default', (select t.spcname from pg_database d join pg_tablespace t on t.oid = d.dattablespace
    where d.datname = current_database()),
  'known', exists (select from pg_tablespace where spcname = :'to'),
  'dir', case when coalesce(pg_tablespace_location((select oid from pg_tablespace where spcname = :'to')), '') = ''
    then current_setting('data_directory')
    else pg_tablespace_location((select oid from pg_tablespace where spcname = :'to')) end,
  'users', (select count(*) from pg_locks l where l.relation = c.oid and l.granted))::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace
  left join pg_tablespace s on s.oid = c.reltablespace
where n.nspname = :'schema' and c.relname = :'table' and c.relkind = 'r'";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: true,
    risk: Risk::Medium,
    title: "Move a table to another volume",
    about: "ALTER TABLE ... SET TABLESPACE. Right when a table fills the volume of its tablespace and another one has \
            room: nothing is lost, the table is locked while it is copied.",
    args: &[
        Arg::text("schema", "the table's schema"),
        Arg::text("table", "the table's name"),
        Arg::text("to", "the tablespace to move it to, like pg_default"),
    ],
    needs: &[
        Need::PgSuperuser("ALTER TABLE of tables it does not own"),
        Need::Runtime("run df inside"),
    ],
    verify: "the table lies in the other tablespace, with the size it had; the volume it filled has room",
};

/// See the module.
#[derive(Debug)]
pub(super) struct MoveTable;

#[derive(Debug, Deserialize)]
struct Seen {
    from: String,
    bytes: u64,
    indexes: u64,
    /// Where its own tablespace keeps its files.
    at: String,
    database_default: String,
    known: bool,
    /// Where the other tablespace keeps its files.
    dir: String,
    users: u64,
}

struct Wanted {
    schema: String,
    table: String,
    to: String,
}

impl Wanted {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let wanted = Self {
            schema: given.required("schema", "the name of a schema")?,
            table: given.required("table", "the name of a table")?,
            to: given.required("to", "the name of a tablespace")?,
        };
        if wanted.schema.starts_with("pg_") || wanted.to == "pg_global" {
            return Err(wrong("schema", "is the server's own"));
        }
        Ok(wanted)
    }

    fn name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    fn vars(&self) -> Vars {
        vec![
            ("schema", self.schema.clone()),
            ("table", self.table.clone()),
            ("to", self.to.clone()),
        ]
    }

    fn call(&self, from: &str) -> Call {
        let mut vars = self.vars();
        vars.push(("from", from.to_owned()));
        Call::Composed { database: None, sql: MOVE, vars }
    }

    fn back(&self, from: &str) -> Call {
        let back =
            Self { schema: self.schema.clone(), table: self.table.clone(), to: from.to_owned() };
        back.call(&self.to)
    }

    async fn look(&self, server: &Server) -> Result<Seen, ActionError> {
        look(server, ID, QUESTION, &self.vars()).await
    }

    /// How it lies, and how much room the other place has; or why it is not moved.
    async fn movable(&self, server: &Server) -> Result<(Seen, u64), ActionError> {
        let seen = self.look(server).await?;
        let refused =
            |why: String| Err(ActionError::Precondition(format!("{} {why}", self.name())));
        if !seen.known {
            return refused(format!("cannot move: there is no tablespace {}", self.to));
        }
        if seen.from == self.to {
            return refused(format!("lies in {} already", self.to));
        }
        if self.to == "pg_default" && seen.database_default != "pg_default" {
            return refused(format!("is in a database whose default is {}", seen.database_default));
        }
        if seen.bytes > LARGEST {
            return refused(format!(
                "takes {}: copying it locks it for too long",
                bytes(seen.bytes)
            ));
        }
        let room = free_below(server, &seen.dir).await?;
        if room < seen.bytes / 100 * ROOM_PERCENT {
            return refused(format!(
                "takes {}, and only {} are free below {}",
                bytes(seen.bytes),
                bytes(room),
                seen.dir
            ));
        }
        Ok((seen, room))
    }
}

/// Free bytes of the file system of a directory inside.
async fn free_below(server: &Server, dir: &str) -> Result<u64, ActionError> {
    let place = unit::place(server)?;
    let argv = ["df", "-P", "-k", dir].map(str::to_owned);
    let doing = || format!("measure the room below {dir}");
    let ran = place.runtime.exec(&place.unit, &argv, None, ExecLimits::default()).await;
    let told = ran.map_err(|error| failed(doing(), error))?;
    let line = told.stdout.lines().nth(1);
    let free = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    free.map(|kb| kb * KB).ok_or_else(|| failed(doing(), anyhow::anyhow!("{}", told.stderr.trim())))
}

#[async_trait]
impl Action for MoveTable {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let wanted = Wanted::read(args)?;
        link(server)?;
        let doing = format!("look at {}", wanted.name());
        let (seen, room) = within(LOOK_DEADLINE, doing, wanted.movable(server)).await?;
        let mut notes = vec![
            format!("{} free below {}", bytes(room), seen.dir),
            "readers and writers of the table wait while it is copied; the move gives up when it does not get \
             the lock within 2 s"
                .into(),
            format!("{} use the table now", super::checks::count(seen.users, "lock")),
        ];
        if seen.indexes > 0 {
            notes.push(format!("its indexes ({}) stay where they are", bytes(seen.indexes)));
        }
        Ok(Preview {
            commands: vec![Channel::new(server, ID).spell(&wanted.call(&seen.from))],
            scope: [
                ("table".into(), wanted.name()),
                ("from".into(), seen.from.clone()),
                ("to".into(), wanted.to.clone()),
            ]
            .into(),
            consequences: vec![costs(0, "rows lost"), costs(seen.bytes, "bytes moved")],
            notes,
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("moves the table back, which fills its volume again".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let seen = Wanted::read(args)?.look(server).await?;
        Ok(Saved::from([
            ("from".into(), json!(seen.from)),
            ("at".into(), json!(seen.at)),
            ("bytes".into(), json!(seen.bytes)),
        ]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let wanted = Wanted::read(args)?;
        let doing = format!("look at {}", wanted.name());
        let (seen, _) = within(LOOK_DEADLINE, doing, wanted.movable(server)).await?;
        let call = wanted.call(&seen.from);
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&call)));
        channel.perform(&call, CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let wanted = Wanted::read(args)?;
            let before: u64 = kept(saved, "bytes")?;
            let seen = wanted.look(server).await?;
            let room = free_below(server, &kept::<String>(saved, "at")?).await?;
            Ok(vec![
                measured(
                    "the volume it filled has room",
                    room >= before / 100 * 80,
                    format!("{} free", bytes(room)),
                ),
                measured(
                    "the table lies in the other tablespace",
                    seen.from == wanted.to,
                    format!("{} is in {}", wanted.name(), seen.from),
                ),
                measured(
                    "it is all there",
                    seen.bytes >= before / 100 * 95,
                    format!("{}, {} before", bytes(seen.bytes), bytes(before)),
                ),
            ])
        };
        let checks = within(LOOK_DEADLINE, "look at the table", measuring).await;
        checks.unwrap_or_else(|error| vec![unmeasured("table", &error)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<String> {
        let (Ok(wanted), Ok(from)) = (Wanted::read(args), kept::<String>(saved, "from")) else {
            return Vec::new();
        };
        vec![Channel::new(server, ID).spell(&wanted.back(&from))]
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        let wanted = Wanted::read(args)?;
        let from: String = kept(saved, "from")?;
        if wanted.look(server).await?.from == from {
            return Ok(format!("{} lies in {from} already", wanted.name()));
        }
        let output = Channel::new(server, ID).perform(&wanted.back(&from), CALL_DEADLINE).await?;
        if !succeeded(&output) {
            let doing = format!("move {} back to {from}", wanted.name());
            return Err(failed(doing, anyhow::anyhow!("{}", output.stderr.trim().to_owned())));
        }
        Ok(format!("{} lies in {from} again", wanted.name()))
    }
}
