//! Ctrl-c and a lock that is not free: nothing is left, neither a file nor a database.

use std::fs;

use rustix::process::Signal;

use super::bench::{SLOW_COPY, Site, until_file};

fn files(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.backups()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test]
async fn a_dump_that_is_told_to_stop_leaves_no_file() {
    let site = Site::new();
    site.run("app", "create table t (n int)").await;
    let holder = site.session("app").await;
    holder.batch_execute("begin; lock table t in access exclusive mode").await.unwrap();
    let backup = site.start(&["backup", "now", "--name", "b"]);
    until_file("it began", || site.backups().join("b.partial/dump").exists());
    backup.signal(Signal::INT);
    let said = backup.wait();
    assert!(said.refusal().contains("was stopped; nothing is left of it"), "{}", said.out);
    assert!(files(&site).is_empty(), "{:?}", files(&site));
    let blocked = site.db(&["backup", "now", "--name", "b"]);
    assert_eq!(blocked.json()["error"]["code"], "conflict", "{}", blocked.out);
    assert!(files(&site).is_empty());
    drop(holder);
    site.until(
        "select not exists (select from pg_stat_activity where application_name like 'simctl/%')",
    )
    .await;
}

#[tokio::test]
async fn a_proof_that_is_told_to_stop_leaves_no_database() {
    let site = Site::new();
    site.run("app", SLOW_COPY).await;
    let backup = site.start(&["backup", "now", "--name", "b", "--verify", "3"]);
    site.until("select exists (select from pg_stat_activity where datname like 'simctl_scratch_%' and query ~ 'slow_index')").await;
    let taken = site.db(&["backup", "now", "--name", "c", "--verify", "2"]);
    assert_eq!(taken.code, Some(0), "a proof keeps no other backup waiting: {}", taken.out);
    backup.signal(Signal::TERM);
    assert!(backup.wait().refusal().contains("was stopped"));
    assert!(site.ours().await.is_empty());
    let listed = site.done(&["backup", "list"]);
    let b =
        listed["backups"].as_array().unwrap().iter().find(|one| one["backup_file"] == "b").cloned();
    assert!(
        b.is_some_and(|b| b["verified"].is_null()),
        "it is whole, and not verified: {listed:#}"
    );
}

#[tokio::test]
async fn a_restore_that_is_told_to_stop_leaves_no_database() {
    let site = Site::new();
    site.run("app", SLOW_COPY).await;
    site.done(&["backup", "now", "--name", "b", "--verify", "2"]);
    let restore = site.start(&["restore", "b", "--swap", "--yes"]);
    site.until("select exists (select from pg_stat_activity where datname like 'app_restore_%' and query ~ 'slow_index')").await;
    restore.signal(Signal::INT);
    assert!(restore.wait().refusal().contains("the restore was stopped"));
    assert!(site.ours().await.is_empty());
    assert_eq!(site.serves("app", "slow").await, "1");
}
