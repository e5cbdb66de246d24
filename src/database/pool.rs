//! Connections for statements: kept a while, cleaned before they are used again, and never more than the server
//! can spare. One bound holds over all logins and databases, so that many databases cannot take what one may not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::failure::{Code, Failure, Outcome};
use super::workbench::As;
use crate::config::workbench::PoolBounds;
use crate::targets::postgres::{Login, PgConnection, PostgresLink, Session};

/// A connection is closed after this, give or take a tenth.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
const IDLE: Duration = Duration::from_secs(2 * 60);
/// What was idle longer is asked whether it is still there.
const UNCHECKED: Duration = Duration::from_secs(30);
const CHECK: Duration = Duration::from_secs(1);

/// Everything a statement can leave behind in a session, but what the driver prepared for itself.
const CLEAN: &str = "ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// A quarter of the connections that ordinary roles may have.
const SHARE: &str = "select greatest(1, (current_setting('max_connections')::int \
     - current_setting('superuser_reserved_connections')::int \
     - coalesce(current_setting('reserved_connections', true)::int, 0)) / 4)";

/// Whose session it is, where, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) role: As,
    pub(super) session: Session,
    pub(super) database: String,
}

/// How the pool is used, for health and metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PoolStats {
    pub total: usize,
    pub idle: usize,
    pub active: usize,
    pub max: usize,
    /// Statements that wait for a connection now.
    pub waiting: u64,
    /// Statements that waited in vain.
    pub timeouts: u64,
    pub mean_wait_ms: f64,
}

/// The connections to one server.
pub(super) struct Pool {
    link: PostgresLink,
    bounds: PoolBounds,
    permits: Arc<Semaphore>,
    /// Connections allowed, known when the server was asked.
    max: OnceCell<usize>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    idle: Mutex<Vec<Idle>>,
    active: AtomicU64,
    waiting: AtomicU64,
    timeouts: AtomicU64,
    waits: AtomicU64,
    waited_us: AtomicU64,
    made: AtomicU64,
}

struct Idle {
    key: Key,
    connection: PgConnection,
    dies_at: Instant,
    since: Instant,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(super) fn new(link: PostgresLink, bounds: PoolBounds) -> Self {
        // One, until the server was asked how many it can spare.
        let permits = Arc::new(Semaphore::new(1));
        Self { link, bounds, permits, max: OnceCell::new(), shared: Arc::default() }
    }

    /// A connection of that kind: one that was used before, or a new one.
    pub(super) async fn take(&self, key: &Key, login: &Login) -> Outcome<Leased> {
        let permit = self.permit().await?;
        while let Some(idle) = self.pick(key) {
            if is_alive(&idle).await {
                return Ok(self.leased(idle.key, idle.connection, idle.dies_at, permit));
            }
        }
        self.make_room();
        let opened = self.link.connect(login, "query", key.session).await;
        let connection = opened.map_err(|error| Failure::of_connecting(&error))?;
        self.learn(&connection).await;
        // Not all at once, when many were made at once.
        let spread = 90 + (self.shared.made.fetch_add(1, Ordering::Relaxed) * 7 % 21) as u32;
        let dies_at = Instant::now() + LIFETIME * spread / 100;
        Ok(self.leased(key.clone(), connection, dies_at, permit))
    }

    async fn permit(&self) -> Outcome<OwnedSemaphorePermit> {
        let (shared, began) = (&self.shared, Instant::now());
        let _waiting = Counted::new(&shared.waiting);
        let permit = Arc::clone(&self.permits).acquire_owned();
        let got = tokio::time::timeout(self.bounds.timeout, permit).await;
        let waited = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.waits.fetch_add(1, Ordering::Relaxed);
        shared.waited_us.fetch_add(waited, Ordering::Relaxed);
        if let Ok(Ok(permit)) = got {
            return Ok(permit);
        }
        shared.timeouts.fetch_add(1, Ordering::Relaxed);
        let (max, after) = (self.stats().max, self.bounds.timeout.as_millis());
        Err(Failure::new(
            Code::Unavailable,
            format!("all {max} connections were in use for {after} ms"),
            "wait until other statements end, or raise `workbench.connection_pool.max_size`",
        ))
    }

    /// The newest idle one of that kind; what has been there too long is closed on the way.
    fn pick(&self, key: &Key) -> Option<Idle> {
        let mut idle = self.shared.idle();
        let now = Instant::now();
        idle.retain(|one| {
            now < one.dies_at && now < one.since + IDLE && !one.connection.is_closed()
        });
        let at = idle.iter().rposition(|one| one.key == *key)?;
        Some(idle.remove(at))
    }

    /// Closes the one that was idle longest when a new one would be one too many.
    fn make_room(&self) {
        let max = self.max.get().copied().unwrap_or(1);
        let in_use = max.saturating_sub(self.permits.available_permits());
        let mut idle = self.shared.idle();
        while !idle.is_empty() && idle.len() + in_use > max {
            idle.remove(0);
        }
    }

    /// Asks the server, once, how many it can spare.
    async fn learn(&self, connection: &PgConnection) {
        let learn = async || {
            let asked = tokio::time::timeout(CHECK, connection.query_one(SHARE, &[])).await;
            let row = asked.map_err(|_| ())?.map_err(|_| ())?;
            let share =
                usize::try_from(row.try_get::<_, i32>(0).map_err(|_| ())?).map_err(|_| ())?;
            let max = share.clamp(1, self.bounds.max_size);
            self.permits.add_permits(max - 1);
            Ok::<_, ()>(max)
        };
        if self.max.get_or_try_init(learn).await.is_err() {
            tracing::debug!(target = %self.link.name, "how many connections there may be was not told");
        }
    }

    fn leased(
        &self,
        key: Key,
        connection: PgConnection,
        dies_at: Instant,
        permit: OwnedSemaphorePermit,
    ) -> Leased {
        self.shared.active.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        Leased { connection: Some(connection), key, dies_at, shared, _permit: permit }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (idle, active) = (shared.idle().len(), count(&shared.active) as usize);
        let waits = count(&shared.waits).max(1) as f64;
        PoolStats {
            total: idle + active,
            idle,
            active,
            max: self.max.get().copied().unwrap_or(self.bounds.max_size),
            waiting: count(&shared.waiting),
            timeouts: count(&shared.timeouts),
            mean_wait_ms: count(&shared.waited_us) as f64 / waits / 1000.0,
        }
    }
}

async fn is_alive(idle: &Idle) -> bool {
    if idle.since.elapsed() < UNCHECKED {
        return true;
    }
    let checked = tokio::time::timeout(CHECK, idle.connection.check_connection()).await;
    matches!(checked, Ok(Ok(())))
}

/// Counts somebody while they are there.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection in use. Dropped, it is closed: only what was ended well is used again.
pub(super) struct Leased {
    connection: Option<PgConnection>,
    key: Key,
    dies_at: Instant,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl std::ops::Deref for Leased {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("only ending it takes the connection")
    }
}

impl Leased {
    /// Cleans the session and keeps it for the next statement.
    pub(super) async fn give_back(mut self) {
        let Some(connection) = self.connection.take() else { return };
        let cleaned = tokio::time::timeout(CHECK, connection.batch_execute(CLEAN)).await;
        connection.take_notices();
        if !matches!(cleaned, Ok(Ok(()))) {
            return;
        }
        let (key, dies_at, since) = (self.key.clone(), self.dies_at, Instant::now());
        self.shared.idle().push(Idle { key, connection, dies_at, since });
    }

    /// Says goodbye to the server.
    pub(super) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.shared.active.fetch_sub(1, Ordering::Relaxed);
    }
}
