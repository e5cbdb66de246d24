//! The network's door on a real address: who gets in, what is refused and how, and what no client can take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::listen::{self, Listening};
use super::testing::{BOUNDS, door};
use super::tests::{Shelf, log, soon};
use crate::config::http::{HttpConfig, HttpLimits, Role, TokenConfig};
use crate::domain::effect::{Accepted, Command, Refused};
use crate::domain::event::Sealed;
use crate::engine::handle::{Handle, Request, Snapshot, StoreView};
use crate::engine::tasks::Tasks;
use crate::report::example;

const VIEWER: &str = "simctl_viewer";
const OPERATOR: &str = "simctl_operator";
const ADMIN: &str = "simctl_admin";

struct Bench {
    at: SocketAddr,
    events: broadcast::Sender<Arc<Sealed>>,
    tasks: Tasks,
    asked: mpsc::UnboundedReceiver<(String, Command)>,
}

fn config(limits: HttpLimits) -> HttpConfig {
    let token = |name: &str, role, token: &str| TokenConfig {
        name: name.into(),
        role,
        digest: Sha256::digest(token).into(),
    };
    HttpConfig {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        tokens: vec![
            token("grafana", Role::Viewer, VIEWER),
            token("ops2", Role::Operator, OPERATOR),
            token("root", Role::Admin, ADMIN),
        ],
        limits,
        ..HttpConfig::default()
    }
}

fn quick() -> HttpLimits {
    HttpLimits {
        request_time: Duration::from_millis(400),
        write_time: Duration::from_millis(400),
        requests_per_s: 10_000,
        ..HttpLimits::default()
    }
}

impl Bench {
    async fn start(limits: HttpLimits, stored: Vec<Sealed>) -> Self {
        Self::with(config(limits), stored).await
    }

    /// Serves an engine that accepts notes and refuses all else.
    async fn with(config: HttpConfig, stored: Vec<Sealed>) -> Self {
        let (events, _) = broadcast::channel(4);
        let (requests, mut inbox) = mpsc::channel::<Request>(8);
        let snapshot = Snapshot {
            at: example::at(0),
            seq: stored.last().map_or(0, |sealed| sealed.event.seq),
            targets: Vec::new(),
            incidents: vec![Arc::new(example::incident())],
            injections: Vec::new(),
            store: StoreView::default(),
        };
        let (_, snapshots) = watch::channel(Arc::new(snapshot));
        let handle = Handle { snapshots, events: events.clone(), requests };
        let (told, asked) = mpsc::unbounded_channel();
        let mut tasks = Tasks::default();
        tasks.spawn("engine", async move {
            while let Some(Request { ordered, reply }) = inbox.recv().await {
                let answer = match &ordered.command {
                    Command::Note { .. } => Ok(Accepted::default()),
                    Command::Stop { .. } => panic!("a handler's panic stays there"),
                    _ => Err(Refused::because("only notes here")),
                };
                let _ = told.send((ordered.actor, ordered.command));
                let _ = reply.send(answer);
            }
        });
        let shelf = Shelf(Some(Arc::new(std::sync::Mutex::new(stored))));
        let door = door(handle, Some(Arc::new(shelf)), tasks.stop_token());
        let router = super::router(door, bounds_of(&config));
        let network: Listening = listen::bind(&config).await.unwrap().unwrap();
        let at: SocketAddr = network.url().split("//").nth(1).unwrap().parse().unwrap();
        tasks.spawn_to_end("network", network.serve(router, tasks.stop_token()));
        Self { at, events, tasks, asked }
    }

