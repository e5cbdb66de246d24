//! The rows of the playbook. A cause without remedies gets advice in words, and nothing runs.

use super::arguments::{
    giant_key, half_sent_commands, healthy_maxclients, healthy_maxmemory, idle_client_ids,
    leaking_prefix, leaking_sessions, none, unread_answers, writer_ids,
};
use super::{Remedy, Row, Use, Wrong};

const KILL_WRITER: Use = Use { action: "kill_redis_clients", args: writer_ids };
const UNLINK_PREFIX: Use = Use { action: "unlink_keys", args: leaking_prefix };
const START: Use = Use { action: "start_container", args: none };

/// Every cause of `diagnose::ALL`, once.
pub const ROWS: &[Row] = &[
    Row {
        cause: "leak-oom",
        remedies: &[
            Remedy {
                uses: &[KILL_WRITER, UNLINK_PREFIX],
                only_after: None,
                why: "Least destructive: cut the one client that writes, then remove only the leaking \
                      keys, which are saved first; emptying or restarting the server would lose the \
                      other keys too",
                effect: "writes work again; the writer has to connect anew, and keys outside the prefix \
                         stay",
            },
            Remedy {
                uses: &[UNLINK_PREFIX],
                only_after: None,
                why: "Least destructive: remove only the leaking keys, which are saved first; emptying or \
                      restarting the server would lose the other keys too",
                effect: "writes work again; keys outside the prefix stay",
            },
            Remedy {
                uses: &[Use { action: "clear_redis_cache", args: none }],
                only_after: Some("unlink_keys"),
                why: "Removing the leaking keys alone did not help, and nothing smaller is left",
                effect: "writes work again; every key is gone",
            },
        ],
        wrong: &[
            Wrong { what: "clear_redis_cache", does: "loses every key, not only the leaked ones" },
            Wrong {
                what: "restart_redis",
                does: "without persistence loses every key, and the writer fills it again",
            },
        ],
        advice: "the program that writes these keys: give them a TTL or a bound, or it fills the memory \
                 again",
    },
    Row {
        cause: "maxmemory-lowered",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_redis_setting", args: healthy_maxmemory }],
            only_after: None,
            why: "Restoring the limit of the healthy server cures it and touches no key",
            effect: "writes work again; no key is lost",
        }],
        wrong: &[
            Wrong { what: "clear_redis_cache", does: "loses every key although nothing grows" },
            Wrong {
                what: "maxmemory-policy allkeys-lru",
                does: "evicts data that fits under the old limit",
            },
        ],
        advice: "who lowered maxmemory, and the configuration file it should be in",
    },
    Row {
        cause: "big-key",
        remedies: &[Remedy {
            uses: &[Use { action: "unlink_big_key", args: giant_key }],
            only_after: None,
            why: "Least destructive: remove the one key that holds the memory, which is saved first if it \
                  is below 64 MB; emptying the server would lose every other key too",
            effect: "writes work again; every other key stays",
        }],
        wrong: &[
            Wrong { what: "clear_redis_cache", does: "loses every key to be rid of one" },
            Wrong {
                what: "DEL",
                does: "blocks the server while it frees the key; UNLINK does not",
            },
        ],
        advice: "the biggest keys (redis-cli --bigkeys) and the program that fills them",
    },
    Row {
        cause: "list-backlog",
        remedies: &[],
        wrong: &[Wrong {
            what: "clear_redis_cache",
            does: "loses the work that waits in the list",
        }],
        advice: "the consumers of the list: start or speed them up; its items are work not yet done",
    },
    Row {
        cause: "output-buffers",
        remedies: &[Remedy {
            uses: &[Use { action: "kill_redis_clients", args: unread_answers }],
            only_after: None,
            why: "The memory is held for clients that do not read: cutting exactly these frees it, and \
                  touches no key",
            effect: "writes work again; these clients have to connect anew, no key is lost",
        }],
        wrong: &[
            Wrong {
                what: "clear_redis_cache",
                does: "frees nothing: the memory is in client buffers",
            },
            Wrong { what: "raising maxmemory", does: "the buffers go on growing" },
        ],
        advice: "the clients with the largest omem (redis-cli CLIENT LIST), and \
                 client-output-buffer-limit",
    },
    Row {
        cause: "query-buffers",
        remedies: &[Remedy {
            uses: &[Use { action: "kill_redis_clients", args: half_sent_commands }],
            only_after: None,
            why: "The memory is held by commands that do not arrive in full: cutting exactly these clients \
                  frees it, and touches no key",
            effect: "writes work again; these clients have to connect anew, no key is lost",
        }],
        wrong: &[
            Wrong {
                what: "clear_redis_cache",
                does: "frees nothing: the memory is in client buffers",
            },
            Wrong { what: "raising maxmemory", does: "the buffers go on growing" },
        ],
        advice: "the clients with the largest qbuf (redis-cli CLIENT LIST), and maxmemory-clients",
    },
    Row {
        cause: "limit-below-overhead",
        remedies: &[],
        wrong: &[Wrong {
            what: "clear_redis_cache",
            does: "an empty server refuses writes just the same",
        }],
        advice: "maxmemory, which is too small for this server even when it is empty",
    },
    Row {
        cause: "flushall",
        remedies: &[],
        wrong: &[
            Wrong {
                what: "loading the dump on disk",
                does: "with save points the flush, or the next save, has rewritten it empty; and what was \
                       written since is lost",
            },
            Wrong {
                what: "restart_redis",
                does: "brings nothing back, and loses what was written since",
            },
        ],
        advice: "a copy of the data from before (a backup, a replica that was cut off, an append-only file), \
                 put beside and not over the dump on disk; the load on what this data was computed from; and \
                 an ACL that keeps FLUSHALL and FLUSHDB from programs",
    },
    Row {
        cause: "maxclients",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_redis_setting", args: healthy_maxclients }],
            only_after: None,
            why: "Restoring the limit of the healthy server lets everybody in again and cuts nobody off",
            effect: "new clients get in; no connection is cut, no key is touched",
        }],
        wrong: &[
            Wrong {
                what: "kill_redis_clients",
                does: "cuts clients that would fit under the old limit",
            },
            Wrong {
                what: "restart_redis",
                does: "cuts everybody, and without persistence loses every key",
            },
        ],
        advice: "who lowered maxclients, and the limit of open files if the log tells of one",
    },
    Row {
        cause: "idle-clients",
        remedies: &[Remedy {
            uses: &[Use { action: "kill_redis_clients", args: idle_client_ids }],
            only_after: None,
            why: "Least destructive: end only connections that do nothing, the longest idle first, and no \
                  more than it takes; a restart would cut everybody",
            effect: "new clients get in; the cut ones have to connect anew",
        }],
        wrong: &[
            Wrong { what: "raising maxclients", does: "the client leaks on to the next limit" },
            Wrong {
                what: "restart_redis",
                does: "cuts everybody, and without persistence loses every key",
            },
        ],
        advice: "the program that opens these connections: let it close them or use a pool, or set timeout",
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
        cause: "idle-in-transaction",
        remedies: &[],
        wrong: &[Wrong {
            what: "kill_idle_connections",
            does: "ends none of them: an open transaction is not idle",
        }],
        advice: "the program that leaves transactions open; ending such a session (pg_terminate_backend) \
                 rolls its work back",
    },
    Row {
        cause: "lock-pile",
        remedies: &[],
        wrong: &[
            Wrong { what: "kill_idle_connections", does: "frees one slot for a moment" },
            Wrong { what: "ending the waiting sessions", does: "the table stays locked" },
        ],
        advice: "the session at the head of the queue: ending it frees all the others, ending waiting ones \
                 frees nobody",
    },
    Row {
        cause: "slow-pile",
        remedies: &[],
        wrong: &[Wrong { what: "kill_idle_connections", does: "ends nobody who is active" }],
        advice: "the slow queries (pg_stat_activity, pg_stat_statements): cancelling them gives relief, an \
                 index or a timeout lasts",
    },
    Row {
        cause: "role-limit",
        remedies: &[],
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
    Row {
        cause: "container-paused",
        remedies: &[Remedy {
            uses: &[Use { action: "unpause_container", args: none }],
            only_after: None,
            why: "It goes on where it stopped and loses nothing; a restart would lose what is only in \
                  memory",
            effect: "the server answers again at once",
        }],
        wrong: &[
            Wrong { what: "restart_redis", does: "loses what is only in memory" },
            Wrong { what: "restart_postgres", does: "cuts sessions that would have gone on" },
        ],
        advice: "who paused it",
    },
    Row {
        cause: "container-killed",
        remedies: &[Remedy {
            uses: &[START],
            only_after: None,
            why: "It is not running, so starting it takes nothing from anybody",
            effect: "the server comes back with what it had on disk",
        }],
        wrong: &[Wrong { what: "pg_resetwal", does: "throws away what recovery would bring back" }],
        advice: "who killed it, and its log",
    },
    Row {
        cause: "container-exited",
        remedies: &[Remedy {
            uses: &[START],
            only_after: None,
            why: "It is not running, so starting it takes nothing from anybody",
            effect: "the server comes back with what it had on disk",
        }],
        wrong: &[],
        advice: "its log: it says why the server ended",
    },
    Row {
        cause: "cgroup-oom",
        remedies: &[Remedy {
            uses: &[START],
            only_after: None,
            why: "It is not running, so starting it takes nothing from anybody; but nothing is done about \
                  the memory it ran out of, so it can end again the same way",
            effect: "the server comes back with what it had on disk",
        }],
        wrong: &[],
        advice: "its memory limit against what the server may use (maxmemory; shared_buffers and work_mem)",
    },
];
