//! A lab with a service in front of it, and a client that knows no more than HTTP and WebSockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::crash::bench::{Engine, Home, eventually, free_ports};

/// A read that takes longer is a service that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lab of local processes, and `simctl run --listen` in front of it.
pub(super) struct Service {
    pub(super) home: Home,
    pub(super) engine: Engine,
    /// Host and port.
    pub(super) at: String,
    id: String,
}

impl Service {
    /// `None` where the servers are not installed.
    pub(super) fn start(more: &str) -> Option<Self> {
        static LABS: AtomicU16 = AtomicU16::new(60);
        if let Err(missing) = simctl::runtime::process::binaries::check() {
            eprintln!("not tried: {missing}");
            return None;
        }
        let lab = LABS.fetch_add(1, Ordering::Relaxed);
        let id = format!("http{}n{lab}", std::process::id());
        let [redis, postgres, store] = free_ports(lab);
        let home = Home::with(&format!(
            "[lab]\nid = \"{id}\"\nruntime = \"process\"\nredis_port = {redis}\n\
             postgres_port = {postgres}\nstore_port = {store}\nverify_hold = \"2s\"\n{more}"
        ));
        home.ok(&["up"]);
        let run = ["run", "--json", "--listen", "127.0.0.1:0", "--open"];
        let engine = Engine::of(home.command(&run));
        let line = engine.word("http: ");
        let at = line.split("//").nth(1).expect("an address").trim().to_owned();
        let service = Self { home, engine, at, id };
        service.wait_until_well();
        Some(service)
    }

    pub(super) fn name(&self, base: &str) -> String {
        format!("{}-{base}", self.id)
    }

    pub(super) fn wait_until_well(&self) {
        eventually("both targets are ok", || {
            let status = self.get("/status");
            let states = [&status["redis"]["state"], &status["postgres"]["state"]];
            states.iter().all(|state| *state == "ok").then_some(())
        });
    }

    pub(super) fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, None);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    pub(super) fn post(&self, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.ask("POST", path, body);
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (status, text) = self.text(method, path, body);
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(super) fn text(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        text_at(&self.at, method, path, body).expect("the service answers")
    }

    pub(super) fn socket(&self, path: &str) -> Talk {
        let stream = TcpStream::connect(&self.at).expect("the service answers");
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        let request = format!("ws://{}{path}", self.at).into_client_request().expect("a request");
        Talk(client(request, stream).expect("it upgrades").0)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let down = self.home.run(&["down", "--volumes"]);
        if down.code != 0 {
            eprintln!("the lab {} may not be removed entirely: {down:?}", self.id);
        }
    }
}

/// The status and the body; `None` where nobody listens yet.
pub(super) fn text_at(
    at: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n");
    let body = body.map(ToString::to_string).unwrap_or_default();
    if !body.is_empty() {
        head.extend([format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        )]);
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Some((status.expect("a status"), body))
}

/// A body in the pieces it was sent in.
fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).expect("a length");
        if length == 0 {
            break;
        }
        whole += &rest[..length];
        text = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

/// A WebSocket.
pub(super) struct Talk(WebSocket<TcpStream>);

impl Talk {
    pub(super) fn say(&mut self, message: &Value) {
        self.0.send(Message::Text(message.to_string().into())).expect("it listens");
    }

    /// The next message; `None` at the goodbye.
    pub(super) fn hear(&mut self) -> Option<Value> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("JSON"));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
