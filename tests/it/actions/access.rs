//! Giving access back: each thing alone, proven and taken again.

use serde_json::{Value, json};
use simctl::agent::playbook::remedies;
use simctl::diagnose::diagnose;
use simctl::domain::effect::Known;
use simctl::domain::finding::FindingKind;

use super::harness::{PgServer, Way};
use super::{WAYS, action, args, carry_out, failing, refusal, verified};

async fn hands(postgres: &PgServer, statements: &str) {
    let client = postgres.client("postgres", "hands").await;
    client.batch_execute(statements).await.expect(statements);
}

/// Broken, given back, proven, taken again, given back.
async fn there_and_back(postgres: &PgServer, name: &str, given: Value) {
    let (action, args) = (action(name), args(given));
    for way in WAYS {
        let server = postgres.server(way);
        let saved = carry_out(action, &server, &args).await;
        verified(action, &server, &args, &saved).await;
        let again = action.preview(&server, &args).await.expect_err("it has it");
        assert!(again.to_string().contains("already"), "{again}");
        assert!(!action.undo_commands(&server, &args, &saved).is_empty());
        action.undo(&server, &args, &saved).await.expect("undo");
        assert_eq!(
            failing(&action.verify(&server, &args, &saved).await).len(),
            1,
            "{name} {way:?}"
        );
        let told = action.undo(&server, &args, &saved).await.expect("twice");
        assert!(told.contains("already"), "{told}");
    }
}

#[tokio::test]
async fn a_closed_database_is_opened_from_another_one() {
    let mut postgres = PgServer::start().await;
    hands(&postgres, "create database shop").await;
    hands(&postgres, "alter database shop allow_connections false").await;
    "shop".clone_into(&mut postgres.link.app.database);
    there_and_back(&postgres, "open_database", json!({"database": "shop"})).await;
    let server = postgres.server(Way::Direct);
    let refused = refusal(action("open_database"), &server, json!({"database": "template0"})).await;
    assert!(refused.contains("template"), "{refused}");
    refusal(action("open_database"), &server, json!({"database": "no such one"})).await;
}

#[tokio::test]
async fn one_grant_at_a_time_comes_back() {
    let postgres = PgServer::start().await;
    let with = |more: Value| {
        let mut all = json!({"role": "app", "database": "postgres"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    hands(
        &postgres,
        "create table public.t (id int); alter role app nologin; alter role app valid until '2001-01-01'; \
         revoke connect on database postgres from public",
    )
    .await;
    let restore = "restore_role_access";
    there_and_back(&postgres, restore, with(json!({"grant": "login"}))).await;
    there_and_back(&postgres, restore, with(json!({"grant": "valid-until", "value": "infinity"})))
        .await;
    there_and_back(&postgres, restore, with(json!({"grant": "connect"}))).await;
    there_and_back(
        &postgres,
        restore,
        json!({"role": "public", "database": "postgres", "grant": "connect"}),
    )
    .await;
    let table = json!({"grant": "table", "table": "public.t", "rights": ["SELECT", "INSERT"]});
    there_and_back(&postgres, restore, with(table)).await;

    let server = postgres.server(Way::Direct);
    for (given, why) in [
        (
            json!({"role": "nobody-here", "database": "postgres", "grant": "login"}),
            "no role nobody-here",
        ),
        (json!({"role": "boss", "database": "postgres", "grant": "login"}), "already"),
    ] {
        let refused = refusal(action(restore), &server, given).await;
        assert!(refused.contains(why), "{refused}");
    }
    hands(&postgres, "alter role boss nologin").await;
    let boss = json!({"role": "boss", "database": "postgres", "grant": "login"});
    let refused = refusal(action(restore), &server, boss).await;
    assert!(refused.contains("superuser"), "{refused}");
}

#[tokio::test]
async fn a_rejecting_line_goes_comes_back_and_no_other_file_is_written() {
    let (action, reject) = (action("remove_hba_line"), "host all app all reject");
    for way in WAYS {
        let postgres = PgServer::start().await;
        let (server, file) = (postgres.server(way), postgres.data().join("pg_hba.conf"));
        let healthy = std::fs::read_to_string(&file).expect("it is there");
        let broken = format!("# first\n{reject}\n{healthy}");
        std::fs::write(&file, &broken).expect("a change");
        let args = args(json!({"line": 2, "text": reject}));
        let preview = action.preview(&server, &args).await.expect("preview");
        assert!(preview.notes.contains(&format!("- {reject}")), "{preview:?}");
        for (line, text, why) in [
            (1, "# first", "rejects nobody"),
            (2, "host all app all  reject", "is not that line"),
            (999, reject, "is not that line"),
        ] {
            let refused = refusal(action, &server, json!({"line": line, "text": text})).await;
            assert!(refused.contains(why), "{refused}");
        }
        let saved = carry_out(action, &server, &args).await;
        verified(action, &server, &args, &saved).await;
        let now = || std::fs::read_to_string(&file).expect("it is there");
        assert_eq!(now(), format!("# first\n{healthy}"), "{way:?}");
        assert!(!action.undo_commands(&server, &args, &saved).is_empty());
        action.undo(&server, &args, &saved).await.expect("undo");
        assert_eq!(now(), broken, "{way:?}");
        assert!(action.undo(&server, &args, &saved).await.expect("twice").contains("already"));
        std::fs::write(&file, &healthy).expect("somebody mended it");
        let kept = action.undo(&server, &args, &saved).await.expect_err("somebody else's file");
        assert!(kept.to_string().contains("somebody else"), "{kept}");

        // Without it the rest would be no rules that the server can read.
        std::fs::write(&file, format!("{broken}nonsense\n")).expect("a typing error");
        let refused = refusal(action, &server, json!({"line": 2, "text": reject})).await;
        assert!(refused.contains("1 error"), "{refused}");
    }
}

#[tokio::test]
async fn who_is_turned_away_with_everybody_else_is_let_in_from_inside() {
    let postgres = PgServer::start().await;
    let insider = postgres.client("postgres", "hands").await;
    let (server, file) = (postgres.server(Way::Inside), postgres.data().join("pg_hba.conf"));
    let healthy = "local all all trust\nhost all all all trust\n";
    std::fs::write(&file, format!("host all all all reject\n{healthy}")).expect("a change");
    insider.batch_execute("select pg_reload_conf()").await.expect("reload");
    super::until("nobody gets in", async || postgres.try_client("postgres", "x").await.is_err())
        .await;
    let probe = server.probe();
    let known = Known {
        baseline: [("max_connections".to_owned(), "20".to_owned())].into(),
        samples: vec![probe.fresh().await],
        ..Known::default()
    };
    let facts = server.facts(FindingKind::ProbeFailing, &known, &|_| ()).await;
    let diagnosis = diagnose(&facts);
    let causes: Vec<String> =
        diagnosis.causes.iter().map(|c| format!("{}: {}", c.cause, c.grade)).collect();
    assert_eq!(causes, ["hba-reject: confirmed"]);
    let remedies = remedies(&diagnosis, &facts, &[], &[]);
    let [(id, args)] = remedies.candidates[0].steps.as_slice() else { panic!("{remedies:?}") };
    assert_eq!(id.as_str(), "remove_hba_line");
    let saved = carry_out(action(id.as_str()), &server, args).await;
    verified(action(id.as_str()), &server, args, &saved).await;
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), healthy);
    super::until("everybody gets in", async || postgres.try_client("app", "x").await.is_ok()).await;
}
