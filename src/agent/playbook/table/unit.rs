//! What is behind a server of either kind: what it runs in, and commands that hold it up.

use crate::agent::playbook::arguments::{
    healthy_cpu, healthy_files, healthy_memory, healthy_pids, home_network, none, with_its_memory,
};
use crate::agent::playbook::{Remedy, Row, Use, Wrong};

const START: Use = Use { action: "start_container", args: none };

pub(super) const ROWS: &[Row] = &[
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
        cause: "container-sigstop",
        remedies: &[Remedy {
            uses: &[Use { action: "continue_process", args: none }],
            only_after: None,
            why: "It goes on where it stopped and loses nothing; a restart would lose what is only in memory",
            effect: "the server answers again at once",
        }],
        wrong: &[
            Wrong { what: "unpause_container", does: "is refused: the container is not paused" },
            Wrong {
                what: "restart_redis",
                does: "a stopped process obeys no order: it is killed in the end, and memory is lost",
            },
            Wrong { what: "restart_postgres", does: "is killed in the end, and has to recover" },
        ],
        advice: "who stopped it, and a debugger that may hold it",
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
        remedies: &[
            Remedy {
                uses: &[Use { action: "reset_memory_limit", args: healthy_memory }, START],
                only_after: None,
                why: "It has less memory than it had: giving that back first keeps it from ending the same way",
                effect: "the server comes back with what it had on disk",
            },
            Remedy {
                uses: &[Use { action: "start_container", args: with_its_memory }],
                only_after: None,
                why: "It is not running, so starting it takes nothing from anybody; but nothing is done about the \
                      memory it ran out of, so it can end again the same way",
                effect: "the server comes back with what it had on disk",
            },
        ],
        wrong: &[Wrong {
            what: "starting it alone",
            does: "under a lower limit it ends again as soon as it is filled",
        }],
        advice: "its memory limit against what the server may use (maxmemory; shared_buffers and work_mem)",
    },
    Row {
        cause: "network-disconnected",
        remedies: &[Remedy {
            uses: &[Use { action: "connect_network", args: home_network }],
            only_after: None,
            why: "The server is well and only cut off; attaching it to its network restarts nothing",
            effect: "its ports are back, and clients can connect again",
        }],
        wrong: &[
            Wrong {
                what: "restart_redis",
                does: "loses what is only in memory, and it is still cut off",
            },
            Wrong { what: "restart_postgres", does: "it is still cut off afterwards" },
        ],
        advice: "who disconnected it (docker network inspect, docker events)",
    },
    Row {
        cause: "cpu-throttled",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_cpu_quota", args: healthy_cpu }],
            only_after: None,
            why: "Giving back the processor time of the healthy server cures it and restarts nothing",
            effect: "answers are as quick as before",
        }],
        wrong: &[
            Wrong {
                what: "restart_redis",
                does: "loses what is only in memory; the quota survives it",
            },
            Wrong { what: "restart_postgres", does: "cuts everybody; the quota survives it" },
            Wrong { what: "docker update --cpus 0", does: "does nothing, without a word" },
        ],
        advice: "who lowered the CPU limit, and the file it should be in",
    },
    Row {
        cause: "pids-limit",
        remedies: &[Remedy {
            uses: &[Use { action: "reset_pids_limit", args: healthy_pids }],
            only_after: None,
            why: "Giving back the processes of the healthy server cures it, restarts nothing and ends no session",
            effect: "new clients get a session again",
        }],
        wrong: &[
            Wrong {
                what: "kill_idle_connections",
                does: "lets as many in as it cut off, and the limit stays",
            },
            Wrong {
                what: "restart_postgres",
                does: "cuts everybody; the limit survives it, and it may not come up under it",
            },
        ],
        advice: "who lowered the limit of processes, and the file it should be in",
    },
    Row {
        cause: "fd-limit",
        remedies: &[Remedy {
            uses: &[Use { action: "raise_fd_limit", args: healthy_files }],
            only_after: None,
            why: "Giving back the open files of the healthy server lets everybody in who waits, and restarts nothing",
            effect: "new clients are answered again",
        }],
        wrong: &[
            Wrong {
                what: "restart_redis",
                does: "loses what is only in memory; the limit may come back with it",
            },
            Wrong { what: "raising maxclients", does: "nothing: the limit is the system's" },
        ],
        advice: "who lowered the limit of open files, and what the process has open (lsof)",
    },
    Row {
        cause: "blocking-command",
        remedies: &[],
        wrong: &[
            Wrong { what: "restart_redis", does: "the client connects and asks the same again" },
            Wrong { what: "clear_redis_cache", does: "loses every key to make one command quick" },
        ],
        advice: "the client and the command in SLOWLOG: SCAN instead of KEYS, UNLINK instead of DEL, smaller keys; \
                 an ACL can forbid the command",
    },
];
