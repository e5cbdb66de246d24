//! Answers of the last seconds: what may be kept, and how it is forgotten.

use simctl::config::workbench::WorkbenchConfig;
use simctl::database::Workbench;
use simctl::database::health::stats;
use simctl::database::query::{QueryRequest, query};

use super::bench::{asked, configured, json_of, postgres, run, superuser, write};

fn cached(sql: &str) -> QueryRequest {
    QueryRequest { use_cache: true, ..asked(sql) }
}

async fn from_cache(desk: &Workbench, sql: &str) -> bool {
    query(desk, &cached(sql), None).await.expect(sql).facts.from_cache
}

fn settings() -> WorkbenchConfig {
    WorkbenchConfig {
        caching: true,
        cache_ttl: std::time::Duration::from_secs(60),
        ..WorkbenchConfig::default()
    }
}

const MADE: &str = "create table t (id int primary key, n int); insert into t values (1, 1); alter table t owner to app; \
    create table other (n int); insert into other values (1); alter table other owner to app; \
    create table secret (n int); alter table secret enable row level security; grant select on secret to app; \
    create function wild() returns int language sql volatile as 'select 1'; create sequence s; grant usage on s to app; \
    create view v as select now() as at";

#[tokio::test]
async fn what_we_write_ourselves_is_seen_at_once() {
    let bench = postgres(&[]);
    run(&superuser(&bench).await, MADE).await;
    let (desk, _) = configured(&bench, &settings());
    let sql = "select n from t where id = 1";
    assert!(!from_cache(&desk, sql).await && from_cache(&desk, sql).await);
    assert!(from_cache(&desk, "select  n /* the same */ from t\nwhere id = 1").await);
    assert!(!from_cache(&desk, "select n from t where id = 2").await);
    write(&desk, "update other set n = 2").await.expect("another table");
    assert!(from_cache(&desk, sql).await, "its table was not touched");
    write(&desk, "update t set n = 5 where id = 1").await.expect("its table");
    let fresh = query(&desk, &cached(sql), None).await.expect("rows");
    assert_eq!(
        (fresh.facts.from_cache, json_of(&fresh.rows)),
        (false, serde_json::json!([{"n": 5}]))
    );
    assert!(from_cache(&desk, sql).await);
    write(&desk, "create table more (n int)").await.expect("anything else");
    assert!(!from_cache(&desk, sql).await, "what cannot be told apart forgets all");
    let figures = stats(&desk, 10).statistics;
    assert!(figures.cache_hits >= 4 && figures.cache_misses >= 3, "{figures:?}");

    run(
        &superuser(&bench).await,
        "create function touch() returns trigger language plpgsql as \
        $$ begin update t set n = n + 1; return new; end $$; \
        create trigger touch after update on other for each row execute function touch()",
    )
    .await;
    let (desk, _) = configured(&bench, &settings());
    assert!(!from_cache(&desk, sql).await && from_cache(&desk, sql).await);
    write(&desk, "update other set n = 3").await.expect("with a trigger on it");
    assert!(!from_cache(&desk, sql).await, "a trigger reaches other tables");
}

#[tokio::test]
async fn what_depends_on_more_than_rows_is_never_kept() {
    let bench = postgres(&[]);
    run(&superuser(&bench).await, MADE).await;
    let (desk, _) = configured(&bench, &settings());
    for sql in [
        "select now()",
        "select current_timestamp, n from t",
        "select current_user, n from t",
        "select random(), n from t",
        "select wild(), n from t",
        "select n from secret",
        "select * from pg_class",
        "select relname from pg_catalog.pg_class limit 1",
        "show work_mem",
        "explain select n from t",
    ] {
        for _ in 0..2 {
            assert!(!from_cache(&desk, sql).await, "{sql}");
        }
    }
    for sql in ["select n from t for update", "select nextval('s')"] {
        assert!(query(&desk, &cached(sql), None).await.is_err(), "{sql}");
    }
    let after = QueryRequest { after_lsn: Some("0/1".into()), ..cached("select n from t") };
    for _ in 0..2 {
        assert!(!query(&desk, &after, None).await.expect("rows").facts.from_cache);
    }
    let (off, _) = configured(&bench, &WorkbenchConfig::default());
    for _ in 0..2 {
        assert!(!from_cache(&off, "select n from t").await, "it is off unless it was switched on");
    }
}
