//! The rights that watching, asking and acting take on a server, added up from the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use super::ALL;
use crate::domain::target::Engine;
use crate::inspect;

/// A right an action takes on the server it acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Commands of Redis, as its ACL names them: `config|set`, `client|kill`.
    Redis(&'static [&'static str]),
    /// Reads and writes keys of any name.
    RedisKeys,
    /// Membership of a predefined role of PostgreSQL, like `pg_signal_backend`.
    PgRole(&'static str),
    /// What only an owner or a superuser of PostgreSQL may do, in words.
    PgSuperuser(&'static str),
    /// The engine or process the server runs in, in words.
    Runtime(&'static str),
}

/// Who watches, where a right is not an action's.
pub const WATCHING: &str = "watching";

/// What probes, investigations, previews and proofs take on a Redis, and what `doctor` takes to prove the rest.
const WATCH_REDIS: &[Need] = &[
    Need::Redis(&[
        "acl|dryrun",
        "acl|list",
        "acl|whoami",
        "client|id",
        "client|list",
        "client|setname",
        "command",
        "config|get",
        "dbsize",
        "get",
        "hlen",
        "info",
        "llen",
        "memory|usage",
        "ping",
        "pttl",
        "scan",
        "scard",
        "select",
        "set",
        "slowlog|get",
        "strlen",
        "time",
        "type",
        "xlen",
        "zcard",
    ]),
    Need::RedisKeys,
];

/// The same for a PostgreSQL.
const WATCH_POSTGRES: &[Need] =
    &[Need::PgRole("pg_read_all_stats"), Need::PgRole("pg_read_all_settings")];

/// Every right for one kind of server, with who needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub redis_commands: BTreeMap<&'static str, BTreeSet<&'static str>>,
    pub redis_keys: bool,
    pub pg_roles: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// What no role can be given, with the actions that are not to be had without a superuser.
    pub pg_superuser: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

/// What simctl needs on such a server.
pub fn rights(engine: Engine) -> Rights {
    let watching = match engine {
        Engine::Redis => WATCH_REDIS,
        Engine::Postgres => WATCH_POSTGRES,
    };
    let mut rights = Rights::default();
    rights.add(WATCHING, watching);
    for d in ALL.iter().map(|action| action.descriptor()) {
        if d.engine.is_none_or(|own| own == engine) {
            rights.add(d.id, d.needs);
        }
    }
    for inspection in inspect::of(engine) {
        rights.add(inspection.id, inspection.needs);
    }
    rights
}

impl Rights {
    fn add(&mut self, who: &'static str, needs: &[Need]) {
        for need in needs {
            match need {
                Need::Redis(commands) => {
                    for command in *commands {
                        self.redis_commands.entry(command).or_default().insert(who);
                    }
                }
                Need::RedisKeys => self.redis_keys = true,
                Need::PgRole(role) => {
                    self.pg_roles.entry(role).or_default().insert(who);
                }
                Need::PgSuperuser(what) => {
                    self.pg_superuser.entry(what).or_default().insert(who);
                }
                // Access to what it runs in is the operating system's to give.
                Need::Runtime(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_on_a_server_says_what_it_takes() {
        for d in ALL.iter().map(|action| action.descriptor()) {
            assert!(!d.needs.is_empty(), "{} needs nothing?", d.id);
            let fits = |need: &Need| match need {
                Need::Redis(_) | Need::RedisKeys => d.engine != Some(Engine::Postgres),
                Need::PgRole(_) | Need::PgSuperuser(_) => d.engine != Some(Engine::Redis),
                Need::Runtime(_) => true,
            };
            assert!(d.needs.iter().all(fits), "{}: {:?}", d.id, d.needs);
        }
    }

    #[test]
    fn rights_are_added_up_with_who_needs_them() {
        let redis = rights(Engine::Redis);
        let who = |command: &str| redis.redis_commands[command].iter().copied().collect::<Vec<_>>();
        assert!(who("config|set").contains(&"reset_redis_setting"));
        assert!(who("info").contains(&WATCHING));
        assert!(redis.redis_keys && redis.pg_roles.is_empty() && redis.pg_superuser.is_empty());
        let postgres = rights(Engine::Postgres);
        assert!(postgres.pg_roles["pg_signal_backend"].contains("kill_idle_connections"));
        assert!(postgres.redis_commands.is_empty() && !postgres.redis_keys);
    }

    #[test]
    fn nothing_that_ends_a_server_or_runs_code_is_asked_for() {
        let redis = rights(Engine::Redis);
        for never in ["eval", "function|load", "debug", "module|load", "keys", "migrate", "monitor"]
        {
            assert!(!redis.redis_commands.contains_key(never), "{never}");
        }
    }
}
