//! Reads what a server sends, whole or in pieces. Lenient about what compatible servers add, strict about what
//! must be there: a reply without an end is no reply.

use serde_json::{Value, json};

use crate::domain::consult::ToolCall;
use crate::ports::model::{Hear, ModelError, Reply, Tool};

/// More calls at once than this are not heard.
const MOST_CALLS: usize = 16;

/// A reply that came in one piece.
pub(super) fn whole(body: &Value) -> Result<Reply, ModelError> {
    failed(body)?;
    let message = &body["choices"][0]["message"];
    if !message.is_object() {
        return Err(unreadable("it has no message"));
    }
    let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    let mut reply = Reply {
        text: message["content"].as_str().unwrap_or_default().to_owned(),
        calls: calls.iter().take(MOST_CALLS).map(read_call).collect(),
        ..Reply::default()
    };
    usage(body, &mut reply);
    Ok(reply)
}

/// A reply that grows piece by piece.
#[derive(Default)]
pub(super) struct Growing {
    reply: Reply,
    ended: bool,
}

impl Growing {
    /// Adds a piece. What is said is heard at once.
    pub(super) fn add(&mut self, piece: &Value, hear: Hear<'_>) -> Result<(), ModelError> {
        failed(piece)?;
        usage(piece, &mut self.reply);
        let choice = &piece["choices"][0];
        let delta = &choice["delta"];
        if let Some(text) = delta["content"].as_str() {
            self.reply.text.push_str(text);
            hear(text);
        }
        // Models that reason aloud; not part of the answer.
        for name in ["reasoning_content", "reasoning"] {
            if let Some(text) = delta[name].as_str() {
                hear(text);
            }
        }
        for call in delta["tool_calls"].as_array().map_or(&[][..], Vec::as_slice) {
            self.add_to_call(call);
        }
        self.ended |= choice["finish_reason"].is_string();
        Ok(())
    }

    fn add_to_call(&mut self, piece: &Value) {
        let calls = &mut self.reply.calls;
        let last = calls.len().saturating_sub(1);
        let index = piece["index"].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(last);
        if index >= MOST_CALLS {
            return;
        }
        while calls.len() <= index {
            calls.push(ToolCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            });
        }
        let call = &mut calls[index];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        call.id.push_str(&text(&piece["id"]));
        call.name.push_str(&text(&piece["function"]["name"]));
        call.arguments.push_str(&text(&piece["function"]["arguments"]));
    }

    /// What there is of it.
    pub(super) fn so_far(&self) -> &Reply {
        &self.reply
    }

    /// The whole reply, if it came to its end.
    pub(super) fn end(self) -> Result<Reply, ModelError> {
        if self.ended { Ok(self.reply) } else { Err(ModelError::BrokenOff) }
    }
}

/// Refuses a reply that is longer than anything a model has to say.
pub(super) fn bounded(reply: &Reply, most: usize) -> Result<(), ModelError> {
    let calls =
        reply.calls.iter().map(|call| call.id.len() + call.arguments.len() + call.name.len());
    if reply.text.len() + calls.sum::<usize>() <= most {
        return Ok(());
    }
    Err(unreadable(&format!("it is longer than {most} bytes")))
}

fn read_call(call: &Value) -> ToolCall {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let function = &call["function"];
    ToolCall {
        id: text(&call["id"]),
        name: text(&function["name"]),
        arguments: text(&function["arguments"]),
    }
}

/// Some servers report an error inside a reply that is otherwise fine.
fn failed(body: &Value) -> Result<(), ModelError> {
    match &body["error"] {
        Value::Null => Ok(()),
        error => {
            let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            let said = error["message"].as_str().unwrap_or("an error without words").to_owned();
            Err(ModelError::Refused { status: status.unwrap_or(200), said })
        }
    }
}

fn usage(body: &Value, reply: &mut Reply) {
    if let Some(tokens) = body["usage"]["prompt_tokens"].as_u64() {
        reply.tokens_in = tokens;
    }
    if let Some(tokens) = body["usage"]["completion_tokens"].as_u64() {
        reply.tokens_out = tokens;
    }
}

fn unreadable(reason: &str) -> ModelError {
    ModelError::Unreadable { reason: reason.into() }
}

