//! Read-only questions about a server: one file each, [`ALL`] is the list. Asking is apart from judging, and what
//! cannot be known is a value with a remedy. Console, command line, API and models show the same [`Report`].

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::actions::Need;
use crate::domain::target::Engine;
use crate::engine::clock;
use crate::targets::{Link, Server};

mod earlier;
mod given;
mod lock_tree;
mod postgres;
mod questions;
mod redis;
mod report;
mod subject;
mod unknown;
mod versions;
mod words;

mod pg_bloat;
mod pg_connections;
mod pg_database;
mod pg_health;
mod pg_indexes;
mod pg_locks;
mod pg_performance;
mod pg_replication;
mod pg_sizes;
mod pg_slow;
mod pg_vacuum;
mod redis_bigkeys;
mod redis_clients;
mod redis_config_drift;
mod redis_evictions;
mod redis_latency;
mod redis_memory;
mod redis_persistence;
mod redis_replication;
mod redis_slowlog;

pub use self::redis::RedisDesk;
pub use given::{Arg, ArgKind, Given};
pub use postgres::PgDesk;
pub use report::{Check, Column, Content, Draft, Figure, Grade, Offer, Part, Report, Table, Unit};
pub use subject::{IndexState, Session as SubjectSession, Subject};
pub use unknown::Unknown;
pub(crate) use versions::{as_json, quoted};
pub use words::cell;

/// Every inspection there is.
pub static ALL: &[&Inspection] = &[
    &pg_health::INSPECTION,
    &pg_performance::INSPECTION,
    &pg_sizes::INSPECTION,
    &pg_connections::INSPECTION,
    &pg_database::INSPECTION,
    &pg_replication::INSPECTION,
    &pg_bloat::INSPECTION,
    &pg_slow::INSPECTION,
    &pg_indexes::INSPECTION,
    &pg_vacuum::INSPECTION,
    &pg_locks::INSPECTION,
    &redis_memory::INSPECTION,
    &redis_clients::INSPECTION,
    &redis_bigkeys::INSPECTION,
    &redis_slowlog::INSPECTION,
    &redis_latency::INSPECTION,
    &redis_persistence::INSPECTION,
    &redis_replication::INSPECTION,
    &redis_evictions::INSPECTION,
    &redis_config_drift::INSPECTION,
];

/// A read-only question: what front ends need to know about it, and how it is asked.
#[derive(Debug)]
pub struct Inspection {
    /// The name a model knows it by.
    pub id: &'static str,
    /// The word on the command line.
    pub verb: &'static str,
    pub title: &'static str,
    /// One or two sentences: what it tells and by what.
    pub about: &'static str,
    pub args: &'static [Arg],
    /// The rights it takes, no more; `simctl grants` adds them up.
    pub needs: &'static [Need],
    /// The actions its findings may offer.
    pub offers: &'static [&'static str],
    /// No question of it starts later than this after the first.
    pub budget: Duration,
    /// An example of the command line.
    pub example: &'static str,
    pub(crate) ask: Ask,
}

/// How an inspection asks, by what it asks.
#[derive(Debug)]
pub(crate) enum Ask {
    Postgres(for<'a> fn(&'a mut PgDesk, &'a Given) -> BoxFuture<'a, Draft>),
    Redis(for<'a> fn(&'a mut RedisDesk, &'a Given) -> BoxFuture<'a, Draft>),
}

impl Inspection {
    pub fn engine(&self) -> Engine {
        match self.ask {
            Ask::Postgres(_) => Engine::Postgres,
            Ask::Redis(_) => Engine::Redis,
        }
    }
}

/// The inspections of a kind of server.
pub fn of(engine: Engine) -> impl Iterator<Item = &'static Inspection> {
    ALL.iter().copied().filter(move |inspection| inspection.engine() == engine)
}

/// The inspection of that word for this kind of server.
pub fn find(engine: Engine, verb: &str) -> Option<&'static Inspection> {
    of(engine).find(|inspection| inspection.verb == verb || inspection.id == verb)
}

/// The place where one server is asked: the session that is kept, and the samples before.
pub struct Desk {
    server: Server,
    session: Session,
    baseline: Option<BTreeMap<String, String>>,
}

enum Session {
    /// None yet, or the last one broke.
    None,
    Postgres(Box<PgDesk>),
    Redis(Box<RedisDesk>),
}

impl Desk {
    /// For this server; connects with the first question.
    pub fn new(server: Server) -> Self {
        Self { server, session: Session::None, baseline: None }
    }

    /// With the settings of when the server was last known to be well.
    pub fn with_baseline(self, baseline: Option<BTreeMap<String, String>>) -> Self {
        Self { baseline, ..self }
    }