    async fn raw(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn ask(&self, token: Option<&str>, request: &str, body: Option<&str>) -> (u16, Value) {
        let mut head = format!("{request} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.at);
        if let Some(token) = token {
            head.extend([format!("authorization: Bearer {token}\r\n")]);
        }
        let body = body.unwrap_or_default();
        if !body.is_empty() {
            head.extend([format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            )]);
        }
        read(&self.raw(&format!("{head}\r\n{body}")).await)
    }
}

fn bounds_of(config: &HttpConfig) -> super::BodyBounds {
    super::BodyBounds { bytes: BOUNDS.bytes, ..super::BodyBounds::of(&config.limits) }
}

/// The status and the body, which must be a problem where it is no success.
fn read(answer: &str) -> (u16, Value) {
    let status: u16 = answer.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    if status >= 400 {
        assert!(head.contains("content-type: application/problem+json"), "{answer}");
    }
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn who_may_what_is_told_by_the_token() {
    let mut bench = Bench::start(quick(), log(1)).await;
    let note =
        json!({ "actor": "somebody else", "command": {"do": "note", "incident": 42, "text": "x"} });
    let note = note.to_string();
    for (token, request, body, status) in [
        (None, "GET /status", None, 401),
        (Some("simctl_guess"), "GET /status", None, 401),
        (None, "GET /no/such/path", None, 401),
        (Some(VIEWER), "GET /status", None, 200),
        (Some(VIEWER), "GET /openapi.json", None, 200),
        (Some(VIEWER), "POST /api/v1/commands", Some(note.as_str()), 403),
        (Some(VIEWER), "POST /trigger/redis-memory", None, 403),
        (Some(OPERATOR), "GET /api/v1/audit/export", None, 403),
        (Some(OPERATOR), "GET /api/v1/events", None, 403),
        (Some(ADMIN), "GET /api/v1/incidents/INC-0042", None, 200),
        (Some(OPERATOR), "POST /api/v1/commands", Some(note.as_str()), 200),
    ] {
        let (got, problem) = bench.ask(token, request, body).await;
        assert_eq!(got, status, "{token:?} {request}: {problem}");
    }
    let (actor, _) = bench.asked.recv().await.unwrap();
    assert_eq!(actor, "ops2", "nobody speaks in another's name");
    bench.tasks.stop().await;
}

#[tokio::test]
async fn every_refusal_is_a_problem_that_says_what_to_do() {
    let bench = Bench::start(quick(), log(1)).await;
    let huge = format!("{{\"message\": \"{}\"}}", "x".repeat(BOUNDS.bytes));
    let execution = "/api/v1/agent/executions/00000000-0000-0000-0000-000000000099";
    for (request, body, status, says) in [
        ("GET /nothing", None, 404, "nothing at this path"),
        ("GET /api/v1/incidents/INC-0099", None, 503, "records cannot be read"),
        ("GET /api/v1/incidents/so-what", None, 404, "no incident `so-what`"),
        ("POST /trigger/rm-rf", None, 404, "no fault `rm-rf`"),
        ("POST /clear/the-moon", None, 404, "no target `the-moon`"),
        ("DELETE /api/v1/incidents", None, 405, "does not know the method"),
        ("POST /api/v1/incidents", Some("{"), 400, "EOF"),
        ("POST /api/v1/incidents", Some("{\"message\": 1}"), 422, "message"),
        ("POST /api/v1/incidents", Some(&huge), 413, "at most 64 kB"),
        ("GET /api/v1/incidents?limit=0", None, 422, "`limit`"),
        ("GET /api/v1/incidents?limit=x", None, 400, "limit"),
        ("GET /api/v1/incidents?status=sleepy", None, 400, "sleepy"),
        ("GET /api/v1/incidents?colour=red", None, 400, "colour"),
        (
            "POST /api/v1/incidents/42/approve",
            Some("{\"fingerprint\": \"0000000\"}"),
            409,
            "only notes",
        ),
        ("POST /api/v1/incidents/42/approve", Some("{}"), 409, "nothing of INC-0042 waits"),
        (&format!("GET {execution}"), None, 503, "records cannot be read"),
        ("GET /ws", None, 400, "Connection"),
    ] {
        let (got, problem) = bench.ask(Some(ADMIN), request, body).await;
        assert_eq!(got, status, "{request}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{request}: {detail}");
        assert_eq!(problem["status"], status, "{request}");
    }
    let text = "POST /api/v1/incidents HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer simctl_admin\r\n\
                connection: close\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(read(&bench.raw(text).await).0, 415);
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_state_that_was_read_is_named_and_one_that_moved_on_is_refused() {
    let mut bench = Bench::start(quick(), log(1)).await;
    let ask = |method: &str, header: &str, body: &str| {
        format!(
            "{method} /api/v1/incidents/42 HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{header}\r\n\
             authorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            bench.at,
            body.len()
        )
    };
    let first = bench.raw(&ask("GET", "x: y", "")).await;
    let tag = first.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim().to_owned();
    let again = bench.raw(&ask("GET", &format!("if-none-match: {tag}"), "")).await;
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    let change = "{\"severity\": \"low\"}";
    let stale = bench.raw(&ask("PATCH", "if-match: \"42-1\"", change)).await;
    assert_eq!(read(&stale).0, 412, "{stale}");
    assert!(bench.asked.try_recv().is_err(), "the engine was not even asked");
    let fresh = bench.raw(&ask("PATCH", &format!("if-match: {tag}"), change)).await;
    assert_eq!(read(&fresh).0, 409, "the engine of this test refuses it: {fresh}");
    let (_, command) = bench.asked.recv().await.unwrap();
    assert!(matches!(command, Command::Change { incident: 42, change } if change.as_of.is_some()));
    bench.tasks.stop().await;
}

#[tokio::test]
async fn who_dawdles_is_cut_off_and_nobody_else_notices() {
    let bench = Bench::start(quick(), log(1)).await;
    let mut half_a_head = TcpStream::connect(bench.at).await.unwrap();
    half_a_head.write_all(b"GET /status HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let slow_body = format!(
        "POST /api/v1/incidents HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {ADMIN}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 50\r\n\r\n{{",
        bench.at
    );
    let (body, head) = tokio::join!(bench.raw(&slow_body), async {
        let mut rest = Vec::new();
        soon(half_a_head.read_to_end(&mut rest)).await.map(|_| rest)
    });
    let (status, problem) = read(&body);
    assert_eq!(status, 408, "{body}");
    assert!(problem["detail"].as_str().unwrap().contains("did not arrive"), "{problem}");
    assert!(head.unwrap_or_default().len() < 200, "nothing is served to half a head");
    assert_eq!(bench.ask(Some(VIEWER), "GET /status", None).await.0, 200);
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_head_without_end_and_too_many_clients_are_turned_away() {
    let bench = Bench::start(HttpLimits { connections: 2, ..quick() }, log(1)).await;
    let endless =
        format!("GET /status HTTP/1.1\r\nhost: x\r\ncookie: {}\r\n\r\n", "x".repeat(80_000));
    let mut stream = TcpStream::connect(bench.at).await.unwrap();
    // The server may hang up before all of it is written.
    let _ = stream.write_all(endless.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");

    let held =
        [TcpStream::connect(bench.at).await.unwrap(), TcpStream::connect(bench.at).await.unwrap()];
    let turned_away = async {
        loop {
            let (status, problem) = bench.ask(Some(VIEWER), "GET /status", None).await;
            if status == 503 {
                return problem;
            }
            assert_eq!(status, 200, "{problem}");
        }
    };
    let problem = soon(turned_away).await;
    assert!(problem["detail"].as_str().unwrap().contains("http.connections"), "{problem}");
    drop(held);
    let let_in = async {
        while bench.ask(Some(VIEWER), "GET /status", None).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    soon(let_in).await;
    bench.tasks.stop().await;
}

#[tokio::test]
async fn one_caller_cannot_take_all_of_the_time() {
    let bench = Bench::start(HttpLimits { requests_per_s: 2, ..quick() }, log(1)).await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(bench.ask(Some(VIEWER), "GET /status", None).await.0);
    }
    assert!(answers.starts_with(&[200, 200, 200]) && answers.contains(&429), "{answers:?}");
    assert_eq!(bench.ask(Some(ADMIN), "GET /status", None).await.0, 200, "others have their own");
    bench.tasks.stop().await;
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<TcpStream>>;

async fn socket(bench: &Bench, path: &str, token: &str) -> Socket {
    let mut request = format!("ws://{}{path}", bench.at).into_client_request().unwrap();
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    soon(tokio_tungstenite::connect_async(request)).await.unwrap().0
}

async fn heard(socket: &mut Socket) -> Option<Value> {
    loop {
        match soon(socket.next()).await? {
            Ok(Frame::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
            Ok(Frame::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

#[tokio::test]
async fn a_socket_tells_everything_after_what_the_reader_has_and_the_end() {
    let log = log(8);
    let bench = Bench::start(quick(), log[..6].to_vec()).await;
    let mut first = socket(&bench, "/ws?after=2", VIEWER).await;
    let mut seqs = Vec::new();
    for _ in 0..4 {
        seqs.push(heard(&mut first).await.unwrap()["seq"].as_u64().unwrap());
    }
    drop(first);
    let mut second = socket(&bench, "/ws?after=6", VIEWER).await;
    for sealed in &log[6..] {
        bench.events.send(Arc::new(sealed.clone())).unwrap();
    }
    for _ in 0..2 {
        let told = heard(&mut second).await.unwrap();
        assert_eq!((&told["type"], &told["kind"]), (&json!("event"), &json!("engine_stopped")));
        seqs.push(told["seq"].as_u64().unwrap());
    }
    assert_eq!(seqs, [3, 4, 5, 6, 7, 8], "nothing is missed and nothing is told twice");
    bench.tasks.stop().await;
    assert_eq!(heard(&mut second).await, None, "the engine says goodbye");
}

#[tokio::test]
async fn a_reader_that_fell_behind_is_told_what_it_missed() {
    let log = log(12);
    let bench = Bench::start(quick(), log[..2].to_vec()).await;
    let mut reader = socket(&bench, "/ws?after=2", VIEWER).await;
    for sealed in &log[5..6] {
        bench.events.send(Arc::new(sealed.clone())).unwrap();
    }
    let cut = heard(&mut reader).await.unwrap();
    assert_eq!(
        (&cut["type"], &cut["missed"], &cut["after"]),
        (&json!("cut_off"), &json!(3), &json!(2))
    );
    assert_eq!(heard(&mut reader).await, None);
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_socket_that_never_reads_is_dropped_with_its_place() {
    let limits = HttpLimits { connections: 1, ..quick() };
    let bench = Bench::start(limits, log(60_000)).await;
    // Far more than fits between the two: nobody takes it.
    let stuck = socket(&bench, "/ws?after=0", VIEWER).await;
    let let_in = async {
        while bench.ask(Some(VIEWER), "GET /status", None).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    soon(let_in).await;
    drop(stuck);
    bench.tasks.stop().await;
}

#[tokio::test]
async fn a_fix_is_not_begun_by_who_only_reads_nor_by_a_word_nobody_understands() {
    let mut bench = Bench::start(quick(), log(1)).await;
    let wish = json!({ "incident": "INC-0042", "fingerprint": "7f3a9c" }).to_string();
    for (token, said, status) in
        [(VIEWER, wish.as_str(), 403), (OPERATOR, "hello", 422), (OPERATOR, wish.as_str(), 409)]
    {
        use futures::SinkExt as _;
        let mut fix = socket(&bench, "/ws/execute-fix", token).await;
        fix.send(Frame::Text(said.into())).await.unwrap();
        let told = heard(&mut fix).await.unwrap();
        assert_eq!((&told["type"], &told["status"]), (&json!("problem"), &json!(status)), "{told}");
        assert_eq!(heard(&mut fix).await, None);
    }
    let (actor, command) = bench.asked.recv().await.unwrap();
    assert!(actor == "ops2" && matches!(command, Command::Approve { incident: 42, .. }));
    bench.tasks.stop().await;
}

#[tokio::test]
async fn server_sent_events_go_on_after_the_last_id() {
    let bench = Bench::start(quick(), log(4)).await;
    let mut stream = TcpStream::connect(bench.at).await.unwrap();
    let request = format!(
        "GET /api/v1/stream?after=0 HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {VIEWER}\r\nlast-event-id: 2\r\n\r\n",
        bench.at
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("id: 4") {
        let mut bytes = [0; 4_096];
        let len = soon(stream.read(&mut bytes)).await.unwrap();
        text += &String::from_utf8_lossy(&bytes[..len]);
    }
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(!text.contains("id: 2\n") && text.contains("id: 3\n"), "{text}");
    bench.tasks.stop().await;
}

/// Every operation of the description, with its method and path, and the body that it gives as an example.
fn operations() -> Vec<(String, String, Option<Value>, String)> {
    let described = serde_json::to_value(super::description()).unwrap();
    let mut found = Vec::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["security"][0]["token"][0].as_str().unwrap().to_owned();
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let reference = body["$ref"]
                .as_str()
                .or_else(|| body["oneOf"].as_array()?.iter().find_map(|one| one["$ref"].as_str()));
            let name = reference.and_then(|reference| reference.rsplit('/').next());
            let example = name.map(|name| {
                let schema = &described["components"]["schemas"][name];
                let example = &schema["example"];
                assert!(example.is_object(), "{name} has no example");
                example.clone()
            });
            let path = path
                .replace("{id}", "42")
                .replace("{table}", "orders")
                .replace("{fault}", "idle-leak")
                .replace("{what}", "redis");
            found.push((method.to_uppercase(), path, example, role));
        }
    }
    assert!(found.len() > 30, "{}", found.len());
    found
}

#[tokio::test]
async fn every_route_is_described_guarded_and_takes_its_own_example() {
    let bench = Bench::start(quick(), log(1)).await;
    for (method, path, example, role) in operations() {
        let request = format!("{method} {path}");
        let body = example.map(|example| example.to_string());
        assert_eq!(bench.ask(None, &request, body.as_deref()).await.0, 401, "{request}");
        let below = match role.as_str() {
            "viewer" => None,
            "operator" => Some(VIEWER),
            _ => Some(OPERATOR),
        };
        if let Some(below) = below {
            let got = bench.ask(Some(below), &request, body.as_deref()).await.0;
            assert_eq!(got, 403, "{request} takes the role {role}");
        }
        // Streams do not end, and what is asked of a server needs one.
        if path.ends_with("/stream") || path.ends_with("/live") || path.ends_with("/events") {
            continue;
        }
        let (status, problem) = bench.ask(Some(ADMIN), &request, body.as_deref()).await;
        let understood = ![400, 405, 413, 415, 422, 500].contains(&status);
        assert!(understood || path.contains("/inspect/"), "{request}: {status} {problem}");
    }
    bench.tasks.stop().await;
}
