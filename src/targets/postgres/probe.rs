//! The probes of a PostgreSQL server: statistics over a kept monitor session, and the application's own way in.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::{Row, SimpleQueryMessage, Statement};

use super::connect::{PgConnection, Session, answer_of};
use super::{PostgresLink, sql};
use crate::domain::sample::{Answer, Origin, Sample};
use crate::domain::target::Thresholds;
use crate::ports::probe::{Probe, ProbeError};
use crate::targets::dial::Trust;
use crate::targets::draft::{Draft, answer};
use crate::targets::kept::{Asked, Ends, Kept};
use crate::targets::session::Over;
use crate::targets::{Limit, ask_error};

/// Probes of one PostgreSQL server.
pub struct PostgresProbe {
    link: PostgresLink,
    leak_age: Duration,
    trust: Trust,
    kept: Kept<Held>,
}

struct Held {
    session: PgConnection,
    statistics: Statement,
}

impl Ends for Held {
    fn over(&self) -> Over {
        self.session.over()
    }
}

impl PostgresProbe {
    pub fn new(link: PostgresLink) -> Self {
        let leak_age = Duration::from_secs_f64(Thresholds::default().idle_leak_age_s);
        Self { link, leak_age, trust: Trust::default(), kept: Kept::default() }
    }

    /// Idle sessions older than this are counted as leaked.
    pub fn with_leak_age(self, leak_age: Duration) -> Self {
        Self { leak_age, ..self }
    }

    async fn join(&self, limit: Limit) -> Result<Held, Answer> {
        let (login, session) = (&self.link.monitor, Session::Monitor);
        let session = self.link.open(login, "monitor", session, &self.trust, limit).await?;
        let prepare =
            async { session.prepare(sql::STATISTICS).await.map_err(|error| answer_of(&error)) };
        let statistics = limit.run(prepare).await?;
        Ok(Held { session, statistics })
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
        Some(session)
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
                row.map_err(|error| answer_of(&error))
            };
            limit.run(row).await
        };
        match self.kept.ask(self.join(limit), ask).await {
            Asked::NotConnected(answer) => draft.connect = answer,
            Asked::Lost(lost @ Answer::Gone { .. }) => draft.connect = lost,
            Asked::Lost(failed) | Asked::Refused(failed) => {
                draft.connect = Answer::Ok;
                draft.read = failed;
            }
            Asked::Answered(row) => {
                draft.connect = Answer::Ok;
                draft.read = Answer::Ok;
                draft.readings = sql::readings(&row);
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
    let rows = session.query(sql::SETTINGS, &[]).await.map_err(|error| answer_of(&error))?;
    let pair = |row: &Row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?));
    Ok(rows.iter().filter_map(pair).collect())
}

fn has_heartbeat(rows: &[SimpleQueryMessage]) -> bool {
    rows.iter().any(|message| {
        matches!(message, SimpleQueryMessage::Row(row) if row.try_get(1).is_ok_and(|v| v == Some("t")))
    })
}
