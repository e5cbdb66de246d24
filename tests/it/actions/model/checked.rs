//! `simctl agent check`, by the built binary.

use std::process::Command;

use super::*;

/// The steps by name, and the exit code.
fn check(config: &str, key: Option<&str>) -> (Vec<Value>, Option<i32>) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("simctl.toml");
    std::fs::write(&file, config).expect("write the file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_simctl"));
    command.args(["agent", "check", "--json"]).env("SIMCTL_CONFIG", &file);
    command
        .env("SIMCTL_STATE_DIR", dir.path())
        .env_remove("OPENAI_API_KEY")
        .env_remove("SIMCTL_AGENT_KEY");
    if let Some(key) = key {
        command.env("TEST_KEY", key);
    }
    let said = command.output().expect("the binary runs");
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(!out.contains(KEY) && !String::from_utf8_lossy(&said.stderr).contains(KEY), "{out}");
    let steps: Value = serde_json::from_str(&out).unwrap_or_default();
    (steps.as_array().cloned().unwrap_or_default(), said.status.code())
}

fn config(server: &Scripted) -> String {
    format!(
        "[agent]\nprovider = \"compatible\"\nmodel = \"scripted-1\"\nbase_url = \"{}\"\nkey_env = \"TEST_KEY\"\n",
        server.url()
    )
}

fn failing(steps: &[Value]) -> Vec<&str> {
    steps
        .iter()
        .filter(|step| step["ok"] == false)
        .filter_map(|step| step["what"].as_str())
        .collect()
}

fn able(_: usize, request: &Value) -> Play {
    if request["tools"].is_array() {
        assert_eq!(request["tool_choice"]["function"]["name"], "say");
        return Play::call("say", &json!({"word": "ready"}));
    }
    if wants_answer(request) { Play::say(r#"{"word": "ready"}"#) } else { Play::say("ready") }
}

#[test]
fn a_model_that_can_do_everything_passes_with_one_call_each() {
    let server = Scripted::start(able);
    let (steps, code) = check(&config(&server), Some(KEY));
    assert_eq!(code, Some(0), "{steps:?}");
    let names: Vec<&str> = steps.iter().filter_map(|step| step["what"].as_str()).collect();
    assert_eq!(
        names,
        ["configuration", "endpoint, key, model", "streaming", "tool calls", "answers by schema"]
    );
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn what_is_missing_is_named() {
    let server = Scripted::start(|_, _| Play::say("I am just a chat model."));
    let (steps, code) = check(&config(&server), Some(KEY));
    assert_eq!((failing(&steps), code), (vec!["tool calls", "answers by schema"], Some(1)));

    let denied = r#"{"error": {"message": "bad key"}}"#;
    let server =
        Scripted::start(|_, _| Play::Status { code: 401, headers: "", body: denied.into() });
    let (steps, code) = check(&config(&server), Some(KEY));
    assert_eq!((failing(&steps), code), (vec!["endpoint, key, model"], Some(1)));
    let said = steps[1]["said"].as_str().expect("words");
    assert!(said.contains("bad key") && said.contains("check the key"), "{said}");
}

#[test]
fn without_a_key_only_the_check_says_so() {
    let openai = "[agent]\nprovider = \"openai\"\nmodel = \"gpt-x\"\n[lab]\nenabled = false\n";
    let (steps, code) = check(openai, None);
    assert_eq!((failing(&steps), code), (vec!["configuration"], Some(1)));
    let said = steps[0]["said"].as_str().expect("words");
    assert!(said.contains("OPENAI_API_KEY") && said.contains("playbook"), "{said}");
    let (steps, _) = check("", None);
    assert!(steps[0]["said"].as_str().expect("words").starts_with("no model is chosen"));

    let server = Scripted::start(able);
    let keyless = "provider = \"openai\"\nkey_env = \"NO_SUCH_KEY\"";
    assert!(try_advisor_of(&server, keyless).is_none(), "the playbook alone, without a word");
}

/// As [`advisor`], with another provider.
fn try_advisor_of(server: &Scripted, lines: &str) -> Option<Advisor> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("simctl.toml");
    let text = format!("[agent]\nmodel = \"m\"\nbase_url = \"{}\"\n{lines}\n", server.url());
    std::fs::write(&file, text).expect("write the file");
    let flags =
        Flags { config: Some(file), state_dir: Some(dir.path().into()), ..Flags::default() };
    Advisor::of(&load(&flags, &|_| None).expect("a proper configuration").config)
        .expect("no trouble")
}
