//! A PostgreSQL server from inside: who holds its slots, who waits for whom, and which limits apply.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::connect::{PgConnection, Session, answer_of};
use super::{Login, PostgresLink, sql};
use crate::diagnose::facts::{HolderKind, PgHolder, PgSession, PgTable, PostgresFacts};
use crate::diagnose::source;
use crate::domain::finding::FindingKind;
use crate::domain::sample::Answer;
use crate::domain::words::counted;
use crate::targets::dial::Trust;
use crate::targets::notebook::Notebook;
use crate::targets::{Limit, changes};

/// The database that every server has besides those of applications.
const ELSEWHERE: &str = "postgres";

impl PostgresLink {
    /// Asks everything a diagnosis needs. `None` when no login was let in or sessions could not be listed.
    pub(in crate::targets) async fn facts(
        &self,
        finding: FindingKind,
        baseline: &BTreeMap<String, String>,
        notebook: &mut Notebook<'_>,
    ) -> Option<PostgresFacts> {
        let session = self.enter(notebook).await?;
        let sessions = self.sessions(&session, notebook).await;
        let limits = self.limits(&session, notebook).await;
        let holders = self.holders(&session, notebook).await;
        let tables = match finding {
            FindingKind::DeadRows => self.tables(&session, notebook).await,
            _ => None,
        };
        let wal = match finding {
            FindingKind::WalRetained => self.wal(&session, notebook).await,
            _ => None,
        };
        let invalid_indexes = match finding {
            FindingKind::InvalidIndex => self.invalid_indexes(&session, notebook).await,
            _ => None,
        };
        let deadlocks = match finding {
            FindingKind::Deadlocks => self.deadlocks(&session, notebook).await,
            _ => None,
        };
        // A full table of locks is met by some transactions first, and by a probe later.
        let promised_locks = match finding {
            FindingKind::TransactionsFail
            | FindingKind::ProbeFailing
            | FindingKind::WritesRefused => self.promised_locks(&session, notebook).await,
            _ => None,
        };
        let ended_sequences = match finding {
            FindingKind::TransactionsFail => self.ended_sequences(notebook).await,
            _ => None,
        };
        let standing = self.standing(&session, notebook).await;
        let settings = self.settings_now(baseline, notebook).await;
        session.close().await;
        let (sessions, limits) = (sessions?, limits?);
        Some(PostgresFacts {
            sessions,
            settings,
            tables,
            holders,
            standing,
            wal,
            invalid_indexes,
            deadlocks,
            ended_sequences,
            promised_locks,
            ..limits
        })
    }

    /// When the postmaster started: new with every start.
    pub(in crate::targets) async fn life(&self) -> Option<String> {
        for login in self.readers() {
            let Ok(session) = self.connect(&login, "identity", Session::Monitor).await else {
                continue;
            };
            let asked =
                async { session.query_one(sql::STARTED, &[]).await.map_err(|e| answer_of(&e)) };
            let row = Limit::of(self.deadline).run(asked).await;
            session.close().await;
            return row.ok()?.try_get(0).ok();
        }
        None
    }

    /// Who may read statistics, most modest first: superusers have slots of their own when all others are taken.
    /// The same by way of another database comes last, for where their own is closed to them.
    fn readers(&self) -> impl Iterator<Item = Login> {
        let own = || std::iter::once(&self.monitor).chain(&self.fixer);
        let elsewhere = own().filter(|login| login.database != ELSEWHERE);
        let elsewhere =
            elsewhere.map(|login| Login { database: ELSEWHERE.to_owned(), ..login.clone() });
        own().cloned().chain(elsewhere)
    }

    async fn enter(&self, notebook: &mut Notebook<'_>) -> Option<PgConnection> {
        for login in self.readers() {
            let question = format!(
                "psql -h {} -p {} -U {} -d {}",
                self.host, self.port, login.user, login.database
            );
            let limit = Limit::of(self.deadline);
            let (trust, mut turned_away) = (Trust::default(), false);
            let enter = async {
                let entered = self.open(&login, "facts", Session::Monitor, &trust, limit).await;
                entered.inspect_err(|answer| turned_away = matches!(answer, Answer::Error { .. }))
            };
            let entered =
                notebook.ask(&question, self.deadline, enter, |_| "let in".to_owned()).await;
            // Another login helps only where this one was turned away by a server that is there.
            if entered.is_some() || !turned_away {
                return entered;
            }
        }
        None
    }

