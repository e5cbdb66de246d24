//! On a lab of local processes: from trigger to resolved by requests alone, and many clients at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::client::Service;
use crate::crash::bench::eventually;

mod mcp;
mod monitoring;

/// What waits for a decision, as `/status` tells of it.
fn waiting(service: &Service) -> Value {
    eventually("something waits for a decision", || {
        let status = service.get("/status");
        let open =
            status["incidents"].as_array()?.iter().find(|one| one["fingerprint"].is_string());
        open.cloned()
    })
}

fn resolved(service: &Service, id: &str) -> Value {
    eventually("it is resolved", || {
        let incident = service.get(&format!("/api/v1/incidents/{id}"));
        assert_ne!(incident["status"], "failed", "{incident}");
        (incident["status"] == "resolved").then_some(incident)
    })
}

#[test]
fn redis_and_postgres_go_from_trigger_to_resolved_by_requests_alone() {
    let Some(service) = Service::start("") else { return };
    let start = service.get("/status")["seq"].as_u64().expect("a number");

    let rehearsed = service.post("/trigger/redis-memory?dry_run=true", None);
    assert_eq!(rehearsed["status"], "dry_run");
    assert_eq!(service.get("/status")["injections"], json!([]), "nothing was done");
    let triggered = service.post("/trigger/redis-memory", None);
    assert_eq!((&triggered["success"], &triggered["fault"]), (&json!(true), &json!("leak-oom")));
    let first = waiting(&service);
    let name = first["name"].as_str().expect("a name").to_owned();
    let suggested = service.post(&format!("/api/v1/incidents/{name}/suggest-fix"), None);
    assert_eq!(suggested["proposal"]["fingerprint"], first["fingerprint"]);

    let (phases, end) = execute_fix(&service, &first);
    assert_eq!(end["state"], "completed", "{end}");
    every_phase_is_told_in_order(&phases);
    let incident = resolved(&service, &name);
    assert_eq!(incident["cause"], "leak-oom");
    service.post("/clear/redis", None);

    // As the old simulator's clients do it: no body anywhere.
    service.wait_until_well();
    service.post("/trigger/postgres-connections", None);
    let second = waiting(&service);
    let execution = second["execution_id"].as_str().expect("an id").to_owned();
    let approved = service.post(&format!("/api/v1/agent/executions/{execution}/approve"), None);
    assert!(approved["message"].as_str().expect("a sentence").contains("approved"), "{approved}");
    let id = second["id"].as_str().expect("an id");
    assert_eq!(resolved(&service, id)["cause"], "idle-leak");
    let again = service.ask("POST", &format!("/api/v1/agent/executions/{execution}/approve"), None);
    assert_eq!(again.0, 409, "{again:?}");
    service.post("/clear/postgres", None);

    records_are_complete(&service, &name, &execution);
    a_reader_that_comes_back_misses_nothing(&service, start);
    assert_eq!(service.home.run(&["audit", "verify"]).code, 0);
}

/// Approves over the socket and listens to the end.
fn execute_fix(service: &Service, waiting: &Value) -> (Vec<Value>, Value) {
    let mut talk = service.socket("/ws/execute-fix");
    talk.say(&json!({
        "execution_id": waiting["execution_id"],
        "fingerprint": waiting["fingerprint"],
        "typed": waiting["affected_system"],
    }));
    assert_eq!(talk.hear().expect("an answer")["type"], "accepted");
    let mut phases = Vec::new();
    loop {
        let told = talk.hear().expect("a phase");
        match told["type"].as_str() {
            Some("phase") => phases.push(told),
            Some("end") => return (phases, told),
            _ => panic!("{told}"),
        }
    }
}

