//! A database that exists to prove one backup: restored into, compared, dropped. Whatever ends simctl meanwhile, it
//! carries a comment that says so, and is dropped when it is older than any proof takes.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::super::{Failure, Outcome, Workbench};
use super::manifest::Settings;
use super::{maintenance, settings};
use crate::domain::proposal::hex;
use crate::inspect::quoted;
use crate::targets::postgres::PgConnection;

const PREFIX: &str = "simctl_scratch_";
const COMMENT: &str = "simctl: made to prove a backup at ";
/// A proof that runs as long is none that still runs.
const LEFT_OVER: TimeDelta = TimeDelta::hours(6);

const ALL: &str = "
SELECT datname::text, shobj_description(oid, 'pg_database') FROM pg_database
  WHERE starts_with(datname::text, $1)";

/// A name that no other proof uses.
pub(crate) fn name(backup: &str, at: DateTime<Utc>) -> String {
    let id = hex(&Sha256::digest(format!("{backup} {}", at.timestamp_micros())));
    format!("{PREFIX}{}", &id[..16])
}

pub(crate) async fn create(
    session: &PgConnection,
    name: &str,
    like: &Settings,
    at: DateTime<Utc>,
) -> Outcome<()> {
    settings::create(session, name, like, &format!("{COMMENT}{}", at.to_rfc3339())).await
}

/// Drops a database that is ours, with whoever is still in it.
pub(crate) async fn drop_database(session: &PgConnection, name: &str) -> Outcome<()> {
    let major =
        session.query_one("SELECT current_setting('server_version_num')::int4 / 10000", &[]).await;
    let major: i32 = major.map_err(|error| Failure::of_postgres(&error))?.get(0);
    if major >= 13 {
        return settings::run(
            session,
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name)),
        )
        .await;
    }
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    session.query(end, &[&name]).await.map_err(|error| Failure::of_postgres(&error))?;
    settings::run(session, &format!("DROP DATABASE IF EXISTS {}", quoted(name))).await
}

/// Drops what proofs left that were broken off. Returns the names.
pub(crate) async fn sweep(bench: &Workbench, now: DateTime<Utc>) -> Outcome<Vec<String>> {
    let session = maintenance(bench, &[]).await?;
    let rows =
        session.query(ALL, &[&PREFIX]).await.map_err(|error| Failure::of_postgres(&error))?;
    let mut dropped = Vec::new();
    for row in rows {
        let (name, comment): (String, Option<String>) = (row.get(0), row.get(1));
        if is_left_over(comment.as_deref(), now) {
            drop_database(&session, &name).await?;
            dropped.push(name);
        }
    }
    session.close().await;
    Ok(dropped)
}

/// Ours by its comment. One without any was made a moment ago, or by somebody else.
fn is_left_over(comment: Option<&str>, now: DateTime<Utc>) -> bool {
    let at = comment.and_then(|comment| comment.strip_prefix(COMMENT));
    at.and_then(|at| DateTime::parse_from_rfc3339(at).ok())
        .is_some_and(|at| now - at.to_utc() > LEFT_OVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_so_and_is_old_is_left_over() {
        let at = DateTime::from_timestamp(1_796_004_900, 0).unwrap();
        let comment = format!("{COMMENT}{}", at.to_rfc3339());
        assert!(!is_left_over(Some(&comment), at + TimeDelta::hours(6)));
        assert!(is_left_over(Some(&comment), at + TimeDelta::hours(6) + TimeDelta::seconds(1)));
        for other in [None, Some(""), Some("mine"), Some("simctl: made to prove a backup at noon")]
        {
            assert!(!is_left_over(other, at + TimeDelta::days(100)), "{other:?}");
        }
    }

    #[test]
    fn two_proofs_have_two_names() {
        let at = DateTime::from_timestamp(1_796_004_900, 0).unwrap();
        assert_ne!(name("a", at), name("b", at));
        assert_ne!(name("a", at), name("a", at + TimeDelta::microseconds(1)));
        assert!(name("a", at).len() < 63);
    }
}
