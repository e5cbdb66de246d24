//! The lab broken by hand, with docker and redis-cli, while simctl watches: nothing tells it what was done. It must
//! reach the cause from outside and mend it by what follows from it.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{actions, newest, watched};
use crate::crash::bench::{Engine, Lab, eventually};

/// What somebody did, and what must come of it.
struct Story {
    by_hand: fn(&Lab),
    cause: &'static str,
    actions: &'static str,
}

const STORIES: [Story; 6] = [
    Story { by_hand: no_children, cause: "fork-fails", actions: "reset_pids_limit save_redis" },
    Story { by_hand: paused_writes, cause: "client-pause", actions: "unpause_redis_clients" },
    Story { by_hand: another_port, cause: "bind", actions: "reset_redis_setting" },
    Story { by_hand: stopped, cause: "container-sigstop", actions: "continue_process" },
    Story { by_hand: no_processes, cause: "pids-limit", actions: "reset_pids_limit" },
    Story {
        by_hand: too_little_memory,
        cause: "cgroup-oom",
        actions: "reset_memory_limit start_container",
    },
];

fn limit_processes(lab: &Lab, name: &str, most: usize) {
    lab.docker(&["update", &format!("--pids-limit={most}"), name]);
}

fn no_children(lab: &Lab) {
    let name = lab.name("redis-test");
    let threads = lab.docker(&["exec", &name, "ls", "/proc/1/task"]).lines().count();
    lab.redis(&["CONFIG", "SET", "save", "3600 1"]);
    lab.redis(&["SET", "order-7", "paid"]);
    limit_processes(lab, &name, threads);
    let said = asked_from_outside(lab, "BGSAVE");
    assert!(said.contains("ERR"), "{said}");
}

/// What Redis answers over its published port, for which nothing has to start in the container.
fn asked_from_outside(lab: &Lab, command: &str) -> String {
    let at = lab.docker(&["port", &lab.name("redis-test"), "6379/tcp"]);
    let mut redis = TcpStream::connect(at).expect("it is published");
    redis.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).expect("it takes commands");
    let mut said = String::new();
    redis.read_to_string(&mut said).expect("it answers");
    said
}

fn paused_writes(lab: &Lab) {
    // Nothing is to be saved any more, so that nothing can fail to be.
    lab.redis(&["CONFIG", "SET", "save", ""]);
    lab.redis(&["CLIENT", "PAUSE", "60000", "WRITE"]);
}

fn another_port(lab: &Lab) {
    lab.redis(&["CONFIG", "SET", "port", "16379"]);
}

fn stopped(lab: &Lab) {
    lab.docker(&["kill", "--signal", "STOP", &lab.name("redis-test")]);
}

fn no_processes(lab: &Lab) {
    let name = lab.name("postgres-test");
    let count = || -> usize {
        let told = lab.docker(&["stats", "--no-stream", "--format", "{{.PIDs}}", &name]);
        told.parse().expect("a number")
    };
    // A client that comes and goes is not to be counted.
    let least = (0..3).map(|_| count()).min().expect("three looks");
    limit_processes(lab, &name, least);
}

fn too_little_memory(lab: &Lab) {
    let name = lab.name("redis-test");
    lab.docker(&["update", "--memory=24m", &name]);
    let fill = "for i = 1, 60 do redis.call('SET', 'page:' .. i, string.rep('x', 524288)) end";
    let _ = std::process::Command::new("docker")
        .args(["exec", &name, "redis-cli", "EVAL", fill, "0"])
        .output();
    eventually("the kernel ended it", || (lab.status("redis-test") == "exited").then_some(()));
}

/// Waits for a proposal for this cause and approves it; it ends resolved.
fn mended(lab: &Lab, engine: &mut Engine, story: &Story) {
    let waiting = format!(
        "select i.number || ' ' || e.fingerprint from incidents i \
         join agent_executions e on e.incident_id = i.id \
         where i.id = NEWEST and i.cause = '{}' and e.state = 'awaiting_approval'",
        story.cause
    );
    let (number, fingerprint) = eventually(&format!("a proposal for {}", story.cause), || {
        let told = newest(lab, &waiting);
        told.split_once(' ').map(|(number, print)| (number.to_owned(), print.to_owned()))
    });
    lab.home.ok(&["approve", &number, "--fingerprint", &fingerprint]);
    engine.event("incident_resolved", |_| true);
    assert_eq!(actions(lab), story.actions, "{}", story.cause);
}

#[test]
fn what_was_done_with_docker_and_redis_cli_is_found_and_mended_from_outside() {
    let lab = Lab::up();
    let mut engine = lab.home.engine();
    watched(&lab);
    for story in &STORIES {
        lab.wait_until_well();
        (story.by_hand)(&lab);
        mended(&lab, &mut engine, story);
    }
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}";
    for (base, memory) in [("redis-test", 400 << 20), ("postgres-test", 256 << 20)] {
        let now = lab.docker(&["inspect", "-f", limits, &lab.name(base)]);
        assert_eq!(now, format!("{memory} 128"), "{base}");
    }
    assert_eq!(engine.terminate(), 0);
}
