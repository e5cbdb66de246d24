//! The schedule inside `simctl run`: a missed run is caught up once, what was broken off is tidied up, and the alarm
//! comes when no backup counts.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::bench::{Site, until_file};

fn configure(site: &Site) {
    let text = format!(
        "[lab]\nenabled = false\n[[target]]\nname = \"shop\"\nengine = \"postgres\"\nhost = \"127.0.0.1\"\n\
         port = {}\nuser = \"postgres\"\ndatabase = \"app\"\n\
         [[workbench.backup.job]]\ntarget = \"shop\"\nschedule = \"0 2 * * *\"\ntime_zone = \"Europe/Berlin\"\n",
        site.server.port
    );
    fs::write(site.home().join("simctl.toml"), text).unwrap();
}

/// As if the engine had known the job for days and had been away.
fn missed(site: &Site) {
    let long_ago = "2026-01-01T00:00:00Z";
    let memory = json!({ "shop": { "known_since": long_ago, "done": long_ago, "begun": null, "last": null } });
    fs::create_dir_all(site.backups()).unwrap();
    fs::write(site.backups().join(".schedule.json"), memory.to_string()).unwrap();
}

fn run(site: &Site, args: &[&str]) -> (Option<i32>, String) {
    let output = site.command(args).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn engine(site: &Site) -> std::process::Child {
    let mut command: Command = site.command(&["run"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn whole(site: &Site) -> usize {
    let entries = fs::read_dir(site.backups()).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().join("record.json").exists()).count()
}

#[tokio::test]
async fn a_missed_run_is_caught_up_once_and_what_was_left_is_tidied_up() {
    let site = Site::new();
    site.run("app", "create table t as select 1 as n").await;
    configure(&site);
    let (code, said) = run(&site, &["db", "schedule"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ALARM: shop has no verified backup yet"), "{said}");
    missed(&site);
    let (code, said) = run(&site, &["status"]);
    assert!(
        said.contains("ALARM: shop has had no verified backup since 2026-01-01 00:00 UTC"),
        "{code:?} {said}"
    );
    fs::create_dir(site.backups().join("left.partial")).unwrap();
    let scratch = "create database simctl_scratch_0123456789abcdef;
        comment on database simctl_scratch_0123456789abcdef is 'simctl: made to prove a backup at 2026-01-01T00:00:00+00:00'";
    for sql in scratch.split(';') {
        site.run("postgres", sql).await;
    }
    let mut engine = engine(&site);
    until_file("the missed run was caught up", || whole(&site) == 1);
    let memory = || fs::read_to_string(site.backups().join(".schedule.json")).unwrap();
    until_file("it is remembered", || memory().contains("\"ok\": true"));
    kill_process(Pid::from_child(&engine), Signal::TERM).unwrap();
    assert!(engine.wait().unwrap().success());
    assert_eq!(whole(&site), 1, "once, however many were missed");
    assert!(!site.backups().join("left.partial").exists());
    assert!(site.ours().await.is_empty(), "{:?}", site.ours().await);
    let (code, said) = run(&site, &["db", "schedule"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 2 * * * (Europe/Berlin)") && !said.contains("ALARM"), "{said}");
    let (_, listed) = run(&site, &["db", "backups", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["backups"][0]["verified"], 3, "the first is restored for proof");
}

#[tokio::test]
async fn a_backup_that_runs_when_the_engine_is_told_to_stop_leaves_nothing_and_is_caught_up() {
    let site = Site::new();
    site.run("app", "create table t (n int)").await;
    configure(&site);
    missed(&site);
    let holder = site.session("app").await;
    holder.batch_execute("begin; lock table t in access exclusive mode").await.unwrap();
    let mut first = engine(&site);
    let partial = || {
        let entries = fs::read_dir(site.backups()).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".partial")).count()
    };
    until_file("a backup began", || partial() == 1);
    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!((partial(), whole(&site)), (0, 0));
    holder.batch_execute("rollback").await.unwrap();
    let mut second = engine(&site);
    until_file("it was caught up", || whole(&site) == 1);
    kill_process(Pid::from_child(&second), Signal::TERM).unwrap();
    second.wait().unwrap();
}
