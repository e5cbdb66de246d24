//! The lab as local processes. Needs the servers installed here.

use super::*;

fn trial() -> Option<Trial> {
    if let Err(missing) = simctl::runtime::process::binaries::check() {
        eprintln!("not tried: {missing}");
        return None;
    }
    Some(Trial::new(RuntimeChoice::Process))
}

#[tokio::test]
async fn a_lab_is_made_once_found_broken_and_removed() {
    let Some(trial) = trial() else { return };
    assert!(lab::find(&trial.config).await.expect("find").is_none());
    let lab = trial.up().await.expect("up");
    trial.said();
    trial.up().await.expect("up again");
    let said = trial.said();
    assert!(said.contains("is there") && !said.contains("starting"), "{said}");

    servers_are_as_specified(&lab).await;
    commands_are_bounded(&lab).await;
    stopping_is_done_seen_and_announced(&lab).await;

    let found = lab::find(&trial.config).await.expect("find").expect("the lab");
    assert_eq!(found.servers.len(), 2);
    assert_eq!(found.store_url, lab.store_url);

    trial.down(false).await;
    assert!(lab::find(&trial.config).await.expect("find").is_none());
    trial.up().await.expect("up on the store's kept data");
    assert!(trial.said().contains("simctl-store answers"));
    trial.down(true).await;
    assert!(!trial.config.state_dir.join("lab").join(&trial.config.lab.id).exists());
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_holder_and_nothing_is_begun() {
    let Some(trial) = trial() else { return };
    let held = std::net::TcpListener::bind(("127.0.0.1", trial.config.lab.postgres_port));
    let held = held.expect("the port was free");
    let refused = trial.up().await.err().expect("it must refuse").to_string();
    assert!(refused.contains("`postgres_port`"), "{refused}");
    assert!(lab::find(&trial.config).await.expect("find").is_none());
    drop(held);
}

#[tokio::test]
async fn what_was_started_is_ended_when_a_later_server_fails() {
    let Some(trial) = trial() else { return };
    let lab = trial.up().await.expect("up");
    trial.down(false).await;
    // The store's kept data is not a database any more.
    let state = trial.config.state_dir.join("lab").join(&trial.config.lab.id);
    let homes = [state.join("data"), std::path::PathBuf::from("/var/lib/simctl/lab")];
    let broken = homes.iter().find_map(|home| find_version(home, &trial.name("simctl-store")));
    std::fs::write(broken.expect("the store's data"), "1\n").expect("break it");
    let refused = trial.up().await.err().expect("it must fail").to_string();
    assert!(refused.contains("store ended instead of answering"), "{refused}");
    assert_eq!(status(&lab, "redis-test").await, UnitStatus::Absent);
    assert!(lab::find(&trial.config).await.expect("find").is_none());
}

/// The file that names the version of a database, somewhere under `home`.
fn find_version(home: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let wanted = home.join(name).join("data/PG_VERSION");
    if wanted.exists() {
        return Some(wanted);
    }
    let below = std::fs::read_dir(home).ok()?.flatten();
    below.map(|entry| entry.path().join(name).join("data/PG_VERSION")).find(|path| path.exists())
}
