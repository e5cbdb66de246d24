//! Restores of small databases: a single table, a database that is gone, one that somebody is writing to.

use super::bench::Site;

#[tokio::test]
async fn a_single_table_comes_back_beside_the_live_one() {
    let site = Site::new();
    let sql = "create type public.size as enum ('s', 'l'); create schema \"Sh op\";
        create table \"Sh op\".\"Or ders\" (id int primary key, \"a b\" text collate \"C\", s public.size,
          twice int generated always as (id * 2) stored);
        insert into \"Sh op\".\"Or ders\" (id, \"a b\", s) select i, E'\\t\\\\ ' || i, 'l' from generate_series(1, 1000) i;
        create table public.other (n int);";
    site.run("app", sql).await;
    site.done(&["backup", "now", "--name", "b", "--verify", "2"]);
    let table = "\"Sh op\".\"Or ders\"";
    let rows = "select string_agg(t::text, '|' order by id) from";
    let before = site.one("app", &format!("{rows} {table} t")).await;
    site.run("app", &format!("delete from {table} where id > 10")).await;
    let done = site.done(&["restore", "b", "--table", table, "--yes"]);
    let copy = done["restored_as"].as_str().unwrap();
    assert_eq!(site.one("app", &format!("{rows} {copy} t")).await, before);
    assert_eq!(site.serves("app", table).await, "10", "the live one is untouched");
    assert!(site.ours().await.is_empty());
    for (wanted, said) in [("nobody", "has no table nobody"), ("public.order", "has no table")] {
        let refused = site.db(&["restore", "b", "--table", wanted, "--yes"]).refusal();
        assert!(refused.contains(said), "{refused}");
    }
}

#[tokio::test]
async fn a_database_that_is_gone_comes_back() {
    let site = Site::new();
    site.run("postgres", "create database shop").await;
    site.run("shop", "create table t as select 1 as n").await;
    site.done(&["backup", "now", "--database", "shop", "--name", "b", "--verify", "1"]);
    site.run("postgres", "drop database shop with (force)").await;
    let done = site.done(&["restore", "b", "--swap", "--yes"]);
    assert_eq!((done["restored_as"].as_str(), done["kept_as"].as_str()), (Some("shop"), None));
    assert_eq!(site.serves("shop", "t").await, "1");
}

#[tokio::test]
async fn a_backup_under_writes_is_of_one_moment() {
    let site = Site::new();
    let sql = "create table a (n int); create table b (n int); create sequence s;
        create function pair(i int) returns void language sql as 'insert into a values (i); insert into b values (i)'";
    site.run("app", sql).await;
    site.run("app", "select pair(0), nextval('s')").await;
    let writer = site.session("app").await;
    let (stop, mut told) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        let mut n = 0;
        while told.try_recv().is_err() {
            n += 1;
            let sql = format!("select pair({n}), nextval('s')");
            writer.batch_execute(&sql).await.unwrap();
        }
        n
    });
    let site = std::sync::Arc::new(site);
    let at_work = std::sync::Arc::clone(&site);
    let made = tokio::task::spawn_blocking(move || {
        at_work.done(&["backup", "now", "--name", "b", "--verify", "3"])
    });
    let made = made.await.unwrap();
    stop.send(()).unwrap();
    assert!(writing.await.unwrap() > 0);
    assert_eq!(made["verified"]["level"], 3);
    let done = site.done(&["restore", "b", "--yes"]);
    let copy = done["restored_as"].as_str().unwrap();
    let same = "select (select count(*) from a) = (select count(*) from b) and (select max(n) from a) <= (select last_value from s)";
    assert_eq!(site.one(copy, same).await, "true");
}

#[tokio::test]
async fn the_newest_are_listed_first_and_only_what_may_go_goes() {
    let site = Site::new();
    for name in ["one", "two"] {
        site.done(&["backup", "now", "--name", name, "--verify", "2"]);
    }
    let listed = site.done(&["backup", "list"]);
    let names: Vec<&str> = listed["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["backup_file"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["two", "one"]);
    assert_eq!(site.done(&["backup", "pin", "one"])["pinned"], true);
    assert_eq!(site.done(&["backups"])["backups"][1]["pinned"], true);
    let pruned = site.done(&["backup", "prune", "--yes"]);
    assert_eq!((pruned["removed"].as_array().unwrap().len(), &pruned["kept"]), (0, &2.into()));
    let twice = site.db(&["backup", "now", "--name", "one"]).refusal();
    assert!(twice.contains("there is a backup one already"), "{twice}");
}

#[tokio::test]
async fn who_agreed_to_what_and_how_it_ended_is_in_the_audit() {
    let site = Site::new();
    site.run("app", "create table t as select 1 as n").await;
    site.done(&["backup", "now", "--name", "b", "--verify", "1"]);
    site.done(&["restore", "b", "--swap", "--yes"]);
    let output = site.command(&["audit", "export"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = told.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["job_started", "job_ended"], "{text}");
    let job = &told[0]["body"]["job"];
    assert_eq!(
        (told[0]["actor"].as_str(), job["what"].as_str()),
        (Some("ops1"), Some("restore")),
        "{job:#}"
    );
    assert_eq!(job["permitted"], "--yes");
    let command = job["commands"][0].as_str().unwrap();
    assert!(command.contains("put it in the place of app"), "{command}");
    assert_eq!(told[1]["body"]["end"]["ok"], true);
}
