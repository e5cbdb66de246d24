//! Gives one PostgreSQL setting the value that a person wants, out of a closed list of those that take effect without a
//! restart. What it was is saved.

use super::pg_setting::{Form, PgSetting};
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "set_pg_setting",
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Change a setting",
    about: "ALTER SYSTEM of one setting to another value, then a reload, out of a closed list of those that need no \
            restart. Right when measurements say so; no session is cut, and undo puts the line back.",
    args: &[
        Arg::text("name", "the setting, like work_mem"),
        Arg::text("value", "its new value with the unit, like 64MB or 30s"),
    ],
    needs: &[Need::PgSuperuser("ALTER SYSTEM, pg_reload_conf() and pg_file_settings")],
    verify: "a new session has the value, no restart is pending, the configuration files have no error",
};

/// None whose value names a program, a file or a peer, and none that pg_settings tells in pages.
const SETTINGS: &[(&str, Form)] = &[
    ("autovacuum", Form::OnOff),
    ("autovacuum_analyze_scale_factor", Form::Number),
    ("autovacuum_naptime", Form::Quantity),
    ("autovacuum_vacuum_cost_limit", Form::Quantity),
    ("autovacuum_vacuum_scale_factor", Form::Number),
    ("checkpoint_completion_target", Form::Number),
    ("checkpoint_timeout", Form::Quantity),
    ("deadlock_timeout", Form::Quantity),
    ("default_statistics_target", Form::Quantity),
    ("hot_standby_feedback", Form::OnOff),
    ("idle_in_transaction_session_timeout", Form::Quantity),
    ("idle_session_timeout", Form::Quantity),
    ("lock_timeout", Form::Quantity),
    ("log_lock_waits", Form::OnOff),
    ("log_min_duration_statement", Form::Quantity),
    ("maintenance_work_mem", Form::Quantity),
    ("max_slot_wal_keep_size", Form::Quantity),
    ("max_standby_streaming_delay", Form::Quantity),
    ("max_wal_size", Form::Quantity),
    ("min_wal_size", Form::Quantity),
    ("random_page_cost", Form::Number),
    ("statement_timeout", Form::Quantity),
    ("temp_file_limit", Form::Quantity),
    ("track_io_timing", Form::OnOff),
    ("work_mem", Form::Quantity),
];

/// See the module.
pub(super) static ACTION: PgSetting =
    PgSetting { descriptor: &DESCRIPTOR, settings: SETTINGS, in_own_unit: false };
