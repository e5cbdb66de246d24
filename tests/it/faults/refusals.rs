//! Faults of Redis's scripts, users and replication: each takes, is undone, and leaves nothing, twice.

use simctl::domain::sample::Origin;

use super::*;

/// Injects and undoes it twice; what a client met while it was broken.
async fn twice(fault: &str, params: &[(&str, u64)], met: impl AsyncFn(&Server) -> String) {
    let broken = Broken::over(Bench::redis());
    let mut con = broken.redis().await;
    let () = ask(&mut con, "SET keep value").await.expect("a healthy server");
    drop(con);
    let before = capture(&broken.server, &Marks::default()).await;
    for round in 0..2 {
        let spec = broken.spec(fault, params).await;
        let reports = broken
            .live(&spec, async || {
                let told = met(&broken.server).await;
                assert_eq!(told, "as expected", "{fault}, round {round}");
            })
            .await;
        assert_undone(&reports);
        let after = capture(&broken.server, &Marks::default()).await;
        assert_eq!(difference(&before, &after), Vec::<String>::new(), "{fault}, round {round}");
        let kept: String = ask(&mut broken.redis().await, "GET keep").await.expect("it answers");
        assert_eq!(kept, "value");
    }
}

/// What a new client gets to hear, and whether a read still works.
async fn newcomer(server: &Server, code: &str, reads: bool) -> String {
    let sample = server.probe().fresh().await;
    assert_eq!(sample.origin, Origin::Fresh);
    let told = sample.first_bad().and_then(|answer| answer.code());
    if told == Some(code) && sample.read.is_ok() == reads {
        return "as expected".into();
    }
    format!("{sample:?}")
}

#[tokio::test]
async fn a_password_locks_new_clients_out_until_it_is_undone() {
    twice("requirepass", &[], async |server| newcomer(server, "NOAUTH", false).await).await;
}

#[tokio::test]
async fn a_user_that_is_off_locks_new_clients_out_until_it_is_undone() {
    twice("user-off", &[], async |server| newcomer(server, "NOAUTH", false).await).await;
}

#[tokio::test]
async fn a_user_without_the_right_to_write_reads_until_it_is_undone() {
    twice("acl-no-write", &[], async |server| newcomer(server, "NOPERM", true).await).await;
}

#[tokio::test]
async fn a_replica_of_nobody_reads_until_it_is_undone() {
    twice("replicaof-dead", &[], async |server| newcomer(server, "READONLY", true).await).await;
}

#[tokio::test]
async fn a_server_that_wants_replicas_reads_until_it_is_undone() {
    twice("min-replicas", &[], async |server| newcomer(server, "NOREPLICAS", true).await).await;
}

#[tokio::test]
async fn a_script_keeps_everybody_waiting_until_it_is_undone() {
    twice("busy-script", &[], async |server| newcomer(server, "BUSY", false).await).await;
}

#[tokio::test]
async fn a_script_that_has_written_ends_by_itself_and_its_key_goes() {
    let met = async |server: &Server| {
        let mut con = connect(port(server)).await;
        let refused = ask::<()>(&mut con, "SCRIPT KILL").await.expect_err("it has written");
        assert_eq!(refused.code(), Some("UNKILLABLE"));
        newcomer(server, "BUSY", false).await
    };
    twice("busy-script-wrote", &[("seconds", 5)], met).await;
}

fn port(server: &Server) -> u16 {
    match &server.link {
        simctl::targets::Link::Redis(link) => link.port,
        simctl::targets::Link::Postgres(link) => link.port,
    }
}

#[tokio::test]
async fn what_is_not_as_the_fault_needs_it_is_not_broken() {
    for (fault, before, why) in [
        ("requirepass", "ACL SETUSER other on nopass", ""),
        ("acl-no-write", "ACL SETUSER default -flushall", "could not be put back exactly"),
        ("min-replicas", "CONFIG SET min-replicas-to-write 1", "demands some already"),
        ("replicaof-dead", "REPLICAOF 127.0.0.1 1", "is a replica already"),
        ("rdb-enospc", "PING", "this needs docker"),
    ] {
        let broken = Broken::over(Bench::redis());
        let _: redis::Value = ask(&mut broken.redis().await, before).await.expect(before);
        let fault = named(fault).expect("in the catalogue");
        let available = fault.available(&broken.server).await;
        let params = complete_params(fault, &BTreeMap::new()).expect("defaults");
        let said = match available {
            Err(reason) => reason,
            Ok(()) => match fault.save(&broken.server, &params, 7).await {
                Ok(_) => String::new(),
                Err(error) => error.in_words(),
            },
        };
        assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{why}: {said}");
    }
}
