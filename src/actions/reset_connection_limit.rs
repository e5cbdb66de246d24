//! Puts the connection limit of one PostgreSQL role or database back to what it was when the server was healthy.

use super::connection_limit::Limiting;
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const ACTION: Limiting = Limiting { descriptor: &DESCRIPTOR, refuses: |_, _, _| None };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "reset_connection_limit",
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Put a connection limit back",
    about: "ALTER ROLE or DATABASE … CONNECTION LIMIT to the value it had when the server was healthy. Right when a \
            lowered limit refuses clients while the server has free slots; no session is touched.",
    args: &[
        Arg::text("role", "the role whose limit it is").optional(),
        Arg::text("database", "instead of role: the database").optional(),
        Arg::whole("limit", "the limit it had; -1 for none"),
    ],
    needs: &[Need::PgSuperuser("ALTER ROLE and ALTER DATABASE … CONNECTION LIMIT")],
    verify: "the limit reads back as it was, a new client gets in",
};
