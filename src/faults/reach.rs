//! Connections of the faults themselves.
//!
//! What breaks a server must look like any client: its sessions carry ordinary names. What looks and undoes is
//! named as ours, so that it counts neither as load nor as a leak. Lab servers have no TLS.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::FaultError;
use crate::config::secret::Secret;
use crate::domain::sample::Answer;
use crate::engine::tasks::Tasks;
use crate::targets::postgres::{Login, PostgresLink};
use crate::targets::redis::RedisLink;
use crate::targets::{Link, Server, felt};

/// The name of the sessions that only look or undo.
pub(super) const OURS: &str = "simctl/lab";

/// A command to a server that is being filled may take longer than a probe may.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the server's Redis under the given client name.
pub(super) async fn redis(
    server: &Server,
    name: &str,
) -> Result<MultiplexedConnection, FaultError> {
    redis_over(redis_link(server)?, name).await
}

/// The same as another user, for a fault that locks the usual one out.
pub(super) async fn redis_as(
    server: &Server,
    user: Option<&str>,
    password: &str,
) -> Result<MultiplexedConnection, FaultError> {
    let (user, password) = (user.map(str::to_owned), Some(Secret::new(password)));
    redis_over(&RedisLink { user, password, ..redis_link(server)?.clone() }, OURS).await
}

/// One command; its words also name it in errors.
pub(super) async fn ask<T: FromRedisValue>(
    con: &mut MultiplexedConnection,
    words: &[&str],
) -> Result<T, FaultError> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    let shown = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
    command.query_async(con).await.map_err(|e| FaultError::failed(format!("ask {shown}"), e))
}

/// What a new client is told that is not let in; `None` when it is.
pub(super) async fn turned_away(server: &Server) -> Result<Option<Answer>, FaultError> {
    let told = redis_link(server)?.connect("lab").await.err();
    Ok(told.map(|error| felt(&error)))
}

/// The server's words to a new client that it does not let in for lack of a login.
pub(super) async fn locked_out(server: &Server) -> Result<String, FaultError> {
    match turned_away(server).await? {
        Some(told) if matches!(told.code(), Some("NOAUTH" | "WRONGPASS")) => Ok(told.describe()),
        Some(told) => Err(FaultError::Precondition(told.describe())),
        None => Err(FaultError::Precondition("a new client is still let in".into())),
    }
}

async fn redis_over(link: &RedisLink, name: &str) -> Result<MultiplexedConnection, FaultError> {
    let doing = || format!("connect to {} at {}:{}", link.name, link.host, link.port);
    let client = redis_client(link).map_err(|e| FaultError::failed(doing(), e))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(link.deadline))
        .set_response_timeout(Some(PATIENCE));
    let mut connection = within(link.deadline * 2, doing(), async {
        client.get_multiplexed_async_connection_with_config(&config).await
    })
    .await?;
    let named: redis::RedisResult<()> =
        redis::cmd("CLIENT").arg("SETNAME").arg(name).query_async(&mut connection).await;
    match named {
        Ok(()) => Ok(connection),
        // A server that runs a script takes no name, but the order to end the script.
        Err(error) if error.code() == Some("BUSY") => Ok(connection),
        Err(error) => Err(FaultError::failed(doing(), error)),
    }
}

fn redis_client(link: &RedisLink) -> redis::RedisResult<redis::Client> {
    let mut login = RedisConnectionInfo::default().set_db(link.database);
    if let Some(user) = &link.user {
        login = login.set_username(user);
    }
    if let Some(password) = &link.password {
        login = login.set_password(password.reveal());
    }
    let info = ConnectionAddr::Tcp(link.host.clone(), link.port).into_connection_info()?;
    redis::Client::open(info.set_redis_settings(login))
}

/// A session of a PostgreSQL server. Dropping it closes the session.
pub(super) struct Session {
    pub(super) client: Client,
    _driver: Tasks,
}

/// Why there is no session.
pub(super) enum Closed {
    /// No slot is free: SQLSTATE 53300 and the server's words.
    Full(String),
    Otherwise(FaultError),
}

impl From<Closed> for FaultError {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Full(text) => {
                Self::Precondition(format!("the server has no free connection slot: {text}"))
            }
            Closed::Otherwise(error) => error,
        }
    }
}

/// A session under the given application name.
pub(super) async fn postgres(
    link: &PostgresLink,
    login: &Login,
    name: &str,
) -> Result<Session, Closed> {
    open(link, login, name, "").await
}

