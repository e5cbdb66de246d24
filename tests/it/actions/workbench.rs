//! What a person asks for from the database screen, on real servers: indexes built, rebuilt and dropped beside their
//! users, tables analyzed and tuned, settings changed, sessions ended.

use serde_json::json;
use tokio_postgres::Client;

use super::harness::PgServer;
use super::{WAYS, action, args, carry_out, failing, refusal, run, until, verified};

/// Names that only survive in quotes.
const SCHEMA: &str = "Größe 漢字";
const TABLE: &str = "T \"x\"; drop table y --";

async fn bench(postgres: &PgServer) -> Client {
    let hands = postgres.client("postgres", "hands").await;
    hands
        .batch_execute(
            "create schema \"Größe 漢字\";
             create table \"Größe 漢字\".\"T \"\"x\"\"; drop table y --\" (id int, \"B c\" int, d text);
             insert into \"Größe 漢字\".\"T \"\"x\"\"; drop table y --\"
               select n, n % 10, repeat('x', 50) from generate_series(1, 20000) as n",
        )
        .await
        .expect("a table");
    hands
}

async fn indexes(hands: &Client) -> Vec<String> {
    let sql = "select c.relname || case when i.indisvalid then '' else ' (invalid)' end
        from pg_index i join pg_class c on c.oid = i.indexrelid
        join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 order by 1";
    let rows = hands.query(sql, &[&SCHEMA]).await.expect("a list");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn an_index_is_built_rebuilt_and_dropped_beside_its_users_and_comes_back() {
    for way in WAYS {
        let postgres = PgServer::start().await;
        let hands = bench(&postgres).await;
        let server = postgres.server(way);
        let (create, reindex, drop) =
            (action("create_index"), action("reindex_index"), action("drop_index"));
        let wanted =
            json!({"schema": SCHEMA, "table": TABLE, "columns": ["B c", "id"], "name": "I \"1\""});
        let build = args(wanted.clone());
        let saved = carry_out(create, &server, &build).await;
        verified(create, &server, &build, &saved).await;
        assert_eq!(indexes(&hands).await, ["I \"1\""]);
        let refused = refusal(create, &server, wanted).await;
        assert!(refused.contains("begins with these columns"), "{refused}");
        let none = json!({"schema": SCHEMA, "table": TABLE, "columns": ["nope"]});
        assert!(refusal(create, &server, none).await.contains("has no column nope"));

        let named = args(json!({"schema": SCHEMA, "index": "I \"1\""}));
        let saved_file = carry_out(reindex, &server, &named).await;
        verified(reindex, &server, &named, &saved_file).await;

        hands
            .batch_execute("comment on index \"Größe 漢字\".\"I \"\"1\"\"\" is 'it''s ours'")
            .await
            .expect("a comment");
        let dropped = carry_out(drop, &server, &named).await;
        verified(drop, &server, &named, &dropped).await;
        assert!(indexes(&hands).await.is_empty());
        let said = drop.undo(&server, &named, &dropped).await.expect("it is built again");
        assert!(said.contains("is built again"), "{said}");
        assert_eq!(indexes(&hands).await, ["I \"1\""]);
        let sql =
            "select obj_description(c.oid, 'pg_class') from pg_class c where relname = 'I \"1\"'";
        let comment: String = hands.query_one(sql, &[]).await.expect("it").get(0);
        assert_eq!(comment, "it's ours");
        let again = drop.undo(&server, &named, &dropped).await.expect("twice");
        assert!(again.contains("is there"), "{again}");

        create.undo(&server, &build, &saved).await.expect("the build is taken back");
        assert!(indexes(&hands).await.is_empty());
    }
}

#[tokio::test]
async fn an_index_with_a_duty_or_a_use_stays() {
    let postgres = PgServer::start().await;
    let hands = bench(&postgres).await;
    let server = postgres.server(WAYS[0]);
    hands
        .batch_execute(
            "create table u (id int primary key, a int unique, b int);
             insert into u select n, n, n from generate_series(1, 20000) as n;
             create index used on u (b); create index kept on u (b, id); analyze u;
             set enable_seqscan = off; select count(*) from u where b = 7;
             create table v (b int); create index scanned on v (b); insert into v values (1);
             select count(*) from v where b = 1",
        )
        .await
        .expect("indexes");
    let drop = action("drop_index");
    let name = |index: &str| json!({"schema": "public", "index": index});
    for index in ["u_pkey", "u_a_key"] {
        assert!(
            refusal(drop, &server, name(index)).await.contains("keeps values unique"),
            "{index}"
        );
    }
    assert!(refusal(drop, &server, name("none")).await.contains("there is no index"));
    until("the scan is counted", async || {
        let scans = "select idx_scan from pg_stat_user_indexes where indexrelname = 'scanned'";
        hands.query_one(scans, &[]).await.expect("a count").get::<_, i64>(0) > 0
    })
    .await;
    assert!(refusal(drop, &server, name("scanned")).await.contains("was scanned"));
    // The other one begins with its columns, so it may go however much it is used.
    let preview = drop.preview(&server, &args(name("used"))).await.expect("superfluous");
    assert!(preview.notes.iter().any(|note| note.contains("kept begins with")), "{preview:?}");
}

#[tokio::test]
async fn a_build_that_fails_leaves_nothing_behind() {
    let postgres = PgServer::start().await;
    let hands = bench(&postgres).await;
    let server = postgres.server(WAYS[0]);
    // A transaction that still sees the table keeps a concurrent build waiting; it is younger than a minute.
    let reader = postgres.client("postgres", "reader").await;
    reader
        .batch_execute("begin isolation level repeatable read; select count(*) from pg_class; lock table \"Größe 漢字\".\"T \"\"x\"\"; drop table y --\" in row exclusive mode")
        .await
        .expect("a transaction");
    let create = action("create_index");
    let build = args(json!({"schema": SCHEMA, "table": TABLE, "columns": ["d"], "name": "left"}));
    let building = run(create, &server, &build);
    let cancelling = async {
        let sql = "select count(pg_cancel_backend(pid)) from pg_stat_activity
            where query like 'CREATE INDEX%' and wait_event_type = 'Lock'";
        until("the build waits", async || {
            hands.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0) > 0
        })
        .await;
        reader.batch_execute("commit").await.expect("the end");
    };
    let ((output, lines), ()) = futures::join!(building, cancelling);
    let output = output.expect("it ran");
    assert_ne!(output.exit_code, Some(0), "{output:?}");
    assert!(output.stderr.contains("what it left is dropped: left"), "{output:?} {lines:?}");
    assert!(indexes(&hands).await.is_empty());
    let checks = create.verify(&server, &build, &Default::default()).await;
    assert_eq!(failing(&checks), ["the index is valid"]);
}

