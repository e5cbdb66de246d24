//! Migrations on a real server: one runs and others wait, what fails is recorded no further, what would lock a big
//! table is refused, and an index that came out invalid is a failure.

use std::fs;
use std::time::Duration;

use super::bench::{Running, Site, one};

/// Files of a directory beside.
fn write(site: &Site, files: &[(&str, &str)]) -> String {
    let dir = site.home().join("migrations");
    fs::create_dir_all(&dir).unwrap();
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
    dir.display().to_string()
}

async fn applied(site: &Site) -> String {
    let there = site.one("app", "select to_regclass('_sqlx_migrations') is not null").await;
    if there == "false" {
        return String::new();
    }
    site.one("app", "select coalesce(string_agg(version::text, ',' order by version), '') from _sqlx_migrations").await
}

const UP: [&str; 6] = ["migrate", "up", "--yes", "--backup", "none", "--dir"];

fn up<'a>(dir: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    UP.into_iter().chain([dir]).chain(more.iter().copied()).collect()
}

#[tokio::test]
async fn a_failure_in_the_second_of_three_leaves_one_and_names_the_file() {
    let site = Site::new();
    let dir = write(
        &site,
        &[
            ("1_a.sql", "create table a (n int)"),
            ("2_b.sql", "create table b (n int); select 1/0"),
            ("3_c.sql", "select 1"),
        ],
    );
    let said = site.db(&["migrate", "up", "--yes", "--dir", &dir]);
    let json = said.json();
    assert_eq!((said.code, json["success"].as_bool()), (Some(1), Some(false)), "{json:#}");
    assert!(json["failed_at"]["migration_file"].as_str().unwrap().ends_with("2_b.sql"));
    assert_eq!(json["failed_at"]["error"]["sqlstate"], "22012", "{json:#}");
    assert!(json["backup_file"].is_string(), "it was backed up before");
    assert_eq!((applied(&site).await.as_str(), json["version"].as_i64()), ("1", Some(1)));
    assert_eq!(
        site.one("app", "select to_regclass('b') is null").await,
        "true",
        "nothing of the second is left"
    );
    let status = site.done(&["migrate", "status", "--dir", &dir]);
    assert_eq!(status["pending"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn up_and_down_leave_the_catalogue_as_it_was() {
    let site = Site::new();
    let dir = write(
        &site,
        &[
            ("1_a.up.sql", "create table a (n int); create index i on a (n)"),
            ("1_a.down.sql", "drop table a"),
            ("2_v.up.sql", "create view v as select n from a"),
            ("2_v.down.sql", "drop view v"),
        ],
    );
    site.run("app", "create table before (n int)").await;
    let dry = site.done(&["migrate", "up", "--dry-run", "--dir", &dir]);
    assert_eq!((dry["applied"].as_array().unwrap().len(), applied(&site).await.as_str()), (2, ""));
    site.done(&up(&dir, &["--to", "1"]));
    let with_one = site.everything("app");
    site.done(&up(&dir, &[]));
    assert_eq!(applied(&site).await, "1,2");
    site.done(&["migrate", "down", "--yes", "--backup", "none", "--dir", &dir]);
    let rows = |text: String| {
        let line = |line: &&str| !line.starts_with(|c: char| c.is_ascii_digit());
        text.lines().filter(line).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(rows(site.everything("app")), rows(with_one));
    site.done(&["migrate", "down", "--to", "0", "--yes", "--backup", "none", "--dir", &dir]);
    assert_eq!(applied(&site).await, "");
    assert_eq!(
        site.one("app", "select to_regclass('a') is null and to_regclass('before') is not null")
            .await,
        "true"
    );
}

#[tokio::test]
async fn of_two_at_once_one_runs_and_the_other_waits_also_with_an_index_built_concurrently() {
    let site = Site::new();
    let dir = write(
        &site,
        &[
            (
                "1_a.sql",
                "create table a as select i from generate_series(1, 1000) i; select pg_sleep(1)",
            ),
            ("2_i.sql", "-- no-transaction\ncreate index concurrently a_i on a (i)"),
        ],
    );
    let args = up(&dir, &[]);
    let both = [site.start(&args), site.start(&args)].map(Running::wait);
    for said in &both {
        assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
    }
    let ran: usize = both.iter().map(|said| said.json()["applied"].as_array().unwrap().len()).sum();
    assert_eq!((ran, applied(&site).await.as_str()), (2, "1,2"), "each file ran once");
    assert_eq!(
        site.one("app", "select indisvalid from pg_index where indexrelid = 'a_i'::regclass").await,
        "true"
    );
}

#[tokio::test]
async fn who_waits_too_long_is_told_who_runs() {
    let site = Site::new();
    let dir = write(&site, &[("1_a.sql", "select pg_sleep(30)")]);
    let first = site.start(&up(&dir, &[]));
    site.until("select exists (select from pg_stat_activity where query ~ 'pg_sleep.30' and application_name = 'simctl/migrate')").await;
    let second = site.db(&up(&dir, &["--wait", "1s"]));
    let refused = second.refusal();
    assert!(refused.contains("another migration of this database is running: pid "), "{refused}");
    first.signal(rustix::process::Signal::INT);
    assert!(first.wait().refusal().contains("the migration was stopped"));
    assert_eq!(applied(&site).await, "");
}

#[tokio::test]
async fn what_locks_a_big_table_is_refused_until_its_rule_is_accepted() {
    let site = Site::new();
    let big = "create table big as select i, repeat('x', 90) as x from generate_series(1, 150000) i; create table small (i int)";
    site.run("app", big).await;
    let dir = write(&site, &[("1_small.sql", "create index s on small (i)")]);
    site.done(&up(&dir, &[]));
    write(&site, &[("2_big.sql", "select 1;\ncreate index b on public.big (i);")]);
    let lint = site.db(&["migrate", "lint", "--dir", &dir]);
    assert_eq!(
        (lint.code, lint.json()["lint"][0]["line"].as_i64()),
        (Some(1), Some(2)),
        "{}",
        lint.out
    );
    let refused = site.db(&up(&dir, &[]));
    let message = refused.refusal();
    assert!(
        message
            .contains("2_big.sql:2: require-concurrent-index-creation (it locks big, which holds"),
        "{message}"
    );
    assert!(
        refused.json()["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("--accept require-concurrent-index-creation")
    );
    assert_eq!(applied(&site).await, "1");
    let unknown = site.db(&up(&dir, &["--accept", "no-such-rule"])).refusal();
    assert!(unknown.contains("no-such-rule"), "{unknown}");
    site.done(&up(&dir, &["--accept", "require-concurrent-index-creation"]));
    assert_eq!(applied(&site).await, "1,2");
}

#[tokio::test]
async fn a_lock_that_becomes_free_in_time_is_waited_for() {
    let site = Site::new();
    site.run("app", "create table t (n int)").await;
    let dir = write(&site, &[("1_a.sql", "alter table t add column m int")]);
    let holder = site.session("app").await;
    holder.batch_execute("begin; lock table t in access share mode").await.unwrap();
    let running = site.start(&up(&dir, &[]));
    site.until("select exists (select from pg_stat_activity where application_name = 'simctl/migrate' and wait_event_type = 'Lock')").await;
    // Longer than one try has patience for.
    tokio::time::sleep(Duration::from_millis(2_300)).await;
    holder.batch_execute("commit").await.unwrap();
    let said = running.wait();
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert_eq!(applied(&site).await, "1");
}

#[tokio::test]
async fn an_index_that_is_there_and_unusable_makes_the_migration_fail() {
    let site = Site::new();
    site.run("app", "create table t as select 1 as n from generate_series(1, 2)").await;
    let session = site.session("app").await;
    session.batch_execute("create unique index concurrently carcass on t (n)").await.unwrap_err();
    assert_eq!(
        one(&session, "select indisvalid from pg_index where indexrelid = 'carcass'::regclass")
            .await,
        "false"
    );
    let dir = write(
        &site,
        &[(
            "1_i.sql",
            "-- no-transaction\ncreate unique index concurrently if not exists carcass on t (n)",
        )],
    );
    let said = site.db(&up(&dir, &[]));
    let failure =
        said.json()["failed_at"]["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(failure.contains("left the index public.carcass invalid"), "{}", said.out);
    assert_eq!(applied(&site).await, "", "it is run again after the index is dropped");
    session.batch_execute("drop index carcass; delete from t").await.unwrap();
    site.done(&up(&dir, &[]));
}

#[tokio::test]
async fn a_changed_file_a_missing_way_back_and_an_unknown_version_name_the_file() {
    let site = Site::new();
    let dir = write(&site, &[("1_a.sql", "create table a (n int)")]);
    site.done(&up(&dir, &[]));
    let down = site.db(&["migrate", "down", "--yes", "--dir", &dir]).refusal();
    assert!(down.contains("1_a.down.sql is missing"), "{down}");
    let unknown = site.db(&up(&dir, &["--to", "9"])).refusal();
    assert!(unknown.contains("there is no migration 9 in "), "{unknown}");
    write(&site, &[("1_a.sql", "create table a (n bigint)")]);
    for verb in [&up(&dir, &[])[..], &["migrate", "status", "--dir", &dir]] {
        let changed = site.db(verb).refusal();
        assert!(changed.contains("1_a.sql was changed after it was applied"), "{changed}");
    }
    fs::remove_file(format!("{dir}/1_a.sql")).unwrap();
    let lost = site.db(&["migrate", "status", "--dir", &dir]).refusal();
    assert!(lost.contains("version 1 was applied and its file is not in"), "{lost}");
}
