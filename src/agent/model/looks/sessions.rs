//! Who is connected to a PostgreSQL, and what each does.

use serde_json::json;

use super::{Kind, Look, LookArg, first};
use crate::diagnose::facts::PgSession;
use crate::domain::target::Engine;

pub(super) const SESSIONS: Look = Look {
    name: "sessions",
    about: "The sessions of the PostgreSQL server other than simctl's own: pid, start, role, application, state \
            and for how long, age of its transaction, what it waits for, who blocks it.",
    engine: Some(Engine::Postgres),
    args: &[
        LookArg { name: "state", kind: Kind::Text, about: "only those in this state, as `idle`" },
        LookArg {
            name: "application",
            kind: Kind::Text,
            about: "only those of this application name",
        },
        LookArg {
            name: "most",
            kind: Kind::Count,
            about: "at most so many, the longest unchanged first",
        },
    ],
    see: |scene, given| {
        let postgres =
            scene.facts.postgres.as_ref().ok_or("the server could not be asked from inside")?;
        let fits = |session: &&PgSession| {
            given.text("state").is_none_or(|state| session.state == state)
                && given.text("application").is_none_or(|name| session.application == name)
        };
        let mut sessions: Vec<&PgSession> = postgres.sessions.iter().filter(fits).collect();
        sessions.sort_by(|a, b| b.state_age_s.total_cmp(&a.state_age_s));
        Ok(first(sessions.into_iter().map(|session| json!(session)).collect(), given.count("most")))
    },
};
