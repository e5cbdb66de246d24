//! A wire that can be cut, frozen, or lose the answer to a COMMIT, between the store and its server.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Passes,
    /// Takes connections and bytes, and forwards nothing.
    Frozen,
    /// Lets the next COMMIT through and cuts the connection before the answer; then passes.
    LosesCommit,
}

/// A listener in front of a server. Dropped, its port refuses connections and all connections are cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    wire: Arc<watch::Sender<Wire>>,
    tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(server: &str, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let wire = Arc::new(watch::channel(Wire::Passes).0);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server.to_owned(), Arc::clone(&wire)));
        Self { port, wire, tasks }
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    pub(crate) fn wire(&self) -> Wire {
        *self.wire.borrow()
    }

    /// Refuses new connections and cuts the old ones.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn accept(listener: TcpListener, server: String, wire: Arc<watch::Sender<Wire>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (server, wire) = (server.clone(), Arc::clone(&wire));
        connections.spawn(async move {
            if let Ok(server) = TcpStream::connect(server).await {
                forward(client, server, &wire).await;
            }
        });
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, wire: &watch::Sender<Wire>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut loses_answer = false;
    loop {
        let _ = wire.subscribe().wait_for(|wire| *wire != Wire::Frozen).await;
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let _ = wire.subscribe().wait_for(|wire| *wire != Wire::Frozen).await;
                let commits = asked[..count].windows(6).any(|word| word.eq_ignore_ascii_case(b"commit"));
                if *wire.borrow() == Wire::LosesCommit && commits {
                    loses_answer = true;
                    wire.send_replace(Wire::Passes);
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if loses_answer { return }
                if client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
