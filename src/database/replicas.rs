//! Standbys that may answer instead of the primary: only what only reads, and only when they are not behind.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::{ToSql, Type};

use super::failure::{Code, Failure, Outcome};
use super::pool::{Key, Leased, Pool, PoolStats};
use super::query::{self, QueryRequest};
use super::statement::Statement;
use super::workbench::{As, Workbench, login};
use crate::config::workbench::PoolBounds;
use crate::targets::postgres::{PgConnection, PostgresLink, Session};

/// A replica that is further behind gets no questions.
const BEHIND_S: f64 = 1.0;
/// How long a reader waits for what it wrote.
const CATCH_UP: Duration = Duration::from_millis(50);
/// So long one look at a replica is good.
const LOOK: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(1);

/// `$1`: where the primary is. Seconds mean something only while the link streams and something is left to replay.
const STANDING: &str = "select pg_last_wal_replay_lsn()::text, \
     coalesce(exists (select from pg_stat_wal_receiver where status = 'streaming'), false), \
     case when pg_last_wal_replay_lsn() >= $1::pg_lsn then 0 \
          else extract(epoch from now() - pg_last_xact_replay_timestamp()) end::float8";

/// A standby.
pub(super) struct Replica {
    link: PostgresLink,
    pool: Pool,
    /// A session of the monitor role, and what it saw last.
    seen: Mutex<(Option<PgConnection>, Option<Look>)>,
}

/// When it was looked at, and how far it was if it streamed.
type Look = (Instant, Option<Standing>);

/// How far it is.
#[derive(Clone, Debug)]
struct Standing {
    lsn: String,
    lag_s: f64,
}

