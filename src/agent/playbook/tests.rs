//! Cause × tried × barred → what is proposed, in which order; and that the tempting wrong fix never comes first.

use std::collections::BTreeSet;

use super::*;
use crate::diagnose::facts::{
    Disk, PgHba, PgHbaRule, PgInvalidIndex, PgOverride, PgSlot, PgStanding, PgTable, PgWal,
    RedisFacts,
};
use crate::diagnose::testing::*;
use crate::diagnose::{self, diagnose};
use crate::domain::finding::FindingKind;
use crate::domain::sample::RuntimeEventKind::{Died, OutOfMemory};
use crate::domain::sample::{Answer, Origin};
use crate::domain::unit::{CpuLimit, FileLimit, UnitLimits, UnitState, UnitStatus};
use serde_json::json;

mod transactions;

fn tried(cause: &str, actions: &[&str]) -> Tried {
    Tried {
        cause: cause.into(),
        actions: actions.iter().map(|action| ActionId::from(*action)).collect(),
        outcome: "verification failed".into(),
    }
}

fn barred(actions: &[&str]) -> Vec<(ActionId, String)> {
    actions.iter().map(|action| (ActionId::from(*action), "it cools down".into())).collect()
}

fn ask(facts: &Facts, tried: &[Tried], barred_actions: &[&str]) -> Remedies {
    remedies(&diagnose(facts), facts, tried, &barred(barred_actions))
}

fn order(remedies: &Remedies) -> Vec<String> {
    remedies.candidates.iter().map(Candidate::actions).collect()
}

fn without_writer() -> Facts {
    let mut facts = leak();
    facts.redis.as_mut().unwrap().clients.clear();
    facts
}

fn idle() -> Facts {
    postgres(FindingKind::ClientsRefused, sessions(1, 15, "idle", 3.0))
}

fn ended(code: i64) -> Facts {
    in_unit(FindingKind::ServerDown, Some(unit(UnitStatus::Exited, Some(code))), &[Died])
}

#[test]
fn every_cause_has_one_row_and_every_row_a_cause() {
    let causes: BTreeSet<&str> = diagnose::ALL.iter().map(|judge| judge.cause).collect();
    let in_rows: BTreeSet<&str> = rows().map(|row| row.cause).collect();
    assert_eq!(causes, in_rows);
    assert_eq!(rows().count(), causes.len());
    assert!(rows().all(|row| !row.advice.is_empty()));
}