fn every_phase_is_told_in_order(phases: &[Value]) {
    let words: Vec<_> = phases.iter().filter_map(|phase| phase["phase"].as_str()).collect();
    let mut rest = words.iter();
    for wanted in [
        "thinking",
        "command",
        "operator",
        "executing",
        "result",
        "verifying",
        "verification",
        "complete",
    ] {
        assert!(rest.any(|word| *word == wanted), "{wanted} is missing or late: {words:?}");
    }
    let seqs: Vec<_> = phases.iter().filter_map(|phase| phase["seq"].as_u64()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    let ended = |phase: &&Value| phase["phase"] == "result" && !phase["status"].is_null();
    let result = phases.iter().find(ended).expect("the result of the action");
    assert_eq!(
        (&result["status"], &result["exit_code"]),
        (&json!("success"), &json!(0)),
        "{result}"
    );
    assert!(result["command"].is_string() && result["health_before"].is_u64(), "{result}");
}

fn records_are_complete(service: &Service, incident: &str, execution: &str) {
    let page = service.get("/api/v1/incidents?limit=1");
    let cursor = page["next_cursor"].as_u64().expect("there are two");
    let rest = service.get(&format!("/api/v1/incidents?limit=1&cursor={cursor}"));
    assert_eq!(
        (&rest["incidents"][0]["name"], &rest["next_cursor"]),
        (&json!(incident), &Value::Null)
    );
    let ended = service.get("/api/v1/incidents/resolved?fault_type=leak-oom");
    assert_eq!(ended["incidents"].as_array().map(Vec::len), Some(1));
    let actions = service.get(&format!("/api/v1/incidents/{incident}/actions"));
    assert!(actions.as_array().expect("a list").iter().all(|action| action["result"] == "success"));
    let attempts = service.get(&format!("/api/v1/incidents/{incident}/agent/executions"));
    assert_eq!(attempts[0]["steps"][0]["undo_data"], json!({}), "the server's own data stays here");
    assert_eq!(service.get(&format!("/api/v1/agent/executions/{execution}"))["state"], "completed");
    let report = service.get(&format!("/api/v1/incidents/{incident}/report"));
    assert!(report["markdown"].as_str().expect("a text").contains("approved by http"), "{report}");
    let memory =
        service.get(&format!("/api/v1/targets/{}/inspect/memory", service.name("redis-test")));
    assert_eq!(memory["inspection"], "check_redis_memory", "{memory}");
    let health =
        service.get(&format!("/api/v1/targets/{}/inspect/health", service.name("postgres-test")));
    assert!(health["checks"].as_array().is_some_and(|checks| !checks.is_empty()), "{health}");
}

/// Reads a while, breaks off, comes back, and has what the log has.
fn a_reader_that_comes_back_misses_nothing(service: &Service, start: u64) {
    let end = service.get("/status")["seq"].as_u64().expect("a number");
    let (mut last, mut seen) = (start, Vec::new());
    while last < end {
        let mut talk = service.socket(&format!("/ws?after={last}"));
        for _ in 0..25 {
            if last >= end {
                break;
            }
            last = talk.hear().expect("more")["seq"].as_u64().expect("a number");
            seen.push(last);
        }
    }
    let exported = service.text("GET", "/api/v1/audit/export", None).1;
    let recorded: Vec<u64> = exported
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["seq"].as_u64())
        .filter(|seq| (start + 1..=last).contains(seq))
        .collect();
    assert!(!recorded.is_empty());
    assert_eq!(seen, recorded);
}