#[tokio::test]
async fn a_table_is_analyzed_and_tuned_and_put_back() {
    for way in WAYS {
        let postgres = PgServer::start().await;
        let hands = bench(&postgres).await;
        let server = postgres.server(way);
        let analyze = action("analyze_table");
        let table = args(json!({"schema": SCHEMA, "table": TABLE}));
        let saved = carry_out(analyze, &server, &table).await;
        verified(analyze, &server, &table, &saved).await;

        let tune = action("tune_autovacuum");
        let option = "autovacuum_vacuum_scale_factor";
        let wanted =
            args(json!({"schema": SCHEMA, "table": TABLE, "option": option, "value": "0.02"}));
        let saved = carry_out(tune, &server, &wanted).await;
        verified(tune, &server, &wanted, &saved).await;
        let options = "select coalesce(array_to_string(reloptions, ','), '') from pg_class where relname like 'T %'";
        let read = async || hands.query_one(options, &[]).await.expect("it").get::<_, String>(0);
        assert_eq!(read().await, "autovacuum_vacuum_scale_factor=0.02");
        tune.undo(&server, &wanted, &saved).await.expect("it is put back");
        assert_eq!(read().await, "");
    }
}

#[tokio::test]
async fn a_setting_is_changed_and_its_line_put_back() {
    for way in WAYS {
        let postgres = PgServer::start().await;
        let server = postgres.server(way);
        let set = action("set_pg_setting");
        let wanted = args(json!({"name": "work_mem", "value": "12MB"}));
        let saved = carry_out(set, &server, &wanted).await;
        verified(set, &server, &wanted, &saved).await;
        let refused = refusal(set, &server, json!({"name": "work_mem", "value": "12288kB"})).await;
        assert!(refused.contains("already"), "{refused}");
        set.undo(&server, &wanted, &saved).await.expect("it is put back");
        let other = refusal(set, &server, json!({"name": "archive_command", "value": "rm"})).await;
        assert!(other.contains("is none of"), "{other}");
    }
}

#[tokio::test]
async fn one_session_is_ended_and_no_other() {
    let postgres = PgServer::start().await;
    let victim = postgres.client("app", "victim").await;
    let other = postgres.client("app", "other").await;
    let hands = postgres.client("postgres", "hands").await;
    let sql = "select pid, to_json(backend_start)#>>'{}' from pg_stat_activity where application_name = $1";
    let named = async |application: &str| {
        let row = hands.query_one(sql, &[&application]).await.expect("it is there");
        json!({"session": {"pid": row.get::<_, i32>(0), "backend_start": row.get::<_, String>(1)}})
    };
    let server = postgres.server(WAYS[0]);
    let end = action("terminate_query");
    assert!(refusal(end, &server, named("hands").await).await.contains("protected"));
    let wanted = args(named("victim").await);
    let saved = carry_out(end, &server, &wanted).await;
    verified(end, &server, &wanted, &saved).await;
    assert!(victim.simple_query("select 1").await.is_err());
    assert!(other.simple_query("select 1").await.is_ok());
}
