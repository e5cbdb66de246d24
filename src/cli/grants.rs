//! `grants`: the rights simctl needs on a server, as statements to run there.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Done;
use super::print::Print;
use crate::actions::{Rights, rights};
use crate::domain::target::Engine;

/// Print the PostgreSQL role and the Redis user that simctl needs, with no right more
///
/// Added up from what watching and every action of the catalogue take, each right with who needs it. `simctl doctor`
/// proves that a server's login has these and no others.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl grants\n  simctl grants redis --user ops\n  simctl grants postgres | psql -v password=\"$PASSWORD\""
)]
pub(super) struct Grants {
    /// For this kind of server only
    #[arg(value_name = "ENGINE")]
    engine: Option<Kind>,
    /// The name of the role and user
    #[arg(long, value_name = "NAME", default_value = "simctl", value_parser = name)]
    user: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Redis,
    Postgres,
}

/// A name that needs no quoting anywhere.
fn name(given: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = given.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && given.len() <= 63 && given.chars().all(fits) {
        return Ok(given.to_owned());
    }
    Err("use lower-case letters, digits and _, beginning with a letter".into())
}

pub(super) fn print(print: &Print, args: &Grants) -> Done {
    let wants = |kind| args.engine.is_none_or(|only| only == kind);
    let (redis, postgres) = (rights(Engine::Redis), rights(Engine::Postgres));
    if print.json {
        let mut all = serde_json::Map::new();
        if wants(Kind::Postgres) {
            all.insert("postgres".into(), json!(sql(&postgres, &args.user)));
        }
        if wants(Kind::Redis) {
            all.insert("redis".into(), json!([acl(&redis, &args.user)]));
        }
        print.json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    if wants(Kind::Postgres) {
        print.line("-- PostgreSQL; run with: psql -v password=SECRET")?;
        for statement in sql(&postgres, &args.user) {
            print.line(statement)?;
        }
        for (what, who) in &postgres.pg_superuser {
            let who: Vec<&str> = who.iter().copied().collect();
            print.line(format_args!(
                "-- only a superuser or owner may {what}; without one these cannot run: {}",
                who.join(", ")
            ))?;
        }
    }
    if wants(Kind::Redis) {
        if wants(Kind::Postgres) {
            print.line("")?;
        }
        print.line("# Redis; put the password in place of SECRET")?;
        for (command, who) in &redis.redis_commands {
            let who: Vec<&str> = who.iter().copied().collect();
            print.line(format_args!("# +{command}: {}", who.join(", ")))?;
        }
        print.line(acl(&redis, &args.user))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The statements for a PostgreSQL, each right with who needs it.
fn sql(rights: &Rights, user: &str) -> Vec<String> {
    let mut statements = vec![format!("CREATE ROLE {user} LOGIN PASSWORD :'password';")];
    for (role, who) in &rights.pg_roles {
        let who: Vec<&str> = who.iter().copied().collect();
        statements.push(format!("GRANT {role} TO {user}; -- {}", who.join(", ")));
    }
    statements
}

/// The one command for a Redis.
fn acl(rights: &Rights, user: &str) -> String {
    let keys = if rights.redis_keys { " ~*" } else { "" };
    let commands: Vec<String> =
        rights.redis_commands.keys().map(|name| format!("+{name}")).collect();
    format!(
        "ACL SETUSER {user} on >SECRET resetchannels resetkeys{keys} -@all {}",
        commands.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_only_where_it_needs_no_quotes() {
        for good in ["simctl", "ops_2"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "2ops", "Ops", "a b", "a;drop", "o\"ps", &"a".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn statements_begin_with_nothing_and_add_what_is_needed() {
        let acl = acl(&rights(Engine::Redis), "ops");
        assert!(acl.starts_with("ACL SETUSER ops on >SECRET resetchannels resetkeys ~* -@all +"));
        assert!(acl.contains(" +config|set") && !acl.contains("+@") && !acl.contains("+eval"));
        let sql = sql(&rights(Engine::Postgres), "ops");
        assert_eq!(sql[0], "CREATE ROLE ops LOGIN PASSWORD :'password';");
        assert!(sql.iter().any(|line| line.starts_with("GRANT pg_signal_backend TO ops; -- ")));
    }
}
