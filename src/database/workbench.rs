//! One PostgreSQL with everything a job on it takes: its logins, its replicas, the bounds of the configuration.

use crate::config::workbench::WorkbenchConfig;
use crate::domain::target::{Engine, Target};
use crate::targets::postgres::{Login, PgConnection, PostgresLink, Session};
use crate::targets::{Link, Server};
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::failure::{Failure, Outcome};
use super::jobs::Recorder;
use super::pool::{Key, Leased, Pool};
use super::replicas::Replica;
use super::stats::Stats;

/// Whose rights a job takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum As {
    /// Reads statistics and catalogues.
    Monitor,
    /// What the application may: a person's own statements.
    App,
    /// Maintenance of the whole server.
    Fixer,
}

/// A server to work on. One is enough for all jobs of a target, and it is meant to be kept: it holds the
/// connections, the answers of the last seconds and the figures.
pub struct Workbench {
    pub target: Target,
    pub(super) link: PostgresLink,
    pub(super) settings: WorkbenchConfig,
    pub(super) pool: Pool,
    pub(super) replicas: Vec<Replica>,
    pub(super) cache: Cache,
    pub(super) stats: Stats,
    /// Ends whatever runs.
    pub(super) stop: CancellationToken,
    recorder: Option<Recorder>,
}

impl Workbench {
    /// A workbench on that server. `seed`: for the pauses between attempts.
    pub fn new(server: &Server, settings: &WorkbenchConfig, seed: u64) -> Outcome<Self> {
        let link = postgres(server)?;
        let stats = Stats::new(settings.slow_query_threshold, seed);
        Ok(Self {
            target: server.target.clone(),
            pool: Pool::new(link.clone(), settings.pool.clone()),
            link,
            settings: settings.clone(),
            replicas: Vec::new(),
            cache: Cache::new(settings.cache_ttl),
            stats,
            stop: CancellationToken::new(),
            recorder: None,
        })
    }

    /// With standbys of that server which may answer what only reads.
    pub fn with_replicas(mut self, replicas: &[Server]) -> Outcome<Self> {
        for server in replicas {
            let link = postgres(server)?;
            self.replicas.push(Replica::new(link, self.settings.pool.clone()));
        }
        Ok(self)
    }

    /// With somewhere to record what changes something; without it nothing is changed.
    pub fn recording(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    pub(super) fn recorder(&self) -> Outcome<Recorder> {
        self.recorder.clone().ok_or_else(|| {
            Failure::refused(
                "there is nowhere to record a change",
                "this is a defect of simctl: whoever may change something must record it",
            )
        })
    }

    /// Has the server cancel whatever this workbench runs, now and later.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// What the configuration allows.
    pub fn settings(&self) -> &WorkbenchConfig {
        &self.settings
    }

    /// The database that is meant.
    pub(super) fn database(&self, named: Option<&str>) -> String {
        named.unwrap_or(&self.link.app.database).to_owned()
    }

    /// The login for a job, in the named database or its own.
    pub fn login(&self, role: As, database: Option<&str>) -> Outcome<Login> {
        login(&self.link, role, database)
    }

    /// A connection for one job, as that role, with the options its purpose takes. The name of a database is sent
    /// as it is: it is never part of a statement.
    pub async fn connect(
        &self,
        role: As,
        database: Option<&str>,
        session: Session,
        purpose: &str,
    ) -> Outcome<PgConnection> {
        let login = self.login(role, database)?;
        let opened = self.link.connect(&login, purpose, session).await;
        opened.map_err(|error| Failure::of_connecting(&error))
    }

    /// A connection out of the pool.
    pub(super) async fn lease(
        &self,
        role: As,
        database: Option<&str>,
        session: Session,
    ) -> Outcome<Leased> {
        let login = self.login(role, database)?;
        let key = Key { role, session, database: login.database.clone() };
        self.pool.take(&key, &login).await
    }
}

fn postgres(server: &Server) -> Outcome<PostgresLink> {
    match &server.link {
        Link::Postgres(link) => Ok(link.clone()),
        Link::Redis(_) => {
            let name = &server.target.id;
            Err(Failure::invalid(
                format!("{name} is a {}; the workbench is for PostgreSQL", Engine::Redis.as_str()),
                "name a PostgreSQL target",
            ))
        }
    }
}

/// The login of a server for a job, in the named database or its own.
pub(super) fn login(link: &PostgresLink, role: As, database: Option<&str>) -> Outcome<Login> {
    let login = match role {
        As::Monitor => Some(&link.monitor),
        As::App => Some(&link.app),
        As::Fixer => link.fixer.as_ref(),
    };
    let mut login = login.cloned().ok_or_else(|| {
        Failure::refused(
            format!("simctl was given no login for maintenance of {}", link.name),
            "name a login that may do that in the target's configuration",
        )
    })?;
    // All roles meet in the application's database, whatever database is usual for them.
    let database = database.unwrap_or(&link.app.database);
    if database.is_empty() || database.contains('\0') {
        let hint = "`simctl pg sizes` lists the databases";
        return Err(Failure::invalid("the name of the database is empty or broken", hint));
    }
    database.clone_into(&mut login.database);
    Ok(login)
}
