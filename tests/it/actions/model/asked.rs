//! `simctl agent ask`, by the built binary on a real server: answered, on record, and within the day's budget.

use std::process::{Command, Output};

use super::super::harness::RedisServer;
use super::*;

struct Desk {
    dir: tempfile::TempDir,
    _redis: RedisServer,
}

impl Desk {
    async fn with(server: &Scripted, more: &str) -> Self {
        let redis = RedisServer::start(&[]).await;
        let dir = tempfile::tempdir().expect("a directory");
        let config = format!(
            "[lab]\nenabled = false\n[agent]\nprovider = \"compatible\"\nmodel = \"scripted-1\"\n\
             base_url = \"{}\"\nkey_env = \"TEST_KEY\"\n{more}\n\
             [[target]]\nname = \"cache\"\nengine = \"redis\"\nhost = \"{}\"\nport = {}\n",
            server.url(),
            redis.link.host,
            redis.link.port
        );
        std::fs::write(dir.path().join("simctl.toml"), config).expect("write the file");
        Self { dir, _redis: redis }
    }

    fn simctl(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simctl"));
        command.args(args).env_clear().env("HOME", self.dir.path()).env("TEST_KEY", KEY);
        command.env("SIMCTL_STATE_DIR", self.dir.path().join("state")).env("USER", "ops1");
        command.current_dir(self.dir.path()).output().expect("the binary runs")
    }

    fn ask(&self, question: &str) -> (Option<i32>, String, String) {
        let said = self.simctl(&["agent", "ask", question]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (said.status.code(), text(&said.stdout), text(&said.stderr))
    }

    fn records(&self) -> Vec<Value> {
        let said = self.simctl(&["audit", "export"]);
        let out = String::from_utf8_lossy(&said.stdout).into_owned();
        out.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_and_on_record_and_paid_out_of_the_days_budget() {
    let server = Scripted::start(|number, _| match number {
        0 => Play::call("monitor_redis_clients", &json!({})),
        _ => Play::say("Nobody but simctl is connected."),
    });
    let desk = Desk::with(&server, "usd_per_million_in = 10.0\nusd_per_day = 0.02").await;
    let (code, out, err) = desk.ask("Who is there? my password=hunter22");
    assert_eq!(code, Some(0), "{err}");
    assert!(out.ends_with("scripted-1: Nobody but simctl is connected.\n"), "{out}");
    let records = desk.records();
    let kinds: Vec<&str> = records.iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["model_asked", "model_asked", "model_judged"]);
    for one in &records {
        assert_eq!((&one["actor"], &one["target"]), (&json!("ops1"), &json!("cache")), "{one}");
    }
    let exchange = &records[1]["body"]["exchange"];
    assert_eq!(exchange["purpose"], "answer");
    assert_eq!(exchange["said"], "Nobody but simctl is connected.");
    assert_eq!(exchange["spend"]["micro_usd"], 10_000);
    let all = json!(records).to_string();
    assert!(all.contains("Who is there?"), "the question is on record: {all}");
    assert!(!all.contains("hunter22") && !all.contains(KEY), "a secret on record: {all}");
    assert!(!server.raw().contains("hunter22"), "a secret in a request");

    let (code, _, err) = desk.ask("And now?");
    assert_eq!(code, Some(1));
    assert!(err.contains("is not asked: the $0.0200 for today are used up"), "{err}");
    assert_eq!(server.asked().len(), 2, "nothing was asked any more");
    let verified = desk.simctl(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_nothing_is_on_record_too_and_ends_in_a_rest() {
    let server = Scripted::start(|_, _| Play::say(""));
    let desk = Desk::with(&server, "failures = 2").await;
    for _ in 0..2 {
        let (code, _, err) = desk.ask("Who is there?");
        assert_eq!((code, err.contains("compatible/scripted-1: it says nothing")), (Some(1), true));
    }
    let (code, _, err) = desk.ask("Who is there?");
    assert!(err.contains("it came to nothing 2 times in a row and rests"), "{err}");
    assert_eq!((code, desk.records().len()), (Some(1), 4));
    let (code, _, err) = desk.ask(" ");
    assert_eq!((code, err.contains("there is no question")), (Some(2), true), "{err}");
}
