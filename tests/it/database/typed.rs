//! The workbench as a person types it: the built binary, a real server, records in a store of its own.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::bench::{one, postgres, run, superuser, until};
use crate::faults::bench::Bench;

struct Person {
    home: TempDir,
    url: String,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Person {
    fn at(bench: &Bench) -> Self {
        let url = format!("postgres://app@127.0.0.1:{}/app", bench.port);
        Self { home: TempDir::new().expect("a home"), url }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simctl"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .env("SIMCTL_LAB_ENABLED", "false")
            .env("USER", "ops1")
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    fn db(&self, args: &[&str]) -> Said {
        self.piped(args, "")
    }

    fn piped(&self, args: &[&str], input: &str) -> Said {
        let all = [&["db", "--url", &self.url][..], args].concat();
        said(&mut self.command(&all), input)
    }

    fn other(&self, args: &[&str]) -> Said {
        said(&mut self.command(args), "")
    }
}

fn said(command: &mut Command, input: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("piped");
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().expect("no signal"),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

#[track_caller]
fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.err))
}

#[tokio::test]
async fn rows_are_printed_for_people_and_for_programs() {
    let bench = postgres(&[]);
    let person = Person::at(&bench);
    let table = person.db(&["query", "select 1 as id, E'a\\x1b[31m\\nb' as note, null as gone"]);
    assert_eq!(table.code, 0, "{}", table.err);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines[..2], ["ID  NOTE           GONE", "1   a\\x1b[31m | b  ∅"], "{}", table.out);
    assert!(lines[2].starts_with("SELECT 1 row, "), "{}", table.out);

    let many = person.db(&[
        "query",
        "--json",
        "--max-rows",
        "3000",
        "select g as a from generate_series(1, 5000) g",
    ]);
    let many = json(&many);
    assert_eq!(
        (many["rows"].as_array().map(Vec::len), &many["truncated"]),
        (Some(3_000), &Value::Bool(true))
    );
    assert_eq!(
        (&many["success"], &many["query_type"]),
        (&Value::Bool(true), &Value::from("SELECT"))
    );
    let cut =
        person.db(&["query", "--max-rows", "2", "select g as a from generate_series(1, 5) g"]);
    assert!(cut.err.contains("more than these 2 rows"), "{}", cut.err);

    let broken = person.db(&[
        "query",
        "--json",
        "--max-rows",
        "9000",
        "select 10 / (1500 - g) as a from generate_series(1, 9000) g",
    ]);
    let value = json(&broken);
    assert_eq!((broken.code, &value["success"]), (1, &Value::Bool(false)));
    assert_eq!(value["error"]["sqlstate"], "22012");

    let bound = person.db(&[
        "query",
        "--json",
        "select $1::text as a, $2::int as b",
        "--param",
        "'; drop",
        "--param",
        "-5",
    ]);
    assert_eq!(json(&bound)["rows"], serde_json::json!([{"a": "'; drop", "b": -5}]));
    let listed =
        person.db(&["query", "--json", "select $1::int[] as a", "--params", "[[1, null]]"]);
    assert_eq!(json(&listed)["rows"][0]["a"], "{1,NULL}");
    let piped = person.piped(&["query", "--json"], "select 7 as a");
    assert_eq!(json(&piped)["rows"][0]["a"], 7);
    for (args, says) in [
        (&["query", "select 1", "--params", "{}"][..], "no JSON array"),
        (&["query", "select 1", "--params", "["], "no JSON"),
        (&["query", "select 1", "--timeout", "0s"], "more than 0s"),
        (&["query", "select 1", "--yes"], "--write"),
        (&["query", "--file", "gone.sql"], "gone.sql"),
        (&["query", "select 1; select 2"], "2 statements"),
        (&["query", "select 1", "--after-lsn", "x'"], "no position"),
        (&["tx", "gone.sql"], "gone.sql"),
        (&["schema", "nowhere"], "no table `nowhere`"),
        (&["indexes", "suggest", "nowhere"], "no table `nowhere`"),
        (&["optimize", "--queryid", "1"], "pg_stat_statements"),
    ] {
        let said = person.db(args);
        assert!(said.code != 0 && said.err.contains(says), "{args:?}: {} {}", said.code, said.err);
        assert_eq!(said.out, "", "{args:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_and_one_that_waits_are_no_errors() {
    let bench = postgres(&[]);
    let person = Person::at(&bench);
    let sql = "select repeat('x', 200) as a from generate_series(1, 300000)";
    let all = [
        "db",
        "--url",
        &person.url,
        "query",
        sql,
        "--json",
        "--max-rows",
        "300000",
        "--timeout",
        "2s",
    ];
    let mut child = person
        .command(&all)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut out = child.stdout.take().expect("piped");
    let mut some = [0_u8; 4096];
    out.read_exact(&mut some).expect("rows come");
    // A pager that is left open takes none of the statement's time.
    let boss = superuser(&bench).await;
    until(&boss, "select now() - query_start > interval '2500 ms' from pg_stat_activity where query ~ '^FETCH' and pid <> pg_backend_pid()").await;
    out.read_exact(&mut some).expect("rows go on");
    drop(out);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(0), "")
    );
}