#[test]
fn the_row_follows_from_the_cause_what_was_tried_and_what_is_barred() {
    const BOTH: &str = "kill_redis_clients and unlink_keys";
    let paused = in_unit(FindingKind::ServerHung, Some(unit(UnitStatus::Paused, None)), &[]);
    let oom = in_unit(FindingKind::ServerDown, ended(137).unit, &[OutOfMemory, Died]);
    let soon = {
        let mut facts = leak();
        facts.finding = FindingKind::MemoryPressure;
        facts
    };
    let unlinked = tried("leak-oom", &["unlink_keys"]);
    let both_unlinked = tried("leak-oom", &["kill_redis_clients", "unlink_keys"]);
    let killed = tried("idle-leak", &["kill_idle_connections"]);
    let reset = tried("maxmemory-lowered", &["reset_redis_setting"]);
    type Row<'a> = (&'a str, Facts, Vec<Tried>, &'a [&'a str], &'a [&'a str]);
    let rows: Vec<Row<'_>> = vec![
        ("a leak", leak(), vec![], &[], &[BOTH, "unlink_keys"]),
        ("a leak, not yet full", soon, vec![], &[], &[BOTH, "unlink_keys"]),
        ("no clear writer", without_writer(), vec![], &[], &["unlink_keys"]),
        ("unlink tried", leak(), vec![unlinked], &[], &["clear_redis_cache"]),
        ("both tried", leak(), vec![both_unlinked.clone()], &[], &["clear_redis_cache"]),
        (
            "tried for another cause",
            leak(),
            vec![tried("big-key", &["unlink_keys"])],
            &[],
            &[BOTH, "unlink_keys"],
        ),
        ("killing barred", leak(), vec![], &["kill_redis_clients"], &["unlink_keys"]),
        ("unlinking barred: no flush instead", leak(), vec![], &["unlink_keys"], &[]),
        (
            "all used up",
            leak(),
            vec![both_unlinked, tried("leak-oom", &["clear_redis_cache"])],
            &[],
            &[],
        ),
        ("a lowered limit", lowered(), vec![], &[], &["reset_redis_setting"]),
        ("reset tried", lowered(), vec![reset.clone()], &[], &[]),
        (
            "both at once: the setting first",
            lowered_and_leaking(),
            vec![],
            &[],
            &["reset_redis_setting", "unlink_keys"],
        ),
        ("both at once, reset tried", lowered_and_leaking(), vec![reset], &[], &["unlink_keys"]),
        ("one huge key", giant("string"), vec![], &[], &["unlink_big_key"]),
        ("a queue", fed_queue(), vec![], &[], &[]),
        ("answers unread", hoarding(15 * MB, 0), vec![], &[], &["kill_redis_clients"]),
        ("commands half sent", hoarding(0, 15 * MB), vec![], &[], &["kill_redis_clients"]),
        ("huge key tried", giant("string"), vec![tried("big-key", &["unlink_big_key"])], &[], &[]),
        ("idle clients", crowded(), vec![], &[], &["kill_redis_clients"]),
        ("idle sessions", idle(), vec![], &[], &["kill_idle_connections"]),
        ("killing tried", idle(), vec![killed.clone()], &[], &["restart_postgres"]),
        ("killing barred: no restart instead", idle(), vec![], &["kill_idle_connections"], &[]),
        ("restart barred", idle(), vec![killed], &["restart_postgres"], &[]),
        ("paused", paused, vec![], &[], &["unpause_container"]),
        ("killed", ended(137), vec![], &[], &["start_container"]),
        ("exited", ended(1), vec![], &[], &["start_container"]),
        ("out of memory", oom, vec![], &[], &["start_container"]),
        ("nothing known", facts(FindingKind::ProbeFailing), vec![], &[], &[]),
    ];
    for (story, facts, tried, barred, expected) in rows {
        assert_eq!(order(&ask(&facts, &tried, barred)), expected, "{story}");
    }
}

#[test]
fn what_has_no_remedy_gets_advice_and_nothing_runs() {
    let load = postgres(FindingKind::ClientsRefused, sessions(1, 15, "active", 0.1));
    for facts in [load, fed_queue()] {
        let remedies = ask(&facts, &[], &[]);
        assert!(remedies.candidates.is_empty() && remedies.passed_over.is_empty());
        assert_eq!(remedies.advice.len(), 1);
    }
}

fn at(states: &[(&str, i32)]) -> Facts {
    let mut all = Vec::new();
    for (state, count) in states {
        all.extend(sessions(1 + all.len() as i32, *count, state, 30.0));
    }
    for session in &mut all {
        session.query_start = session.backend_start;
        session.xact_age_s = (session.state == "idle in transaction").then_some(30.0);
    }
    postgres(FindingKind::ClientsRefused, all)
}

/// 13 sessions wait behind the first.
fn queue(root: &str) -> Facts {
    let mut facts = at(&[(root, 1), ("active", 13)]);
    for session in &mut facts.postgres.as_mut().unwrap().sessions[1..] {
        (session.wait_type, session.blocked_by) = (Some("Lock".into()), vec![1]);
    }
    facts
}

fn limited(now: i32, before: Option<&str>) -> Facts {
    let mut facts = at(&[("idle", 2)]);
    facts.baseline.insert("max_connections".into(), "20".into());
    if let Some(before) = before {
        facts.baseline.insert("role.app.connection_limit".into(), before.into());
    }
    facts.postgres.as_mut().unwrap().role_limits = vec![("app".into(), now)];
    facts
}

