//! What a person types is data: in every name, value, limit and URL.

use serde_json::json;
use simctl::config::load::at_url;
use simctl::config::secret::Secret;
use simctl::database::Workbench;
use simctl::database::indexes::{IndexesRequest, suggest};
use simctl::database::optimize::{OptimizeRequest, optimize};
use simctl::database::query::{QueryRequest, query};
use simctl::database::schema::{SchemaRequest, schema};
use simctl::targets::own;

use super::bench::{asked, one, postgres, run, superuser, workbench};

const EVIL: [&str; 14] = [
    "t; drop table t",
    "t'; drop table t; --",
    "t\"; drop table t; --",
    "\"; drop table t; --\"",
    "t); drop table t; --",
    "t where 1=1; delete from t",
    "$$; drop table t; $$",
    "\\'; drop table t; --",
    "E'\\'; drop table t; --",
    "t/*",
    "t\0; drop table t",
    "..",
    "-1; drop table t",
    "${IFS}drop",
];

#[tokio::test]
async fn every_parameter_is_data() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (a int); insert into t values (1); alter table t owner to app")
        .await;
    let desk = workbench(&bench);
    for evil in EVIL {
        let named = Some(evil.to_owned());
        let request = QueryRequest { database: named.clone(), ..asked("select 1") };
        assert!(query(&desk, &request, None).await.is_err(), "database {evil:?}");
        let request = QueryRequest { after_lsn: named.clone(), ..asked("select 1") };
        assert!(query(&desk, &request, None).await.is_err(), "after_lsn {evil:?}");
        let request = QueryRequest {
            params: vec![json!(evil)],
            ..asked("select a from t where a::text = $1")
        };
        let answered = query(&desk, &request, None).await;
        assert!(
            answered.is_err() || answered.is_ok_and(|response| response.rows.is_empty()),
            "{evil:?}"
        );
        let request =
            QueryRequest { params: vec![json!(evil)], ..asked("select a from t limit $1") };
        assert!(query(&desk, &request, None).await.is_err(), "limit {evil:?}");
        for database in [None, named.clone()] {
            let request = SchemaRequest { table: evil.into(), database: database.clone() };
            assert!(schema(&desk, &request).await.is_err(), "schema {evil:?}");
            let request = IndexesRequest { table: evil.into(), database };
            assert!(suggest(&desk, &request).await.is_err(), "indexes {evil:?}");
        }
        let request = OptimizeRequest {
            sql: format!("select 1 from {evil}"),
            analyze: true,
            ..OptimizeRequest::default()
        };
        let _ = optimize(&desk, &request).await;
        let request = OptimizeRequest {
            sql: "select a from t where a::text = $1".into(),
            params: vec![json!(evil)],
            analyze: true,
            ..OptimizeRequest::default()
        };
        let _ = optimize(&desk, &request).await;
        let port = bench.port;
        for url in [
            format!("postgres://{evil}@127.0.0.1:{port}/app"),
            format!("postgres://app@127.0.0.1:{port}/{evil}"),
            format!("postgres://app@127.0.0.1:{port}/app?options={evil}"),
            format!("postgres://app@{evil}:{port}/app"),
        ] {
            let Ok(target) = at_url(&Secret::new(url.clone())) else { continue };
            let desk = Workbench::new(&own::server(&target, None), &Default::default(), 1);
            let desk = desk.expect("a PostgreSQL");
            assert!(query(&desk, &asked("select 1"), None).await.is_err(), "{url}");
        }
        assert_eq!(one(&boss, "select count(*) from t").await, "1", "{evil:?}");
    }
}

#[tokio::test]
async fn a_database_and_a_table_of_any_name_are_reached() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    let (database, table) = ("Odd \"db'; --", "public.\"odd \"\"t'; --\"");
    run(&boss, &format!("create database \"{}\"", database.replace('"', "\"\""))).await;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(bench.port).user("postgres").dbname(database);
    let (there, connection) = config.connect(tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    run(&there, &format!("create table {table} (\"Ä '\" int); insert into {table} values (7); grant select on {table} to app")).await;
    let desk = workbench(&bench);
    let request = QueryRequest {
        database: Some(database.into()),
        ..asked(&format!("select \"Ä '\" as v, current_database()::text d from {table}"))
    };
    let response = query(&desk, &request, None).await.expect("a name is a name");
    assert_eq!(super::bench::json_of(&response.rows), json!([{"v": 7, "d": database}]));
    let request = SchemaRequest { table: table.into(), database: Some(database.into()) };
    assert_eq!(
        schema(&desk, &request).await.expect("a name is a name").columns[0].column_name,
        "Ä '"
    );
    let request = IndexesRequest { table: table.into(), database: Some(database.into()) };
    assert_eq!(suggest(&desk, &request).await.expect("a name is a name").table, table);
}
