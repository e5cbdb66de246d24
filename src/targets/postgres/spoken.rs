//! What goes on beside the answers of a session: the server's notices, and the wish that it stops.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresLink;
use super::connect::answer_of;
use crate::domain::sample::Answer;
use crate::targets::Limit;
use crate::targets::dial::{self, Trust};

/// A statement that remarks on every row must not fill the memory.
const MOST: usize = 100;

/// The server's remarks, in order, until somebody takes them.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    lines: Vec<String>,
    more: usize,
}

impl Notices {
    pub(super) fn add(&self, severity: &str, message: &str) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.lines.len() < MOST {
            heard.lines.push(format!("{severity}: {message}"));
        } else {
            heard.more += 1;
        }
    }

    pub(super) fn take(&self) -> Vec<String> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = std::mem::take(&mut heard.lines);
        let more = std::mem::take(&mut heard.more);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

/// Asks the server to cancel what a session runs, over a connection of its own that needs no slot.
pub(super) async fn cancel(
    token: CancelToken,
    link: &PostgresLink,
    trust: &Trust,
) -> Result<(), Answer> {
    let stream = dial::tcp(&link.host, link.port).await?;
    let cancelled = match &link.tls {
        None => token.cancel_query_raw(stream, NoTls).await,
        Some(tls) => {
            let mut connector: MakeRustlsConnect = trust.connector(tls)?;
            let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut connector, &link.host);
            token.cancel_query_raw(stream, tls).await
        }
    };
    cancelled.map_err(|error| answer_of(&error))
}

/// Cancels on the server what still runs when this is dropped.
pub struct CancelGuard {
    pub(super) armed: Option<(CancelToken, PostgresLink)>,
}

impl CancelGuard {
    /// Nothing runs any more.
    pub fn done(mut self) {
        self.armed = None;
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let Some((token, link)) = self.armed.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let trust = Trust::default();
            let asked = Box::pin(cancel(token, &link, &trust));
            if let Err(answer) = Limit::of(link.deadline).run(asked).await {
                tracing::warn!(answer = %answer.describe(), "a statement was not cancelled");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_talkative_statement_is_cut_and_said_to_be() {
        let notices = Notices::default();
        for n in 0..=MOST {
            notices.add("NOTICE", &n.to_string());
        }
        let lines = notices.take();
        assert_eq!((lines.len(), lines[0].as_str()), (MOST + 1, "NOTICE: 0"));
        assert_eq!(lines[MOST], "and 1 more");
        assert!(notices.take().is_empty());
    }
}
