//! The lab in containers under a load that is no trouble.

use super::*;

/// A program that comes with PostgreSQL, wherever the distribution keeps it.
fn pgbench() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found = versions.map(|entry| entry.path().join("bin/pgbench"));
    found.find(|path| path.exists()).unwrap_or_else(|| "pgbench".into())
}

fn load(trial: &Trial, words: &[&str]) -> Command {
    let port = trial.ports[1].to_string();
    let mut command = Command::new(pgbench());
    command
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "app"])
        .args(words)
        .arg("app")
        .env("PGPASSWORD", simctl::lab::spec::APP_PASSWORD)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn benchmark(trial: &Trial, words: &[&str]) -> Command {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &trial.ports[0].to_string(), "-q"]).args(words).stdout(Stdio::null());
    command
}

fn redis(trial: &Trial, words: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &trial.ports[0].to_string()]).args(words);
    Said::of(&command.output().expect("redis-cli runs")).out
}

/// A figure out of `INFO`.
fn figure(trial: &Trial, name: &str) -> u64 {
    let info = redis(trial, &["INFO"]);
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.trim().parse().ok()).expect("a number")
}

#[test]
fn busy_but_healthy_opens_no_incident() {
    let mut trial = Trial::new(Some("docker"), "");
    trial.must(&["up"]);
    assert!(load(&trial, &["-i", "-s", "1"]).status().expect("pgbench runs").success());
    trial.engine();

    // Ten pooled sessions at work, and writers at full speed on Redis's usual keys.
    let mut default_keys = benchmark(&trial, &["-n", "400000", "-t", "set,get,incr,lpush,hset"]);
    trial.start(&mut default_keys);
    assert!(load(&trial, &["-c", "10", "-T", "6"]).status().expect("pgbench runs").success());
    trial.end_children_but_the_engine();

    // The same ten mostly idle, and a cache that fills up to its limit and evicts.
    redis(&trial, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let evicted = figure(&trial, "evicted_keys");
    let idle = load(&trial, &["-c", "10", "-T", "8", "--rate", "2"]).spawn();
    let mut idle = idle.expect("pgbench runs");
    let mut cache = benchmark(&trial, &["-t", "set", "-r", "1000000", "-d", "400", "-n", "300000"]);
    trial.start(&mut cache);
    trial.wait_for("evictions", |trial| (figure(trial, "evicted_keys") > evicted).then_some(()));
    let sessions = trial.json(&["status"]);
    assert!(idle.wait().expect("pgbench ends").success());

    assert!(figure(&trial, "used_memory") > 40 << 20, "the cache is full");
    assert_eq!(trial.json(&["incidents"]), serde_json::json!([]), "{sessions}");
}
