//! Connections to PostgreSQL: one per purpose, with the session options that purpose needs, and the words of
//! its errors (`tokio_postgres::Error` says only "db error" by itself).

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::spoken::{self, CancelGuard, Notices};
use super::{Login, PostgresLink};
use crate::domain::sample::Answer;
use crate::ports::probe::ProbeError;
use crate::targets::dial::{self, Trust};
use crate::targets::kept::Ends;
use crate::targets::session::{Driver, Over};
use crate::targets::{Limit, connect_error};

/// How long a clean goodbye may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// What a session is for, and so which of the server's settings it overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Reads only, never waits for a lock, is never ended for idling.
    Monitor,
    /// As [`Self::Monitor`], and cheap for the server: one process per question, times in UTC.
    Inspect,
    /// As the application has it: nothing is overridden, so that its troubles show.
    App,
    /// Works under any setting a fault may have left: no timeouts but a short one for locks, may write.
    Fixer,
    /// A person's own statement that only reads; each transaction brings its time limit.
    Ask,
    /// A person's own statement that may change something.
    Change,
}

impl Session {
    fn options(self) -> Option<&'static str> {
        match self {
            Self::Monitor => Some(
                "-c statement_timeout=5s -c lock_timeout=100ms -c jit=off \
                 -c idle_in_transaction_session_timeout=10s \
                 -c default_transaction_read_only=on -c search_path=pg_catalog",
            ),
            Self::Inspect => Some(
                "-c statement_timeout=5s -c lock_timeout=100ms -c jit=off \
                 -c idle_in_transaction_session_timeout=10s \
                 -c default_transaction_read_only=on -c search_path=pg_catalog \
                 -c max_parallel_workers_per_gather=0 -c timezone=UTC",
            ),
            Self::App => None,
            Self::Fixer => Some(
                "-c statement_timeout=0 -c lock_timeout=2s \
                 -c idle_in_transaction_session_timeout=0 -c synchronous_commit=local \
                 -c default_transaction_read_only=off -c search_path=pg_catalog",
            ),
            Self::Ask => Some(
                "-c default_transaction_read_only=on -c lock_timeout=5s \
                 -c idle_in_transaction_session_timeout=60s",
            ),
            Self::Change => Some(
                "-c default_transaction_read_only=off -c lock_timeout=5s \
                 -c idle_in_transaction_session_timeout=60s",
            ),
        }
    }
}

/// A session. Closed at once when dropped; [`close`](Self::close) says goodbye first.
#[derive(Debug)]
pub struct PgConnection {
    client: Option<Client>,
    driver: Driver,
    notices: Notices,
}

impl Deref for PgConnection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
            .as_ref()
            .expect("only `close` and `drop` take the client, and both end the value")
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        self.driver.cut();
    }
}

impl PgConnection {
    /// Tells the server goodbye and waits, briefly, until the socket is closed.
    pub async fn close(mut self) {
        let over = self.driver.over().wait();
        drop(self.client.take());
        // A server that does not even close is cut off by the drop.
        let _ = tokio::time::timeout(GOODBYE, over).await;
    }

    /// Asks the server to cancel what this session runs, over a connection of its own that needs no slot.
    pub(super) async fn cancel(&self, link: &PostgresLink, trust: &Trust) -> Result<(), Answer> {
        spoken::cancel(self.cancel_token(), link, trust).await
    }

    /// What the server remarked since this was asked last.
    pub fn take_notices(&self) -> Vec<String> {
        self.notices.take()
    }

    /// Has the server cancel what runs when the guard is dropped before it was told that nothing does: also when
    /// whoever waited went away.
    pub fn guard(&self, link: &PostgresLink) -> CancelGuard {
        CancelGuard { armed: Some((self.cancel_token(), link.clone())) }
    }

    /// Waits until the session is closed, by whichever side.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.driver.over().wait()
    }
}

impl Ends for PgConnection {
    fn over(&self) -> Over {
        self.driver.over()
    }
}

