//! `pg health`: how the instance is as a whole: slots, old transactions, wraparound, archiving, counters.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::postgres::PgDesk;
use super::report::{Check, Content, Draft, Grade, Table, Unit};
use super::unknown::Unknown;
use super::{Ask, Given, Inspection, questions};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_postgres_health",
    verb: "health",
    title: "Health of the instance",
    about: "Sessions against usable slots, the oldest transaction, distance to wraparound, archiving, sequences near \
            their end; with --watch also deadlocks, temporary files and cache hits between two looks.",
    args: &[],
    needs: &[Need::PgRole("pg_read_all_stats"), Need::PgRole("pg_read_all_settings")],
    offers: &["kill_idle_transactions"],
    budget: Duration::from_secs(10),
    example: "simctl pg health --watch 5",
    ask: Ask::Postgres(|desk, given| Box::pin(look(desk, given))),
};

/// Fewer block accesses tell nothing of the cache.
const MEANINGFUL_ACCESSES: i64 = 10_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Health {
    uptime_s: i64,
    standby: bool,
    clients: i64,
    clients_foreign: i64,
    active: i64,
    idle: i64,
    idle_in_tx: i64,
    lock_waiters: i64,
    syncrep_waiters: i64,
    oldest_xact_s: Option<f64>,
    oldest_idle_in_tx_s: Option<f64>,
    oldest_xmin_age: Option<i64>,
    usable_slots: i64,
    max_xid_age: i64,
    max_mxid_age: i64,
    failsafe_age: i64,
    c_commit: Option<i64>,
    c_rollback: Option<i64>,
    c_hit: Option<i64>,
    c_read: Option<i64>,
    c_deadlocks: Option<i64>,
    c_temp_bytes: Option<i64>,
    c_conflicts: Option<i64>,
    c_checksum_fail: Option<i64>,
    stats_reset: Option<String>,
    pending_restart: i64,
    stale_prepared: i64,
    archiving_broken: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Checkpoints {
    c_timed: i64,
    c_requested: i64,
    stats_reset: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sequence {
    sequence: String,
    owner_column: Option<String>,
    readable: bool,
    last_value: Option<i64>,
    ceiling: i64,
    used_pct: Option<f64>,
    cycles: bool,
}

/// What happened between two samples.
#[derive(Clone, Debug, Serialize)]
struct Between {
    seconds: f64,
    commits_per_s: f64,
    rollbacks_per_s: f64,
    deadlocks: i64,
    conflicts: i64,
    temp_bytes: i64,
    /// `None`: too few accesses to tell.
    cache_hit_pct: Option<f64>,
}

async fn look(desk: &mut PgDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    let mut health = desk.row::<Health>(questions::HEALTH, &[]).await;
    if let Err(hidden) = desk.capabilities.sees_others() {
        health = Err(hidden);
    }
    draft.figures("sessions", "Sessions", &health, SESSIONS);
    if let Ok(health) = &health {
        draft.judge(judge(health));
        let before = desk.earlier.since("health", health);
        let between = between(before.as_ref(), health);
        if let Ok(between) = &between {
            draft.judge(judge_between(between));
        }
        draft.figures("between", "Since the look before", &between, BETWEEN);
    }
    checkpoints(desk, &mut draft).await;
    sequences(desk, &mut draft).await;
    draft
}

const SESSIONS: &[(&str, Unit)] = &[
    ("uptime_s", Unit::Seconds),
    ("standby", Unit::None),
    ("clients", Unit::Count),
    ("usable_slots", Unit::Count),
    ("active", Unit::Count),
    ("idle", Unit::Count),
    ("idle_in_tx", Unit::Count),
    ("lock_waiters", Unit::Count),
    ("oldest_xact_s", Unit::Seconds),
    ("oldest_idle_in_tx_s", Unit::Seconds),
    ("oldest_xmin_age", Unit::Count),
    ("max_xid_age", Unit::Count),
    ("max_mxid_age", Unit::Count),
];

const BETWEEN: &[(&str, Unit)] = &[
    ("seconds", Unit::Seconds),
    ("commits_per_s", Unit::Count),
    ("rollbacks_per_s", Unit::Count),
    ("deadlocks", Unit::Count),
    ("conflicts", Unit::Count),
    ("temp_bytes", Unit::Bytes),
    ("cache_hit_pct", Unit::Percent),
];

fn judge(h: &Health) -> Vec<Check> {
    let used = 100.0 * h.clients as f64 / h.usable_slots.max(1) as f64;
    let free = h.usable_slots - h.clients;
    let mut slots = Check::over("slots_used", used, Unit::Percent, (Some(75.0), Some(90.0)));
    if free < 3 {
        slots.grade = Grade::Crit;
    }
    let oldest = h.oldest_xact_s.unwrap_or_default();
    let idle = h.oldest_idle_in_tx_s.unwrap_or_default();
    let blocking = h.idle_in_tx > 0 && h.lock_waiters > 0;
    let failsafe = (Some(0.4 * f64::from(i32::MAX)), Some(h.failsafe_age as f64));
    let prepared =
        Check::over("stale_prepared", h.stale_prepared as f64, Unit::Count, (Some(1.0), None));
    let restart =
        Check::over("pending_restart", h.pending_restart as f64, Unit::Count, (Some(1.0), None));
    vec![
        slots
            .because(format!("{} of {} slots that ordinary roles may use, {free} free", h.clients, h.usable_slots))
            .advise("`simctl pg connections` tells who has them"),
        Check::over("oldest_transaction", oldest, Unit::Seconds, (Some(300.0), Some(1_800.0)))
            .because("the transaction of others that is open longest")
            .advise("`simctl pg performance` tells whose it is and whether it harms anyone"),
        Check::over("idle_in_transaction", idle, Unit::Seconds, (Some(60.0), Some(600.0)))
            .because(format!(
                "{} open and idle{}",
                h.idle_in_tx,
                if blocking { "; others wait for locks meanwhile" } else { "" }
            ))
            .advise("look at `simctl pg locks` before ending any")
            .offer("kill_idle_transactions", json!({ "min_age_s": 600 })),
        Check::over("xid_age", h.max_xid_age as f64, Unit::Count, failsafe)
            .because("transactions since the oldest database was frozen; 2,147,483,647 is the end")
            .advise("`simctl pg vacuum` tells which tables, and what holds them"),
        Check::over("multixact_age", h.max_mxid_age as f64, Unit::Count, failsafe)
            .because("multixacts since the oldest database was frozen")
            .advise("`simctl pg vacuum` tells which tables"),
        graded_if("archiving", h.archiving_broken, Grade::Crit)
            .because(if h.archiving_broken { "the last attempt to archive WAL failed" } else { "no failure since the last success" })
            .advise("read the server's log for what archive_command said; WAL piles up until it works"),
        prepared
            .because("prepared transactions older than five minutes")
            .advise("`simctl pg vacuum` names them; commit or roll each back"),
        restart.because("settings changed that wait for a restart").advise("restart when it suits, or set them back"),
        graded_if("syncrep_waiters", h.syncrep_waiters > 0, Grade::Warn)
            .because(format!("{} commits wait for a synchronous standby", h.syncrep_waiters))
            .advise("`simctl pg replication` tells which standby is missing"),
        graded_if("checksum_failures", h.c_checksum_fail.unwrap_or_default() > 0, Grade::Crit)
            .because(format!("{} since the statistics were reset", h.c_checksum_fail.unwrap_or_default()))
            .advise("take a copy of the data directory before anything else; restore what is damaged from a backup"),
    ]
}

pub(super) fn graded_if(id: &'static str, bad: bool, grade: Grade) -> Check {
    Check::graded(id, if bad { grade } else { Grade::Ok })
}

fn between(before: Option<&(f64, Health)>, now: &Health) -> Result<Between, Unknown> {
    let unknown = Unknown::NotEnoughHistory { have_s: 0.0, need_s: 1.0 };
    let Some((seconds, before)) = before else { return Err(unknown) };
    if before.stats_reset != now.stats_reset || *seconds <= 0.0 {
        return Err(unknown);
    }
    let grown = |field: fn(&Health) -> Option<i64>| {
        (field(now).unwrap_or_default() - field(before).unwrap_or_default()).max(0)
    };
    let (hit, read) = (grown(|h| h.c_hit), grown(|h| h.c_read));
    let told = hit + read >= MEANINGFUL_ACCESSES;
    Ok(Between {
        seconds: *seconds,
        commits_per_s: grown(|h| h.c_commit) as f64 / seconds,
        rollbacks_per_s: grown(|h| h.c_rollback) as f64 / seconds,
        deadlocks: grown(|h| h.c_deadlocks),
        conflicts: grown(|h| h.c_conflicts),
        temp_bytes: grown(|h| h.c_temp_bytes),
        cache_hit_pct: told.then(|| 100.0 * hit as f64 / (hit + read) as f64),
    })
}

fn judge_between(b: &Between) -> Vec<Check> {
    let per_minute = b.deadlocks as f64 * 60.0 / b.seconds;
    let temp = b.temp_bytes as f64 * 300.0 / b.seconds;
    let mut checks = vec![
        Check::over("deadlocks", per_minute, Unit::Count, (Some(f64::MIN_POSITIVE), Some(10.0)))
            .because(format!(
                "{} ended by the server in {:.0} s, a minute at this rate",
                b.deadlocks, b.seconds
            ))
            .advise("take locks in one order everywhere; the server's log has both statements"),
        Check::over("temp_bytes", temp, Unit::Bytes, (Some(1_073_741_824.0), None))
            .because("written to temporary files in five minutes at this rate")
            .advise("`simctl pg slow` tells which statements spill"),
    ];
    checks[0].threshold = "warn any, crit 10 a minute".into();
    if let Some(pct) = b.cache_hit_pct {
        checks.push(
            graded_if("cache_hit", pct < 90.0, Grade::Warn)
                .because(format!("{pct:.1} % of block accesses were served from shared buffers (warn below 90 %)"))
                .advise("look for a statement that reads much (`simctl pg slow`) before enlarging shared_buffers"),
        );
    }
    checks
}

async fn checkpoints(desk: &mut PgDesk, draft: &mut Draft) {
    let now = desk.row::<Checkpoints>(questions::CHECKPOINTS, &[]).await;
    let fields =
        &[("c_timed", Unit::Count), ("c_requested", Unit::Count), ("stats_reset", Unit::None)];
    draft.figures("checkpoints", "Checkpoints", &now, fields);
    let Ok(now) = now else { return };
    if let Some((_, before)) = desk.earlier.since("checkpoints", &now) {
        let requested = (now.c_requested - before.c_requested) as f64;
        let all = requested + (now.c_timed - before.c_timed) as f64;
        if all >= 1.0 && before.stats_reset == now.stats_reset {
            let share = 100.0 * requested / all;
            draft.judge([Check::over(
                "requested_checkpoints",
                share,
                Unit::Percent,
                (Some(50.0), None),
            )
            .because(format!("{requested:.0} of {all:.0} checkpoints were forced"))
            .advise("raise max_wal_size")]);
        }
    }
}

async fn sequences(desk: &mut PgDesk, draft: &mut Draft) {
    let all = desk.rows::<Sequence>(questions::SEQUENCES, &[]).await;
    let hidden = all.as_ref().is_ok_and(|all| all.iter().any(|sequence| !sequence.readable));
    if let Ok(all) = &all {
        draft.judge(judge_sequences(all));
    }
    let login = desk.capabilities.login.clone();
    let shown = all.map(|all| {
        let used = |s: &&Sequence| s.used_pct.is_some_and(|pct| pct >= 50.0);
        all.iter().filter(used).cloned().collect::<Vec<_>>()
    });
    if hidden && shown.as_ref().is_ok_and(Vec::is_empty) {
        let grant = format!(
            "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {login}, and in the other schemas"
        );
        let content = Content::Unknown(Unknown::NotPermitted {
            said: "the values of sequences".into(),
            grant,
        });
        // No check: most servers keep their sequences to themselves, and nothing else depends on it.
        draft.parts.push(super::Part { name: "sequences", title: "Sequences".into(), content });
        return;
    }
    let columns = &[
        ("sequence", Unit::None),
        ("owner_column", Unit::None),
        ("last_value", Unit::None),
        ("ceiling", Unit::None),
        ("used_pct", Unit::Percent),
    ];
    let table = shown.map(|rows| Content::Table(Table::of(&rows, columns)));
    draft.part("sequences", "Sequences more than half used", table);
}

fn judge_sequences(all: &[Sequence]) -> Option<Check> {
    let most = all
        .iter()
        .filter(|sequence| !sequence.cycles)
        .max_by(|a, b| a.used_pct.unwrap_or(-1.0).total_cmp(&b.used_pct.unwrap_or(-1.0)))?;
    let check =
        Check::over("sequence_used", most.used_pct?, Unit::Percent, (Some(80.0), Some(95.0)));
    let column = most.owner_column.as_deref().unwrap_or("no column");
    Some(
        check
            .because(format!("{} for {column}, up to {}", most.sequence, most.ceiling))
            .advise("widen the column to bigint before it ends"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Health {
        Health { clients: 3, usable_slots: 17, failsafe_age: 1_600_000_000, ..Health::default() }
    }

    fn graded(checks: &[Check], id: &str) -> Grade {
        checks.iter().find(|check| check.id == id).expect("it is judged").grade
    }

    #[test]
    fn an_instance_that_is_well_has_no_complaint() {
        assert!(judge(&well()).iter().all(|check| check.grade == Grade::Ok));
    }

    #[test]
    fn slots_are_those_that_ordinary_roles_may_use() {
        let judged = |clients| graded(&judge(&Health { clients, ..well() }), "slots_used");
        assert_eq!(judged(12), Grade::Ok, "12 of 17; of max_connections 20 it would be 60 %");
        assert_eq!(judged(13), Grade::Warn);
        assert_eq!(judged(15), Grade::Crit, "2 free");
    }

    #[test]
    fn wraparound_is_told_long_before_the_end_and_not_at_every_freeze() {
        let judged = |max_xid_age| graded(&judge(&Health { max_xid_age, ..well() }), "xid_age");
        assert_eq!(judged(200_000_000), Grade::Ok, "autovacuum_freeze_max_age is no trouble");
        assert_eq!(judged(900_000_000), Grade::Warn);
        assert_eq!(judged(1_600_000_000), Grade::Crit);
    }

    #[test]
    fn an_idle_transaction_offers_its_end() {
        let old = Health { idle_in_tx: 1, oldest_idle_in_tx_s: Some(700.0), ..well() };
        let checks = judge(&old);
        let check = checks.iter().find(|check| check.id == "idle_in_transaction").unwrap();
        assert_eq!(
            (check.grade, check.leads_to[0].action),
            (Grade::Crit, "kill_idle_transactions")
        );
    }

    #[test]
    fn counters_are_compared_only_within_one_life_of_the_statistics() {
        let at = |hit, reset: &str| Health {
            c_hit: Some(hit),
            c_read: Some(0),
            stats_reset: Some(reset.into()),
            ..well()
        };
        assert!(between(None, &at(5, "a")).is_err());
        assert!(between(Some(&(1.0, at(9, "a"))), &at(5, "b")).is_err());
        let few = between(Some(&(2.0, at(0, "a"))), &at(9_999, "a")).unwrap();
        assert_eq!(few.cache_hit_pct, None, "too few accesses for a ratio");
        let many = between(Some(&(2.0, at(0, "a"))), &at(10_000, "a")).unwrap();
        assert_eq!(many.cache_hit_pct, Some(100.0));
    }

    #[test]
    fn one_deadlock_between_two_looks_is_told_and_many_are_worse() {
        let with = |deadlocks| Between {
            seconds: 60.0,
            commits_per_s: 0.0,
            rollbacks_per_s: 0.0,
            deadlocks,
            conflicts: 0,
            temp_bytes: 0,
            cache_hit_pct: Some(50.0),
        };
        for (deadlocks, grade) in [(0, Grade::Ok), (1, Grade::Warn), (10, Grade::Crit)] {
            assert_eq!(graded(&judge_between(&with(deadlocks)), "deadlocks"), grade);
        }
        assert_eq!(graded(&judge_between(&with(0)), "cache_hit"), Grade::Warn);
    }

    #[test]
    fn a_sequence_is_held_against_the_column_it_feeds() {
        let sequence = |used_pct, cycles| Sequence {
            sequence: "public.s".into(),
            owner_column: Some("public.t.id".into()),
            readable: true,
            last_value: Some(32_000),
            ceiling: 32_767,
            used_pct,
            cycles,
        };
        let grade = |all: &[Sequence]| judge_sequences(all).map(|check| check.grade);
        assert_eq!(
            grade(&[sequence(Some(97.66), false), sequence(None, false)]),
            Some(Grade::Crit)
        );
        assert_eq!(grade(&[sequence(Some(99.0), true)]), None, "one that starts again never ends");
        assert_eq!(grade(&[sequence(None, false)]), None, "not readable is not zero");
    }
}