#[test]
fn what_fills_the_slots_decides_what_is_ended_and_a_restart_is_never_it() {
    let mut unknown = limited(2, None);
    unknown.baseline.clear();
    let stories: Vec<(&str, Facts, Vec<Tried>, &[&str])> = vec![
        ("idle", at(&[("idle", 15)]), vec![], &["kill_idle_connections"]),
        ("open", at(&[("idle in transaction", 15)]), vec![], &["kill_idle_transactions"]),
        ("slow", at(&[("active", 15)]), vec![], &["cancel_query and kill_idle_connections"]),
        (
            "a queue behind one that stopped",
            queue("idle in transaction"),
            vec![],
            &["kill_blocker"],
        ),
        ("a queue behind one at work", queue("active"), vec![], &["cancel_query"]),
        (
            "cancelling did not free the lock",
            queue("active"),
            vec![tried("lock-pile", &["cancel_query"])],
            &["kill_blocker"],
        ),
        ("a lowered limit", limited(2, None), vec![], &["reset_connection_limit"]),
        ("a limit that was lower", limited(2, Some("5")), vec![], &["reset_connection_limit"]),
        ("a limit as it always was", limited(2, Some("2")), vec![], &[]),
        ("a limit, and no baseline", unknown, vec![], &[]),
    ];
    for (story, facts, tried, expected) in stories {
        assert_eq!(order(&ask(&facts, &tried, &[])), expected, "{story}");
    }
    let first = |facts: &Facts| ask(facts, &[], &[]).candidates.remove(0).steps;
    assert_eq!(
        first(&limited(2, Some("5"))),
        [(
            ActionId::of("reset_connection_limit"),
            Args::from([("role".into(), json!("app")), ("limit".into(), json!(5))])
        )]
    );
    let slow = first(&at(&[("active", 15)]));
    assert_eq!(slow[1].1["cancelled"], true);
    assert_eq!(slow[0].1["queries"].as_array().map(Vec::len), Some(15));
}

#[test]
fn several_likely_causes_are_not_guessed_between() {
    let mut facts = lowered();
    facts.baseline.clear();
    assert_eq!(graded(&facts), ["maxmemory-lowered: likely", "leak-oom: likely"]);
    assert_eq!(ask(&facts, &[], &[]), Remedies::default());

    let mut one = leak();
    one.samples.clear();
    assert_eq!(graded(&one), ["leak-oom: likely"]);
    assert!(!ask(&one, &[], &[]).candidates.is_empty());
}

#[test]
fn the_tempting_wrong_fix_never_comes_before_a_lesser_one() {
    const WRONG: [&str; 3] = ["clear_redis_cache", "restart_redis", "restart_postgres"];
    let stories = [
        leak(),
        without_writer(),
        lowered(),
        lowered_and_leaking(),
        idle(),
        ended(137),
        postgres(FindingKind::ConnectionPressure, sessions(1, 15, "active", 0.1)),
    ];
    for facts in stories {
        for barred in ["kill_redis_clients", "unlink_keys", "kill_idle_connections", "none"] {
            let remedies = ask(&facts, &[], &[barred]);
            for candidate in &remedies.candidates {
                let wrong = candidate.steps.iter().any(|(id, _)| WRONG.contains(&id.as_str()));
                assert!(!wrong, "{} for {}", candidate.actions(), candidate.cause);
            }
        }
    }
    for row in rows() {
        let gated = |remedy: &Remedy| remedy.only_after.is_some();
        let wrong = |remedy: &Remedy| remedy.uses.iter().any(|used| WRONG.contains(&used.action));
        assert!(row.remedies.iter().all(|remedy| !wrong(remedy) || gated(remedy)), "{}", row.cause);
        assert!(row.remedies.first().is_none_or(|first| !gated(first)), "{}", row.cause);
    }
}

#[test]
fn arguments_name_exactly_what_was_judged() {
    let steps = |facts: &Facts| {
        let first = ask(facts, &[], &[]).candidates.remove(0);
        first.steps.into_iter().map(|(id, args)| (id.to_string(), json!(args))).collect::<Vec<_>>()
    };
    let step = |id: &str, args| (id.to_owned(), args);
    assert_eq!(
        steps(&leak()),
        [
            step("kill_redis_clients", json!({"ids": [77]})),
            step("unlink_keys", json!({"prefix": "order:", "max": 55_441})),
        ]
    );
    assert_eq!(
        steps(&lowered()),
        [step("reset_redis_setting", json!({"name": "maxmemory", "value": "52428800"}))]
    );
    let two = postgres(FindingKind::ConnectionPressure, sessions(7, 2, "idle", 3.0));
    assert_eq!(
        steps(&two),
        [step(
            "kill_idle_connections",
            json!({"sessions": [
                {"pid": 7, "backend_start": "2025-11-20T12:00:00.007000Z"},
                {"pid": 8, "backend_start": "2025-11-20T12:00:00.008000Z"},
            ]})
        )]
    );
    assert_eq!(steps(&ended(137)), [step("start_container", json!({}))]);
}

