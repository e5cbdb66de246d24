//! A COMMIT whose answer is lost on the wire: looked up, never applied twice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use simctl::database::Workbench;
use simctl::database::transaction::Commit;
use simctl::targets::Link;

use super::bench::{one, postgres, recording, run, superuser, transaction_of, write_all};
use crate::faults::bench::Bench;

/// Passes bytes on between a client and the server, until the client says COMMIT.
struct Wire {
    port: u16,
    armed: Arc<AtomicBool>,
}

/// What becomes of the connection that says COMMIT, once.
#[derive(Clone, Copy)]
enum Cut {
    /// The server never hears it.
    Before,
    /// The server hears it; the client never hears the answer.
    After,
}

impl Wire {
    fn to(server: u16, cut: Cut) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let armed = Arc::new(AtomicBool::new(true));
        let shared = Arc::clone(&armed);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let armed = Arc::clone(&shared);
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                std::thread::spawn(move || pass(client, server, cut, &armed));
            }
        });
        Self { port, armed }
    }
}

fn pass(client: TcpStream, server: TcpStream, cut: Cut, armed: &AtomicBool) {
    let (mut back_from, mut back_to) =
        (server.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
    let answers = std::thread::spawn(move || {
        let _ = std::io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (client, server);
    let mut bytes = [0_u8; 8192];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let said = &bytes[..read];
        let commit = said.windows(7).any(|window| window == b"COMMIT\0");
        if commit && armed.swap(false, Ordering::SeqCst) {
            if let Cut::After = cut {
                // First nobody listens any more, then the server hears it.
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.write_all(said);
            }
            break;
        }
        if to.write_all(said).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    if armed.load(Ordering::SeqCst) || matches!(cut, Cut::Before) {
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
    let _ = answers.join();
}

fn through(bench: &Bench, wire: &Wire) -> Workbench {
    let mut server = bench.server(None);
    if let Link::Postgres(link) = &mut server.link {
        link.port = wire.port;
    }
    let made = Workbench::new(&server, &Default::default(), 3).expect("a PostgreSQL");
    recording(made).0
}

async fn applied(cut: Cut) -> (u32, Vec<String>, Vec<String>) {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (n int); alter table t owner to app").await;
    let wire = Wire::to(bench.port, cut);
    let desk = through(&bench, &wire);
    let request = transaction_of(
        &["insert into t values (1)"],
        json!({"write": true, "deadline_ms": 20_000}),
    );
    let response = write_all(&desk, &request).await.expect("known in the end");
    assert_eq!(response.commit, Commit::Committed);
    assert!(!wire.armed.load(Ordering::SeqCst), "the wire was cut");
    assert_eq!(one(&boss, "select count(*) from t").await, "1", "never twice, never not at all");
    assert!(response.lsn.is_some());
    (response.attempts, response.retried_for, response.notices)
}

#[tokio::test]
async fn an_answer_that_is_lost_is_looked_up_and_nothing_is_repeated() {
    let (attempts, retried, notices) = applied(Cut::After).await;
    assert_eq!((attempts, retried.len()), (1, 0));
    assert!(
        notices.iter().any(|notice| notice.contains("the server says it was done")),
        "{notices:?}"
    );
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_begun_again() {
    let (attempts, retried, _) = applied(Cut::Before).await;
    assert_eq!(
        (attempts, retried.as_slice()),
        (2, &["connection lost at COMMIT, not applied".to_owned()][..])
    );
}
