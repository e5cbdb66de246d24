//! Puts one PostgreSQL setting back to what it was when the server was healthy.

use super::pg_setting::{Form, PgSetting};
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "reset_pg_setting",
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Low,
    title: "Put a setting back",
    about: "ALTER SYSTEM of one setting to the value it had when the server was healthy, then a reload. Right when \
            a changed setting is the cause; no session is cut, nothing restarts.",
    args: &[
        Arg::text("name", "the setting, like default_transaction_read_only"),
        Arg::text("value", "the value it had, as pg_settings told it"),
    ],
    needs: &[Need::PgSuperuser("ALTER SYSTEM, pg_reload_conf() and pg_file_settings")],
    verify: "a new session has the value, no restart is pending, the configuration files have no error",
};

const SETTINGS: &[(&str, Form)] = &[
    ("default_transaction_read_only", Form::OnOff),
    ("synchronous_standby_names", Form::Standbys),
    ("synchronous_commit", Form::SyncCommit),
    ("statement_timeout", Form::Quantity),
    ("lock_timeout", Form::Quantity),
    ("idle_session_timeout", Form::Quantity),
    ("idle_in_transaction_session_timeout", Form::Quantity),
    ("work_mem", Form::Quantity),
    ("temp_file_limit", Form::Quantity),
    ("max_wal_size", Form::Quantity),
    ("max_slot_wal_keep_size", Form::Quantity),
    ("autovacuum", Form::OnOff),
    ("enable_indexscan", Form::OnOff),
    ("enable_bitmapscan", Form::OnOff),
    ("enable_seqscan", Form::OnOff),
    ("archive_command", Form::FromFileOnly),
    ("archive_library", Form::FromFileOnly),
];

/// See the module.
pub(super) static ACTION: PgSetting =
    PgSetting { descriptor: &DESCRIPTOR, settings: SETTINGS, in_own_unit: true };
