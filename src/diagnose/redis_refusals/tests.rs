//! The look-alikes among refusals: the same words to a client, another cause inside, and what is missing.

use crate::diagnose::diagnose;
use crate::diagnose::facts::{Disk, Facts, RedisFacts, Refusal, SpareFile};
use crate::diagnose::testing::{MB, after, error, facts, graded, unit};
use crate::domain::finding::FindingKind;
use crate::domain::readings::Readings;
use crate::domain::sample::{Answer, Origin, Sample};
use crate::domain::unit::{CpuLimit, UnitLimits, UnitState, UnitStatus, setting};

const RDB: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.";
const AOF: &str = "MISCONF Errors writing to the AOF file: No space left on device";
const FULL_LOG: &str = "1:C * # Write error saving DB on disk: No space left on device";
const FORK_LOG: &str = "1:M * # Can't save in background: fork: Resource temporarily unavailable";
const BUSY: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const HEALTHY_RULE: &str = "on nopass ~* &* +@all";

fn sample(origin: Origin, connect: Answer, read: Answer, write: Answer) -> Sample {
    Sample {
        at: after(1.0),
        origin,
        took_ms: 1.0,
        connect,
        read,
        write,
        readings: Readings::default(),
    }
}

/// Both connections read, and a write is told this.
fn writes(code: &str, text: &str) -> Facts {
    let mut facts = facts(FindingKind::WritesRefused);
    let told = || error(code, text);
    facts.samples = vec![
        sample(Origin::Fresh, Answer::Ok, Answer::Ok, told()),
        sample(Origin::Held, Answer::Ok, Answer::Ok, told()),
    ];
    inside(&mut facts);
    facts
}

/// A new client is told this; who is in is content.
fn newcomers(answer: Answer) -> Facts {
    let mut facts = facts(FindingKind::ProbeFailing);
    facts.samples = vec![
        sample(Origin::Held, Answer::Ok, Answer::Ok, Answer::Ok),
        sample(Origin::Fresh, answer, Answer::NotAsked, Answer::NotAsked),
    ];
    inside(&mut facts);
    facts
}

fn noauth() -> Answer {
    error("NOAUTH", "NOAUTH Authentication required.")
}

