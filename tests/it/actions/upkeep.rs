//! Letting go of what a PostgreSQL keeps for nobody: only what nobody uses, only as it was looked at.

use serde_json::json;

use super::harness::PgServer;
use super::{WAYS, action, args, carry_out, refusal, verified};

#[tokio::test]
async fn a_slot_goes_only_while_nobody_reads_it() {
    let postgres = PgServer::start().await;
    let hands = postgres.client("postgres", "hands").await;
    let drop = action("drop_replication_slot");
    for way in WAYS {
        let server = postgres.server(way);
        let make = "select pg_create_physical_replication_slot('o''hara', true)";
        assert!(hands.batch_execute(make).await.is_err(), "names of slots are plain");
        let make = "select pg_create_physical_replication_slot('standby_b', true)";
        hands.batch_execute(make).await.expect("a slot");
        let sql =
            "select restart_lsn::text from pg_replication_slots where slot_name = 'standby_b'";
        let position: String = hands.query_one(sql, &[]).await.expect("it is there").get(0);
        for (name, position, why) in [
            ("standby_c", position.as_str(), "is gone"),
            ("standby_b", "0/1", "was read since"),
            ("x' or true --", position.as_str(), "is gone"),
        ] {
            let refused = refusal(drop, &server, json!({"name": name, "position": position})).await;
            assert!(refused.contains(why), "{refused}");
        }
        let args = args(json!({"name": "standby_b", "position": position}));
        let saved = carry_out(drop, &server, &args).await;
        verified(drop, &server, &args, &saved).await;
    }
    let reader = "select pg_create_logical_replication_slot('read', 'test_decoding', true)";
    if hands.batch_execute(reader).await.is_ok() {
        let server = postgres.server(WAYS[0]);
        let refused = refusal(drop, &server, json!({"name": "read", "position": "0/1"})).await;
        assert!(refused.contains("is read by somebody"), "{refused}");
    }
}

#[tokio::test]
async fn only_an_index_that_serves_no_query_goes() {
    let postgres = PgServer::start().await;
    let hands = postgres.client("postgres", "hands").await;
    let drop = action("drop_invalid_index");
    hands.batch_execute("create table t (a int, b int)").await.expect("a table");
    hands.batch_execute("insert into t values (1, 1), (1, 2)").await.expect("rows");
    hands.batch_execute("create index valid on t (b)").await.expect("an index");
    for way in WAYS {
        let build = "create unique index concurrently \"odd \"\" name\" on t (a)";
        assert!(hands.batch_execute(build).await.is_err(), "there are duplicates");
        let server = postgres.server(way);
        for (name, why) in [("valid", "is valid, or"), ("none", "is not there")] {
            let refused = refusal(drop, &server, json!({"schema": "public", "index": name})).await;
            assert!(refused.contains(why), "{refused}");
        }
        let args = args(json!({"schema": "public", "index": "odd \" name"}));
        let preview = drop.preview(&server, &args).await.expect("it is left over");
        assert!(
            preview.notes.iter().any(|note| note.contains("CREATE UNIQUE INDEX")),
            "{preview:?}"
        );
        let saved = carry_out(drop, &server, &args).await;
        verified(drop, &server, &args, &saved).await;
    }
    let left = "select count(*) from pg_index where indrelid = 't'::regclass";
    let left: i64 = hands.query_one(left, &[]).await.expect("a count").get(0);
    assert_eq!(left, 1);
}
