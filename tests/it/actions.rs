//! The actions on real servers that each test starts for itself, over a direct connection and through the server's
//! own client, as in a container.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use simctl::actions::{self, Action, ActionError, Saved};
use simctl::domain::execution::{Check, Output, Phase, PhaseLine};
use simctl::domain::proposal::{Args, Preview};
use simctl::targets::Server;

mod access;
mod by_hand;
mod causes;
mod clients;
mod failing;
mod harness;
mod kept;
mod keys;
mod model;
mod orders;
mod pg_settings;
mod places;
mod refusals;
mod sessions;
mod settings;
mod stuck;
mod upkeep;
mod watched;
mod workbench;

/// Both ways to a server: directly, and by running its client.
const WAYS: [harness::Way; 2] = [harness::Way::Direct, harness::Way::Inside];

fn action(name: &str) -> &'static dyn Action {
    actions::find(name).expect("there is such an action")
}

fn args(value: Value) -> Args {
    serde_json::from_value(value).expect("arguments are an object")
}

fn consequence(preview: &Preview, what: &str) -> u64 {
    let found = preview.consequences.iter().find(|consequence| consequence.what == what);
    found.unwrap_or_else(|| panic!("no `{what}` in {preview:?}")).count
}

/// Runs an action and keeps the lines that it reported.
async fn run(
    action: &dyn Action,
    server: &Server,
    args: &Args,
) -> (Result<Output, ActionError>, Vec<PhaseLine>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let report = move |line: PhaseLine| sink.lock().expect("no panic").push(line);
    let output = action.run(server, args, &report).await;
    let lines = lines.lock().expect("no panic").clone();
    (output, lines)
}

/// Preview, save and run, as the engine does. Returns what was saved.
async fn carry_out(action: &dyn Action, server: &Server, args: &Args) -> Saved {
    let shown = action.preview(server, args).await.expect("preview");
    let saved = action.save(server, args).await.expect("save");
    let (output, lines) = run(action, server, args).await;
    let output = output.expect("run");
    assert_eq!(output.exit_code, Some(0), "{output:?}");
    let commands: Vec<&str> = lines.iter().filter_map(|l| l.command.as_deref()).collect();
    assert!(!commands.is_empty() && lines[0].phase == Phase::Command, "{lines:?}");
    assert_eq!(commands.len(), shown.commands.len(), "what was shown is what ran");
    saved
}

/// The names of the checks that did not pass.
fn failing(checks: &[Check]) -> Vec<&str> {
    assert!(!checks.is_empty(), "nothing was measured");
    checks.iter().filter(|c| c.passed != Some(true)).map(|c| c.name.as_str()).collect()
}

/// Measures until all checks pass, or for a while.
async fn verified(action: &dyn Action, server: &Server, args: &Args, saved: &Saved) {
    let mut last = Vec::new();
    for _ in 0..100 {
        last = action.verify(server, args, saved).await;
        if failing(&last).is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not verified: {last:?}");
}

async fn refusal(action: &dyn Action, server: &Server, args: Value) -> String {
    action.preview(server, &self::args(args)).await.expect_err("it must be refused").to_string()
}

#[tokio::test]
async fn an_action_for_the_other_kind_of_server_is_refused() {
    let redis = harness::RedisServer::start(&[]).await;
    let server = redis.server(harness::Way::Inside);
    let refused = refusal(action("kill_idle_connections"), &server, json!({"roles": ["app"]}));
    assert!(refused.await.contains("is no PostgreSQL"));
}

/// Waits for a condition, with a bound.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("not within 10 s: {what}");
}