/// A server like its baseline.
fn inside(facts: &mut Facts) {
    let settings = [
        ("requirepass", ""),
        ("acl user default", HEALTHY_RULE),
        ("min-replicas-to-write", "0"),
        ("replicaof", ""),
        ("bind", "0.0.0.0"),
        ("port", "6379"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    facts.baseline = settings.clone().into();
    facts.redis = Some(RedisFacts {
        settings: settings.into(),
        login: "default".into(),
        role: "master".into(),
        last_save: "ok".into(),
        last_append: "ok".into(),
        ..RedisFacts::default()
    });
}

fn redis(facts: &mut Facts) -> &mut RedisFacts {
    facts.redis.as_mut().unwrap()
}

fn set(mut facts: Facts, name: &str, value: &str) -> Facts {
    redis(&mut facts).settings.insert(name.into(), value.into());
    facts
}

fn without_baseline(mut facts: Facts) -> Facts {
    facts.baseline.clear();
    facts
}

fn without_inside(mut facts: Facts) -> Facts {
    facts.redis = None;
    facts
}

fn disk(available: u64) -> Disk {
    let spare = [(".simctl-ballast", 5 * MB), (".simctl-reserve", MB / 2)];
    let file = |(name, bytes)| SpareFile { path: format!("/data/{name}"), bytes };
    Disk { dir: "/data".into(), total: 6 * MB, available, spare: spare.map(file).into() }
}

fn cannot_save(text: &str, log: &[&str], available: Option<u64>) -> Facts {
    let mut facts = writes("MISCONF", text);
    facts.log = Some(log.iter().map(|line| (*line).to_owned()).collect());
    facts.disk = available.map(disk);
    let redis = redis(&mut facts);
    (redis.last_save, redis.last_append) = ("err".into(), "err".into());
    facts
}

#[track_caller]
fn assert_judged(table: &[(Facts, &[&str])]) {
    for (nth, (facts, expected)) in table.iter().enumerate() {
        assert_eq!(graded(facts), *expected, "case {nth}");
    }
}

#[test]
fn a_refusal_to_write_is_told_by_its_prefix_and_settled_inside() {
    let readonly = || {
        let mut facts = writes("READONLY", "READONLY You can't write against a read only replica.");
        let redis = redis(&mut facts);
        (redis.role, redis.master_link) = ("slave".into(), Some("down".into()));
        set(facts, "replicaof", "10.255.255.1 6379")
    };
    let live = |mut facts: Facts| {
        redis(&mut facts).master_link = Some("up".into());
        facts
    };
    let too_few = || writes("NOREPLICAS", "NOREPLICAS Not enough good replicas to write.");
    let forbidden = || writes("NOPERM", "NOPERM this user has no permissions to run 'set'");
    let cut_down = || set(forbidden(), "acl user default", "on nopass ~* &* +@all -@write");
    assert_judged(&[
        (readonly(), &["replicaof-dead: confirmed"]),
        (without_baseline(readonly()), &["replicaof-dead: likely"]),
        (without_inside(readonly()), &["replicaof-dead: inconclusive"]),
        (live(readonly()), &["replicaof-dead: inconclusive"]),
        (set(too_few(), "min-replicas-to-write", "1"), &["min-replicas: confirmed"]),
        (too_few(), &["min-replicas: inconclusive"]),
        (without_baseline(set(too_few(), "min-replicas-to-write", "1")), &["min-replicas: likely"]),
        (cut_down(), &["acl-no-write: confirmed"]),
        (without_baseline(cut_down()), &["acl-no-write: likely"]),
        (forbidden(), &["acl-no-write: inconclusive"]),
        (writes("OOM", "OOM command not allowed"), &[]),
        (writes("SOMETHING", "SOMETHING else"), &[]),
    ]);
}

#[test]
fn the_same_misconf_is_three_causes() {
    let not_failed = |mut facts: Facts| {
        redis(&mut facts).last_save = "ok".into();
        facts
    };
    assert_judged(&[
        (cannot_save(RDB, &[FULL_LOG], Some(0)), &["rdb-enospc: confirmed"]),
        (cannot_save(RDB, &[FORK_LOG, FULL_LOG], Some(4_096)), &["rdb-enospc: confirmed"]),
        (cannot_save(RDB, &[FULL_LOG], Some(4 * MB)), &["rdb-enospc: likely"]),
        (cannot_save(RDB, &[FULL_LOG], None), &["rdb-enospc: likely"]),
        (cannot_save(RDB, &[], Some(0)), &["rdb-enospc: likely"]),
        (not_failed(cannot_save(RDB, &[FULL_LOG], Some(0))), &["rdb-enospc: likely"]),
        (cannot_save(RDB, &[], None), &["rdb-enospc: inconclusive"]),
        (cannot_save(RDB, &[FULL_LOG, FORK_LOG], Some(4 * MB)), &["fork-fails: confirmed"]),
        (cannot_save(RDB, &[FORK_LOG], Some(0)), &["fork-fails: likely"]),
        (cannot_save(RDB, &[FORK_LOG], None), &["fork-fails: likely"]),
        (cannot_save(AOF, &[], Some(0)), &["aof-enospc: confirmed"]),
        (cannot_save(AOF, &[FORK_LOG], Some(0)), &["aof-enospc: likely"]),
        (cannot_save(AOF, &[], None), &["aof-enospc: inconclusive"]),
    ]);
}

#[test]
fn a_lowered_limit_of_processes_is_named_and_the_disk_is_left_alone() {
    let limited = |pids| {
        let mut facts = cannot_save(RDB, &[FORK_LOG], Some(4 * MB));
        let limits = UnitLimits { cpu: CpuLimit::of(None, None), pids: Some(pids) };
        facts.unit = Some(UnitState { limits: Some(limits), ..unit(UnitStatus::Running, None) });
        facts.baseline.insert(setting::PIDS.into(), "128".into());
        diagnose(&facts).causes.remove(0).because
    };
    assert!(limited(5).contains("may have 5 processes and threads, it could have 128"));
    assert!(!limited(128).contains("processes and threads"));
}

#[test]
fn new_clients_are_locked_out_in_three_ways_while_the_old_ones_work() {
    let gone = || newcomers(Answer::Gone { text: "connection reset".into() });
    let off = "off nopass ~* &* +@all";
    let with_password = || set(newcomers(noauth()), "requirepass", "(set)");
    let always = |mut facts: Facts| {
        facts.baseline.insert("requirepass".into(), "(set)".into());
        facts
    };
    assert_judged(&[
        (with_password(), &["requirepass: confirmed"]),
        (set(newcomers(noauth()), "acl user default", off), &["user-off: confirmed"]),
        (set(with_password(), "acl user default", off), &["user-off: confirmed"]),
        (without_baseline(with_password()), &["requirepass: likely"]),
        (without_inside(with_password()), &["requirepass: inconclusive", "user-off: inconclusive"]),
        (always(with_password()), &["requirepass: inconclusive"]),
        (newcomers(noauth()), &[]),
        (set(gone(), "bind", "127.0.0.1"), &["bind: confirmed"]),
        (set(gone(), "port", "6390"), &["bind: confirmed"]),
        (gone(), &[]),
    ]);
}

#[test]
fn what_script_kill_was_told_splits_two_busy_scripts() {
    let busy = || {
        let mut facts = facts(FindingKind::ProbeFailing);
        let told = || error("BUSY", BUSY);
        facts.samples = vec![
            sample(Origin::Fresh, Answer::Ok, told(), told()),
            sample(Origin::Held, Answer::Ok, told(), told()),
        ];
        facts
    };
    let after_a_try = |said: &str| {
        let mut facts = busy();
        facts.refusals = vec![Refusal { action: "kill_redis_script".into(), said: said.into() }];
        facts
    };
    let mut over = busy();
    over.samples.push(sample(Origin::Fresh, Answer::Ok, Answer::Ok, Answer::Ok));
    over.samples.push(sample(Origin::Held, Answer::Ok, Answer::Ok, Answer::Ok));
    assert_judged(&[
        (busy(), &["busy-script: confirmed"]),
        (
            after_a_try("UNKILLABLE Sorry the script already executed write commands"),
            &["busy-script-wrote: confirmed"],
        ),
        (after_a_try("not done within 5 s"), &["busy-script: confirmed"]),
        (over, &[]),
    ]);
}

#[test]
fn writes_that_hang_are_held_back_by_the_server_or_not_explained() {
    let hang = |held_back, fails_over| {
        let mut facts = writes("ERR", "");
        for sample in &mut facts.samples {
            sample.write = Answer::Hung { after_ms: 1_000 };
        }
        let redis = redis(&mut facts);
        (redis.held_back, redis.fails_over) = (held_back, fails_over);
        facts
    };
    let one_is_fine = |mut facts: Facts| {
        facts.samples[1].write = Answer::Ok;
        facts
    };
    let all_hangs = |mut facts: Facts| {
        for sample in &mut facts.samples {
            sample.read = Answer::Hung { after_ms: 1_000 };
        }
        facts
    };
    assert_judged(&[
        (hang(2, false), &["client-pause: confirmed"]),
        (hang(2, true), &["client-pause: inconclusive"]),
        (hang(0, false), &[]),
        (without_inside(hang(2, false)), &[]),
        (one_is_fine(hang(2, false)), &[]),
        (all_hangs(hang(2, false)), &[]),
        (writes("OOM", "OOM command not allowed"), &[]),
    ]);
}

#[test]
fn only_our_own_file_is_named_and_only_where_the_disk_is_full() {
    let named = |available| {
        let facts = cannot_save(RDB, &[FULL_LOG], Some(available));
        super::spare_file(&facts).map(|file| file.path.clone())
    };
    assert_eq!(named(0).as_deref(), Some("/data/.simctl-ballast"));
    assert_eq!(named(4 * MB), None);
}
