//! A primary with a streaming standby: the lag that is there, and the one that must not be claimed.

use std::process::Child;
use std::time::Duration;

use simctl::domain::target::Engine;
use simctl::inspect::{self, Content, Desk, Given, Grade};
use simctl::targets::Link;
use tokio_postgres::{Client, NoTls};

use super::bench::{ask, check, desk, is_ok, one, postgres, rows, run, superuser, until};
use crate::faults::bench::{Bench, Launch};

pub(crate) struct Standby {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Standby {
    /// A copy of that server that streams from it through the slot `replica`.
    pub(crate) fn of(primary: &Bench) -> Self {
        let data = primary.state_dir().join("standby").display().to_string();
        let from = primary.port.to_string();
        let copy = Launch {
            program: primary.launch.program.with_file_name("pg_basebackup"),
            args: ["-h", "127.0.0.1", "-p", &from, "-U", "postgres", "-D", &data]
                .into_iter()
                .chain(["-R", "-C", "-S", "replica", "-X", "stream", "-c", "fast"])
                .map(str::to_owned)
                .collect(),
            ..primary.launch.clone()
        };
        assert!(copy.start().wait().expect("it ends").success(), "pg_basebackup");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let mut launch = primary.launch.clone();
        for pair in [("-D", data), ("-p", port.to_string())] {
            let at = launch.args.iter().position(|arg| arg == pair.0).expect("it is there");
            launch.args[at + 1] = pair.1;
        }
        Self { child: launch.start(), port }
    }

    pub(crate) async fn session(&self) -> Client {
        let at = format!("host=127.0.0.1 port={} user=postgres dbname=app", self.port);
        for _ in 0..400 {
            if let Ok((client, connection)) = tokio_postgres::connect(&at, NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the standby lets nobody in");
    }

    fn desk(&self, primary: &Bench) -> Desk {
        let mut server = primary.server(None);
        if let Link::Postgres(link) = &mut server.link {
            link.port = self.port;
        }
        Desk::new(server)
    }
}

const WRITE: &str = "insert into t select g, repeat('x', 500) from generate_series(1, 10000) g";

#[tokio::test]
async fn a_cut_link_is_told_as_cut_and_what_piles_up_for_it_grows() {
    let primary = postgres(&[]);
    let boss = superuser(&primary).await;
    run(&boss, "create table t (id int, filler text)").await;
    let standby = Standby::of(&primary);
    let there = standby.session().await;
    until(&there, "select count(*) = 1 from pg_stat_wal_receiver where status = 'streaming'").await;
    let (mut here, mut other) = (desk(&primary), standby.desk(&primary));

    let report = ask(&mut other, Engine::Postgres, "replication", &[]).await;
    assert!(is_ok(check(&report, "standby_link")), "{report:#?}");
    let report = ask(&mut here, Engine::Postgres, "replication", &[]).await;
    assert_eq!(rows(&report, "standbys")[0]["state"], "streaming");
    assert!(is_ok(check(&report, "standby_behind")) && is_ok(check(&report, "slot_retains")));

    for inspection in inspect::of(Engine::Postgres) {
        let report = other.report(inspection, &Given::nothing(inspection.args)).await;
        for part in &report.parts {
            let known = match &part.content {
                Content::Unknown(why) => {
                    ["not_enough_history", "not_installed"].contains(&why.word())
                }
                _ => true,
            };
            assert!(known, "{} on a standby: {part:#?}", inspection.verb);
        }
    }

    run(&there, "select pg_wal_replay_pause()").await;
    run(&boss, WRITE).await;
    until(
        &boss,
        "select pg_wal_lsn_diff(flush_lsn, replay_lsn) > 5000000 from pg_stat_replication",
    )
    .await;
    let report = ask(&mut here, Engine::Postgres, "replication", &[]).await;
    assert!(rows(&report, "standbys")[0]["replay_bytes"].as_i64() > Some(5_000_000));
    let report = ask(&mut other, Engine::Postgres, "replication", &[]).await;
    assert!(check(&report, "standby_link").evidence.starts_with("PAUSED, lag unknown"));
    run(&there, "select pg_wal_replay_resume()").await;
    until(&there, "select pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()").await;

    run(&there, "alter system set primary_conninfo = 'host=127.0.0.1 port=1 user=postgres'").await;
    run(&there, "select pg_reload_conf()").await;
    until(&there, "select count(*) = 0 from pg_stat_wal_receiver").await;
    let mut retained = 0;
    for _ in 0..2 {
        run(&boss, WRITE).await;
        let report = ask(&mut here, Engine::Postgres, "replication", &[]).await;
        assert!(rows(&report, "standbys").is_empty());
        let slot = &rows(&report, "slots")[0];
        let now = slot["retained_bytes"].as_i64().expect("told");
        assert!(slot["active"] == false && now > retained + 5_000_000, "{slot}");
        retained = now;
    }
    let naive =
        "select case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0 else 1 end";
    assert_eq!(one(&there, naive).await, "0", "what is often asked says there is no lag");
    let report = ask(&mut other, Engine::Postgres, "replication", &[]).await;
    let link = check(&report, "standby_link");
    assert_eq!(link.grade, Grade::Crit);
    assert!(link.evidence.starts_with("LINK_DOWN, lag unknown"), "{link:?}");
}
