//! A replication slot is made for a standby that never comes: the server keeps all WAL from there on.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::text;
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, reach,
    standing, wal, words,
};
use crate::diagnose::words::bytes;
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;

pub(super) struct DeadSlot;

const SLOT: &str = "slot";
/// Enough to be more than any consumer is behind by chance, and little on the lab's small volume.
const SEGMENTS: u32 = 2;
const MUCH: i64 = 16 << 20;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "dead-slot",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "A replication slot nobody reads",
    about: "Makes a physical replication slot for a standby that does not exist and fills two segments of WAL. No client \
            gets an error; the server removes no segment any more.",
    finding: FindingKind::WalRetained,
    cause: "dead-slot",
    fixed_by: &["drop_replication_slot"],
    params: &[],
    risk: Risk::Low,
    untouched: &["data", "sessions", "every file of WAL", "other replication slots"],
    undo: &["drop the fault's own slot, if it is still there and nobody reads it", "CHECKPOINT"],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for DeadSlot {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        let session = reach::superuser(server).await.map_err(|error| error.in_words())?;
        let sql = "select current_setting('wal_level') <> 'minimal' and not pg_is_in_recovery() \
                   and current_setting('max_replication_slots')::int > (select count(*) from pg_replication_slots)";
        let row = session.client.query_one(sql, &[]).await;
        let row = row.map_err(|e| reach::sql_failed("count replication slots", e).in_words())?;
        let has_room: bool = row.get(0);
        has_room
            .then_some(())
            .ok_or_else(|| format!("{} has no room for a replication slot", server.target.id))
    }

    fn calls(&self, _server: Option<&Server>, _params: &Params) -> Vec<String> {
        vec![
            "CHECKPOINT".into(),
            "SELECT pg_create_physical_replication_slot('<an ordinary name>', true)".into(),
            format!("SELECT pg_switch_wal(), {SEGMENTS} times, each after one record"),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        wal::has_room(server).await?;
        Ok(Saved::from([(SLOT.into(), json!(words::program(seed).replace('-', "_")))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        wal::checkpoint(server).await?;
        let session = reach::superuser(server).await?;
        let make =
            "select slot_name::text from pg_create_physical_replication_slot($1::text, true)";
        let made = session.client.query_one(make, &[&text(saved, SLOT)?]).await;
        made.map_err(|e| reach::sql_failed("make a replication slot", e))?;
        wal::fill(server, SEGMENTS, progress).await?;
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, saved: &Saved) -> Result<String, FaultError> {
        let session = reach::superuser(server).await?;
        let sql = "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint \
                   from pg_replication_slots where slot_name = $1::text and not active";
        let row = session.client.query_opt(sql, &[&text(saved, SLOT)?]).await;
        let row = row.map_err(|e| reach::sql_failed("look at the replication slot", e))?;
        match row.map_or(0, |row| row.get(0)) {
            kept if kept >= MUCH => Ok(format!("it keeps {}", bytes(kept.unsigned_abs()))),
            kept => Err(FaultError::Precondition(format!("it keeps {kept} bytes only"))),
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let session = reach::superuser(server).await?;
        let sql = "select count(pg_drop_replication_slot(slot_name)) from pg_replication_slots \
                   where slot_name = $1::text and not active";
        let dropped = session.client.query_one(sql, &[&text(saved, SLOT)?]).await;
        dropped.map_err(|e| reach::sql_failed("drop the slot of the fault", e))?;
        wal::checkpoint(server).await
    }
}
