//! A server that speaks OpenAI's chat protocol over TCP, plays a script, and checks every request it gets.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_openai::types::chat::CreateChatCompletionRequest;
use serde_json::{Value, json};

use super::KEY;

/// What the server does with one request.
pub(super) enum Play {
    /// A message, streamed where that was asked for.
    Say { message: Value },
    /// A status with headers and a body.
    Status { code: u16, headers: &'static str, body: String },
    /// These bytes as the body of a good reply.
    Body(String),
    /// The beginning of a stream, and then the connection ends.
    Cut(&'static str),
    /// Nothing, for longer than anybody waits.
    Hang,
}

impl Play {
    /// Words.
    pub(super) fn say(text: &str) -> Self {
        Self::Say { message: json!({"role": "assistant", "content": text}) }
    }

    /// A call of a tool.
    pub(super) fn call(name: &str, arguments: &Value) -> Self {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let call = json!({"id": "call_1", "type": "function", "function": function});
        Self::Say { message: json!({"role": "assistant", "content": null, "tool_calls": [call]}) }
    }
}

type Script = dyn Fn(usize, &Value) -> Play + Send + Sync;

/// The server, and what it was asked.
pub(super) struct Scripted {
    port: u16,
    asked: Arc<Mutex<Vec<Value>>>,
    raw: Arc<Mutex<String>>,
    wrong: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
}

impl Scripted {
    /// `script` is given the number of the request, from 0, and the request.
    pub(super) fn start(script: impl Fn(usize, &Value) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Self {
            port: listener.local_addr().expect("an address").port(),
            asked: Arc::default(),
            raw: Arc::default(),
            wrong: Arc::default(),
            over: Arc::default(),
        };
        let script: Arc<Script> = Arc::new(script);
        let (asked, raw) = (Arc::clone(&server.asked), Arc::clone(&server.raw));
        let (wrong, over) = (Arc::clone(&server.wrong), Arc::clone(&server.over));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (asked, raw, wrong) =
                    (Arc::clone(&asked), Arc::clone(&raw), Arc::clone(&wrong));
                let (script, over) = (Arc::clone(&script), Arc::clone(&over));
                std::thread::spawn(move || {
                    let _ = serve(&stream, &*script, &asked, &raw, &wrong, &over);
                });
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Every request so far.
    pub(super) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    /// Every byte of every body so far.
    pub(super) fn raw(&self) -> String {
        self.raw.lock().unwrap().clone()
    }

    /// What was wrong with the requests.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if !std::thread::panicking() {
            assert_eq!(self.wrong(), Vec::<String>::new(), "requests against the protocol");
        }
    }
}

fn serve(
    stream: &TcpStream,
    script: &Script,
    asked: &Mutex<Vec<Value>>,
    raw: &Mutex<String>,
    wrong: &Mutex<Vec<String>>,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some((head, body)) = request(&mut reader)? {
        raw.lock().unwrap().push_str(&body);
        let read: Value = serde_json::from_str(&body).unwrap_or_default();
        wrong.lock().unwrap().extend(against_protocol(&head, &body, &read));
        let number = {
            let mut asked = asked.lock().unwrap();
            asked.push(read.clone());
            asked.len() - 1
        };
        let mut out = stream.try_clone()?;
        match script(number, &read) {
            Play::Say { message } if read["stream"] == true => streamed(&mut out, &message)?,
            Play::Say { message } => whole(&mut out, 200, "", &reply(&message).to_string())?,
            Play::Status { code, headers, body } => whole(&mut out, code, headers, &body)?,
            Play::Body(body) => whole(&mut out, 200, "", &body)?,
            Play::Cut(beginning) => {
                write!(
                    out,
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{beginning}"
                )?;
                return out.shutdown(std::net::Shutdown::Both);
            }
            Play::Hang => {
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

fn request(reader: &mut impl BufRead) -> std::io::Result<Option<(String, String)>> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((head, String::from_utf8_lossy(&body).into_owned())))
}

fn whole(out: &mut TcpStream, code: u16, headers: &str, body: &str) -> std::io::Result<()> {
    write!(
        out,
        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn usage() -> Value {
    json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100})
}

fn reply(message: &Value) -> Value {
    let finish = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "scripted-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage(),
    })
}

/// In pieces of a few characters, as servers do, with the usage in a piece of its own.
fn streamed(out: &mut TcpStream, message: &Value) -> std::io::Result<()> {
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )?;
    let mut send = |value: &Value| {
        let event = format!("data: {value}\n\n");
        write!(out, "{:x}\r\n{event}\r\n", event.len())?;
        out.flush()
    };
    let piece = |delta: Value, finish: Option<&str>| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "scripted-1",
               "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    send(&piece(json!({"role": "assistant"}), None))?;
    let text: Vec<char> = message["content"].as_str().unwrap_or_default().chars().collect();
    for part in text.chunks(7) {
        send(&piece(json!({"content": part.iter().collect::<String>()}), None))?;
    }
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let function = &call["function"];
        let head = json!({"index": index, "id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": ""}});
        send(&piece(json!({"tool_calls": [head]}), None))?;
        let rest = json!({"index": index, "function": {"arguments": function["arguments"]}});
        send(&piece(json!({"tool_calls": [rest]}), None))?;
    }
    let finish = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    send(&piece(json!({}), Some(finish)))?;
    send(
        &json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": usage()}),
    )?;
    let end = "data: [DONE]\n\n";
    write!(out, "{:x}\r\n{end}\r\n0\r\n\r\n", end.len())?;
    out.flush()
}

