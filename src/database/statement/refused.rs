//! Statements that the workbench does not run, whoever asks: those that act on a session or on files.

use squawk_syntax::ast::Stmt;

use super::Name;

const TX: &str = "`simctl db tx FILE` runs statements as one transaction; it begins and ends it";

/// Why a statement is not run, and what to do instead.
pub(super) fn why(stmt: &Stmt) -> Option<(&'static str, &'static str)> {
    Some(match stmt {
        Stmt::Begin(_)
        | Stmt::Commit(_)
        | Stmt::Rollback(_)
        | Stmt::SavepointCreate(_)
        | Stmt::ReleaseSavepoint(_)
        | Stmt::PrepareTransaction(_)
        | Stmt::SetTransaction(_) => ("it begins or ends a transaction", TX),
        Stmt::Copy(_) => {
            ("COPY moves files or a stream", "use psql's \\copy, or `simctl db backup`")
        }
        Stmt::Do(_) => (
            "DO runs code that may do anything",
            "write its statements into a file for `simctl db tx`",
        ),
        Stmt::Load(_) => ("LOAD runs a library in the server", "create the extension instead"),
        Stmt::SetRole(_)
        | Stmt::SetSessionAuth(_)
        | Stmt::ResetRole(_)
        | Stmt::ResetSessionAuth(_) => {
            ("it takes another role's rights", "give a target or --url with the role that is meant")
        }
        Stmt::Set(_) | Stmt::Reset(_) | Stmt::Discard(_) => (
            "it changes the settings of a session that ends with it",
            "`simctl actions` lists what changes the settings of a server",
        ),
        Stmt::Prepare(_)
        | Stmt::Execute(_)
        | Stmt::Deallocate(_)
        | Stmt::Declare(_)
        | Stmt::Fetch(_)
        | Stmt::Move(_)
        | Stmt::Close(_)
        | Stmt::Listen(_)
        | Stmt::Unlisten(_) => (
            "it belongs to a session that ends with it",
            "write the statement itself, its values as --param",
        ),
        _ => return None,
    })
}

/// What these do is done at once, or by somebody else, and stays whatever becomes of the transaction.
const OUTSIDE: [&str; 20] = [
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_log_backend_memory_contexts",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_switch_wal",
    "pg_create_restore_point",
    "pg_promote",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "pg_logical_emit_message",
    "pg_notify",
    "lo_import",
    "lo_export",
    "dblink",
    "dblink_exec",
    "dblink_connect",
    "dblink_send_query",
    "pg_backup_start",
    "pg_start_backup",
];

/// Families of such functions.
const FAMILIES: [&str; 4] = ["pg_stat_reset", "pg_create_", "pg_drop_replication_slot", "pg_file_"];

pub(super) fn acts_outside(function: &Name) -> bool {
    let name = function.name.as_str();
    OUTSIDE.contains(&name)
        || FAMILIES.iter().any(|family| name.starts_with(family))
        || name.starts_with("pg_replication_slot_")
        || name.starts_with("pg_logical_slot_get")
}
