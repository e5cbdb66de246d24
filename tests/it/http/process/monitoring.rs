//! With the monitoring systems' own programs: promtool reads the figures, Alertmanager sends alerts.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::crash::bench::{eventually, free_ports};
use crate::http::client::{Service, text_at};

/// Where there is no such program, a test that needs it is not tried.
fn is_there(program: &str) -> bool {
    let ran =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = ran.is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("not tried: {program} is not installed");
    }
    is_there
}

fn alert(service: &Service, status: &str, name: &str, began: &str) -> Value {
    json!({ "version": "4", "groupKey": "g", "truncatedAlerts": 2, "status": status, "alerts": [{
        "status": status, "startsAt": began, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "c0ffee",
        "labels": { "alertname": name, "instance": service.name("redis-test"), "severity": "critical" },
        "annotations": { "summary": "said \u{1b}[31m elsewhere" },
    }] })
}

fn hear(service: &Service, message: &Value) -> Value {
    service.post("/api/v1/alerts/alertmanager", Some(message))["alerts"][0].clone()
}

#[test]
fn alerts_are_told_once_and_end_when_the_server_is_well_and_the_figures_pass_the_linter() {
    let Some(service) = Service::start("") else { return };
    let began = "2026-01-01T00:00:00Z";
    let fires = alert(&service, "firing", "CheckoutFails", began);
    let first = hear(&service, &fires);
    assert_eq!(first["incident"], "INC-0001", "{first}");
    let again = hear(&service, &fires);
    assert_eq!(again["outcome"], "INC-0001 has that already");
    let incident = service.get("/api/v1/incidents/INC-0001");
    assert_eq!(
        (&incident["finding_kind"], &incident["source"]),
        (&json!("noticed"), &json!("alertmanager"))
    );
    assert_eq!(incident["occurrences"], 1, "a repetition is none");
    hear(&service, &alert(&service, "resolved", "CheckoutFails", began));
    eventually("it ends once the server was measured to be well", || {
        (service.get("/api/v1/incidents/INC-0001")["status"] == "resolved").then_some(())
    });
    let bad = json!({ "version": "3", "alerts": [] });
    assert_eq!(service.ask("POST", "/api/v1/alerts/alertmanager", Some(&bad)).0, 422);

    let (status, text) = service.text("GET", "/metrics", None);
    assert_eq!(status, 200);
    for line in [
        "simctl_incidents_opened_total{severity=\"critical\"} 1",
        "simctl_incident_mitigation_seconds_count 1",
        "simctl_store_up 1.0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("redis_memory_used_bytes{target="), "{text}");
    if is_there("promtool") {
        let (complaints, ok) = linted(&text);
        assert!(ok && complaints.trim().is_empty(), "{complaints}\n{text}");
    }
}

fn linted(text: &str) -> (String, bool) {
    use std::io::Write as _;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    promtool.stdin.take().expect("an input").write_all(text.as_bytes()).expect("it reads");
    let ended = promtool.wait_with_output().expect("it ends");
    let said = [ended.stdout, ended.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), ended.status.success())
}

/// Alertmanager, ended when it is dropped.
struct Alertmanager {
    child: Child,
    at: String,
    _dir: tempfile::TempDir,
}

impl Alertmanager {
    fn start(webhook: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = format!(
            "route: {{ receiver: simctl, group_by: [alertname], group_wait: 0s, group_interval: 1s, \
             repeat_interval: 2s }}\nreceivers: [{{ name: simctl, webhook_configs: [{{ url: '{webhook}' }}] }}]\n"
        );
        let path = dir.path().join("am.yml");
        fs::write(&path, config).expect("written");
        let [port, ..] = free_ports(90);
        let at = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={at}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Self { child, at, _dir: dir }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn alertmanagers_own_messages_open_group_and_end_incidents() {
    if !is_there("prometheus-alertmanager") {
        return;
    }
    let Some(service) = Service::start("") else { return };
    let webhook = format!("http://{}/api/v1/alerts/alertmanager", service.at);
    let alertmanager = Alertmanager::start(&webhook);
    let send = |ends: bool| {
        let alerts: Vec<Value> =
            ["one", "two"].map(|pod| one_of_a_group(&service, pod, ends)).into();
        let body = json!(alerts);
        eventually("Alertmanager takes alerts", || {
            let (status, _) = text_at(&alertmanager.at, "POST", "/api/v2/alerts", Some(&body))?;
            (status == 200).then_some(())
        });
    };
    send(false);
    let incident = |service: &Service| service.get("/api/v1/incidents/INC-0001");
    eventually("both alerts are in one incident", || {
        let page = service.get("/api/v1/incidents");
        if page["incidents"].as_array()?.is_empty() {
            return None;
        }
        (incident(&service)["alerts"].as_array()?.len() == 2).then_some(())
    });
    send(true);
    let ended = eventually("it is over on both sides", || {
        let incident = incident(&service);
        (incident["status"] == "resolved").then_some(incident)
    });
    assert_eq!(ended["occurrences"], 1, "repetitions are none: {ended}");
    let page = service.get("/api/v1/incidents");
    assert_eq!(page["incidents"].as_array().map(Vec::len), Some(1), "{page}");
}

fn one_of_a_group(service: &Service, pod: &str, ends: bool) -> Value {
    let mut alert = json!({
        "startsAt": "2026-01-01T00:00:00Z",
        "labels": { "alertname": "CheckoutFails", "instance": service.name("redis-test"), "pod": pod },
        "annotations": { "summary": "checkout fails" },
    });
    if ends {
        alert["endsAt"] = json!("2026-01-01T00:00:01Z");
    }
    alert
}
