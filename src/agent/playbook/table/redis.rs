//! What is behind a Redis in trouble: memory, keys, clients, scripts, disk, access, replication.

use crate::agent::playbook::arguments::{
    dead_master, giant_key, half_sent_commands, healthy_maxclients, healthy_maxmemory,
    healthy_min_replicas, healthy_password, healthy_pids, healthy_place, healthy_policy,
    healthy_policy_alone, healthy_room, healthy_rule, idle_client_ids, leaking_prefix, none,
    spare_file, unread_answers, with_room, with_room_and_a_child, writer_ids,
};
use crate::agent::playbook::{Remedy, Row, Use, Wrong};

const KILL_WRITER: Use = Use { action: "kill_redis_clients", args: writer_ids };
const UNLINK_PREFIX: Use = Use { action: "unlink_keys", args: leaking_prefix };

pub(super) const ROWS: &[Row] = &[
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
        cause: "client-pause",
        remedies: &[Remedy {
            uses: &[Use { action: "unpause_redis_clients", args: none }],
            only_after: None,
            why: "Taking the order back lets every client go on where it waits; nothing is lost and nobody is cut",
            effect: "writes that waited are carried out, and new ones are answered at once",
        }],
        wrong: &[
            Wrong {
                what: "restart_redis",
                does: "loses what is not on disk, and every write that waits",
            },
            Wrong {
                what: "kill_redis_clients",
                does: "their writes are lost, and the next ones wait just the same",
            },
        ],
        advice: "who ordered CLIENT PAUSE, and whether a switch to another server was under way",
    },
    Row {
        cause: "busy-script",
        remedies: &[Remedy {
            uses: &[Use { action: "kill_redis_script", args: none }],
            only_after: None,
            why: "Least destructive: end the one script that runs; if it has written already, the server refuses and \
                  nothing changes",
            effect: "every command is answered again; the script's caller gets an error",
        }],
        wrong: &[
            Wrong {
                what: "restart_redis",
                does: "loses what is not on disk to be rid of one script",
            },
            Wrong {
                what: "raising busy-reply-threshold",
                does: "clients hang instead of being told",
            },
        ],
        advice: "the program that sends this script: give it a bound, or let it do its work in small steps",
    },
    Row {
        cause: "busy-script-wrote",
        remedies: &[Remedy {
            uses: &[Use { action: "stop_redis_nosave", args: none }],
            only_after: None,
            why: "The server refuses to kill a script that has written, and it obeys no other order; if waiting for \
                  its end is no choice, this is the only one left",
            effect: "the server comes back with what it had on disk",
        }],
        wrong: &[
            Wrong {
                what: "kill_redis_script",
                does: "is refused (UNKILLABLE) as often as it is tried",
            },
            Wrong {
                what: "restart_redis",
                does: "waits out its whole grace for a server that does not obey",
            },
        ],
        advice: "whether the script ends by itself soon: waiting loses nothing",
    },
    Row {
        cause: "requirepass",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_redis_setting", args: healthy_password }],
            only_after: None,
            why: "Restoring the setting of the healthy server cures it, from inside where new clients are turned away",
            effect: "new clients are let in again; no key is touched",
        }],
        wrong: &[Wrong {
            what: "restart_redis",
            does: "lets clients in again and loses every key that is not on disk",
        }],
        advice: "who set the password; if it is meant, the clients need it",
    },
    Row {
        cause: "user-off",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_redis_acl", args: healthy_rule }],
            only_after: None,
            why: "Restoring the rule of the healthy server cures it, from inside where new clients are turned away",
            effect: "new clients are let in again; no key is touched",
        }],
        wrong: &[
            Wrong {
                what: "requirepass",
                does: "sets a password for a user who stays switched off",
            },
            Wrong { what: "restart_redis", does: "loses every key that is not on disk" },
        ],
        advice: "who switched the user off, and the ACL file it should be in",
    },
    Row {
        cause: "acl-no-write",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_redis_acl", args: healthy_rule }],
            only_after: None,
            why: "Restoring the rule of the healthy server cures it and touches no key",
            effect: "writes work again; no key is touched",
        }],
        wrong: &[
            Wrong { what: "clear_redis_cache", does: "loses every key, and writes stay forbidden" },
            Wrong { what: "restart_redis", does: "loses every key that is not on disk" },
        ],
        advice: "who changed the rule, and the ACL file it should be in",
    },
    Row {
        cause: "bind",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_redis_setting", args: healthy_place }],
            only_after: None,
            why: "Restoring the setting of the healthy server cures it, from inside where new clients find nobody",
            effect: "new clients are let in again; no key is touched",
        }],
        wrong: &[
            Wrong {
                what: "repairing the network",
                does: "nothing: the network carries every byte",
            },
            Wrong { what: "restart_redis", does: "loses every key that is not on disk" },
        ],
        advice: "who moved it, and the configuration file it should be in",
    },
    Row {
        cause: "replicaof-dead",
        remedies: &[Remedy {
            uses: &[Use { action: "detach_replica", args: dead_master }],
            only_after: None,
            why: "It was a replica of nobody while it was healthy, and its master does not answer, so its own data is \
                  the newest there is",
            effect: "writes work again; its keys stay",
        }],
        wrong: &[Wrong { what: "restart_redis", does: "loses every key that is not on disk" }],
        advice: "who made it a replica, and of what",
    },
    Row {
        cause: "min-replicas",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_redis_setting", args: healthy_min_replicas }],
            only_after: None,
            why: "Restoring the setting of the healthy server cures it and touches no key",
            effect: "writes work again; no key is touched",
        }],
        wrong: &[Wrong { what: "restart_redis", does: "loses every key that is not on disk" }],
        advice: "how many replicas there should be, and whether they run",
    },
    Row {
        cause: "rdb-enospc",
        remedies: &[
            Remedy {
                uses: &[
                    Use { action: "free_space", args: spare_file },
                    Use { action: "save_redis", args: none },
                ],
                only_after: None,
                why: "Make room by a file that holds nothing, then save: only a snapshot that works makes the server \
                      take writes again",
                effect: "writes work again, and the data is on disk",
            },
            Remedy {
                uses: &[Use { action: "save_redis", args: with_room }],
                only_after: None,
                why: "There is room again; only a snapshot that works makes the server take writes again",
                effect: "writes work again, and the data is on disk",
            },
        ],
        wrong: &[
            Wrong {
                what: "stop-writes-on-bgsave-error no",
                does: "writes work and nothing is saved: it hides the trouble",
            },
            Wrong {
                what: "restart_redis",
                does: "the save before the stop fails, it waits, is killed, and what changed is lost",
            },
        ],
        advice: "what fills the disk, and its size against the data",
    },
    Row {
        cause: "aof-enospc",
        remedies: &[Remedy {
            uses: &[Use { action: "free_space", args: spare_file }],
            only_after: None,
            why: "Make room by a file that holds nothing; the server goes on appending by itself",
            effect: "writes work again, and are on disk",
        }],
        wrong: &[
            Wrong { what: "appendonly no", does: "writes work and are lost at the next restart" },
            Wrong { what: "restart_redis", does: "loses what could not be appended" },
        ],
        advice: "what fills the disk, and whether the append-only file needs a rewrite",
    },
    Row {
        cause: "fork-fails",
        remedies: &[
            Remedy {
                uses: &[
                    Use { action: "reset_pids_limit", args: healthy_pids },
                    Use { action: "save_redis", args: with_room },
                ],
                only_after: None,
                why: "Give back the processes of the healthy server, then save: only a snapshot that works makes the \
                      server take writes again",
                effect: "writes work again, and the data is on disk; nothing is restarted",
            },
            Remedy {
                uses: &[Use { action: "save_redis", args: with_room_and_a_child }],
                only_after: None,
                why: "A child can be started as far as anybody can see; only a snapshot that works makes the server \
                      take writes again",
                effect: "writes work again, and the data is on disk",
            },
        ],
        wrong: &[
            Wrong { what: "cleaning the disk", does: "nothing: the disk has room" },
            Wrong {
                what: "restart_redis",
                does: "the save before the stop fails, and what changed is lost",
            },
        ],
        advice: "who lowered the limit of processes (pids.max) where it runs, and the memory left there",
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
        cause: "eviction",
        remedies: &[
            Remedy {
                uses: &[
                    Use { action: "reset_redis_setting", args: healthy_room },
                    Use { action: "reset_redis_setting", args: healthy_policy },
                ],
                only_after: None,
                why: "Restoring the room and the policy of the healthy server, in this order, ends the evictions and \
                      removes nothing",
                effect: "keys stay; clients find them again once they are filled in",
            },
            Remedy {
                uses: &[Use { action: "reset_redis_setting", args: healthy_room }],
                only_after: None,
                why: "Restoring the room of the healthy server ends the evictions and removes nothing",
                effect: "keys stay; clients find them again once they are filled in",
            },
            Remedy {
                uses: &[Use { action: "reset_redis_setting", args: healthy_policy_alone }],
                only_after: None,
                why: "Restoring the policy of the healthy server ends the evictions and removes nothing",
                effect: "keys stay; clients find them again once they are filled in",
            },
        ],
        wrong: &[
            Wrong { what: "restart_redis", does: "loses every key, and everybody misses" },
            Wrong { what: "clear_redis_cache", does: "makes room by removing what is asked for" },
        ],
        advice: "who lowered the limit or changed the policy; if neither, what the data grew by",
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
];
