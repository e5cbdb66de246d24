//! What is behind a PostgreSQL whose sessions are the trouble: slots, transactions, locks.

use crate::agent::playbook::arguments::{
    any_blocker, blocking_query, frozen_process, healthy_limit, hoarder, idle_blocker,
    leaking_role, leaking_sessions, none, open_transactions, orphan, slow_queries, slow_sessions,
};
use crate::agent::playbook::{Remedy, Row, Use, Wrong};

pub(super) const ROWS: &[Row] = &[
    Row {
        cause: "lock-table-full",
        remedies: &[Remedy {
            uses: &[Use { action: "kill_idle_transactions", args: hoarder }],
            only_after: None,
            why: "Only the one session that holds the locks is ended, and it does nothing; more memory would need a restart",
            effect: "others get their locks at once; what that one transaction had not committed is lost",
        }],
        wrong: &[
            Wrong {
                what: "raising max_locks_per_transaction",
                does: "needs a restart, which cuts everybody to end one session",
            },
            Wrong {
                what: "more memory for the machine",
                does: "nothing: the table has a size of its own",
            },
            Wrong {
                what: "kill_idle_connections",
                does: "ends none of them: it is in a transaction",
            },
        ],
        advice: "what that program locks one by one: a whole table at once, or smaller transactions",
    },
    Row {
        cause: "idle-leak",
        remedies: &[
            Remedy {
                uses: &[Use { action: "kill_idle_connections", args: leaking_sessions }],
                only_after: None,
                why: "Least destructive: end only this program's sessions that do nothing; no query and \
                      no transaction is cut, and a restart would cut everybody",
                effect: "their slots are free at once; the program has to connect anew",
            },
            Remedy {
                uses: &[Use { action: "restart_postgres", args: none }],
                only_after: Some("kill_idle_connections"),
                why: "Ending the idle sessions alone did not help, and nothing smaller is left",
                effect: "every session is cut, every slot is free",
            },
        ],
        wrong: &[
            Wrong { what: "restart_postgres", does: "cuts everybody, and the program leaks again" },
            Wrong {
                what: "raising max_connections",
                does: "needs a restart and only moves the end",
            },
        ],
        advice: "the program that opens these connections: let it close them or use a pool, or set a limit \
                 on its role",
    },
    Row {
        cause: "re-leak",
        remedies: &[Remedy {
            uses: &[
                Use { action: "limit_role", args: leaking_role },
                Use { action: "kill_idle_connections", args: leaking_sessions },
            ],
            only_after: None,
            why: "They were ended and came back at once, so ending them alone lasts for a moment. The program has a role of \
                  its own: with a limit on that role it can fill no more than its share, and nobody else is touched",
            effect: "the other programs keep their slots; this one gets as many as its role may have, until it is mended",
        }],
        wrong: &[
            Wrong {
                what: "kill_idle_connections again",
                does: "every slot is taken again before anybody else gets in",
            },
            Wrong {
                what: "restart_postgres",
                does: "cuts everybody, and the program is the first to come back",
            },
            Wrong { what: "raising max_connections", does: "gives it more to fill" },
        ],
        advice: "the program that opens these connections has to be stopped or mended; where it shares its role with \
                 others, a limit on the role would turn those away too",
    },
    Row {
        cause: "idle-in-transaction",
        remedies: &[Remedy {
            uses: &[Use { action: "kill_idle_transactions", args: open_transactions }],
            only_after: None,
            why: "Only the sessions that stopped inside a transaction are ended; what they wrote was never \
                  committed and is rolled back. Idle sessions are not the cause, cancelling does nothing to a \
                  session without a query, and a restart would cut everybody",
            effect: "their slots and the rows they locked are free at once; what they had not committed is lost",
        }],
        wrong: &[
            Wrong {
                what: "kill_idle_connections",
                does: "ends none of them: an open transaction is not idle",
            },
            Wrong { what: "pg_cancel_backend", does: "says yes and changes nothing" },
            Wrong {
                what: "restart_postgres",
                does: "cuts everybody, and the program does it again",
            },
        ],
        advice: "the program that leaves transactions open, or idle_in_transaction_session_timeout on its role",
    },
    Row {
        cause: "frozen-backend",
        remedies: &[Remedy {
            uses: &[Use { action: "continue_process", args: frozen_process }],
            only_after: None,
            why: "Its process only stands still: it goes on where it stopped, and nobody loses anything. It cannot be ended \
                  while it stands still",
            effect: "its transaction goes on to its end, and who waits for it is served",
        }],
        wrong: &[
            Wrong { what: "kill_blocker", does: "is told that it is done, and nothing happens" },
            Wrong {
                what: "SIGKILL for the process",
                does: "makes the server cut every session and recover",
            },
            Wrong {
                what: "restart_postgres",
                does: "waits for the stopped process until its time is over, then recovers",
            },
        ],
        advice: "who stopped the process: a debugger that is attached (gdb, strace) stops it too",
    },
    Row {
        cause: "ghost-client",
        remedies: &[Remedy {
            uses: &[Use { action: "kill_blocker", args: any_blocker }],
            only_after: None,
            why: "Nobody waits for the answer of that session any more: its client is gone, so only what it had not \
                  committed is lost, as it would be at the end of its query",
            effect: "the lock is free at once, and who waits is served",
        }],
        wrong: &[
            Wrong { what: "ending the waiting sessions", does: "the rows stay locked" },
            Wrong {
                what: "ending the client's machine",
                does: "changes nothing: the client is gone, and the session does not know",
            },
            Wrong { what: "restart_postgres", does: "cuts everybody to end one session" },
        ],
        advice: "what became of that client; client_connection_check_interval lets sessions notice by themselves",
    },
    Row {
        cause: "lock-pile",
        remedies: &[
            Remedy {
                uses: &[Use { action: "kill_blocker", args: idle_blocker }],
                only_after: None,
                why: "Only the session at the head of the queue is ended, which does nothing and keeps everybody \
                      waiting; those who wait go on by themselves",
                effect: "the lock is free at once; what that one session had not committed is rolled back",
            },
            Remedy {
                uses: &[Use { action: "cancel_query", args: blocking_query }],
                only_after: None,
                why: "The session at the head of the queue is at work, so its query is cancelled before the session \
                      is ended",
                effect: "its statement is rolled back and the lock is free, unless the transaction goes on",
            },
            Remedy {
                uses: &[Use { action: "kill_blocker", args: any_blocker }],
                only_after: Some("cancel_query"),
                why: "Cancelling its query did not free the lock",
                effect: "the lock is free at once; what that one session had not committed is rolled back",
            },
        ],
        wrong: &[
            Wrong { what: "kill_idle_connections", does: "frees one slot for a moment" },
            Wrong { what: "ending the waiting sessions", does: "the table stays locked" },
            Wrong { what: "restart_postgres", does: "cuts everybody to end one session" },
        ],
        advice: "the session at the head of the queue: ending it frees all the others, ending waiting ones \
                 frees nobody",
    },
    Row {
        cause: "prepared-orphan",
        remedies: &[Remedy {
            uses: &[Use { action: "end_prepared", args: orphan }],
            only_after: None,
            why: "It has no session that could be ended, and a restart keeps it: only its own end frees what it locks. \
                  Rolled back it leaves no trace here; a person first makes sure that its coordinator does not want it \
                  committed",
            effect: "who waits goes on at once; what the transaction wrote is lost",
        }],
        wrong: &[
            Wrong { what: "kill_blocker", does: "there is no session to end" },
            Wrong { what: "ending the waiting sessions", does: "the rows stay locked" },
            Wrong {
                what: "restart_postgres",
                does: "prepared transactions survive it, with their locks",
            },
        ],
        advice: "the coordinator of the two-phase commit, which alone knows whether COMMIT PREPARED or ROLLBACK \
                 PREPARED is right for it (pg_prepared_xacts)",
    },
    Row {
        cause: "deadlock",
        remedies: &[],
        wrong: &[
            Wrong { what: "kill_blocker", does: "the server has cancelled one of them already" },
            Wrong {
                what: "a longer deadlock_timeout",
                does: "lets each of them wait longer first",
            },
            Wrong {
                what: "restart_postgres",
                does: "cuts everybody, and the same statements meet again",
            },
        ],
        advice: "the statements in the server's log: lock in one order everywhere, and let a client that gets 40P01 \
                 begin its transaction again",
    },
    Row {
        cause: "slow-pile",
        remedies: &[Remedy {
            uses: &[
                Use { action: "cancel_query", args: slow_queries },
                Use { action: "kill_idle_connections", args: slow_sessions },
            ],
            only_after: None,
            why: "A cancelled query keeps its slot, so the queries are cancelled first and then those of their \
                  sessions that stay idle are ended; who asks again at once is left alone",
            effect: "the slots are free; their clients get an error and may ask again",
        }],
        wrong: &[
            Wrong { what: "kill_idle_connections alone", does: "ends nobody who is active" },
            Wrong { what: "cancel_query alone", does: "the sessions keep their slots" },
            Wrong { what: "restart_postgres", does: "cuts everybody, and the queries come again" },
        ],
        advice: "the slow queries (pg_stat_activity, pg_stat_statements): cancelling them gives relief, an \
                 index or a timeout lasts",
    },
    Row {
        cause: "role-limit",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_connection_limit", args: healthy_limit }],
            only_after: None,
            why: "The limit is the cause and nothing else is wrong; no session is touched",
            effect: "the limit is what it was, and clients get in at once",
        }],
        wrong: &[
            Wrong {
                what: "kill_idle_connections",
                does: "frees a slot for a moment, the limit stays",
            },
            Wrong { what: "restart_postgres", does: "the limit survives it" },
            Wrong {
                what: "raising max_connections",
                does: "the limit is the role's, not the server's",
            },
        ],
        advice: "the limit in pg_roles.rolconnlimit or pg_database.datconnlimit; ending sessions or a \
                 restart does not change it",
    },
    Row {
        cause: "plain-load",
        remedies: &[],
        wrong: &[Wrong { what: "kill_idle_connections", does: "only moves the load" }],
        advice: "the number of clients against the number of slots: a pooler or a larger max_connections; \
                 ending sessions only moves the load",
    },
];