#[tokio::test]
async fn a_change_is_agreed_to_and_stands_in_the_records_without_its_values() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (id int primary key, note text); alter table t owner to app").await;
    let person = Person::at(&bench);
    let insert = "insert into t values (1, 'hunter2')";
    let nobody = person.db(&["query", insert, "--write", "--json"]);
    assert_eq!(
        (nobody.code, json(&nobody)["error"]["code"].as_str()),
        (1, Some("approval_required"))
    );
    assert_eq!(one(&boss, "select count(*) from t").await, "0");
    let done = person.db(&["query", insert, "--write", "--yes", "--json"]);
    assert_eq!((done.code, json(&done)["row_count"].as_u64()), (0, Some(1)), "{}", done.err);
    let tx = person.piped(
        &["tx", "-", "--write", "--yes", "--isolation", "serializable"],
        "update t set note = 'hunter3' where id = 1;\n-- and\nselect note from t;",
    );
    assert_eq!(tx.code, 0, "{}", tx.err);
    assert!(tx.out.contains("hunter3") && tx.out.contains("committed"), "{}", tx.out);
    let failed = person.db(&["query", insert, "--write", "--yes"]);
    assert!(failed.code == 1 && failed.err.contains("(23505)"), "{}", failed.err);

    let verified = person.other(&["audit", "verify"]);
    assert!(
        verified.code == 0 && verified.out.starts_with("ok: "),
        "{} {}",
        verified.out,
        verified.err
    );
    let records = person.other(&["audit", "export"]).out;
    assert!(!records.contains("hunter"), "{records}");
    let kinds: Vec<Value> =
        records.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &str| {
        kinds.iter().filter(|event| event["body"]["kind"] == kind || event["kind"] == kind).count()
    };
    assert_eq!((of("job_started"), of("job_ended")), (3, 3), "{records}");
    assert!(
        records.contains("insert into t values (?, ?)") && records.contains("ops1"),
        "{records}"
    );

    let unrecorded = person.db(&[
        "query",
        "delete from t",
        "--write",
        "--yes",
        "--store",
        "postgres://u@127.0.0.1:1/x",
    ]);
    assert!(
        unrecorded.code == 1 && unrecorded.err.contains("could not be recorded"),
        "{}",
        unrecorded.err
    );
    assert_eq!(
        one(&boss, "select count(*) from t").await,
        "1",
        "what cannot be recorded is not done"
    );

    let stats = person.other(&["db", "stats", "--json"]);
    let stats = json(&stats);
    assert!(stats["statistics"]["queries_executed"].as_u64() >= Some(3), "{stats:#}");
    assert!(!stats.to_string().contains("hunter"), "{stats:#}");
}

#[tokio::test]
async fn ctrl_c_ends_the_statement_on_the_server() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    let person = Person::at(&bench);
    let all = ["db", "--url", &person.url, "query", "select pg_sleep(100)", "--timeout", "200s"];
    let child = person
        .command(&all)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let active = "from pg_stat_activity where query ~ 'pg_sleep|FETCH' and state = 'active' and pid <> pg_backend_pid()";
    until(&boss, &format!("select count(*) = 1 {active}")).await;
    let began = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    assert!(
        began.elapsed() < Duration::from_secs(5) && output.status.code() == Some(1),
        "{output:?}"
    );
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("canceling statement due to user request"),
        "{output:?}"
    );
    until(&boss, &format!("select count(*) = 0 {active}")).await;
}
