//! A model in the playbook's place: real servers, a real engine, and a scripted server of models over TCP.

use serde_json::{Value, json};
use simctl::agent::model::Advisor;
use simctl::config::load::{Flags, load};

use scripted::{Play, Scripted};

mod asked;
mod checked;
mod endings;
mod injected;
mod recorded;
mod resolved;
mod scripted;

const KEY: &str = "key-of-the-test-0123456789";

/// The model the scripted server plays, as a configuration names it.
fn advisor(server: &Scripted, more: &str) -> Advisor {
    try_advisor(server, more).expect("a model is configured")
}

fn try_advisor(server: &Scripted, more: &str) -> Option<Advisor> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("simctl.toml");
    let text = format!(
        "[lab]\nenabled = false\n[agent]\nprovider = \"compatible\"\nmodel = \"scripted-1\"\n\
         base_url = \"{}\"\nkey_env = \"TEST_KEY\"\n{more}",
        server.url()
    );
    std::fs::write(&file, text).expect("write the file");
    let flags =
        Flags { config: Some(file), state_dir: Some(dir.path().into()), ..Flags::default() };
    let env = |name: &str| (name == "TEST_KEY").then(|| KEY.to_owned());
    let config = load(&flags, &env).expect("a proper configuration").config;
    let _ = rustls::crypto::ring::default_provider().install_default();
    Advisor::of(&config).expect("the model can be set up")
}

/// The case a request tells of.
fn case(request: &Value) -> Value {
    let messages = request["messages"].as_array().expect("messages");
    let opening = messages.iter().find(|one| one["role"] == "user").expect("an opening");
    let text = opening["content"].as_str().expect("text");
    let text = text.strip_prefix("The case:\n").expect("it opens with the case");
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values.next().expect("a case").expect("JSON")
}

/// Evidence of the case whose question begins so.
fn cited(case: &Value) -> String {
    let all = case["evidence"].as_array().expect("evidence");
    all.first().and_then(|one| one["id"].as_str()).expect("an id").to_owned()
}

/// Whether the request wants the answer, and not a look.
fn wants_answer(request: &Value) -> bool {
    request["response_format"].is_object()
}

/// A proper answer to a lowered limit.
fn good_answer(case: &Value) -> Value {
    answer(case, "maxmemory-lowered", &["reset_redis_setting"])
}

fn answer(case: &Value, cause: &str, actions: &[&str]) -> Value {
    let actions: Vec<Value> =
        actions.iter().map(|id| json!({"action": id, "arguments": []})).collect();
    json!({
        "causes": [{"cause": cause, "because": "the limit is lower than it was", "evidence": [cited(case)]}],
        "severity": "critical", "solution": "Put the limit back to what it was.", "actions": actions,
        "effect": "writes are accepted again", "prevention": "review changes of the limit",
    })
}

/// Says a few words instead of looking, then answers as given.
fn plain_script(
    answer: impl Fn(&Value) -> Value + Send + Sync + 'static,
) -> impl Fn(usize, &Value) -> Play + Send + Sync + 'static {
    move |_, request| {
        if wants_answer(request) {
            Play::say(&answer(&case(request)).to_string())
        } else {
            Play::say("The limit is lower than it was. Nothing else is unclear.")
        }
    }
}