#[test]
fn what_cannot_be_named_is_passed_over_with_its_reason() {
    let mut nameless = without_writer();
    nameless.redis.as_mut().unwrap().prefixes[0].prefix.clear();
    let remedies = ask(&nameless, &[], &[]);
    assert!(remedies.candidates.is_empty());
    let reasons: Vec<&str> = remedies.passed_over.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "no single client can be told to be the one that writes now",
            "the leaking keys have no prefix that sets them apart from the others",
            "only after unlink_keys was tried and did not help",
        ]
    );
}

#[test]
fn every_action_the_playbook_names_is_one_that_can_be_found() {
    let named = rows()
        .flat_map(|row| row.remedies)
        .flat_map(|remedy| remedy.uses.iter().map(|used| used.action).chain(remedy.only_after));
    for action in named {
        let known = crate::actions::find(action).is_some();
        assert!(known || crate::actions::ALL.is_empty(), "{action}");
    }
}

#[test]
fn a_full_redis_is_never_emptied_or_given_more_memory_for_a_lesser_cause() {
    let named = |facts: &Facts| -> Vec<Args> {
        let found = ask(facts, &[], &[]);
        found.candidates.iter().flat_map(|c| c.steps.iter().map(|(_, args)| args.clone())).collect()
    };
    let subscriber = {
        let mut facts = hoarding(15 * MB, 0);
        facts.redis.as_mut().unwrap().clients[1].flags = "P".into();
        facts
    };
    assert_eq!(
        named(&giant("hash"))[0],
        serde_json::from_value(json!({"key": "report:1", "type": "hash"})).unwrap()
    );
    let cut = |facts: &Facts| named(facts)[0]["ids"].clone();
    assert_eq!(cut(&hoarding(15 * MB, 0)), json!([1, 2, 3]));
    assert_eq!(cut(&subscriber), json!([1, 3]), "a subscriber is another decision");
    for facts in [giant("string"), fed_queue(), hoarding(15 * MB, 0), hoarding(0, 15 * MB)] {
        let tried_all = [
            tried("big-key", &["unlink_big_key"]),
            tried("output-buffers", &["kill_redis_clients"]),
            tried("query-buffers", &["kill_redis_clients"]),
        ];
        assert_eq!(order(&ask(&facts, &tried_all, &[])), [""; 0], "nothing larger comes after it");
    }
}

/// A PostgreSQL of the lab with one setting as it was and as it is.
fn changed(finding: FindingKind, name: &str, was: &str, now: &str) -> Facts {
    let mut facts = postgres(finding, Vec::new());
    facts.baseline.insert(name.into(), was.into());
    let pg = facts.postgres.as_mut().unwrap();
    pg.settings = Some([(name.to_owned(), now.to_owned())].into());
    (pg.holders, pg.standing) = (Some(Vec::new()), Some(PgStanding::default()));
    facts
}

fn with_wal(command: &str, slots: &[&str]) -> Facts {
    let mut facts = changed(FindingKind::WalRetained, "archive_command", "cp", command);
    let unread = |name: &&str| PgSlot {
        name: (*name).into(),
        position: "0/3000028".into(),
        retained: 300 * MB,
        ..PgSlot::default()
    };
    facts.postgres.as_mut().unwrap().wal = Some(PgWal {
        archives: true,
        failed_s: (command != "cp" || slots.is_empty()).then_some(1.0),
        slots: slots.iter().map(unread).collect(),
        ..PgWal::default()
    });
    facts
}

fn turned_away(behind: &str) -> Facts {
    let mut facts = changed(FindingKind::ProbeFailing, "max_connections", "20", "20");
    let mut refused = redis_sample(0.0, 0, 0, Answer::NotAsked);
    (refused.connect, refused.read) = (error("28000", "rejected"), Answer::NotAsked);
    facts.samples = vec![refused];
    let rule = |line, method: &str| PgHbaRule {
        line,
        text: Some(format!("host all all all {method}")),
        method: method.into(),
        is_sure: true,
    };
    facts.postgres.as_mut().unwrap().hba =
        Some(PgHba { rules: vec![rule(1, "reject"), rule(2, behind)], ..PgHba::default() });
    facts
}