impl PostgresLink {
    /// A session of `login` that calls itself `simctl/<purpose>`.
    pub async fn connect(
        &self,
        login: &Login,
        purpose: &str,
        session: Session,
    ) -> Result<PgConnection, ProbeError> {
        self.open(login, purpose, session, &Trust::default(), Limit::of(self.deadline))
            .await
            .map_err(|answer| connect_error(&self.name, answer))
    }

    /// Asks the server to cancel what a session of ours runs.
    pub(crate) async fn cancel(&self, connection: &PgConnection) -> Result<(), Answer> {
        Limit::of(self.deadline).run(Box::pin(connection.cancel(self, &Trust::default()))).await
    }

    pub(super) async fn open(
        &self,
        login: &Login,
        purpose: &str,
        session: Session,
        trust: &Trust,
        limit: Limit,
    ) -> Result<PgConnection, Answer> {
        let mut config = Config::new();
        config
            .user(&login.user)
            .dbname(&login.database)
            .application_name(format!("simctl/{purpose}"))
            .ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &login.password {
            config.password(password.reveal());
        }
        if let Some(options) = session.options() {
            config.options(options);
        }
        // Boxed: a TLS handshake is a large future, and this one is inside many.
        limit.run(Box::pin(self.establish(&config, session, trust))).await
    }

    async fn establish(
        &self,
        config: &Config,
        session: Session,
        trust: &Trust,
    ) -> Result<PgConnection, Answer> {
        let stream = dial::tcp(&self.host, self.port).await?;
        let connection = match &self.tls {
            None => log_in(config, stream, NoTls).await?,
            Some(tls) => {
                let mut connector: MakeRustlsConnect = trust.connector(tls)?;
                let Ok(tls) =
                    MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, &self.host);
                log_in(config, stream, tls).await.inspect_err(|_| trust.forget())?
            }
        };
        if session != Session::App {
            outlive_idling(&connection).await?;
        }
        Ok(connection)
    }
}

async fn log_in<T>(config: &Config, stream: TcpStream, tls: T) -> Result<PgConnection, Answer>
where
    T: TlsConnect<TcpStream>,
    T::Stream: Send + 'static,
{
    let (client, connection) =
        config.connect_raw(stream, tls).await.map_err(|error| answer_of(&error))?;
    let notices = Notices::default();
    let driver = Driver::spawn(drive(connection, notices.clone()));
    Ok(PgConnection { client: Some(client), driver, notices })
}

/// Moves the bytes of a session until it ends, and notes what the server remarks.
async fn drive<S, T>(mut connection: Connection<S, T>, notices: Notices)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(said))) => notices.add(said.severity(), said.message()),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %answer_of(&error).describe(), "a PostgreSQL session ended");
                return;
            }
            None => return,
        }
    }
}

/// The setting exists since PostgreSQL 14; naming it among the session options would fail before.
async fn outlive_idling(connection: &PgConnection) -> Result<(), Answer> {
    let sql = "SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings \
               WHERE name = 'idle_session_timeout'";
    connection.batch_execute(sql).await.map_err(|error| answer_of(&error))
}

/// What a client feels when PostgreSQL or the way to it fails.
pub fn answer_of(error: &tokio_postgres::Error) -> Answer {
    if let Some(said) = error.as_db_error() {
        let code = said.code().code().to_owned();
        let text = format!("{}: {}", said.severity(), said.message());
        return match code.as_str() {
            "57P03" => Answer::Starting { text },
            // Sent to a session that is being ended: nothing is there any more.
            "57P01" | "57P02" => Answer::Gone { text },
            _ => Answer::Error { code, text },
        };
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return dial::io_answer(io);
        }
        cause = inner.source();
    }
    if error.is_closed() {
        return Answer::Gone { text: error.to_string() };
    }
    let text = in_full(error);
    dial::failed(if text.contains("TLS") { dial::TLS } else { "CLIENT" }, text)
}

fn in_full(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
