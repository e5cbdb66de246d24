//! What a database error means for the caller: try again, connect again, wait for the store, or give up.

use std::time::Duration;

use anyhow::anyhow;

use crate::ports::store::StoreError;

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Another transaction was in the way; the same one may pass now.
    Repeat,
    /// The connection is no more; what it did last is unknown.
    Reconnect,
    /// The server is there and cannot serve now.
    Wait,
    /// Trying again changes nothing.
    None,
}

/// Why a piece of work did not get through.
#[derive(Debug)]
pub(super) enum Trouble {
    Sql(sqlx::Error),
    /// Said by us, final.
    Refused(StoreError),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl Trouble {
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Self::Sql(error) => remedy(error),
            Self::Refused(_) => Remedy::None,
        }
    }

    /// The error for the caller. `verb` follows "failed to".
    pub(super) fn into_error(self, verb: &'static str, url: &str) -> StoreError {
        match self {
            Self::Sql(error) => store_error(error, verb, url),
            Self::Refused(error) => error,
        }
    }
}

/// What can be done about `error`.
pub(super) fn remedy(error: &sqlx::Error) -> Remedy {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => Remedy::Reconnect,
        sqlx::Error::Database(error) => {
            error.code().map_or(Remedy::None, |code| remedy_of_code(&code))
        }
        _ => Remedy::None,
    }
}

/// SQLSTATEs have five characters; SQLite's codes are numbers whose low byte says the class.
fn remedy_of_code(code: &str) -> Remedy {
    if code.len() == 5 {
        return match code {
            "40001" | "40P01" => Remedy::Repeat,
            // Timed out, and read-only because it is a standby now.
            "57014" | "55P03" | "25006" => Remedy::Wait,
            _ if code.starts_with("08") || code.starts_with("57P") => Remedy::Reconnect,
            // No room, no memory, no disk; trouble of the machine.
            _ if code.starts_with("53") || code.starts_with("58") => Remedy::Wait,
            _ => Remedy::None,
        };
    }
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const DISK_ERROR: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(BUSY | LOCKED | READ_ONLY | DISK_ERROR | FULL | CANNOT_OPEN) => Remedy::Wait,
        _ => Remedy::None,
    }
}

/// The error for the caller. `verb` follows "failed to".
pub(super) fn store_error(error: sqlx::Error, verb: &'static str, url: &str) -> StoreError {
    match remedy(&error) {
        Remedy::Reconnect | Remedy::Wait => {
            StoreError::Unreachable { url: url.to_owned(), source: plain(error) }
        }
        Remedy::Repeat | Remedy::None => StoreError::Failed { verb, source: plain(error) },
    }
}

/// The server's or the system's own words, without the driver's preamble.
fn plain(error: sqlx::Error) -> anyhow::Error {
    match error {
        sqlx::Error::Io(error) => error.into(),
        sqlx::Error::Database(error) => {
            let code = error.code().map(|code| format!(" ({code})")).unwrap_or_default();
            anyhow!("{}{code}", error.message())
        }
        sqlx::Error::PoolTimedOut => anyhow!("no connection became free in time"),
        other => other.into(),
    }
}

/// The error of work that did not end in time.
pub(super) fn too_late(url: &str, bound: Duration) -> StoreError {
    StoreError::Unreachable {
        url: url.to_owned(),
        source: anyhow!("no answer within {} ms", bound.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_the_remedy_that_can_help() {
        for (code, expected) in [
            ("40001", Remedy::Repeat),
            ("40P01", Remedy::Repeat),
            ("57P01", Remedy::Reconnect),
            ("57P03", Remedy::Reconnect),
            ("08006", Remedy::Reconnect),
            ("53300", Remedy::Wait),
            ("53100", Remedy::Wait),
            ("57014", Remedy::Wait),
            ("25006", Remedy::Wait),
            ("23505", Remedy::None),
            ("28P01", Remedy::None),
            ("5", Remedy::Wait),
            ("517", Remedy::Wait),
            ("13", Remedy::Wait),
            ("2067", Remedy::None),
            ("11", Remedy::None),
        ] {
            assert_eq!(remedy_of_code(code), expected, "{code}");
        }
    }

    #[test]
    fn only_what_waiting_can_mend_counts_as_an_outage() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(store_error(refused.into(), "append events", "sqlite:x").is_outage());
        assert!(!store_error(sqlx::Error::RowNotFound, "append events", "sqlite:x").is_outage());
    }
}
