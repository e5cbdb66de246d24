//! Drills on a lab of local processes: recovery is proven and nothing is left over.

use super::*;

fn trial() -> Trial {
    let trial = Trial::new(Some("process"), "");
    trial.must(&["up"]);
    let status = trial.json(&["status"]);
    for target in status["targets"].as_array().expect("targets") {
        assert_eq!(target["state"], "ok", "{status}");
    }
    trial
}

fn drill(trial: &Trial, fault: &str, on: &str) {
    let said = trial.must(&["drill", fault, "--target", &trial.name(on), "--yes"]);
    let left = said.out.lines().find(|line| line.starts_with("left over"));
    assert!(left.is_some_and(|line| line.ends_with("nothing")), "{}", said.out);
}

/// Everything of the lab that still runs, by command line.
fn processes(trial: &Trial) -> Vec<String> {
    let all = std::fs::read_dir("/proc").expect("the process table").flatten();
    let words = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = words.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    lines.filter(|line| line.contains(&trial.name(""))).collect()
}

#[test]
fn what_was_filled_and_what_was_taken_is_freed() {
    let trial = trial();
    drill(&trial, "leak-oom", "redis-test");
    drill(&trial, "idle-leak", "postgres-test");
    assert_eq!(trial.json(&["incidents"]).as_array().map(Vec::len), Some(2));
    trial.must(&["audit", "verify"]);
    assert!(!processes(&trial).is_empty(), "the servers run as long as the lab is up");
    trial.must(&["down", "--volumes"]);
    assert_eq!(processes(&trial), Vec::<String>::new());
    assert!(!trial.state().join("lab").join(&trial.id).exists());
}

#[test]
fn what_was_killed_runs_again() {
    let trial = trial();
    drill(&trial, "container-killed", "redis-test");
    drill(&trial, "container-killed", "postgres-test");
    trial.must(&["audit", "verify"]);
    trial.must(&["down", "--volumes"]);
    trial.must(&["up"]);
    let verified = trial.must(&["audit", "verify"]);
    assert!(
        verified.out.starts_with("ok: 0 records"),
        "records removed on purpose: {}",
        verified.out
    );
}
