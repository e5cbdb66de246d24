//! A lab server as plain data, so that the detached injector, or the next start, can reach the same one again.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FaultError;
use crate::config::RuntimeChoice;
use crate::config::secret::Secret;
use crate::domain::target::{Periods, Target};
use crate::ports::runtime::{RuntimeKind, Unit};
use crate::runtime;
use crate::targets::postgres::{self, PostgresLink};
use crate::targets::redis::RedisLink;
use crate::targets::{Link, Place, Server};

/// Everything needed to rebuild a [`Server`] of the lab.
///
/// It holds the lab's own passwords in the clear: it lives in private files and pipes only, and `Debug` shows none.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    pub target: Target,
    pub periods: Periods,
    link: LinkSpec,
    place: Option<PlaceSpec>,
    /// Names the life of the unit that was meant; see `UnitState::identity`.
    pub identity: Option<String>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
enum LinkSpec {
    Redis {
        name: String,
        host: String,
        port: u16,
        database: i64,
        user: Option<String>,
        password: Option<String>,
        deadline: Duration,
    },
    Postgres {
        name: String,
        host: String,
        port: u16,
        app: LoginSpec,
        monitor: LoginSpec,
        fixer: Option<LoginSpec>,
        deadline: Duration,
    },
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginSpec {
    user: String,
    password: Option<String>,
    database: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceSpec {
    runtime: RuntimeKind,
    unit: Unit,
}

impl fmt::Debug for ServerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSpec")
            .field("target", &self.target.id)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl From<&Server> for ServerSpec {
    fn from(server: &Server) -> Self {
        Self {
            target: server.target.clone(),
            periods: server.periods.clone(),
            link: LinkSpec::from(&server.link),
            place: server
                .place
                .as_ref()
                .map(|place| PlaceSpec { runtime: place.runtime.kind(), unit: place.unit.clone() }),
            identity: None,
        }
    }
}

impl From<&Link> for LinkSpec {
    fn from(link: &Link) -> Self {
        match link {
            Link::Redis(l) => Self::Redis {
                name: l.name.clone(),
                host: l.host.clone(),
                port: l.port,
                database: l.database,
                user: l.user.clone(),
                password: l.password.as_ref().map(|p| p.reveal().to_owned()),
                deadline: l.deadline,
            },
            Link::Postgres(l) => Self::Postgres {
                name: l.name.clone(),
                host: l.host.clone(),
                port: l.port,
                app: LoginSpec::from(&l.app),
                monitor: LoginSpec::from(&l.monitor),
                fixer: l.fixer.as_ref().map(LoginSpec::from),
                deadline: l.deadline,
            },
        }
    }
}

impl From<&postgres::Login> for LoginSpec {
    fn from(login: &postgres::Login) -> Self {
        Self {
            user: login.user.clone(),
            password: login.password.as_ref().map(|p| p.reveal().to_owned()),
            database: login.database.clone(),
        }
    }
}

impl From<LoginSpec> for postgres::Login {
    fn from(spec: LoginSpec) -> Self {
        Self { user: spec.user, password: spec.password.map(Secret::new), database: spec.database }
    }
}

impl From<LinkSpec> for Link {
    fn from(spec: LinkSpec) -> Self {
        match spec {
            LinkSpec::Redis { name, host, port, database, user, password, deadline } => {
                let password = password.map(Secret::new);
                Self::Redis(RedisLink {
                    name,
                    host,
                    port,
                    database,
                    user,
                    password,
                    tls: None,
                    deadline,
                    kept: Default::default(),
                })
            }
            LinkSpec::Postgres { name, host, port, app, monitor, fixer, deadline } => {
                Self::Postgres(PostgresLink {
                    name,
                    host,
                    port,
                    app: app.into(),
                    monitor: monitor.into(),
                    fixer: fixer.map(Into::into),
                    tls: None,
                    deadline,
                })
            }
        }
    }
}

impl ServerSpec {
    /// The server again, with its runtime opened.
    pub async fn open(&self, state_dir: &Path) -> Result<Server, FaultError> {
        let place = match &self.place {
            Some(place) => Some(self.open_place(place, state_dir).await?),
            None => None,
        };
        Ok(Server {
            target: self.target.clone(),
            periods: self.periods.clone(),
            link: self.link.clone().into(),
            place,
        })
    }

    async fn open_place(&self, place: &PlaceSpec, state_dir: &Path) -> Result<Place, FaultError> {
        let choice = match place.runtime {
            RuntimeKind::Docker => RuntimeChoice::Docker,
            RuntimeKind::Process => RuntimeChoice::Process,
            RuntimeKind::Simulated => {
                return Err(FaultError::Precondition(
                    "a simulated server cannot be reached from another process".into(),
                ));
            }
        };
        let lab = self.target.lab.as_deref().unwrap_or_default();
        let runtime = runtime::open(choice, lab, state_dir).await.map_err(|e| {
            FaultError::failed(format!("open the {} runtime", place.runtime.as_str()), e)
        })?;
        Ok(Place { runtime, unit: place.unit.clone() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::target::{Engine, Profile, Thresholds};

    pub(crate) fn server() -> Server {
        let login = |user: &str| postgres::Login {
            user: user.into(),
            password: Some(Secret::new("hush")),
            database: "app".into(),
        };
        Server {
            target: Target {
                id: "postgres-test".into(),
                engine: Engine::Postgres,
                profile: Profile::Lab,
                lab: Some("lab".into()),
                has_runtime: true,
                thresholds: Thresholds::default(),
                verify_hold: Duration::from_secs(10),
            },
            periods: Periods::of(Engine::Postgres),
            link: Link::Postgres(PostgresLink {
                name: "postgres-test".into(),
                host: "127.0.0.1".into(),
                port: 5433,
                app: login("app"),
                monitor: login("monitor"),
                fixer: Some(login("postgres")),
                tls: None,
                deadline: Duration::from_secs(2),
            }),
            place: None,
        }
    }

    #[tokio::test]
    async fn a_server_survives_the_way_through_a_file_with_its_logins() {
        let spec = ServerSpec::from(&server());
        let text = serde_json::to_string(&spec).unwrap();
        let read: ServerSpec = serde_json::from_str(&text).unwrap();
        assert!(read == spec);
        let again = read.open(Path::new("/nowhere")).await.unwrap();
        let Link::Postgres(link) = again.link else { panic!("another kind of link") };
        assert_eq!(link.fixer.unwrap().password.unwrap().reveal(), "hush");
        assert_eq!(again.target, server().target);
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", ServerSpec::from(&server())).contains("hush"));
    }
}
