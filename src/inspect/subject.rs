//! What a row of a report is about, and which actions there are for such a thing: an offer, never an order.

use serde_json::{Value, json};

use super::report::Offer;

/// What can be acted on.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    Session(Session),
    Prepared {
        gid: String,
        prepared: Option<String>,
    },
    Table {
        schema: String,
        table: String,
    },
    Index {
        schema: String,
        index: String,
        state: IndexState,
    },
    /// Columns that refer to another table, without an index.
    ForeignKey {
        schema: String,
        table: String,
        columns: Vec<String>,
    },
    /// A client of a Redis.
    Client {
        id: u64,
    },
    Key {
        key: String,
        kind: String,
    },
}

/// A session, by what names it for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pub pid: i32,
    pub backend_start: Option<String>,
    /// Of the query that runs now.
    pub query_start: Option<String>,
    pub in_transaction: bool,
    /// Others wait for it, and it waits for nobody.
    pub blocks: bool,
}

/// How an index stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    Used,
    /// Nobody scans it, or another one serves in its place.
    Superfluous,
    Invalid,
}

impl Subject {
    /// The actions with the arguments they would take, the mildest first. Whether one fits right now, its preview
    /// tells.
    pub fn offers(&self) -> Vec<Offer> {
        let of = |action, args: Value| Offer { action, args };
        match self {
            Self::Session(session) => session.offers(),
            Self::Prepared { gid, prepared: Some(prepared) } => {
                let args = json!({ "gid": gid, "prepared": prepared, "end": "rollback" });
                vec![of("end_prepared", args)]
            }
            Self::Prepared { prepared: None, .. } => Vec::new(),
            Self::Table { schema, table } => ["vacuum_table", "analyze_table"]
                .map(|action| of(action, json!({ "schema": schema, "table": table })))
                .into(),
            Self::Index { schema, index, state } => {
                let actions: &[&'static str] = match state {
                    IndexState::Used => &["reindex_index"],
                    IndexState::Superfluous => &["drop_index", "reindex_index"],
                    IndexState::Invalid => &["drop_invalid_index", "reindex_index"],
                };
                let args = || json!({ "schema": schema, "index": index });
                actions.iter().map(|action| of(action, args())).collect()
            }
            Self::ForeignKey { schema, table, columns } => {
                let args = json!({ "schema": schema, "table": table, "columns": columns });
                vec![of("create_index", args)]
            }
            Self::Client { id } => vec![of("kill_redis_clients", json!({ "ids": [id] }))],
            Self::Key { key, kind } => {
                vec![of("unlink_big_key", json!({ "key": key, "type": kind }))]
            }
        }
    }
}

impl Session {
    fn offers(&self) -> Vec<Offer> {
        let Some(backend_start) = &self.backend_start else { return Vec::new() };
        let session = json!({ "pid": self.pid, "backend_start": backend_start });
        let mut offers = Vec::new();
        if let Some(query_start) = &self.query_start {
            let query = json!({
                "pid": self.pid, "backend_start": backend_start, "query_start": query_start,
            });
            offers.push(Offer { action: "cancel_query", args: json!({ "queries": [query] }) });
        }
        if self.in_transaction {
            let args = json!({ "sessions": [session] });
            offers.push(Offer { action: "kill_idle_transactions", args });
        }
        if self.blocks {
            offers.push(Offer { action: "kill_blocker", args: json!({ "session": session }) });
        }
        offers.push(Offer { action: "terminate_query", args: json!({ "session": session }) });
        offers
    }
}

/// Whether a session rests in a transaction.
pub(super) fn rests(state: Option<&str>) -> bool {
    state.is_some_and(|state| state.starts_with("idle in transaction"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions;
    use crate::domain::proposal::Args;
    use crate::domain::target::Engine;

    #[test]
    fn every_offer_is_an_action_that_takes_these_arguments() {
        let start = || Some("2026-01-31T14:00:00+00:00".to_owned());
        let session = Session {
            pid: 7,
            backend_start: start(),
            query_start: start(),
            in_transaction: true,
            blocks: true,
        };
        let index = |state| Subject::Index { schema: "s".into(), index: "I \"x\"".into(), state };
        let name = String::from;
        for (engine, subject, expected) in [
            (Engine::Postgres, Subject::Session(session), 4),
            (Engine::Postgres, Subject::Prepared { gid: name("g"), prepared: start() }, 1),
            (Engine::Postgres, Subject::Table { schema: name("s"), table: name("T") }, 2),
            (Engine::Postgres, index(IndexState::Used), 1),
            (Engine::Postgres, index(IndexState::Superfluous), 2),
            (Engine::Postgres, index(IndexState::Invalid), 2),
            (
                Engine::Postgres,
                Subject::ForeignKey {
                    schema: name("s"),
                    table: name("t"),
                    columns: vec![name("a")],
                },
                1,
            ),
            (Engine::Redis, Subject::Client { id: 7 }, 1),
            (Engine::Redis, Subject::Key { key: name("k"), kind: name("hash") }, 1),
        ] {
            let offers = subject.offers();
            assert_eq!(offers.len(), expected, "{subject:?}");
            for offer in offers {
                let args: Args = serde_json::from_value(offer.args).unwrap();
                let found = actions::fitting(offer.action, engine, &args);
                assert!(found.is_ok(), "{subject:?}: {:?}", found.err().map(|e| e.to_string()));
            }
        }
    }

    #[test]
    fn a_session_that_cannot_be_named_for_good_is_left_alone() {
        assert!(Subject::Session(Session { pid: 7, ..Session::default() }).offers().is_empty());
    }
}
