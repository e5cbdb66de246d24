//! Sessions that come back, cannot go on, or keep what others need; and plans that miss their index.

use super::*;
use crate::diagnose::facts::{PgDatabase, PgLocks, PgRole, PgSequence, Refusal};

/// Idle sessions of `user` came back after they were ended; the application's role is `app`.
fn back_again(user: &str) -> Facts {
    let mut facts = idle();
    facts.refusals = vec![Refusal {
        action: "kill_idle_connections".into(),
        said: "sessions did not come back: 15 sessions again from the same clients".into(),
    }];
    let pg = facts.postgres.as_mut().unwrap();
    pg.sessions.iter_mut().for_each(|session| session.user = user.into());
    let role = PgRole { name: "app".into(), can_login: true, ..PgRole::default() };
    pg.standing = Some(PgStanding { role: Some(role), ..PgStanding::default() });
    facts
}

#[test]
fn what_came_back_is_not_ended_again_alone_and_no_restart_follows() {
    let killed = [tried("idle-leak", &["kill_idle_connections"])];
    let asked = ask(&back_again("reports"), &killed, &[]);
    assert_eq!(order(&asked), ["limit_role and kill_idle_connections"]);
    let limit = &asked.candidates[0].steps[0].1;
    assert_eq!(json!(limit), json!({"role": "reports", "limit": 3}));
    let shared = ask(&back_again("app"), &killed, &[]);
    assert_eq!(order(&shared), [""; 0], "a limit would turn the application away");
    assert!(shared.passed_over[0].1.contains("the application's own role"), "{shared:?}");
    let mut two = back_again("reports");
    two.postgres.as_mut().unwrap().sessions[0].application = "billing".into();
    assert_eq!(order(&ask(&two, &killed, &[])), [""; 0], "another program has that role too");
}

#[test]
fn a_head_that_cannot_go_on_is_let_go_on_or_ended_and_never_asked() {
    let seen = |process, has_client| {
        let mut facts = queue("active");
        facts.finding = FindingKind::LockQueue;
        let head = &mut facts.postgres.as_mut().unwrap().sessions[0];
        (head.process, head.has_client) = (Some(process), Some(has_client));
        order(&ask(&facts, &[], &[]))
    };
    assert_eq!(seen('S', true), ["cancel_query"]);
    assert_eq!(seen('T', true), ["continue_process"]);
    assert_eq!(seen('S', false), ["kill_blocker"]);
}

/// Transactions fail; what else is seen is told by `change`.
fn failing(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = at(&[("idle in transaction", 1), ("active", 2)]);
    facts.finding = FindingKind::TransactionsFail;
    facts.log = Some(vec!["ERROR:  x \"orders_id_seq\" (9) temp_file_limit (1024kB)".into()]);
    facts.baseline.insert("temp_file_limit".into(), "-1kB".into());
    change(&mut facts);
    facts
}

#[test]
fn what_makes_transactions_fail_is_taken_away_and_nothing_is_restarted() {
    let full = |holder| {
        failing(|facts| {
            facts.postgres.as_mut().unwrap().promised_locks = Some(PgLocks {
                promised: 64,
                are_given: Some(false),
                taken: 5_300,
                holders: vec![(holder, 5_290)],
            });
        })
    };
    let stories: [(&str, Facts, &[&str]); 5] = [
        ("held by one that stopped", full(1), &["kill_idle_transactions"]),
        ("held by one at work", full(2), &[]),
        (
            "a limit that came down",
            failing(|facts| {
                facts.postgres.as_mut().unwrap().settings =
                    Some([("temp_file_limit".into(), "1024kB".into())].into());
            }),
            &["reset_pg_setting"],
        ),
        (
            "a sequence at its end",
            failing(|facts| {
                let ended =
                    PgSequence { name: "orders_id_seq".into(), end: 9, ..PgSequence::default() };
                facts.postgres.as_mut().unwrap().ended_sequences = Some(vec![ended]);
            }),
            &[],
        ),
        ("nothing known", failing(|_| ()), &[]),
    ];
    for (story, facts, expected) in stories {
        assert_eq!(order(&ask(&facts, &[], &[])), expected, "{story}");
    }
    let of = |facts: &Facts| json!(ask(facts, &[], &[]).candidates.remove(0).steps[0].1);
    assert_eq!(of(&full(1))["sessions"][0]["pid"], 1, "the one that holds them, and no other");
}

#[test]
fn a_planners_setting_is_taken_away_where_it_stands() {
    let off = |own: &[(&str, &str)]| {
        let mut facts = postgres(FindingKind::FullScans, Vec::new());
        for way in ["enable_indexscan", "enable_bitmapscan"] {
            facts.baseline.insert(way.into(), "on".into());
        }
        let pg = facts.postgres.as_mut().unwrap();
        let settings = ["enable_indexscan", "enable_bitmapscan"];
        pg.settings = Some(settings.map(|way| (way.to_owned(), "off".to_owned())).into());
        let overrides = own.iter().map(|(role, database)| PgOverride {
            role: (*role).into(),
            database: (*database).into(),
            name: "enable_indexscan".into(),
            value: "off".into(),
        });
        let (role, database) = (
            PgRole { name: "app".into(), ..PgRole::default() },
            PgDatabase { name: "shop".into(), ..PgDatabase::default() },
        );
        pg.standing = Some(PgStanding {
            role: Some(role),
            database: Some(database),
            overrides: overrides.collect(),
            ..PgStanding::default()
        });
        let asked = ask(&facts, &[], &[]);
        let first = asked.candidates.first().map(|first| json!(first.steps[0].1));
        (order(&asked), first.unwrap_or_default())
    };
    let (actions, args) = off(&[("", "shop")]);
    // The server's own value is not known to be off: what is a database's is taken away first.
    assert_eq!(actions[0], "reset_role_db_setting");
    assert_eq!(args, json!({"database": "shop", "names": ["enable_indexscan"]}));
    let (actions, args) = off(&[("app", "")]);
    assert_eq!(actions[0], "reset_role_db_setting");
    assert_eq!(args, json!({"role": "app", "names": ["enable_indexscan"]}));
    let (actions, args) = off(&[]);
    assert_eq!(actions, ["reset_pg_setting"]);
    assert_eq!(args, json!({"name": "enable_indexscan", "value": "on"}));
}
