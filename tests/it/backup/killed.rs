//! `kill -9` in every step: either the old or the new database is there, whole, and what comes next tidies up and
//! says so.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::bench::{SLOW_COPY, Site, one, until_file};

#[tokio::test]
async fn a_backup_that_was_killed_is_no_backup() {
    let site = Site::new();
    site.run("app", "create table t (n int)").await;
    let holder = site.session("app").await;
    holder.batch_execute("begin; lock table t in access exclusive mode").await.unwrap();
    let backup = site.start(&["backup", "now", "--name", "b"]);
    until_file("it began", || site.backups().join("b.partial/dump").exists());
    backup.kill();
    let listed = site.done(&["backup", "list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 0);
    assert_eq!(listed["not_backups"][0]["reason"], "was never finished");
    assert!(site.db(&["restore", "b", "--yes"]).refusal().contains("was never finished"));
    holder.batch_execute("rollback").await.unwrap();
    site.until("select not exists (select from pg_stat_activity where application_name like 'simctl/dump%')").await;
    site.done(&["backup", "now", "--name", "b", "--verify", "2"]);
    let listed = site.done(&["backup", "list"]);
    assert!(listed["not_backups"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_restore_that_was_killed_while_it_copied_leaves_the_original_and_is_taken_back() {
    let site = Site::new();
    site.run("app", SLOW_COPY).await;
    site.done(&["backup", "now", "--name", "b", "--verify", "2"]);
    for seen in ["query ~ 'slow_index'", "datname like 'app_restore_%'"] {
        let restore = site.start(&["restore", "b", "--swap", "--yes"]);
        let there = format!(
            "select exists (select from pg_stat_activity where datname like 'app_restore_%' and {seen})"
        );
        site.until(&there).await;
        restore.kill();
        assert_eq!(site.serves("app", "slow").await, "1", "the original serves on");
        assert_eq!(site.ours().await.len(), 1, "a half copy");
        let settled = sentence(&site.done(&["restore", "--resume"]));
        assert!(settled.contains("the copy is gone, app was not touched"), "{settled}");
        assert!(site.ours().await.is_empty());
        assert_eq!(site.done(&["restore", "--resume"])["settled"].as_array().unwrap().len(), 0);
    }
}

fn sentence(resumed: &Value) -> String {
    resumed["settled"][0]["sentence"].as_str().unwrap_or_else(|| panic!("{resumed:#}")).to_owned()
}

/// What keeps the exchange of names waiting for a while.
enum Obstacle {
    /// Somebody holds the row of the live database: it waits before the first step.
    Row { _held: tokio_postgres::Client },
    /// A replication session in the copy: it waits between the two renames.
    Walsender(Child),
}

impl Drop for Obstacle {
    fn drop(&mut self) {
        if let Self::Walsender(psql) = self {
            let _ = psql.kill();
            let _ = psql.wait();
        }
    }
}

async fn in_the_way(site: &Site, of: &str) -> Obstacle {
    if of == "app" {
        let held = site.session("postgres").await;
        held.batch_execute("begin; select from pg_database where datname = 'app' for update")
            .await
            .unwrap();
        return Obstacle::Row { _held: held };
    }
    let address = format!(
        "host=127.0.0.1 port={} user=postgres dbname={of} replication=database",
        site.server.port
    );
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Obstacle::Walsender(psql.spawn().unwrap())
}

#[tokio::test]
async fn a_swap_that_was_killed_before_or_between_the_renames_leaves_one_of_both_whole() {
    let site = Site::new();
    site.run("app", "create table t as select 1 as n").await;
    site.done(&["backup", "now", "--name", "b", "--verify", "2"]);
    site.run("app", "insert into t values (2)").await;
    for (stands_at, what) in [("app", "ALLOW_CONNECTIONS"), ("copy", "restore_.*RENAME")] {
        let restore = site.start(&["restore", "b", "--swap", "--yes"]);
        site.until("select exists (select from pg_database where datname like 'app_restore_%')")
            .await;
        let copy = site.ours().await.remove(0);
        let obstacle = in_the_way(&site, if stands_at == "app" { "app" } else { &copy }).await;
        let there = format!(
            "select exists (select from pg_stat_activity where application_name = 'simctl/databases'
               and state = 'active' and query ~ 'ALTER DATABASE .*{what}')"
        );
        site.until(&there).await;
        restore.kill();
        drop(obstacle);
        site.until("select not exists (select from pg_stat_activity where application_name = 'simctl/databases')").await;
        let settled = sentence(&site.done(&["restore", "--resume"]));
        assert!(
            settled.contains("the names were not exchanged yet: app is as it was"),
            "{settled}"
        );
        assert_eq!(site.serves("app", "t").await, "2", "the old one, whole, and open to clients");
        assert_eq!(site.ours().await, std::slice::from_ref(&copy));
        assert_eq!(site.serves(&copy, "t").await, "1", "the new one waits under its own name");
        site.run("postgres", &format!("drop database \"{copy}\"")).await;
    }
}

#[tokio::test]
async fn a_swap_that_was_done_and_not_noted_is_finished() {
    let site = Site::new();
    site.run("app", "create table t as select 1 as n").await;
    site.done(&["backup", "now", "--name", "b", "--verify", "2"]);
    site.run("app", "insert into t values (2)").await;
    site.done(&["restore", "b", "--swap", "--yes"]);
    // As if it had been killed between the server's commit and its own note of it, with clients still kept out.
    let note = note(&site);
    rewrite(&note, "swapping");
    let session = site.session("postgres").await;
    session.batch_execute("alter database app allow_connections false").await.unwrap();
    let settled = sentence(&site.done(&["restore", "--resume"]));
    assert!(settled.contains("was finished: app is the restored one"), "{settled}");
    assert_eq!(site.serves("app", "t").await, "1");
    // Between two renames that were no transaction: whoever did that, it is finished too.
    rewrite(&note, "swapping");
    let copy: Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    let name = copy["copy_name"].as_str().unwrap();
    session.batch_execute(&format!("alter database app rename to \"{name}\"")).await.unwrap();
    let settled = sentence(&site.done(&["restore", "--resume"]));
    assert!(settled.contains("was finished: app is the restored one"), "{settled}");
    assert_eq!(site.serves("app", "t").await, "1");
    site.done(&["restore", "--undo", "app", "--yes"]);
    assert_eq!(site.serves("app", "t").await, "2");
}

fn note(site: &Site) -> std::path::PathBuf {
    let notes =
        fs::read_dir(site.backups().join(".restores")).unwrap().flatten().map(|entry| entry.path());
    let mut notes = notes.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    notes.next().expect("a note")
}

fn rewrite(note: &std::path::Path, step: &str) {
    let mut text: Value = serde_json::from_slice(&fs::read(note).unwrap()).unwrap();
    text["step"] = step.into();
    fs::write(note, text.to_string()).unwrap();
}

#[tokio::test]
async fn a_single_table_that_was_killed_while_it_was_copied_is_not_there() {
    let site = Site::new();
    site.run(
        "app",
        "create table t as select i, repeat('x', 200) as x from generate_series(1, 200000) i",
    )
    .await;
    site.done(&["backup", "now", "--name", "b", "--verify", "1"]);
    let restore = site.start(&["restore", "b", "--table", "public.t", "--yes"]);
    site.until("select exists (select from pg_stat_activity where datname = 'app' and query ~ '^COPY .* FROM STDIN')").await;
    restore.kill();
    site.until("select not exists (select from pg_stat_activity where datname = 'app' and application_name like 'simctl/%')").await;
    let left =
        site.one("app", "select count(*) from pg_namespace where nspname like 'restore_%'").await;
    assert_eq!((left.as_str(), site.serves("app", "t").await.as_str()), ("0", "200000"));
    let session = site.session("postgres").await;
    let comment = "select shobj_description(oid, 'pg_database') from pg_database where datname like 'simctl_scratch_%'";
    assert!(
        one(&session, comment).await.starts_with("simctl: made to prove a backup at "),
        "it says whose it is"
    );
}