    /// Asks and judges. Never fails: what cannot be known is part of the report.
    pub async fn report(&mut self, inspection: &'static Inspection, given: &Given) -> Report {
        let (at, began) = (clock::now(), Instant::now());
        let draft = self.draft(inspection, given).await;
        Report {
            inspection: inspection.id,
            verb: inspection.verb,
            target: self.server.target.id.to_string(),
            at,
            took_ms: began.elapsed().as_secs_f64() * 1_000.0,
            grade: draft.grade(),
            parts: draft.parts,
            checks: draft.checks,
        }
    }

    async fn draft(&mut self, inspection: &'static Inspection, given: &Given) -> Draft {
        match &inspection.ask {
            Ask::Postgres(ask) => match self.postgres(inspection.budget).await {
                Ok(desk) => ask(desk, given).await,
                Err(unknown) => refused(unknown),
            },
            Ask::Redis(ask) => match self.redis(inspection.budget).await {
                Ok(desk) => ask(desk, given).await,
                Err(unknown) => refused(unknown),
            },
        }
    }

    async fn redis(&mut self, budget: Duration) -> Result<&mut RedisDesk, Unknown> {
        let Link::Redis(link) = &self.server.link else {
            return Err(other_engine(&self.server, Engine::Redis));
        };
        if !matches!(self.session, Session::Redis(_)) {
            let opened = RedisDesk::open(link, budget, self.baseline.clone()).await?;
            self.session = Session::Redis(Box::new(opened));
        }
        let Session::Redis(desk) = &mut self.session else {
            return Err(other_engine(&self.server, Engine::Redis));
        };
        desk.begin(budget);
        Ok(desk)
    }

    async fn postgres(&mut self, budget: Duration) -> Result<&mut PgDesk, Unknown> {
        let Link::Postgres(link) = &self.server.link else {
            return Err(other_engine(&self.server, Engine::Postgres));
        };
        if !matches!(self.session, Session::Postgres(_)) {
            let opened = PgDesk::open(link, budget).await?;
            self.session = Session::Postgres(Box::new(opened));
        }
        let Session::Postgres(desk) = &mut self.session else {
            return Err(other_engine(&self.server, Engine::Postgres));
        };
        desk.begin(budget);
        Ok(desk)
    }

    /// Says goodbye to the server.
    pub async fn close(self) {
        match self.session {
            Session::Postgres(desk) => desk.close().await,
            Session::Redis(_) | Session::None => {}
        }
    }
}

fn refused(unknown: Unknown) -> Draft {
    let mut draft = Draft::default();
    draft.part(report::NOT_CONNECTED, "Connection", Err(unknown));
    draft
}

fn other_engine(server: &Server, wanted: Engine) -> Unknown {
    let (name, is) = (&server.target.id, server.target.engine.as_str());
    Unknown::Failed {
        code: "CLIENT".into(),
        said: format!("{name} is a {is}, this asks a {}", wanted.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::actions;

    #[test]
    fn every_descriptor_is_complete() {
        let mut names = BTreeSet::new();
        for one in ALL {
            assert!(names.insert((one.engine().as_str(), one.verb)), "{} is there twice", one.id);
            assert!(names.insert(("", one.id)), "{} is there twice", one.id);
            assert!(one.title.len() > 3 && one.about.ends_with('.'), "{}", one.id);
            assert!(!one.needs.is_empty() && !one.budget.is_zero(), "{}", one.id);
            assert!(one.example.starts_with("simctl "), "{}", one.id);
            for arg in one.args {
                assert!(arg.about.len() > 5, "{} {}", one.id, arg.name);
            }
            let found = find(one.engine(), one.verb).map(|found| found.id);
            assert_eq!(found, Some(one.id));
        }
    }

    #[test]
    fn every_offer_is_an_action_for_that_kind_of_server() {
        for one in ALL {
            for offer in one.offers {
                let action = actions::find(offer).unwrap_or_else(|| panic!("{}: {offer}", one.id));
                let engine = action.descriptor().engine;
                assert!(engine.is_none_or(|engine| engine == one.engine()), "{}: {offer}", one.id);
            }
        }
    }

    const READS: [&str; 14] = [
        "info",
        "ping",
        "time",
        "dbsize",
        "scan",
        "type",
        "pttl",
        "memory|usage",
        "client|list",
        "config|get",
        "slowlog|get",
        "latency|latest",
        "acl|list",
        "lastsave",
    ];

    #[test]
    fn watching_takes_no_right_to_change_anything() {
        for one in ALL {
            for need in one.needs {
                let reads = match need {
                    Need::PgRole(role) => {
                        ["pg_read_all_stats", "pg_read_all_settings", "pg_stat_scan_tables"]
                            .contains(role)
                    }
                    Need::Redis(commands) => commands.iter().all(|c| READS.contains(c)),
                    Need::RedisKeys => one.verb == "bigkeys",
                    _ => false,
                };
                assert!(reads, "{}: {need:?}", one.id);
            }
        }
    }
}