    async fn sessions(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<PgSession>> {
        let question = source::PG_SESSIONS;
        let rows = async {
            let rows =
                session.query(sql::SESSIONS, &[]).await.map_err(|error| answer_of(&error))?;
            rows.iter().map(pg_session).collect::<Result<Vec<_>, _>>().map_err(|e| answer_of(&e))
        };
        notebook.ask(question, self.deadline, rows, |sessions| session_words(sessions)).await
    }

    async fn limits(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<PostgresFacts> {
        let question = source::PG_LIMITS;
        let asked = async {
            let server = session.query_one(sql::SERVER, &[]).await.map_err(|e| answer_of(&e))?;
            let limits = session.query(sql::LIMITS, &[]).await.map_err(|e| answer_of(&e))?;
            server_facts(&server, &limits).map_err(|error| answer_of(&error))
        };
        notebook.ask(question, self.deadline, asked, limit_words).await
    }

    async fn holders(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<PgHolder>> {
        let rows = async {
            let rows = session.query(sql::HOLDERS, &[]).await.map_err(|e| answer_of(&e))?;
            rows.iter().map(pg_holder).collect::<Result<Vec<_>, _>>().map_err(|e| answer_of(&e))
        };
        notebook.ask(source::PG_HOLDERS, self.deadline, rows, |all| holder_words(all)).await
    }

    async fn tables(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<PgTable>> {
        let rows = async {
            let rows = session.query(sql::DEAD_ROWS, &[]).await.map_err(|e| answer_of(&e))?;
            rows.iter().map(pg_table).collect::<Result<Vec<_>, _>>().map_err(|e| answer_of(&e))
        };
        notebook.ask(source::PG_TABLES, self.deadline, rows, |all| table_words(all)).await
    }

    /// The settings as the application has them, when it is let in at all.
    async fn settings_now(
        &self,
        baseline: &BTreeMap<String, String>,
        notebook: &mut Notebook<'_>,
    ) -> Option<BTreeMap<String, String>> {
        let limit = Limit::of(self.deadline);
        let trust = Trust::default();
        let asked = async {
            let session = self.open(&self.app, "facts", Session::App, &trust, limit).await?;
            let settings = super::probe::settings_over(&session).await;
            session.close().await;
            settings
        };
        let differences = |now: &BTreeMap<_, _>| changes(baseline, now);
        let question = format!("psql -U {} -c \"SELECT … FROM pg_settings\"", self.app.user);
        notebook.ask(&question, self.deadline, asked, differences).await
    }
}

fn pg_session(row: &Row) -> Result<PgSession, tokio_postgres::Error> {
    Ok(PgSession {
        pid: row.try_get("pid")?,
        backend_start: row.try_get("backend_start")?,
        user: row.try_get("usename")?,
        database: row.try_get("datname")?,
        application: row.try_get("application_name")?,
        client: row.try_get("client")?,
        client_port: row
            .try_get::<_, Option<i32>>("client_port")?
            .and_then(|port| port.try_into().ok()),
        state: row.try_get("state")?,
        state_age_s: row.try_get("state_age")?,
        xact_age_s: row.try_get("xact_age")?,
        query_age_s: row.try_get("query_age")?,
        query_start: row.try_get("query_start")?,
        horizon_age: row.try_get("horizon_age")?,
        wait_type: row.try_get("wait_event_type")?,
        wait_event: row.try_get("wait_event")?,
        has_written: row.try_get("has_written")?,
        blocked_by: row.try_get("blocked_by")?,
        holds_advisory_lock: row.try_get("holds_advisory_lock")?,
        is_superuser: row.try_get("is_superuser")?,
        process: None,
        has_client: None,
    })
}

fn pg_table(row: &Row) -> Result<PgTable, tokio_postgres::Error> {
    let rows = |name: &str| -> Result<u64, tokio_postgres::Error> {
        Ok(u64::try_from(row.try_get::<_, i64>(name)?).unwrap_or_default())
    };
    Ok(PgTable {
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
        live: rows("live")?,
        dead: rows("dead")?,
        vacuumed_s: row.try_get("vacuumed_s")?,
        autovacuum_off: row.try_get("autovacuum_off")?,
        is_being_vacuumed: row.try_get("is_being_vacuumed")?,
    })
}

fn pg_holder(row: &Row) -> Result<PgHolder, tokio_postgres::Error> {
    let kind: &str = row.try_get("kind")?;
    Ok(PgHolder {
        kind: if kind == "slot" { HolderKind::Slot } else { HolderKind::Prepared },
        name: row.try_get("name")?,
        horizon_age: row.try_get("horizon_age")?,
        age_s: row.try_get("age_s")?,
        prepared: row.try_get("prepared")?,
        owner: row.try_get("owner")?,
        locked: row.try_get("locked")?,
    })
}

fn server_facts(server: &Row, limits: &[Row]) -> Result<PostgresFacts, tokio_postgres::Error> {
    let count = |name: &str| -> Result<u32, tokio_postgres::Error> {
        Ok(u32::try_from(server.try_get::<_, i32>(name)?).unwrap_or_default())
    };
    let mut facts = PostgresFacts {
        started_at: server.try_get("started_at")?,
        max_connections: count("max_connections")?,
        reserved: count("reserved")?,
        own_sessions: count("own_sessions")?,
        ..PostgresFacts::default()
    };
    for row in limits {
        let limit = (row.try_get("name")?, row.try_get("connections")?);
        if row.try_get::<_, bool>("is_role")? {
            facts.role_limits.push(limit);
        } else {
            facts.database_limits.push(limit);
        }
    }
    Ok(facts)
}

/// Sessions by what they do, the largest group first.
fn session_words(sessions: &[PgSession]) -> String {
    if sessions.is_empty() {
        return "no sessions besides simctl's".to_owned();
    }
    let mut groups: BTreeMap<(&str, &str, &str), (usize, f64)> = BTreeMap::new();
    for session in sessions {
        let key = (session.state.as_str(), session.user.as_str(), session.application.as_str());
        let group = groups.entry(key).or_default();
        group.0 += 1;
        group.1 = group.1.max(session.state_age_s);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let words: Vec<_> = groups
        .into_iter()
        .take(4)
        .map(|((state, user, application), (count, age))| {
            format!("{count} {state} as {user} ({application}), the oldest for {age:.1} s")
        })
        .collect();
    let waiting = sessions.iter().filter(|session| !session.blocked_by.is_empty()).count();
    format!("{} sessions: {}; {waiting} wait for a lock", sessions.len(), words.join("; "))
}

fn table_words(tables: &[PgTable]) -> String {
    let words: Vec<_> = tables
        .iter()
        .take(3)
        .map(|table| {
            let vacuumed = table
                .vacuumed_s
                .map_or("never vacuumed".to_owned(), |age| format!("vacuumed {age:.0} s ago"));
            format!(
                "{}.{}: {} dead, {} live, {vacuumed}",
                table.schema, table.name, table.dead, table.live
            )
        })
        .collect();
    if words.is_empty() { "no table has dead rows".to_owned() } else { words.join("; ") }
}

fn holder_words(holders: &[PgHolder]) -> String {
    let words: Vec<_> = holders
        .iter()
        .take(3)
        .map(|holder| match holder.kind {
            HolderKind::Slot => format!("replication slot {} holds old rows", holder.name),
            HolderKind::Prepared => format!(
                "prepared transaction {} of {}, {:.0} s old, locks {}",
                holder.name,
                holder.owner,
                holder.age_s.unwrap_or_default(),
                holder.locked.join(", ")
            ),
        })
        .collect();
    if words.is_empty() {
        return "no prepared transactions, no replication slot that holds rows".to_owned();
    }
    format!("{}: {}", counted(holders.len() as u64, "holder"), words.join("; "))
}

fn limit_words(facts: &PostgresFacts) -> String {
    let named = |limits: &[(String, i32)]| {
        let words: Vec<_> = limits.iter().map(|(name, limit)| format!("{name} {limit}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    format!(
        "max_connections {}, {} reserved for superusers, {} are simctl's; role limits: {}; \
         database limits: {}",
        facts.max_connections,
        facts.reserved,
        facts.own_sessions,
        named(&facts.role_limits),
        named(&facts.database_limits)
    )
}
