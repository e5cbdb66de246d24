//! The probes of a PostgreSQL server: statistics over a kept monitor session, and the application's own way in.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::{Row, SimpleQueryMessage, Statement};

use super::connect::{PgConnection, Session, answer_of};
use super::sql::Numbers;
use super::volumes::Volumes;
use super::{PostgresLink, sql};
use crate::domain::readings::Readings;
use crate::domain::sample::{Answer, Origin, Sample};
use crate::domain::target::Thresholds;
use crate::ports::probe::{Probe, ProbeError};
use crate::targets::dial::Trust;
use crate::targets::draft::{Draft, answer};
use crate::targets::kept::{Asked, Ends, Kept};
use crate::targets::session::Over;
use crate::targets::{Limit, Place, ask_error};

/// Asking for a cancellation may take this long.
const CANCEL: Duration = Duration::from_millis(500);

/// Probes of one PostgreSQL server.
pub struct PostgresProbe {
    link: PostgresLink,
    leak_age: Duration,
    trust: Trust,
    kept: Kept<Held>,
    volumes: Volumes,
}

struct Held {
    session: PgConnection,
    statistics: Statement,
    tables: Statement,
    upkeep: Statement,
    /// What the questions about tables and upkeep came to, and when they are asked again.
    looked: Mutex<Option<(Instant, Numbers)>>,
}

/// The tables are looked at so often at most …
const TABLES_PERIOD: Duration = Duration::from_secs(2);
/// … and where that takes long, because there are many, so much of the time at most: a fiftieth.
const TABLES_SHARE: u32 = 50;

impl Held {
    /// The newest readings about tables: asked now when they are due, else the ones before.
    async fn table_readings(&self) -> Result<Numbers, Answer> {
        let mut looked = self.looked.lock().await;
        let now = Instant::now();
        if let Some((_, known)) = looked.as_ref().filter(|(due, _)| now < *due) {
            return Ok(known.clone());
        }
        let row = self.session.query_opt(&self.tables, &[]).await.map_err(|e| answer_of(&e))?;
        let mut readings = row.map(|row| sql::table_readings(&row)).unwrap_or_default();
        let row = self.session.query_one(&self.upkeep, &[]).await.map_err(|e| answer_of(&e))?;
        readings.extend(sql::upkeep_readings(&row));
        let due = now + TABLES_PERIOD.max(now.elapsed() * TABLES_SHARE);
        *looked = Some((due, readings.clone()));
        Ok(readings)
    }
}

impl Ends for Held {
    fn over(&self) -> Over {
        self.session.over()
    }
}

impl PostgresProbe {
    pub fn new(link: PostgresLink) -> Self {
        let leak_age = Duration::from_secs_f64(Thresholds::default().idle_leak_age_s);
        let (trust, kept) = (Trust::default(), Kept::default());
        Self { link, leak_age, trust, kept, volumes: Volumes::default() }
    }

    /// Looks at the volumes of tablespaces too, in what the server runs in.
    pub fn inside(self, place: Option<Place>) -> Self {
        Self { volumes: Volumes::at(place), ..self }
    }

    /// Idle sessions older than this are counted as leaked.
    pub fn with_leak_age(self, leak_age: Duration) -> Self {
        Self { leak_age, ..self }
    }

    async fn join(&self, limit: Limit) -> Result<Held, Answer> {
        let (login, session) = (&self.link.monitor, Session::Monitor);
        let session = self.link.open(login, "monitor", session, &self.trust, limit).await?;
        let prepare = async {
            let statistics = session.prepare(sql::STATISTICS).await?;
            let tables = session.prepare(sql::TABLES).await?;
            Ok((statistics, tables, session.prepare(sql::UPKEEP).await?))
        };
        let prepare = async { prepare.await.map_err(|e: tokio_postgres::Error| answer_of(&e)) };
        let (statistics, tables, upkeep) = limit.run(prepare).await?;
        Ok(Held { session, statistics, tables, upkeep, looked: Mutex::default() })
    }