const FIELDS: [&str; 10] = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "stream",
    "stream_options",
];

fn against_protocol(head: &str, body: &str, read: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut want = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{what}: {}", body.chars().take(400).collect::<String>()));
        }
    };
    let lower = head.to_lowercase();
    want(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "the path");
    want(lower.contains("content-type: application/json"), "the content type");
    want(head.contains(&format!("Bearer {KEY}")), "the key");
    let typed = serde_json::from_str::<CreateChatCompletionRequest>(body);
    want(typed.is_ok(), &format!("the types ({:?})", typed.err().map(|error| error.to_string())));
    let fields = read.as_object().into_iter().flat_map(|all| all.keys());
    for field in fields {
        want(FIELDS.contains(&field.as_str()), &format!("the field {field}"));
    }
    want(read["model"].as_str().is_some_and(|name| !name.is_empty()), "a model");
    want(read["max_tokens"].is_u64() || read["max_completion_tokens"].is_u64(), "a limit");
    let streams = read["stream"] == true;
    want(!streams || read["stream_options"]["include_usage"] == true, "usage in the stream");
    want(read["tools"].is_null() || read["response_format"].is_null(), "tools or a schema");
    messages(read, &mut want);
    schemas(read, &mut want);
    wrong
}

fn messages(read: &Value, want: &mut impl FnMut(bool, &str)) {
    let messages = read["messages"].as_array().cloned().unwrap_or_default();
    want(!messages.is_empty(), "messages");
    let mut open: Vec<String> = Vec::new();
    for message in &messages {
        let role = message["role"].as_str().unwrap_or_default();
        want(["system", "user", "assistant", "tool"].contains(&role), "the role");
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let before = open.len();
            open.retain(|known| known != id);
            want(open.len() < before, "a tool's result for a call that was made");
            continue;
        }
        want(open.is_empty(), "a result for every call");
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            want(call["type"] == "function" && call["function"]["arguments"].is_string(), "a call");
            open.push(call["id"].as_str().unwrap_or_default().to_owned());
        }
    }
    want(open.is_empty(), "a result for the last calls");
}

fn schemas(read: &Value, want: &mut impl FnMut(bool, &str)) {
    for tool in read["tools"].as_array().into_iter().flatten() {
        want(tool["type"] == "function" && tool["function"]["strict"] == true, "a strict tool");
        strict(&tool["function"]["parameters"], want);
    }
    if !read["response_format"].is_null() {
        let format = &read["response_format"];
        want(format["type"] == "json_schema", "a schema");
        want(format["json_schema"]["strict"] == true, "a strict schema");
        strict(&format["json_schema"]["schema"], want);
    }
}

/// What strict schemas demand: no property is free, and none is missing.
fn strict(schema: &Value, want: &mut impl FnMut(bool, &str)) {
    if let Some(properties) = schema["properties"].as_object() {
        let required = schema["required"].as_array().map_or(0, Vec::len);
        want(
            schema["additionalProperties"] == false && required == properties.len(),
            "a closed object",
        );
        for property in properties.values() {
            strict(property, want);
        }
    }
    if schema["items"].is_object() {
        strict(&schema["items"], want);
    }
}
