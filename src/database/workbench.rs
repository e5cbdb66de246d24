//! One PostgreSQL with everything a job on it takes: its logins, its replicas, the bounds of the configuration.

use crate::config::workbench::WorkbenchConfig;
use crate::domain::target::{Engine, Target};
use crate::ports::runtime::RuntimeKind;
use crate::targets::postgres::{Login, PgConnection, PostgresLink, Session};
use crate::targets::{Link, Place, Server};

use super::failure::{Failure, Outcome};

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

/// A server to work on. One is enough for all jobs of a target.
pub struct Workbench {
    pub target: Target,
    pub(super) link: PostgresLink,
    /// What the server runs in, where simctl may look into it.
    pub(super) place: Option<Place>,
    pub(super) settings: WorkbenchConfig,
}

impl Workbench {
    /// A workbench on that server.
    pub fn new(server: &Server, settings: &WorkbenchConfig) -> Outcome<Self> {
        let Link::Postgres(link) = &server.link else {
            let name = &server.target.id;
            return Err(Failure::invalid(
                format!("{name} is a {}; the workbench is for PostgreSQL", Engine::Redis.as_str()),
                "name a PostgreSQL target",
            ));
        };
        let (target, link) = (server.target.clone(), link.clone());
        Ok(Self { target, link, place: server.place.clone(), settings: settings.clone() })
    }

    /// What the configuration allows.
    pub fn settings(&self) -> &WorkbenchConfig {
        &self.settings
    }

    /// Whether its programs run inside a container.
    pub(super) fn is_inside(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.runtime.kind() == RuntimeKind::Docker)
    }

    /// The login for a job, in the named database or its own.
    pub fn login(&self, role: As, database: Option<&str>) -> Outcome<Login> {
        let login = match role {
            As::Monitor => Some(&self.link.monitor),
            As::App => Some(&self.link.app),
            As::Fixer => self.link.fixer.as_ref(),
        };
        let mut login = login.cloned().ok_or_else(|| {
            let name = &self.target.id;
            Failure::refused(
                format!("simctl was given no login for maintenance of {name}"),
                "name a login that may do that in the target's configuration",
            )
        })?;
        if let Some(database) = database {
            if database.is_empty() || database.contains('\0') {
                let hint = "`simctl pg sizes` lists the databases";
                return Err(Failure::invalid("the name of the database is empty or broken", hint));
            }
            database.clone_into(&mut login.database);
        }
        Ok(login)
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
}
