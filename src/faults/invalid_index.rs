//! A unique index is built over rows that are not unique: the build fails, and what it made stays.

use std::time::Duration;

use async_trait::async_trait;

use super::marks::{saved as entry, text};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    sessions, tables,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct InvalidIndex;

const ROWS: u64 = 1_000;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "invalid-index",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "A unique index over duplicates",
    about: "Builds a unique index concurrently over a column of the fault's own table whose values are all the same. The \
            build fails with 23505 and leaves an invalid index behind.",
    finding: FindingKind::InvalidIndex,
    cause: "invalid-index",
    fixed_by: &["drop_invalid_index"],
    params: &[],
    risk: Risk::Low,
    untouched: &["tables of others", "sessions of others"],
    undo: &["DROP TABLE of the fault's own table, with the index"],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for InvalidIndex {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            format!(
                "as {}: CREATE TABLE with an ordinary name and {ROWS} rows",
                reach::who(server)
            ),
            "CREATE UNIQUE INDEX CONCURRENTLY on a column that is 0 in every row, to 23505".into(),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        tables::names(server, seed).await
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let table = text(saved, entry::TABLE)?;
        let session = sessions::open(server, text(saved, entry::SESSION)?).await?;
        tables::make(&session, table, ROWS).await?;
        let build =
            format!("create unique index concurrently {table}_amount on public.{table} (amount)");
        match session.client.batch_execute(&build).await {
            Ok(()) => Err(FaultError::Precondition("the index was built after all".into())),
            Err(error) => match error.as_db_error() {
                Some(db) if db.code().code() == "23505" => {
                    progress(format!("23505: {}", db.message()));
                    Ok(Box::new(()))
                }
                _ => Err(reach::sql_failed("build the index", error)),
            },
        }
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        let session = reach::superuser_inside(server).await?;
        let sql = "select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid \
                   join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = t.relnamespace \
                   where n.nspname = 'public' and t.relname = $1 and not i.indisvalid";
        let row = session.client.query_opt(sql, &[&text(saved, entry::TABLE)?]).await;
        let row = row.map_err(|e| reach::sql_failed("look at the index", e))?;
        row.map(|row| format!("{} is invalid", row.get::<_, String>(0)))
            .ok_or_else(|| FaultError::Precondition("no index is invalid".into()))
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        tables::take_back(server, saved).await
    }
}