#[test]
fn an_incident_from_outside_is_opened_changed_and_closed_and_late_approvals_are_refused() {
    let Some(service) = Service::start("[limits]\napproval_ttl = \"2s\"\n") else { return };
    let noticed = json!({
        "message": "mail bounces \u{1b}[31m", "severity": "low", "affected_system": "mail", "team": "office",
    });
    let opened = service.ask("POST", "/api/v1/incidents", Some(&noticed));
    assert_eq!(opened.0, 201, "{opened:?}");
    let path = format!("/api/v1/incidents/{}", opened.1["name"].as_str().expect("a name"));
    assert_eq!(
        service.ask("POST", "/api/v1/incidents", Some(&noticed)).0,
        200,
        "it is open already"
    );
    let change = json!({ "severity": "high", "notes": "the relay is down", "status": "resolved" });
    let changed = service.ask("PATCH", &path, Some(&change));
    assert_eq!((changed.0, &changed.1["status"]), (200, &json!("resolved")), "{changed:?}");
    assert_eq!(changed.1["notes"][0]["actor"], "http");
    let back = service.ask("PATCH", &path, Some(&json!({ "status": "investigating" })));
    assert_eq!(back.0, 409, "nothing leaves resolved: {back:?}");
    let told = service.home.ok(&["incidents", "show", opened.1["name"].as_str().expect("a name")]);
    assert!(told.contains("mail bounces \\x1b[31m"), "no terminal is coloured by others: {told}");

    service.post("/trigger/postgres-connections", None);
    let late = waiting(&service);
    let incident = format!("/api/v1/incidents/{}", late["name"].as_str().expect("a name"));
    eventually("nobody decided in time", || {
        (service.get(&incident)["status"] == "failed").then_some(())
    });
    let yes = json!({ "fingerprint": late["fingerprint"] });
    let refused = service.ask("POST", &format!("{incident}/approve"), Some(&yes));
    assert_eq!(refused.0, 409, "{refused:?}");
    assert_eq!(service.get(&format!("{incident}/actions")), json!([]), "nothing ran");
    service.post("/clear/all", None);
}

const CLIENTS: usize = 200;
const READS: usize = 20;

#[test]
fn two_hundred_clients_read_and_listen_while_an_incident_is_found_as_soon_as_ever() {
    let Some(mut service) = Service::start("[http]\nrequests_per_s = 1000000\n") else { return };
    let before = resident_kb(service.engine.pid());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let at = service.at.clone();
    let load = runtime.spawn(async move {
        let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(at.clone(), n))).collect();
        let mut slowest = Vec::new();
        for client in clients {
            slowest.extend(client.await.expect("no client failed"));
        }
        slowest
    });
    let began = Instant::now();
    service.post("/trigger/postgres-connections", None);
    service.engine.event("incident_opened", |_| true);
    let found = began.elapsed();
    let mut took = runtime.block_on(load).expect("the load ends");
    let all = began.elapsed();
    took.sort_unstable();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    let grown = resident_kb(service.engine.pid()).saturating_sub(before);
    eprintln!(
        "{CLIENTS} clients, {} requests and {} streams in {all:.1?}: median {median:.1?}, p99 {p99:.1?}; found after \
         {found:.1?}; {grown} kB more",
        took.len(),
        CLIENTS / 2
    );
    assert_eq!(took.len(), CLIENTS * READS);
    assert!(found < Duration::from_secs(15), "found after {found:?}");
    assert!(grown < 150_000, "{grown} kB more than before");
    service.post("/clear/all", None);
    service.wait_until_well();
}

/// Reads on one connection; every second client listens to the stream besides.
async fn client(at: String, n: usize) -> Vec<Duration> {
    let listening = if n.is_multiple_of(2) {
        let mut stream = tokio::net::TcpStream::connect(&at).await.expect("let in");
        let request = format!("GET /api/v1/stream?after=0 HTTP/1.1\r\nhost: {at}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("asked");
        Some(stream)
    } else {
        None
    };
    let paths =
        ["/status", "/api/v1/incidents?limit=50", "/api/v1/targets", "/api/v1/incidents/resolved"];
    let mut stream = tokio::net::TcpStream::connect(&at).await.expect("let in");
    let mut took = Vec::new();
    for read in 0..READS {
        let path = paths[(n + read) % paths.len()];
        let began = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let head = Box::pin(answered(&mut stream)).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        took.push(began.elapsed());
    }
    if let Some(mut listening) = listening {
        let mut bytes = [0; 4_096];
        let len = listening.read(&mut bytes).await.expect("it is told");
        assert!(String::from_utf8_lossy(&bytes[..len]).starts_with("HTTP/1.1 200"));
    }
    took
}

/// Reads one answer whole; its head.
async fn answered(stream: &mut tokio::net::TcpStream) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 16_384];
    loop {
        let len = stream.read(&mut bytes).await.expect("an answer");
        assert!(len > 0, "the connection was closed: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&bytes[..len]);
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).expect("a length");
        if text.len() >= end + 4 + length {
            return String::from_utf8_lossy(&text[..end]).into_owned();
        }
    }
}

fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).expect("a size")
}
