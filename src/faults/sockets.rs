//! Bare connections to Redis for clients that misbehave: no library would leave an answer unread.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::{FaultError, reach};
use crate::targets::Server;

/// So that what is not read stays with the server, not in our own kernel.
const RECEIVE_BYTES: u32 = 8_192;

/// A connection that is logged in and named, and speaks only when told to.
pub(super) struct Socket(TcpStream);

impl Socket {
    pub(super) async fn open(server: &Server, name: &str) -> Result<Self, FaultError> {
        let link = reach::redis_link(server)?;
        let doing = || format!("connect to {} at {}:{}", link.name, link.host, link.port);
        let mut greeting = Pipeline::new();
        if let Some(password) = &link.password {
            greeting.cmd("AUTH").arg(link.user.as_deref()).arg(password.reveal());
        }
        if link.database != 0 {
            greeting.cmd("SELECT").arg(link.database);
        }
        greeting.cmd("CLIENT").arg("SETNAME").arg(name);
        let connected = reach::within(link.deadline, doing(), async {
            let mut stream = dial(&link.host, link.port).await?;
            stream.write_all(&greeting.get_packed_pipeline()).await?;
            for _ in 0..greeting.len() {
                simple_reply(&mut stream).await?;
            }
            Ok::<_, std::io::Error>(stream)
        });
        Ok(Self(connected.await?))
    }

    /// Sends a command and leaves the answer where it is.
    pub(super) async fn send(&mut self, command: &Cmd) -> Result<(), FaultError> {
        self.send_bytes(&command.get_packed_command()).await
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), FaultError> {
        let sent = self.0.write_all(bytes).await;
        sent.map_err(|e| FaultError::failed("send to Redis", e))
    }
}

async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the name has no address");
    for address in lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads `+OK`, or fails with the server's words.
async fn simple_reply(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") && line.len() < 512 {
        line.push(stream.read_u8().await?);
    }
    if line.starts_with(b"+") {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(&line).trim().to_owned()))
}

/// How many clients carry this name.
pub(super) async fn named(
    con: &mut MultiplexedConnection,
    name: &str,
) -> Result<Vec<u64>, FaultError> {
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed("list clients", e))?;
    let named = format!("name={name}");
    let ours = list.lines().filter(|line| line.split(' ').any(|field| field == named));
    let id = |line: &str| line.split(' ').find_map(|f| f.strip_prefix("id=")?.parse().ok());
    Ok(ours.filter_map(id).collect())
}

/// Reverting: the sockets are gone with the injector; ends what the server has not noticed yet.
pub(super) async fn end(con: &mut MultiplexedConnection, name: &str) -> Result<(), FaultError> {
    for id in named(con, name).await? {
        let () = redis::cmd("CLIENT")
            .arg("KILL")
            .arg("ID")
            .arg(id)
            .query_async(con)
            .await
            .map_err(|e| FaultError::failed("end the connections of the fault", e))?;
    }
    Ok(())
}
