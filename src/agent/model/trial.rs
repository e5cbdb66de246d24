//! What a configured model can do, found out with one cheap call each.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::clean::plain;
use crate::config::agent::AgentConfig;
use crate::ports::model::{Ask, Message, Model, ModelError, Reply, Tool};

const PATIENCE: Duration = Duration::from_secs(30);
const TOKENS: u32 = 400;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub what: &'static str,
    pub ok: bool,
    /// What was found, or what to do about it.
    pub said: String,
}

/// Tries everything an investigation needs.
pub async fn check(config: &AgentConfig) -> Vec<Step> {
    let mut steps = vec![configured(config)];
    if steps.iter().any(|step| !step.ok) {
        return steps;
    }
    let model = match super::model(config) {
        Ok(model) => model,
        Err(error) => {
            steps.push(Step { what: "endpoint", ok: false, said: error.to_string() });
            return steps;
        }
    };
    let first = ask(&*model, plain_call(false)).await;
    let is_there = first.is_ok();
    steps.push(step("endpoint, key, model", first, |reply| {
        let said = plain(&reply.text, 60);
        Ok(format!("{} answers: {said}", config.model))
    }));
    if is_there {
        for (what, call, read) in the_rest() {
            let came = ask(&*model, call).await;
            steps.push(step(what, came, read));
        }
    }
    steps
}

type Read = fn(&Reply) -> Result<String, String>;

fn the_rest() -> [(&'static str, Ask, Read); 3] {
    [
        ("streaming", plain_call(true), |reply| {
            let what = "the stream is empty; set `agent.stream = false`";
            if reply.text.is_empty() {
                Err(what.into())
            } else {
                Ok("replies arrive in pieces".into())
            }
        }),
        ("tool calls", tool_call(), |reply| match reply.calls.as_slice() {
            [call] if call.name == "say" && is_word(&call.arguments) => {
                Ok("the tool was called as wanted".into())
            }
            [] => Err("it calls no tool; choose a model that can".into()),
            _ => Err("it does not call the tool as wanted; choose another model".into()),
        }),
        ("answers by schema", schema_call(), |reply| {
            let bad = "it does not keep to the schema; expect many refused answers";
            if is_word(&reply.text) {
                Ok("the answer has the schema".into())
            } else {
                Err(bad.into())
            }
        }),
    ]
}

fn configured(config: &AgentConfig) -> Step {
    let what = "configuration";
    let missing = |said: String| Step { what, ok: false, said };
    let Some(provider) = config.provider else {
        return missing(
            "no model is chosen, so the playbook decides; write `provider` and `model` under [agent]".into(),
        );
    };
    if config.model.is_empty() {
        return missing("no model is named; write `agent.model`".into());
    }
    if config.key.is_none() && provider.needs_key() && config.replay.is_none() {
        return missing(format!(
            "there is no key, so the playbook decides; set one of {}",
            config.key_from
        ));
    }
    let key = if config.key.is_some() { "with a key" } else { "without a key" };
    let said = format!(
        "{} at {}, {key}; leaves this machine: {}",
        provider.as_str(),
        config.base_url,
        config.share.as_str()
    );
    Step { what, ok: true, said }
}

fn step(
    what: &'static str,
    came: Result<Reply, ModelError>,
    read: impl Fn(&Reply) -> Result<String, String>,
) -> Step {
    let read = came.map_err(|error| advice(&error)).and_then(|reply| read(&reply));
    let (ok, said) = match read {
        Ok(said) => (true, said),
        Err(said) => (false, plain(&said, 300)),
    };
    Step { what, ok, said }
}

fn advice(error: &ModelError) -> String {
    let next = match error {
        ModelError::Refused { status: 401 | 403, .. } => "; check the key",
        ModelError::Refused { status: 404, .. } => "; check `agent.base_url` and `agent.model`",
        ModelError::Unreachable { .. } => "; check `agent.base_url`",
        _ => "",
    };
    format!("{error}{next}")
}

async fn ask(model: &dyn Model, ask: Ask) -> Result<Reply, ModelError> {
    model.ask(&ask, PATIENCE, &|_| ()).await
}

fn call(text: &str) -> Ask {
    Ask {
        messages: vec![Message::User { text: text.into() }],
        answer_tokens: TOKENS,
        ..Ask::default()
    }
}

fn plain_call(stream: bool) -> Ask {
    Ask { stream, ..call("Say the word ready.") }
}

fn tool_call() -> Ask {
    let about = "Says a word.".into();
    let tool = Tool { name: "say".into(), about, arguments: word() };
    Ask {
        tools: vec![tool],
        must_call: Some("say".into()),
        ..call("Say the word ready with the tool.")
    }
}

fn schema_call() -> Ask {
    Ask { answer: Some(word()), ..call("Give the word ready as JSON after the schema.") }
}

fn word() -> Value {
    json!({
        "type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"],
        "additionalProperties": false,
    })
}

fn is_word(text: &str) -> bool {
    let read: Value = serde_json::from_str(text).unwrap_or_default();
    read["word"].is_string()
}