fn timed_out() -> Facts {
    let mut facts = changed(FindingKind::ProbeFailing, "statement_timeout", "0ms", "1ms");
    let mut cut = redis_sample(0.0, 0, 0, Answer::NotAsked);
    cut.read = error("57014", "canceling statement due to statement timeout");
    facts.samples = vec![cut];
    facts
}

fn unvacuumed() -> Facts {
    let mut facts = changed(FindingKind::DeadRows, "autovacuum", "on", "off");
    let table = PgTable { name: "orders".into(), live: 9, dead: 90_000, ..PgTable::default() };
    facts.postgres.as_mut().unwrap().tables = Some(vec![table]);
    facts
}

fn built_in_vain() -> Facts {
    let mut facts = postgres(FindingKind::InvalidIndex, Vec::new());
    let index = PgInvalidIndex { name: "orders_number".into(), ..PgInvalidIndex::default() };
    facts.postgres.as_mut().unwrap().invalid_indexes = Some(vec![index]);
    facts
}

#[test]
fn what_a_postgres_keeps_or_cuts_off_ends_by_one_small_step_and_by_nothing_larger() {
    let stories: [(&str, Facts, &[&str]); 11] = [
        ("timeouts", timed_out(), &["reset_pg_setting"]),
        ("autovacuum-off", unvacuumed(), &["vacuum_table and reset_pg_setting"]),
        ("archive-fails", with_wal("/bin/false", &[]), &["reset_pg_setting"]),
        ("archive-fails", with_wal("cp", &[]), &[]),
        ("dead-slot", with_wal("cp", &["b"]), &["drop_replication_slot"]),
        ("dead-slot", with_wal("cp", &["b", "c"]), &[]),
        ("invalid-index", built_in_vain(), &["drop_invalid_index"]),
        ("hba-reject", turned_away("scram-sha-256"), &["remove_hba_line"]),
        ("hba-reject", turned_away("reject"), &[]),
        (
            "hba-reject",
            {
                let mut facts = turned_away("scram-sha-256");
                facts.baseline.clear();
                facts
            },
            &[],
        ),
        (
            "timeouts",
            {
                let mut facts = timed_out();
                let own = PgOverride { name: "statement_timeout".into(), ..PgOverride::default() };
                let standing = facts.postgres.as_mut().unwrap().standing.as_mut();
                standing.unwrap().overrides.push(own);
                facts
            },
            &[],
        ),
    ];
    for (cause, facts, expected) in stories {
        let diagnosis = diagnose(&facts);
        assert_eq!(diagnosis.causes[0].cause, *cause, "{diagnosis:?}");
        assert_eq!(order(&ask(&facts, &[], &[])), expected, "{cause}");
        let done: Vec<&str> = expected.iter().flat_map(|all| all.split(" and ")).collect();
        let again = ask(&facts, &[tried(cause, &done)], &[]);
        assert_eq!(order(&again), [""; 0], "{cause}: nothing larger once it was tried");
    }
}

/// What it runs in has less of this than the baseline says.
fn short_of(finding: FindingKind, setting: &str, was: &str) -> Facts {
    let seen = UnitState {
        limits: Some(UnitLimits { cpu: CpuLimit::of(None, None), pids: Some(6) }),
        files: Some(FileLimit { open: 16, next: 16, soft: 16, hard: 20_000 }),
        ..unit(UnitStatus::Running, None)
    };
    let mut facts = in_unit(finding, Some(seen), &[]);
    facts.baseline.insert(setting.into(), was.into());
    facts
}

fn cut_off(facts: Facts, answer: Answer) -> Facts {
    let mut fresh = redis_sample(1.0, 0, 0, Answer::NotAsked);
    fresh.origin = Origin::Fresh;
    (fresh.connect, fresh.read) = (answer, Answer::NotAsked);
    Facts { samples: vec![redis_sample(0.9, 0, 0, Answer::Ok), fresh], ..facts }
}

