//! A table fills the lab's bounded tablespace volume: inserts there fail, everything else goes on.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::text;
use super::reach::{self, postgres_link};
use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier,
    standing, words,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::ports::runtime::ExecLimits;
use crate::targets::Server;

pub(super) struct DataFull;

const TABLE: &str = "table";
const TABLESPACE: &str = "bounded";
/// What the keeper of the bounded volumes laid beside the tablespace.
const RESERVE: &str = ".simctl-reserve";
/// A batch is about a megabyte; the volume has 32.
const ROWS: i32 = 1_200;
const MOST_BATCHES: u32 = 60;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "data-full",
    aliases: &[],
    tier: Tier::First,
    runtimes: IN_CONTAINERS,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "A table fills its volume",
    about: "Makes a table in the lab's bounded tablespace and inserts until the volume has no room. Inserts there fail, \
            reads and other tables go on.",
    finding: FindingKind::VolumeFull,
    cause: "data-full",
    fixed_by: &["move_table"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every other table", "the volumes of data and WAL", "the reserve on the volume"],
    undo: &["DROP the table this fault made, wherever it lies"],
    takes_within: Duration::from_secs(10),
};

#[async_trait]
impl Fault for DataFull {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        is_bounded(server).await.map_err(|error| error.in_words())
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            format!("connect as {}", reach::who(server)),
            format!(
                "CREATE TABLE public.<an ordinary name> (id bigint, body text) TABLESPACE {TABLESPACE}"
            ),
            format!(
                "INSERT {ROWS} rows (1 MB) at a time, until 53100, at most {MOST_BATCHES} times"
            ),
        ]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        seed: u64,
    ) -> Result<Saved, FaultError> {
        is_bounded(server).await?;
        let name = format!("{}_events", words::program(seed).replace('-', "_"));
        Ok(Saved::from([(TABLE.into(), json!(name))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let link = postgres_link(server)?;
        let session = reach::postgres(link, &link.app, text(saved, TABLE)?).await?;
        let create = "select format('CREATE TABLE public.%I (id bigint, body text) TABLESPACE %I', \
                      $1::text, $2::text)";
        let create = composed(&session, create, &[&text(saved, TABLE)?, &TABLESPACE]).await?;
        let failed = |error| reach::sql_failed("make the table", error);
        session.client.batch_execute(&create).await.map_err(failed)?;
        for batch in 1..=MOST_BATCHES {
            if let Some(refusal) = insert(&session, text(saved, TABLE)?).await? {
                progress(refusal);
                return Ok(Box::new(()));
            }
            if batch % 8 == 0 {
                progress(format!("{batch} MB inserted"));
            }
        }
        Err(FaultError::Precondition(format!("{MOST_BATCHES} MB fit, so it is no bounded volume")))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<String, FaultError> {
        let link = postgres_link(server)?;
        let session = reach::postgres(link, &link.app, reach::OURS).await?;
        let refusal = insert(&session, text(saved, TABLE)?).await?;
        refusal.ok_or_else(|| FaultError::Precondition("rows still fit".into()))
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let database = &postgres_link(server)?.app.database;
        let session = reach::superuser_in(server, database).await?;
        let drop = "select format('DROP TABLE IF EXISTS public.%I', $1::text)";
        let drop = composed(&session, drop, &[&text(saved, TABLE)?]).await?;
        let dropped = session.client.batch_execute(&drop).await;
        dropped.map_err(|error| reach::sql_failed("drop the table of the fault", error))
    }
}

async fn composed(
    session: &reach::Session,
    compose: &str,
    names: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<String, FaultError> {
    let row = session.client.query_one(compose, names).await;
    Ok(row.map_err(|error| reach::sql_failed("compose a statement", error))?.get(0))
}

/// One batch; the server's words when the volume has no room for it.
async fn insert(session: &reach::Session, table: &str) -> Result<Option<String>, FaultError> {
    let insert = "select format('INSERT INTO public.%I SELECT n, repeat(md5(n::text), 25) \
                  FROM generate_series(1, %s) AS n', $1::text, $2::int)";
    let insert = composed(session, insert, &[&table, &ROWS]).await?;
    match session.client.batch_execute(&insert).await {
        Ok(()) => Ok(None),
        Err(error) => match error.as_db_error() {
            Some(db) if db.code().code() == "53100" => Ok(Some(format!("53100: {}", db.message()))),
            _ => Err(reach::sql_failed("insert into the table", error)),
        },
    }
}

/// Refuses to fill anything but a volume of the lab's that has a reserve.
async fn is_bounded(server: &Server) -> Result<(), FaultError> {
    let session = reach::superuser(server).await?;
    let sql = "select pg_tablespace_location(oid) from pg_tablespace where spcname = $1";
    let row = session.client.query_opt(sql, &[&TABLESPACE]).await;
    let row = row.map_err(|error| reach::sql_failed("look for the tablespace", error))?;
    let dir: String = row.map(|row| row.get(0)).ok_or_else(|| {
        FaultError::Precondition(format!("{} has no tablespace {TABLESPACE}", server.target.id))
    })?;
    let place = standing::place(server)?;
    let volume = dir.rsplit_once('/').map_or(dir.as_str(), |(volume, _)| volume);
    let argv = ["stat", "-c", "%s", &format!("{volume}/{RESERVE}")].map(str::to_owned);
    let looked = place.runtime.exec(&place.unit, &argv, None, ExecLimits::default()).await;
    let looked = looked.map_err(|e| FaultError::failed("look for the volume's reserve", e))?;
    if looked.exit_code == Some(0) {
        return Ok(());
    }
    Err(FaultError::Precondition(format!(
        "the volume of tablespace {TABLESPACE} has no reserve, so it is not the lab's bounded one"
    )))
}
