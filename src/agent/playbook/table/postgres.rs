//! What is behind a PostgreSQL in trouble: settings, access, volumes, dead rows, what is kept for nobody.

use crate::agent::playbook::arguments::{
    postgres_access, postgres_settings, postgres_upkeep, postgres_volumes, row_holders,
    table_after_holders, worst_table,
};
use crate::agent::playbook::{Remedy, Row, Use, Wrong};

pub(super) const ROWS: &[Row] = &[
    Row {
        cause: "read-only",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_pg_setting", args: postgres_settings::read_only }],
            only_after: None,
            why: "Restoring the setting of the healthy server cures it; no session is cut and nothing restarts",
            effect: "every new transaction may write again, in old sessions too",
        }],
        wrong: &[
            Wrong { what: "promote_standby", does: "it is no standby: nothing to promote" },
            Wrong { what: "restart_postgres", does: "the setting survives it" },
        ],
        advice: "who set default_transaction_read_only, and where: for the server, a role or a database",
    },
    Row {
        cause: "standby",
        remedies: &[],
        wrong: &[
            Wrong {
                what: "promote_standby",
                does: "beside a living primary makes two servers that both take writes",
            },
            Wrong { what: "reset_pg_setting", does: "no setting makes a standby writable" },
        ],
        advice: "where the primary is, and whether this client should write there; promoting is a person's \
                 decision, once the old primary is fenced off",
    },
    Row {
        cause: "sync-standby-missing",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_pg_setting", args: postgres_settings::standby_names }],
            only_after: None,
            why: "Nobody of that name can confirm a commit; restoring the setting of the healthy server lets \
                  the waiting commits go on, and cuts nobody",
            effect: "waiting commits finish at once, later ones do not wait",
        }],
        wrong: &[
            Wrong {
                what: "restart_postgres",
                does: "the setting survives it, and commits hang again",
            },
            Wrong {
                what: "cancelling the waiting commits",
                does: "each is then committed here and nowhere else; the next one hangs",
            },
        ],
        advice: "the standby that synchronous_standby_names asks for: bring it back, or decide that commits \
                 may do without it",
    },
    Row {
        cause: "timeouts",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_pg_setting", args: postgres_settings::timeout }],
            only_after: None,
            why: "The timeout of the healthy server let the same statements through; no session is cut",
            effect: "every session has the old timeout at once, except where it set its own",
        }],
        wrong: &[
            Wrong { what: "restart_postgres", does: "the setting survives it" },
            Wrong { what: "cancel_query", does: "the server cancels them already" },
            Wrong {
                what: "a plain session's ALTER SYSTEM",
                does: "is cut off by the timeout itself",
            },
        ],
        advice: "who set the timeout, and where: for the server, a role or a database",
    },
    Row {
        cause: "planner-setting",
        remedies: &[
            Remedy {
                uses: &[Use {
                    action: "reset_role_db_setting",
                    args: postgres_settings::planners_own,
                }],
                only_after: None,
                why: "The setting is a role's or a database's own, and the healthy server did without it; no index is built \
                      and no session is cut",
                effect: "new sessions use the indexes again; a pool has to open new ones",
            },
            Remedy {
                uses: &[Use { action: "reset_pg_setting", args: postgres_settings::planners }],
                only_after: None,
                why: "The planner of the healthy server was free to use the indexes; no index is built and no session is cut",
                effect: "every session uses the indexes again at once, except where it set otherwise itself",
            },
        ],
        wrong: &[
            Wrong { what: "a new index", does: "is not used either" },
            Wrong { what: "analyze_table", does: "the statistics are right already" },
            Wrong { what: "restart_postgres", does: "cuts everybody, and the setting survives it" },
        ],
        advice: "who set it, and for what: a planner setting belongs into one session, not into a role or a database",
    },
    Row {
        cause: "spill",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_pg_setting", args: postgres_settings::temp_files }],
            only_after: None,
            why: "The same queries had room on the healthy server; restoring its limit cuts no session",
            effect: "queries that sort or join much work again, in old sessions too",
        }],
        wrong: &[
            Wrong { what: "restart_postgres", does: "cuts everybody, and the setting survives it" },
            Wrong {
                what: "raising work_mem for all",
                does: "takes that much for every sort of every session",
            },
        ],
        advice: "who set temp_file_limit, and which query writes so much: an index or a smaller result may do without",
    },
    Row {
        cause: "sequence-end",
        remedies: &[],
        wrong: &[
            Wrong {
                what: "restart_postgres",
                does: "cuts everybody; the sequence stays where it is",
            },
            Wrong {
                what: "setval to a small number",
                does: "gives numbers that rows have already",
            },
            Wrong {
                what: "ALTER SEQUENCE … CYCLE",
                does: "gives numbers that rows have already, one after the other",
            },
        ],
        advice: "the type of the column: bigint for it and its sequence (the table is rewritten, so in a quiet hour), and \
                 every program that keeps such a number in four bytes",
    },
    Row {
        cause: "data-full",
        remedies: &[Remedy {
            uses: &[Use { action: "move_table", args: postgres_volumes::table }],
            only_after: None,
            why: "No row is lost: the table that fills the volume moves to one with room, and the volume is \
                  free again; emptying it would lose data",
            effect: "inserts work again; the table is locked while it is copied",
        }],
        wrong: &[
            Wrong { what: "DELETE", does: "frees nothing: the file stays as large as it is" },
            Wrong { what: "vacuum_table", does: "needs room itself and fails with 53100" },
            Wrong {
                what: "vacuum_full_table",
                does: "writes a second copy on the same full volume",
            },
            Wrong { what: "truncate_table", does: "loses every row, where moving loses none" },
        ],
        advice: "what the table on the full volume is for, and who writes it: it needs a bound, or more room; \
                 deleting rows frees nothing, and emptying it is a person's decision",
    },
    Row {
        cause: "db-closed",
        remedies: &[Remedy {
            uses: &[Use { action: "open_database", args: postgres_access::database }],
            only_after: None,
            why: "It was open when the server was healthy; opening it touches no session and no data",
            effect: "new clients connect again",
        }],
        wrong: &[
            Wrong {
                what: "restart_postgres",
                does: "cuts the sessions that still work; it stays closed",
            },
            Wrong { what: "restore_role_access", does: "no role gets in, superusers neither" },
        ],
        advice: "who closed the database, and for what: a migration may be under way",
    },
    Row {
        cause: "hba-reject",
        remedies: &[Remedy {
            uses: &[Use { action: "remove_hba_line", args: postgres_access::rejecting_line }],
            only_after: None,
            why: "The application was let in when the server was healthy, and one line of pg_hba.conf rejects it now; \
                  that line alone goes, the file is checked before the reload, no session is touched",
            effect: "new clients of the application are let in by the line behind it",
        }],
        wrong: &[
            Wrong { what: "a new password", does: "is never asked for" },
            Wrong { what: "restore_role_access", does: "the role lost nothing" },
            Wrong {
                what: "restart_postgres",
                does: "cuts the sessions that still work, and reads the same file",
            },
        ],
        advice: "who changed pg_hba.conf, and for what: the application may have been locked out on purpose",
    },
    Row {
        cause: "auth-nologin",
        remedies: &[Remedy {
            uses: &[Use { action: "restore_role_access", args: postgres_access::login }],
            only_after: None,
            why: "The role could log in when the server was healthy; one attribute is given back, no password \
                  is touched",
            effect: "the application logs in again",
        }],
        wrong: &[Wrong { what: "a new password", does: "the role may still not log in" }],
        advice: "who took LOGIN from the role: it may have been locked out on purpose",
    },
    Row {
        cause: "auth-expired",
        remedies: &[Remedy {
            uses: &[Use { action: "restore_role_access", args: postgres_access::valid_until }],
            only_after: None,
            why: "The password is right and only counts as wrong since it expired; the time it was valid until \
                  is put back",
            effect: "the application logs in again with the password it has",
        }],
        wrong: &[Wrong { what: "a new password", does: "is expired just the same" }],
        advice: "VALID UNTIL of the role (pg_roles.rolvaliduntil), and who has to prolong it",
    },
    Row {
        cause: "auth-password",
        remedies: &[],
        wrong: &[Wrong {
            what: "a new password",
            does: "locks out every other program that has the old one",
        }],
        advice: "the password in the secret store against the role's: who changed one of them",
    },
    Row {
        cause: "auth-connect",
        remedies: &[Remedy {
            uses: &[Use { action: "restore_role_access", args: postgres_access::connect }],
            only_after: None,
            why: "The role could connect when the server was healthy; the one grant it had it by is given back",
            effect: "the application connects again",
        }],
        wrong: &[Wrong { what: "a new password", does: "the password was never the trouble" }],
        advice: "who revoked CONNECT on the database",
    },
    Row {
        cause: "auth-table",
        remedies: &[Remedy {
            uses: &[Use { action: "restore_role_access", args: postgres_access::table }],
            only_after: None,
            why: "The role had the right when the server was healthy; only what is missing is given back",
            effect: "the application writes again, in old sessions too",
        }],
        wrong: &[Wrong {
            what: "making the role a superuser",
            does: "gives it everything for one right",
        }],
        advice: "who revoked the right, and whether other tables lost it too (\\dp)",
    },
    Row {
        cause: "autovacuum-off",
        remedies: &[Remedy {
            uses: &[
                Use { action: "vacuum_table", args: worst_table },
                Use { action: "reset_pg_setting", args: postgres_settings::autovacuum },
            ],
            only_after: None,
            why: "An ordinary vacuum removes the rows beside readers and writers, and the setting of the healthy server \
                  keeps them from coming back",
            effect: "the rows become room for new ones, here now and everywhere later; files stay as large as they are",
        }],
        wrong: &[
            Wrong {
                what: "vacuum_full_table",
                does: "locks everybody out, and the rows come again",
            },
            Wrong { what: "ending old transactions", does: "none of them keeps the rows" },
            Wrong { what: "restart_postgres", does: "the setting survives it" },
        ],
        advice: "who switched autovacuum off: if it was for a bulk load, that has ended or should say when it ends",
    },
    Row {
        cause: "xmin-held",
        remedies: &[Remedy {
            uses: &[
                Use { action: "kill_idle_transactions", args: row_holders },
                Use { action: "vacuum_table", args: table_after_holders },
            ],
            only_after: None,
            why: "Nothing removes the rows while that transaction is open, and it does nothing; once it is gone \
                  an ordinary vacuum is enough, beside readers and writers",
            effect: "the rows become room for new ones; the file stays as large as it is",
        }],
        wrong: &[
            Wrong {
                what: "vacuum_full_table",
                does: "locks everybody out and removes no row that is still needed",
            },
            Wrong { what: "more autovacuum", does: "reads the table again and again in vain" },
            Wrong { what: "restart_postgres", does: "cuts everybody to end one session" },
        ],
        advice: "who keeps a transaction open for so long: a report belongs on a standby or in pieces",
    },
    Row {
        cause: "archive-fails",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_pg_setting", args: postgres_settings::archive }],
            only_after: None,
            why: "The command of the healthy server took every segment; no session is cut, and no file of WAL is touched",
            effect: "the archive takes what waits, in order, and the server removes it by itself",
        }],
        wrong: &[
            Wrong {
                what: "deleting WAL files",
                does: "the server does not start again, or the archive has a hole for ever",
            },
            Wrong {
                what: "removing .ready files",
                does: "the archive has a hole, and nobody is told",
            },
            Wrong { what: "restart_postgres", does: "the setting survives it" },
        ],
        advice: "what archive_command says when it fails (the server's log), and whether the archive has room",
    },
    Row {
        cause: "dead-slot",
        remedies: &[Remedy {
            uses: &[Use { action: "drop_replication_slot", args: postgres_upkeep::dead_slot }],
            only_after: None,
            why: "Nobody is connected to the slot, and nothing else lets the server remove what it keeps; a person first \
                  makes sure that its consumer is gone for good",
            effect: "the server removes the WAL at the next checkpoint; that consumer, if it comes back, is built anew",
        }],
        wrong: &[
            Wrong { what: "deleting WAL files", does: "the server does not start again" },
            Wrong { what: "restart_postgres", does: "slots survive it, with all they keep" },
            Wrong {
                what: "a larger max_wal_size",
                does: "is no limit for slots; max_slot_wal_keep_size is",
            },
        ],
        advice: "whose slot it is, and whether it comes back; max_slot_wal_keep_size bounds what any slot may keep",
    },
    Row {
        cause: "invalid-index",
        remedies: &[Remedy {
            uses: &[Use { action: "drop_invalid_index", args: postgres_upkeep::invalid_index }],
            only_after: None,
            why: "No query may use it, so none gets slower, and every write gets cheaper; nobody is locked out",
            effect: "the index is gone; its definition is kept in the record, to build it once the data allows it",
        }],
        wrong: &[
            Wrong { what: "reindex_index", does: "fails again while the rows are as they are" },
            Wrong {
                what: "CREATE INDEX IF NOT EXISTS",
                does: "says that all is well and leaves it invalid",
            },
        ],
        advice: "why the build failed: duplicates, a timeout or a cancelled session; then build it again",
    },
];