impl Replica {
    pub(super) fn new(link: PostgresLink, bounds: PoolBounds) -> Self {
        Self { pool: Pool::new(link.clone(), bounds), link, seen: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.link.name
    }

    pub(super) fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// What it had replayed when it was looked at last, if it may answer.
    pub(super) fn last_seen(&self) -> Option<String> {
        let seen = self.seen.try_lock().ok()?;
        let (_, standing) = seen.1.as_ref()?;
        standing.as_ref().map(|standing| standing.lsn.clone())
    }

    /// How far it is, when it streams; looked at now and then.
    async fn standing(&self, primary: &str) -> Option<Standing> {
        let mut seen = self.seen.lock().await;
        if let Some((at, standing)) = &seen.1
            && at.elapsed() < LOOK
        {
            return standing.clone();
        }
        let looked = self.look(&mut seen.0, primary).await;
        seen.1 = Some((Instant::now(), looked.clone()));
        looked
    }

    async fn look(&self, kept: &mut Option<PgConnection>, primary: &str) -> Option<Standing> {
        let connection = self.session(kept).await?;
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&primary, Type::TEXT)];
        let asked = connection.query_typed(STANDING, &params);
        let rows = tokio::time::timeout(ANSWER, asked).await.ok()?.ok()?;
        let row = rows.first()?;
        let (lsn, streams) = (row.try_get::<_, Option<String>>(0).ok()??, row.try_get(1).ok()?);
        let lag_s = row.try_get::<_, Option<f64>>(2).ok()??;
        *kept = Some(connection);
        (streams && lag_s < BEHIND_S).then_some(Standing { lsn, lag_s })
    }

    async fn session(&self, kept: &mut Option<PgConnection>) -> Option<PgConnection> {
        match kept.take() {
            Some(connection) if !connection.is_closed() => Some(connection),
            _ => self.link.connect(&self.link.monitor, "replica", Session::Inspect).await.ok(),
        }
    }

    /// Whether it has replayed that much, soon enough for somebody who waits. Returns how far it is.
    async fn reaches(&self, token: &str) -> Option<String> {
        const ASK: &str = "select pg_last_wal_replay_lsn()::text, \
             pg_last_wal_replay_lsn() >= $1::pg_lsn";
        let until = Instant::now() + CATCH_UP;
        let mut seen = self.seen.lock().await;
        loop {
            let connection = self.session(&mut seen.0).await?;
            let params: [(&(dyn ToSql + Sync), Type); 1] = [(&token, Type::TEXT)];
            let asked = connection.query_typed(ASK, &params);
            let rows = tokio::time::timeout(ANSWER, asked).await.ok()?.ok()?;
            seen.0 = Some(connection);
            let row = rows.first()?;
            if row.try_get::<_, Option<bool>>(1).ok()? == Some(true) {
                return row.try_get::<_, Option<String>>(0).ok()?;
            }
            if Instant::now() >= until {
                return None;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The server that answers a statement.
pub(super) struct Answering<'a> {
    pub(super) bench: &'a Workbench,
    replica: Option<(&'a Replica, String)>,
}

impl<'a> Answering<'a> {
    pub(super) fn primary(bench: &'a Workbench) -> Self {
        Self { bench, replica: None }
    }

    pub(super) fn name(&self) -> &str {
        match &self.replica {
            Some((replica, _)) => replica.name(),
            None => self.bench.target.id.as_str(),
        }
    }

    /// How far the replica was when it was chosen.
    pub(super) fn lsn(&self) -> Option<String> {
        self.replica.as_ref().map(|(_, lsn)| lsn.clone())
    }

    pub(super) fn link(&self) -> &PostgresLink {
        self.replica.as_ref().map_or(&self.bench.link, |(replica, _)| &replica.link)
    }

    pub(super) async fn take(&self, database: Option<&str>) -> Outcome<Leased> {
        let Some((replica, _)) = &self.replica else {
            return self.bench.lease(As::App, database, Session::Ask).await;
        };
        let login = login(&replica.link, As::App, database)?;
        let key = Key { role: As::App, session: Session::Ask, database: login.database.clone() };
        replica.pool.take(&key, &login).await
    }

    /// Whether the primary may know better. What took too long here would there as well.
    pub(super) fn is_at_fault(failure: &Failure) -> bool {
        !matches!(failure.code, Code::Timeout | Code::ReadOnly)
    }
}

impl Workbench {
    /// The replica that answers a statement: close behind, the least behind, then the one with the least to do.
    pub(super) async fn replica_for(
        &self,
        request: &QueryRequest,
        statement: &Statement,
    ) -> Option<Answering<'_>> {
        let may = request.replica == query::Replica::Auto && !request.transaction;
        if self.replicas.is_empty() || !may || !statement.reads() || statement.locks {
            return None;
        }
        let primary = self.position().await?;
        let mut best: Option<(&Replica, Standing)> = None;
        for replica in &self.replicas {
            let Some(standing) = replica.standing(&primary).await else { continue };
            let rank = |replica: &Replica, standing: &Standing| {
                (standing.lag_s, replica.stats().active as f64)
            };
            let better = best
                .as_ref()
                .is_none_or(|(other, its)| rank(replica, &standing) < rank(other, its));
            if better {
                best = Some((replica, standing));
            }
        }
        let (replica, standing) = best?;
        let lsn = match &request.after_lsn {
            Some(token) => replica.reaches(token).await?,
            None => standing.lsn,
        };
        Some(Answering { bench: self, replica: Some((replica, lsn)) })
    }

    /// Asks each replica how far it is.
    pub(super) async fn look_at_replicas(&self) {
        if self.replicas.is_empty() {
            return;
        }
        let Some(primary) = self.position().await else { return };
        for replica in &self.replicas {
            replica.standing(&primary).await;
        }
    }

    /// Where the primary is now.
    async fn position(&self) -> Option<String> {
        let leased = self.lease(As::Monitor, None, Session::Inspect).await.ok()?;
        let asked = leased.query_one("select pg_current_wal_lsn()::text", &[]);
        let row = tokio::time::timeout(ANSWER, asked).await.ok()?.ok()?;
        let lsn = row.try_get(0).ok();
        leased.give_back().await;
        lsn
    }
}