#[test]
fn what_was_taken_away_outside_is_given_back_and_nothing_is_restarted_instead() {
    let gone = || Answer::Gone { text: "unexpected end of file".into() };
    let hung = || Answer::Hung { after_ms: 1_000 };
    let no_process = |was: &str| {
        let facts = short_of(FindingKind::ProbeFailing, "unit.pids", was);
        let line =
            "LOG:  could not fork new process for connection: Resource temporarily unavailable";
        Facts { log: Some(vec![line.into()]), ..cut_off(facts, gone()) }
    };
    let no_file =
        |was: &str| cut_off(short_of(FindingKind::ProbeFailing, "unit.files", was), hung());
    let starved = |was: &str| {
        let mut facts = in_unit(FindingKind::ServerDown, ended(137).unit, &[OutOfMemory, Died]);
        facts.baseline.insert("unit.memory".into(), was.into());
        facts
    };
    let stands_still = {
        let mut facts =
            in_unit(FindingKind::ServerHung, Some(unit(UnitStatus::Running, None)), &[]);
        facts.place.first_process = Some('T');
        facts
    };
    let stories: [(&str, Facts, &[&str]); 7] = [
        ("no process for a client", no_process("128"), &["reset_pids_limit"]),
        ("under the limit of always", no_process("6"), &[]),
        ("no socket for a client", no_file("10032"), &["raise_fd_limit"]),
        ("under the limit of always", no_file("16"), &[]),
        (
            "less memory than it had: never only started",
            starved(&(400 * MB).to_string()),
            &["reset_memory_limit and start_container"],
        ),
        ("as much memory as ever", starved(&(256 * MB).to_string()), &["start_container"]),
        ("stopped by a signal", stands_still, &["continue_process"]),
    ];
    for (story, facts, expected) in stories {
        assert_eq!(order(&ask(&facts, &[], &[])), expected, "{story}");
    }
}

#[test]
fn a_snapshot_is_asked_for_only_where_it_can_be_made() {
    let refused = |pids: u32, available: u64| {
        let mut facts = short_of(FindingKind::WritesRefused, "unit.pids", "128");
        facts.unit.as_mut().unwrap().limits.as_mut().unwrap().pids = Some(pids);
        let told = error("MISCONF", "MISCONF Redis is configured to save RDB snapshots, but");
        facts.samples = vec![redis_sample(0.0, 0, 9, told)];
        facts.log = Some(vec!["# Can't save in background: fork: Resource temporarily".into()]);
        facts.disk = Some(Disk { dir: "/data".into(), total: 6 * MB, available, spare: vec![] });
        facts.redis = Some(RedisFacts { last_save: "err".into(), ..RedisFacts::default() });
        order(&ask(&facts, &[], &[]))
    };
    assert_eq!(refused(5, 4 * MB), ["reset_pids_limit and save_redis"]);
    assert_eq!(refused(128, 4 * MB), ["save_redis"], "somebody gave the processes back");
    assert_eq!(refused(128, 0), [""; 0], "no room either");
}

#[test]
fn room_is_restored_before_the_policy_that_needs_it() {
    let evicting = |limit: u64, policy: &str| {
        let mut facts = leak();
        facts.finding = FindingKind::CacheMisses;
        for (sample, evicted) in facts.samples.iter_mut().zip([0.0, 4_000.0, 9_000.0]) {
            sample.readings = sample.readings.with("evicted_keys_total", evicted);
        }
        let redis = facts.redis.as_mut().unwrap();
        (redis.maxmemory, redis.policy) = (limit, policy.into());
        redis.settings = [
            ("maxmemory".to_owned(), limit.to_string()),
            ("maxmemory-policy".to_owned(), policy.to_owned()),
        ]
        .into();
        facts.baseline.insert("maxmemory-policy".into(), "noeviction".into());
        let found = ask(&facts, &[], &[]).candidates;
        let names = |args: &Args| args["name"].as_str().unwrap().to_owned();
        found.first().map(|first| {
            first.steps.iter().map(|(_, args)| names(args)).collect::<Vec<_>>().join(", ")
        })
    };
    let both = evicting(8 * MB, "allkeys-lru");
    assert_eq!(both.as_deref(), Some("maxmemory, maxmemory-policy"));
    assert_eq!(evicting(8 * MB, "noeviction").as_deref(), Some("maxmemory"));
    assert_eq!(evicting(50 * MB, "allkeys-lru").as_deref(), Some("maxmemory-policy"));
    assert_eq!(evicting(50 * MB, "noeviction"), None, "as it always was");
}
