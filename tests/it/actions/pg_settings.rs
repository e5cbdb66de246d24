//! Putting PostgreSQL settings back.

use serde_json::json;
use simctl::actions::Action;
use tokio_postgres::Client;

use super::harness::{PgServer, Way};
use super::{WAYS, action, args, carry_out, failing, refusal, verified};

fn reset() -> &'static dyn Action {
    action("reset_pg_setting")
}

/// A superuser that no setting of the server keeps from working.
async fn admin(postgres: &PgServer) -> Client {
    let client = postgres.client("postgres", "hands").await;
    client.batch_execute("set statement_timeout = 0").await.expect("a superuser");
    client
}

/// Sets it for the server, and waits until a new session has it.
async fn alter(postgres: &PgServer, name: &str, value: &str) {
    let client = admin(postgres).await;
    client.batch_execute(&format!("alter system set {name} = '{value}'")).await.expect("alter");
    client.batch_execute("select pg_reload_conf()").await.expect("reload");
    loop {
        let new = admin(postgres).await;
        let sql = "select reset_val || coalesce(unit, '') from pg_settings where name = $1";
        let now: String = new.query_one(sql, &[&name]).await.expect("it").get(0);
        if now == value {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The line of postgresql.auto.conf.
async fn line(postgres: &PgServer, name: &str) -> Option<String> {
    let sql =
        "select setting from pg_file_settings where name = $1 and sourcefile like '%.auto.conf'";
    let row = admin(postgres).await.query_opt(sql, &[&name]).await.expect("a superuser may look");
    row.map(|row| row.get(0))
}

#[tokio::test]
async fn a_server_that_was_made_read_only_is_writable_again_and_the_line_can_come_back() {
    const NAME: &str = "default_transaction_read_only";
    for way in WAYS {
        let postgres = PgServer::start().await;
        let server = postgres.server(way);
        let args = args(json!({"name": NAME, "value": "off"}));
        let early = reset().preview(&server, &args).await.expect_err("nothing is wrong yet");
        assert!(early.to_string().contains("off already"), "{early}");
        alter(&postgres, NAME, "on").await;

        let preview = reset().preview(&server, &args).await.expect("preview");
        assert_eq!((preview.scope["old"].as_str(), preview.scope["new"].as_str()), ("on", "off"));
        assert!(preview.notes.iter().any(|note| note.contains("that line goes")), "{preview:?}");
        let saved = carry_out(reset(), &server, &args).await;
        verified(reset(), &server, &args, &saved).await;
        assert_eq!(line(&postgres, NAME).await, None, "{way:?}: it came from nothing");

        let told = reset().undo(&server, &args, &saved).await.expect("undo");
        assert!(told.contains("again"), "{told}");
        assert_eq!(line(&postgres, NAME).await.as_deref(), Some("on"), "{way:?}");
        assert!(reset().undo(&server, &args, &saved).await.expect("twice").contains("already"));
        alter(&postgres, NAME, "off").await;
        let kept = reset().undo(&server, &args, &saved).await.expect_err("somebody else's line");
        assert!(kept.to_string().contains("somebody else"), "{kept}");
    }
}

#[tokio::test]
async fn a_value_that_stood_there_before_is_written_again_under_the_harshest_timeout() {
    for way in WAYS {
        let postgres = PgServer::start().await;
        alter(&postgres, "statement_timeout", "1ms").await;
        let server = postgres.server(way);
        let args = args(json!({"name": "statement_timeout", "value": "30000ms"}));
        let saved = carry_out(reset(), &server, &args).await;
        verified(reset(), &server, &args, &saved).await;
        assert_eq!(
            line(&postgres, "statement_timeout").await.as_deref(),
            Some("30000ms"),
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn what_would_not_reach_the_application_is_refused() {
    const NAME: &str = "default_transaction_read_only";
    let postgres = PgServer::start().await;
    alter(&postgres, NAME, "on").await;
    let server = postgres.server(Way::Direct);
    let wanted = json!({"name": NAME, "value": "off"});
    let client = admin(&postgres).await;
    for statement in [
        "set default_transaction_read_only = off",
        "alter role app set default_transaction_read_only = on",
    ] {
        client.batch_execute(statement).await.expect(statement);
    }
    let refused = refusal(reset(), &server, wanted.clone()).await;
    assert!(refused.contains("is set for role app"), "{refused}");
    client.batch_execute("alter role app reset all").await.expect("reset");

    let conf = postgres.data().join("postgresql.conf");
    let text = std::fs::read_to_string(&conf).expect("its configuration");
    std::fs::write(&conf, format!("{text}\nwork_mem = much\n")).expect("a typing error");
    let refused = refusal(reset(), &server, wanted.clone()).await;
    assert!(refused.contains("have 1 error"), "{refused}");
    std::fs::write(&conf, text).expect("mended");
    reset().preview(&server, &self::args(wanted)).await.expect("nothing is in the way");

    let command = json!({"name": "archive_command", "value": "cp %p /elsewhere"});
    let refused = refusal(reset(), &server, command).await;
    assert!(refused.contains("stands in no file"), "{refused}");
}

#[tokio::test]
async fn waiting_commits_go_on_when_nobody_has_to_confirm_them() {
    const NAME: &str = "synchronous_standby_names";
    let postgres = PgServer::start().await;
    let server = postgres.server(Way::Direct);
    alter(&postgres, NAME, "ghost").await;
    let client = postgres.client("app", "shop").await;
    let commit = client.batch_execute("select pg_logical_emit_message(true, 'x', '')");
    let args = args(json!({"name": NAME, "value": ""}));
    let fix = async {
        let saved = carry_out(reset(), &server, &args).await;
        verified(reset(), &server, &args, &saved).await;
        assert_eq!(failing(&reset().verify(&server, &args, &saved).await), [""; 0]);
    };
    let (committed, ()) = tokio::join!(commit, fix);
    committed.expect("it was only waiting");
}