    /// The application's session, from the login to the write, and how far it came.
    async fn visit(&self, draft: &mut Draft, limit: Limit) -> Option<PgConnection> {
        let opened =
            self.link.open(&self.link.app, "fresh", Session::App, &self.trust, limit).await;
        let session = match opened {
            Ok(session) => session,
            Err(answer) => {
                draft.connect = answer;
                return None;
            }
        };
        draft.connect = Answer::Ok;
        let read =
            async { session.simple_query(sql::READ).await.map_err(|error| answer_of(&error)) };
        let read = limit.run(read).await;
        let may_write = read.as_ref().is_ok_and(|rows| has_heartbeat(rows));
        draft.read = answer(read);
        if may_write {
            let write = async {
                session.batch_execute(sql::WRITE).await.map_err(|error| answer_of(&error))
            };
            draft.write = answer(limit.run(write).await);
        }
        self.take_back_if_hung(draft, &session).await;
        Some(session)
    }
}

impl PostgresProbe {
    /// A server goes on waiting for a lock or a standby after its client is gone. Probe after probe would fill its
    /// slots, so what hangs is cancelled.
    async fn take_back_if_hung(&self, draft: &Draft, session: &PgConnection) {
        if [&draft.read, &draft.write].into_iter().any(|a| matches!(a, Answer::Hung { .. })) {
            let cancel = session.cancel(&self.link, &self.trust);
            if let Err(answer) = Limit::of(CANCEL).run(cancel).await {
                tracing::debug!(answer = %answer.describe(), "a hanging probe was not cancelled");
            }
        }
    }
}

#[async_trait]
impl Probe for PostgresProbe {
    async fn held(&self) -> Sample {
        let mut draft = Draft::new(Origin::Held);
        let limit = Limit::of(self.link.deadline);
        let leak_age = self.leak_age.as_secs_f64();
        let ask = async |held: &Held| {
            let row = async {
                let row = held.session.query_one(&held.statistics, &[&leak_age]).await;
                let row = row.map_err(|error| answer_of(&error))?;
                let tables = held.table_readings().await?;
                Ok(sql::readings(&row).into_iter().chain(tables).collect::<Readings>())
            };
            let row = limit.run(row).await?;
            Ok((row, self.volumes.readings(&held.session).await))
        };
        match self.kept.ask(self.join(limit), ask).await {
            Asked::NotConnected(answer) => draft.connect = answer,
            Asked::Lost(lost @ Answer::Gone { .. }) => draft.connect = lost,
            Asked::Lost(failed) | Asked::Refused(failed) => {
                draft.connect = Answer::Ok;
                draft.read = failed;
            }
            Asked::Answered((taken, volumes)) => {
                draft.connect = Answer::Ok;
                draft.read = Answer::Ok;
                draft.readings =
                    volumes.into_iter().fold(taken, |all, (name, v)| all.with(name, v));
            }
        }
        draft.finish()
    }

    async fn fresh(&self) -> Sample {
        let mut draft = Draft::new(Origin::Fresh);
        let session = self.visit(&mut draft, Limit::of(self.link.deadline)).await;
        let sample = draft.finish();
        if let Some(session) = session {
            session.close().await;
        }
        sample
    }

    async fn closed(&self) {
        self.kept.closed().await;
    }

    /// Read over a session of the application, because the kept one overrides some of them for itself.
    async fn settings(&self) -> Result<BTreeMap<String, String>, ProbeError> {
        let session = self.link.connect(&self.link.app, "settings", Session::App).await?;
        let settings = Limit::of(self.link.deadline).run(settings_over(&session)).await;
        session.close().await;
        settings.map_err(|answer| ask_error(&self.link.name, "pg_settings", answer))
    }
}

/// The settings as this session has them.
pub(super) async fn settings_over(
    session: &PgConnection,
) -> Result<BTreeMap<String, String>, Answer> {
    // A statement_timeout of a millisecond would cut the question; `reset_val` does not show that it was lifted.
    session.batch_execute(sql::NO_TIMEOUT).await.map_err(|error| answer_of(&error))?;
    let rows = session.query(sql::SETTINGS, &[]).await.map_err(|error| answer_of(&error))?;
    let pair = |row: &Row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?));
    Ok(rows.iter().filter_map(pair).collect())
}

fn has_heartbeat(rows: &[SimpleQueryMessage]) -> bool {
    rows.iter().any(|message| {
        matches!(message, SimpleQueryMessage::Row(row) if row.try_get(1).is_ok_and(|v| v == Some("t")))
    })
}