/// The words of an error's body: the protocol's message, or its beginning.
pub(super) fn said_in_error(body: &str, most: usize) -> String {
    let read: Value = serde_json::from_str(body).unwrap_or_default();
    // Gemini wraps it in a list.
    let error = if read.is_array() { &read[0]["error"] } else { &read["error"] };
    let words = error["message"].as_str().or_else(|| error.as_str());
    let words = words.map_or_else(|| said_by_a_page(body), str::to_owned);
    if words.trim().is_empty() {
        return "without a word".into();
    }
    words.chars().take(most).collect()
}

/// A proxy on the way answers with a page for people; its title says it.
fn said_by_a_page(body: &str) -> String {
    if !body.trim_start().starts_with('<') {
        return body.to_owned();
    }
    let title = body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    title
        .map_or_else(|| "a web page".into(), |(title, _)| format!("a web page, `{}`", title.trim()))
}

/// A tool as the protocol offers it.
pub(super) fn tool(tool: &Tool) -> Value {
    json!({"type": "function", "function": {
        "name": tool.name, "description": tool.about, "parameters": tool.arguments, "strict": true,
    }})
}

/// A call as the protocol repeats it.
pub(super) fn call(call: &ToolCall) -> Value {
    json!({"id": call.id, "type": "function", "function": {
        "name": call.name, "arguments": call.arguments,
    }})
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn grown(pieces: &[Value]) -> (Result<Reply, ModelError>, String) {
        let heard = Mutex::new(String::new());
        let mut growing = Growing::default();
        for piece in pieces {
            let added = growing.add(piece, &|text| heard.lock().unwrap().push_str(text));
            if let Err(error) = added {
                return (Err(error), heard.into_inner().unwrap());
            }
        }
        (growing.end(), heard.into_inner().unwrap())
    }

    fn delta(delta: &Value, finish: Option<&str>) -> Value {
        json!({"choices": [{"delta": delta, "finish_reason": finish}]})
    }

    #[test]
    fn pieces_make_a_reply_and_are_heard_as_they_come() {
        let (reply, heard) = grown(&[
            delta(&json!({"role": "assistant", "content": "Hel"}), None),
            delta(&json!({"reasoning_content": "(hm)"}), None),
            delta(
                &json!({"content": "lo", "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "sess", "arguments": "{\"a\""}}]}),
                None,
            ),
            delta(
                &json!({"tool_calls": [{"index": 0, "function": {"name": "ions", "arguments": ":1}"}}]}),
                Some("eos"),
            ),
            json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}),
        ]);
        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), heard.as_str()), ("Hello", "Hel(hm)lo"));
        let call =
            ToolCall { id: "c1".into(), name: "sessions".into(), arguments: "{\"a\":1}".into() };
        assert_eq!(reply.calls, [call]);
        assert_eq!((reply.tokens_in, reply.tokens_out), (12, 3));
    }

    #[test]
    fn a_reply_without_its_end_is_none() {
        let (reply, _) = grown(&[delta(&json!({"content": "all is w"}), None)]);
        assert_eq!(reply, Err(ModelError::BrokenOff));
        let (reply, _) = grown(&[json!({"error": {"message": "overloaded", "code": 503}})]);
        assert_eq!(reply, Err(ModelError::Refused { status: 503, said: "overloaded".into() }));
        assert!(whole(&json!({"choices": []})).is_err());
    }

    #[test]
    fn an_error_is_told_in_its_own_words() {
        assert_eq!(
            said_in_error(r#"{"error": {"message": "no such model"}}"#, 99),
            "no such model"
        );
        assert_eq!(said_in_error(r#"[{"error": {"message": "bad key"}}]"#, 99), "bad key");
        assert_eq!(said_in_error("bad gateway", 3), "bad");
        assert_eq!(said_in_error(" \n", 99), "without a word");
        assert_eq!(said_in_error("<html>bad gateway</html>", 99), "a web page");
        let page = "<!doctype html>\n<title>\n502 Bad Gateway</title><h1>…";
        assert_eq!(said_in_error(page, 99), "a web page, `502 Bad Gateway`");
    }
}
