//! The answer a model must give: its JSON schema, and how it is read. Anything beyond the schema is refused.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clean::plain;
use crate::domain::finding::Severity;

/// The cause for "none of these".
pub(super) const UNKNOWN: &str = "unknown";
/// Words of the model that people read are cut here.
const LONGEST_WORDS: usize = 400;

/// What a model concluded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The leading one first.
    pub(super) causes: Vec<NamedCause>,
    pub(super) severity: Severity,
    /// What is wrong and what to do, in words.
    pub(super) solution: String,
    /// In order; empty: nothing is proposed.
    pub(super) actions: Vec<NamedAction>,
    pub(super) effect: String,
    pub(super) prevention: String,
}

/// A cause, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedCause {
    pub(super) cause: String,
    pub(super) because: String,
    pub(super) evidence: Vec<String>,
}

/// An action with the arguments that are to be narrower than what the evidence gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedAction {
    pub(super) action: String,
    pub(super) arguments: Vec<NamedArgument>,
}

/// An argument; its value is JSON in a text, for it can be anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedArgument {
    pub(super) name: String,
    pub(super) value: String,
}

impl Answer {
    /// Reads a reply. Some models put a fence around their JSON; nothing else is forgiven.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let bare = text.trim();
        let bare =
            bare.strip_prefix("```json").or_else(|| bare.strip_prefix("```")).unwrap_or(bare);
        let bare = bare.strip_suffix("```").unwrap_or(bare).trim();
        if bare.is_empty() {
            return Err("the answer is empty".into());
        }
        let mut answer: Self = serde_json::from_str(bare)
            .map_err(|error| format!("the answer is not as the schema wants it: {error}"))?;
        for words in [&mut answer.solution, &mut answer.effect, &mut answer.prevention] {
            *words = plain(words, LONGEST_WORDS);
        }
        for cause in &mut answer.causes {
            cause.because = plain(&cause.because, LONGEST_WORDS);
        }
        Ok(answer)
    }
}

/// The strict schema: every property is required, and none is free.
pub(super) fn schema(causes: &[&str], actions: &[&str]) -> Value {
    let causes: Vec<&str> = causes.iter().copied().chain([UNKNOWN]).collect();
    let severities = Severity::ALL.map(Severity::as_str);
    let text = |about: &str| json!({"type": "string", "description": about});
    object(&json!({
        "causes": {"type": "array", "description": "the leading one first", "items": object(&json!({
            "cause": {"type": "string", "enum": causes},
            "because": text("why, with figures of the evidence"),
            "evidence": {"type": "array", "items": {"type": "string"}, "description": "ids of the evidence it rests on"},
        }))},
        "severity": {"type": "string", "enum": severities},
        "solution": text("what is wrong and what to do about it, in one or two sentences"),
        "actions": {"type": "array", "description": "in order; empty when nothing should be done by an action", "items": object(&json!({
            "action": {"type": "string", "enum": actions},
            "arguments": {
                "type": "array",
                "description": "usually empty: simctl fills every argument from the evidence; give one only to make it narrower",
                "items": object(&json!({
                    "name": {"type": "string"},
                    "value": text("JSON"),
                })),
            },
        }))},
        "effect": text("what it should bring"),
        "prevention": text("how to keep it from coming back"),
    }))
}

fn object(properties: &Value) -> Value {
    let required: Vec<&String> =
        properties.as_object().into_iter().flat_map(|all| all.keys()).collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Value {
        json!({
            "causes": [{"cause": "idle-leak", "because": "12 of 15 are idle", "evidence": ["e1"]}],
            "severity": "high", "solution": "End them.", "effect": "room", "prevention": "a pool",
            "actions": [{"action": "kill_idle_connections", "arguments": []}],
        })
    }

    #[test]
    fn only_what_the_schema_wants_is_an_answer() {
        let text = given().to_string();
        assert_eq!(Answer::read(&text).unwrap().causes[0].cause, "idle-leak");
        assert_eq!(Answer::read(&format!("```json\n{text}\n```")), Answer::read(&text));
        let mut more = given();
        more["approve"] = json!(true);
        let mut other = given();
        other["severity"] = json!("harmless");
        for bad in [
            String::new(),
            "Sure! I'll restart it.".into(),
            more.to_string(),
            other.to_string(),
            text[..40].into(),
        ] {
            assert!(Answer::read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_of_a_model_cannot_steer_a_terminal() {
        let mut odd = given();
        odd["solution"] = json!("\u{1b}[2Jall is \u{202e}well");
        assert_eq!(Answer::read(&odd.to_string()).unwrap().solution, "all is well");
    }

    #[test]
    fn the_schema_is_strict_all_the_way_down() {
        fn check(schema: &Value) {
            if let Some(properties) = schema["properties"].as_object() {
                assert_eq!(schema["additionalProperties"], false, "{schema}");
                assert_eq!(schema["required"].as_array().unwrap().len(), properties.len());
                properties.values().for_each(check);
            }
            if schema["items"].is_object() {
                check(&schema["items"]);
            }
        }
        let schema = schema(&["idle-leak"], &["kill_idle_connections"]);
        check(&schema);
        let causes = &schema["properties"]["causes"]["items"]["properties"]["cause"]["enum"];
        assert_eq!(*causes, json!(["idle-leak", "unknown"]));
    }
}
