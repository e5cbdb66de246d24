//! Waits until a server of the lab answers over its published port, as its clients will ask it.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::spec::{self, Part};
use crate::config::secret::Secret;
use crate::targets::postgres::Login;

/// A first start initialises a database; on a busy machine that takes a while.
const PATIENCE: Duration = Duration::from_secs(90);
const ANSWER: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// Asks again and again until it answers. `ended` says why it never will.
pub(super) async fn wait<E>(
    part: Part,
    port: u16,
    mut ended: impl FnMut() -> E,
) -> anyhow::Result<()>
where
    E: Future<Output = Option<String>>,
{
    let began = Instant::now();
    loop {
        let asked = timeout(ANSWER, ask(part, port)).await;
        let error = match asked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer within {ANSWER:?}"),
        };
        if let Some(why) = ended().await {
            return Err(anyhow!("the lab's {} ended instead of answering: {why}", part.as_str()));
        }
        if began.elapsed() > PATIENCE {
            return Err(error.context(format!(
                "the lab's {} does not answer on 127.0.0.1:{port} after {PATIENCE:?}",
                part.as_str()
            )));
        }
        sleep(PAUSE).await;
    }
}

/// One question over a new connection.
pub(super) async fn ask(part: Part, port: u16) -> anyhow::Result<()> {
    match part {
        Part::Redis => ask_redis(port).await,
        Part::Postgres => ask_postgres(port, &app()).await.map(drop),
        Part::Store => ask_postgres(port, &store()).await.map(drop),
        Part::Keeper => Ok(()),
    }
}

async fn ask_redis(port: u16) -> anyhow::Result<()> {
    let client = redis::Client::open(("127.0.0.1", port))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let () = redis::cmd("PING").query_async(&mut connection).await?;
    Ok(())
}

async fn ask_postgres(port: u16, login: &Login) -> anyhow::Result<()> {
    query(port, login, "SELECT 1").await.map(drop)
}

/// The rows of one query as text, over a connection made for it.
pub(super) async fn query(
    port: u16,
    login: &Login,
    sql: &str,
) -> anyhow::Result<Vec<Vec<Option<String>>>> {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user(&login.user)
        .dbname(&login.database)
        .application_name("simctl/lab")
        .connect_timeout(ANSWER);
    if let Some(password) = &login.password {
        config.password(password.reveal());
    }
    let (client, connection) = config.connect(NoTls).await.map_err(in_words)?;
    // No task of its own: the connection is driven for as long as the question takes.
    tokio::select! {
        rows = rows(&client, sql) => rows,
        ended = connection => Err(match ended {
            Ok(()) => anyhow!("the server closed the connection"),
            Err(error) => in_words(error),
        }),
    }
}

async fn rows(client: &Client, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
    let messages = client.simple_query(sql).await.map_err(in_words)?;
    let rows = messages.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

/// The server's own words, which the error's `Display` leaves out.
fn in_words(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(db) => anyhow!("{}: {}", db.code().code(), db.message()),
        None => anyhow::Error::new(error),
    }
}

/// The role of applications.
pub(super) fn app() -> Login {
    login("app", spec::APP_PASSWORD, "app")
}

/// The role of held probes.
pub(super) fn monitor() -> Login {
    login("monitor", spec::MONITOR_PASSWORD, "app")
}

/// The role of fixes.
pub(super) fn superuser() -> Login {
    login("postgres", spec::SUPERUSER_PASSWORD, "app")
}

fn store() -> Login {
    login("simctl", spec::STORE_PASSWORD, "simctl")
}

fn login(user: &str, password: &str, database: &str) -> Login {
    Login {
        user: user.to_owned(),
        password: Some(Secret::new(password)),
        database: database.to_owned(),
    }
}
