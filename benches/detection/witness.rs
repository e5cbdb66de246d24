//! Clients that know the very moment at which a server stopped answering.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use simctl::engine::clock::now;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::NoTls;

use crate::lab::Lab;

/// Long enough that no healthy answer is taken for silence.
const SILENCE: Duration = Duration::from_millis(400);

/// Asks Redis all the time until it does not answer; when it answered for the last time.
pub(crate) async fn last_answer_of_redis(lab: &Lab) -> anyhow::Result<DateTime<Utc>> {
    let mut socket = TcpStream::connect(("127.0.0.1", lab.first_port)).await?;
    socket.set_nodelay(true)?;
    let mut last = now();
    loop {
        let mut reply = [0; 7];
        let ask = async {
            socket.write_all(b"PING\r\n").await?;
            socket.read_exact(&mut reply).await
        };
        match timeout(SILENCE, ask).await {
            Ok(Ok(_)) => last = now(),
            Ok(Err(_)) | Err(_) => return Ok(last),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Holds a session until PostgreSQL cuts it; when that was.
pub(crate) async fn end_of_postgres(lab: &Lab) -> anyhow::Result<DateTime<Utc>> {
    let (client, connection) = tokio_postgres::connect(&lab.app_url(), NoTls)
        .await
        .context("connect the witness to PostgreSQL")?;
    // Ends with an error, which is what was waited for.
    let _ = connection.await;
    let end = now();
    drop(client);
    Ok(end)
}