async fn open(
    link: &PostgresLink,
    login: &Login,
    name: &str,
    options: &str,
) -> Result<Session, Closed> {
    let doing =
        format!("connect to {} at {}:{} as {}", link.name, link.host, link.port, login.user);
    let mut config = Config::new();
    config
        .host(&link.host)
        .port(link.port)
        .user(&login.user)
        .dbname(&login.database)
        .application_name(name)
        .options(options)
        .ssl_mode(SslMode::Disable);
    if let Some(password) = &login.password {
        config.password(password.reveal());
    }
    match timeout(link.deadline, config.connect(NoTls)).await {
        Err(elapsed) => Err(Closed::Otherwise(FaultError::failed(doing, elapsed))),
        Ok(Err(error)) => Err(closed(doing, error)),
        Ok(Ok((client, connection))) => {
            let mut driver = Tasks::default();
            driver.spawn("faults: session", async {
                if let Err(error) = connection.await {
                    tracing::debug!(error = %sql_words(&error), "a session of a fault ended");
                }
            });
            Ok(Session { client, _driver: driver })
        }
    }
}

fn closed(doing: String, error: tokio_postgres::Error) -> Closed {
    match error.as_db_error() {
        Some(db) if *db.code() == SqlState::TOO_MANY_CONNECTIONS => {
            Closed::Full(format!("{}: {}", db.code().code(), db.message()))
        }
        _ => Closed::Otherwise(sql_failed(doing, error)),
    }
}

/// What lets a session work whatever a fault did to the server's settings: no timeouts, may write, and its commits
/// wait for nobody.
const WHATEVER: &str = "-c statement_timeout=0 -c lock_timeout=2s -c default_transaction_read_only=off \
                        -c synchronous_commit=local";

/// A superuser's session, which still gets in when ordinary roles do not.
pub(super) async fn superuser(server: &Server) -> Result<Session, FaultError> {
    let link = postgres_link(server)?;
    superuser_in(server, &fixer(link)?.database).await
}

/// The same in another database.
pub(super) async fn superuser_in(server: &Server, database: &str) -> Result<Session, FaultError> {
    let link = postgres_link(server)?;
    let login = Login { database: database.to_owned(), ..fixer(link)?.clone() };
    Ok(open(link, &login, OURS, WHATEVER).await?)
}

fn fixer(link: &PostgresLink) -> Result<&Login, FaultError> {
    link.fixer.as_ref().ok_or_else(|| {
        FaultError::Precondition(format!("{} has no superuser login to look with", link.name))
    })
}

/// A superuser's session in the application's database.
pub(super) async fn superuser_inside(server: &Server) -> Result<Session, FaultError> {
    let link = postgres_link(server)?;
    let login = link.fixer.as_ref().ok_or_else(|| {
        FaultError::Precondition(format!("{} has no superuser login to look with", link.name))
    })?;
    let login = Login { database: link.app.database.clone(), ..login.clone() };
    Ok(postgres(link, &login, OURS).await?)
}

/// Waits for `work` at most this long.
pub(super) async fn within<T, E: Into<anyhow::Error>>(
    limit: Duration,
    doing: String,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, FaultError> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(FaultError::failed(doing, error)),
        Err(elapsed) => Err(FaultError::failed(doing, elapsed)),
    }
}

/// A failed statement; `tokio_postgres` alone would only say "db error".
pub(super) fn sql_failed(doing: impl Into<String>, error: tokio_postgres::Error) -> FaultError {
    let words = sql_words(&error);
    FaultError::failed(doing, anyhow::Error::new(error).context(words))
}

fn sql_words(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{}: {}", db.code().code(), db.message()))
}

/// The address of a Redis target.
pub(super) fn redis_link(server: &Server) -> Result<&RedisLink, FaultError> {
    match &server.link {
        Link::Redis(link) => Ok(link),
        Link::Postgres(_) => Err(wrong_kind(server, "Redis")),
    }
}

/// Who a fault connects as, for its preview; in general words where the server is not at hand.
pub(super) fn who(server: Option<&Server>) -> String {
    let link = server.and_then(|server| postgres_link(server).ok());
    link.map_or_else(
        || "the application's role".into(),
        |link| format!("{} at {}:{}", link.app.user, link.host, link.port),
    )
}

/// The addresses of a PostgreSQL target.
pub(super) fn postgres_link(server: &Server) -> Result<&PostgresLink, FaultError> {
    match &server.link {
        Link::Postgres(link) => Ok(link),
        Link::Redis(_) => Err(wrong_kind(server, "PostgreSQL")),
    }
}

fn wrong_kind(server: &Server, wanted: &str) -> FaultError {
    FaultError::Precondition(format!("{} is no {wanted} server", server.target.id))
}
