//! Prometheus, its exporters and Alertmanager at their fastest: asked and judged every second, told at once.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use simctl::engine::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::board::Board;
use crate::lab::Lab;
use crate::process::Process;

const PROMETHEUS: &str = "prometheus";
const ALERTMANAGER: &str = "prometheus-alertmanager";
const REDIS_EXPORTER: &str = "prometheus-redis-exporter";
const POSTGRES_EXPORTER: &str = "prometheus-postgres-exporter";

/// The programs that are not there.
pub(crate) fn missing() -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let all = [PROMETHEUS, ALERTMANAGER, REDIS_EXPORTER, POSTGRES_EXPORTER, "docker"];
    all.into_iter().filter(|name| !is_there(name)).collect()
}

/// The peers' ports follow the lab's three.
struct Ports {
    redis_exporter: u16,
    postgres_exporter: u16,
    alertmanager: u16,
    prometheus: u16,
}

/// Starts them all; alerts go to the board. `idle` sessions are there before any failure.
pub(crate) async fn start(
    lab: &Lab,
    board: &Board,
    tasks: &mut Tasks,
    idle: i64,
) -> anyhow::Result<Vec<Process>> {
    let first = lab.first_port + 3;
    let ports = Ports {
        redis_exporter: first,
        postgres_exporter: first + 1,
        alertmanager: first + 2,
        prometheus: first + 3,
    };
    let webhook = listen(board, tasks).await?;
    write_configuration(lab, &ports, webhook, idle)?;
    let started = vec![
        redis_exporter(lab, ports.redis_exporter)?,
        postgres_exporter(lab, ports.postgres_exporter)?,
        alertmanager(lab, ports.alertmanager)?,
        prometheus(lab, ports.prometheus)?,
    ];
    let all = [ports.redis_exporter, ports.postgres_exporter, ports.alertmanager, ports.prometheus];
    for port in all {
        answers(port).await?;
    }
    Ok(started)
}

fn redis_exporter(lab: &Lab, port: u16) -> anyhow::Result<Process> {
    let (listen, redis) = (format!("127.0.0.1:{port}"), lab.redis_url());
    let arguments =
        ["-web.listen-address", &listen, "-redis.addr", &redis, "-connection-timeout", "1s"];
    Process::start(REDIS_EXPORTER, &arguments)
}

fn postgres_exporter(lab: &Lab, port: u16) -> anyhow::Result<Process> {
    let mut command = Command::new(POSTGRES_EXPORTER);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.env("DATA_SOURCE_NAME", lab.superuser_url()).stdout(std::process::Stdio::null());
    Process::spawn(POSTGRES_EXPORTER, &mut command)
}

fn alertmanager(lab: &Lab, port: u16) -> anyhow::Result<Process> {
    let config = flag("config.file", &lab.file("alertmanager.yml"));
    let storage = flag("storage.path", &lab.file("alertmanager"));
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    Process::start(ALERTMANAGER, &[&config, &storage, &listen, "--cluster.listen-address="])
}

fn prometheus(lab: &Lab, port: u16) -> anyhow::Result<Process> {
    let config = flag("config.file", &lab.file("prometheus.yml"));
    let storage = flag("storage.tsdb.path", &lab.file("prometheus"));
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    Process::start(PROMETHEUS, &[&config, &storage, &listen])
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

fn write_configuration(lab: &Lab, ports: &Ports, webhook: u16, idle: i64) -> anyhow::Result<()> {
    let Ports { redis_exporter, postgres_exporter, alertmanager, .. } = ports;
    let rules = lab.file("rules.yml");
    let prometheus = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: ['{}']\n\
         alerting: {{ alertmanagers: [ {{ static_configs: [ {{ targets: ['127.0.0.1:{alertmanager}'] }} ] }} ] }}\n\
         scrape_configs:\n\
         - {{ job_name: redis, static_configs: [ {{ targets: ['127.0.0.1:{redis_exporter}'] }} ] }}\n\
         - {{ job_name: postgres, static_configs: [ {{ targets: ['127.0.0.1:{postgres_exporter}'] }} ] }}\n",
        rules.display()
    );
    let route = "group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h";
    let alertmanager = format!(
        "route: {{ receiver: bench, {route} }}\n\
         receivers:\n\
         - name: bench\n  webhook_configs: [ {{ url: 'http://127.0.0.1:{webhook}/', send_resolved: true }} ]\n"
    );
    std::fs::write(lab.file("prometheus.yml"), prometheus)?;
    std::fs::write(lab.file("alertmanager.yml"), alertmanager)?;
    std::fs::write(rules, rules_text(idle)).context("write the rules")
}

/// The same thresholds as simctl's: 90 % of the memory, more than ten idle sessions of others.
fn rules_text(idle: i64) -> String {
    let most = 10 + idle;
    let rules = [
        ("RedisFull", "redis_memory_used_bytes >= 0.9 * redis_memory_max_bytes".to_owned()),
        ("RedisDown", "redis_up == 0 or up{job=\"redis\"} == 0".to_owned()),
        ("PostgresDown", "pg_up == 0 or up{job=\"postgres\"} == 0".to_owned()),
        (
            "PostgresIdle",
            format!("sum(pg_stat_activity_count{{datname=\"app\",state=\"idle\"}}) > {most}"),
        ),
    ];
    let rule = |(name, expression): &(&str, String)| {
        format!("  - {{ alert: {name}, expr: '{expression}', for: 0s }}\n")
    };
    let all: String = rules.iter().map(rule).collect();
    format!("groups:\n- name: bench\n  rules:\n{all}")
}

/// Takes Alertmanager's messages; the port.
async fn listen(board: &Board, tasks: &mut Tasks) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let router = Router::new().route("/", post(heard)).with_state(board.clone());
    tasks.spawn("webhook", async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("the webhook ended: {error}");
        }
    });
    Ok(port)
}

async fn heard(State(board): State<Board>, Json(message): Json<Value>) {
    let alerts = message.get("alerts").and_then(Value::as_array);
    for alert in alerts.into_iter().flatten() {
        let name = alert.pointer("/labels/alertname").and_then(Value::as_str).unwrap_or_default();
        board.alert(name, alert.get("status").and_then(Value::as_str) == Some("firing"));
    }
}

/// Waits until somebody listens.
async fn answers(port: u16) -> anyhow::Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("nobody listens on port {port} after 10 s")
}
