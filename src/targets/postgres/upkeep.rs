//! What is looked at only for some symptoms: WAL that nobody takes, indexes that serve no query, what makes transactions
//! fail.

use serde::de::DeserializeOwned;
use tokio_postgres::types::Json;

use super::connect::{PgConnection, Session, answer_of};
use super::{PostgresLink, sql};
use crate::diagnose::facts::{PgInvalidIndex, PgLocks, PgSequence, PgWal};
use crate::diagnose::source;
use crate::domain::sample::Answer;
use crate::domain::words::bytes;
use crate::targets::Limit;
use crate::targets::dial::Trust;
use crate::targets::notebook::Notebook;

impl PostgresLink {
    pub(super) async fn wal(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<PgWal> {
        notebook.ask(source::PG_WAL, self.deadline, one(session, sql::WAL), wal_words).await
    }

    pub(super) async fn invalid_indexes(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<PgInvalidIndex>> {
        let asked = one::<Vec<PgInvalidIndex>>(session, sql::INVALID);
        notebook.ask(source::PG_INDEXES, self.deadline, asked, |all| index_words(all)).await
    }

    pub(super) async fn deadlocks(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<(String, u64)>> {
        let asked = one::<Vec<(String, u64)>>(session, sql::DEADLOCKS);
        notebook.ask(source::PG_DEADLOCKS, self.deadline, asked, |all| deadlock_words(all)).await
    }

    /// Asked as the application: who may use a sequence may see where it is.
    pub(super) async fn ended_sequences(
        &self,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<PgSequence>> {
        let (limit, trust) = (Limit::of(self.deadline), Trust::default());
        let asked = async {
            let session = self.open(&self.app, "facts", Session::App, &trust, limit).await?;
            let ended = one::<Vec<PgSequence>>(&session, sql::ENDED).await;
            session.close().await;
            ended
        };
        notebook.ask(source::PG_SEQUENCES, self.deadline, asked, |all| sequence_words(all)).await
    }

    pub(super) async fn promised_locks(
        &self,
        session: &PgConnection,
        notebook: &mut Notebook<'_>,
    ) -> Option<PgLocks> {
        let asked = async {
            let mut locks = one::<PgLocks>(session, sql::LOCKS).await?;
            let tried = session.query_one(sql::PROMISED, &[]).await;
            locks.are_given = match tried.map_err(|error| answer_of(&error)) {
                Ok(_) => Some(true),
                Err(refused) if refused.code() == Some(NO_ROOM) => Some(false),
                Err(_) => None,
            };
            Ok(locks)
        };
        notebook.ask(source::PG_LOCKS, self.deadline, asked, lock_words).await
    }
}

/// The SQLSTATE of a transaction that finds no room in the shared table of locks.
const NO_ROOM: &str = "53200";

async fn one<T: DeserializeOwned>(session: &PgConnection, question: &str) -> Result<T, Answer> {
    let row = session.query_one(question, &[]).await.map_err(|error| answer_of(&error))?;
    let Json(value) = row.try_get(0).map_err(|error| answer_of(&error))?;
    Ok(value)
}

fn wal_words(wal: &PgWal) -> String {
    let ago = |age: Option<f64>| age.map_or("never".to_owned(), |age| format!("{age:.0} s ago"));
    let archive = if wal.archives {
        format!("archived {}, failed {}", ago(wal.archived_s), ago(wal.failed_s))
    } else {
        "archives nothing".to_owned()
    };
    let slots: Vec<String> = wal
        .slots
        .iter()
        .take(4)
        .map(|slot| {
            let read = if slot.active { "is read" } else { "is read by nobody" };
            format!("slot {} keeps {} and {read}", slot.name, bytes(slot.retained))
        })
        .collect();
    let slots = if slots.is_empty() { "no slot keeps WAL".to_owned() } else { slots.join("; ") };
    format!("{archive}; {slots}")
}

fn index_words(indexes: &[PgInvalidIndex]) -> String {
    let words: Vec<String> = indexes
        .iter()
        .take(4)
        .map(|index| {
            let work = if index.is_worked_on { ", somebody is at work on it" } else { "" };
            format!("{}.{} on {}{work}", index.schema, index.name, index.table)
        })
        .collect();
    if words.is_empty() { "every index is valid".to_owned() } else { words.join("; ") }
}

fn deadlock_words(databases: &[(String, u64)]) -> String {
    let words: Vec<String> =
        databases.iter().take(4).map(|(name, count)| format!("{count} in {name}")).collect();
    if words.is_empty() { "no deadlock was ever broken".into() } else { words.join("; ") }
}

fn sequence_words(ended: &[PgSequence]) -> String {
    let words: Vec<String> = ended
        .iter()
        .take(4)
        .map(|ended| format!("{}.{} is at its end, {}", ended.schema, ended.name, ended.end))
        .collect();
    if words.is_empty() { "no sequence is at its end".into() } else { words.join("; ") }
}

fn lock_words(locks: &PgLocks) -> String {
    let holders: Vec<String> =
        locks.holders.iter().map(|(pid, count)| format!("{count} by pid {pid}")).collect();
    let given = match locks.are_given {
        Some(true) => "a transaction gets what it is promised",
        Some(false) => "a transaction does not get what it is promised",
        None => "whether a transaction gets what it is promised is not known",
    };
    format!("{} locks are taken, {}; {given} ({})", locks.taken, holders.join(", "), locks.promised)
}
