//! What a table is made of, under any name, and while somebody holds it.

use simctl::database::Code;
use simctl::database::schema::{Objects, SchemaRequest, SchemaResponse, schema};

use super::bench::{one, postgres, run, superuser, workbench};
use crate::faults::bench::Bench;

async fn asked(bench: &Bench, table: &str) -> Result<SchemaResponse, simctl::database::Failure> {
    let request = SchemaRequest { table: table.into(), database: Some("app".into()) };
    schema(&workbench(bench), &request).await
}

fn kinds(response: &SchemaResponse) -> Vec<String> {
    match &response.objects {
        Objects::Known(objects) => objects.iter().map(|one| one.kind.clone()).collect(),
        Objects::Unknown { why, .. } => panic!("not known: {why}"),
    }
}

#[tokio::test]
async fn everything_about_a_table_is_told_to_a_role_without_a_grant_on_it() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(
        &boss,
        "create table \"Mixed \"\"Case\" (id int generated always as identity primary key, \
           price numeric(10, 2) default 1.5, twice numeric generated always as (price * 2) stored); \
         comment on column \"Mixed \"\"Case\".price is 'net'; \
         create table child (parent int references \"Mixed \"\"Case\"); \
         create schema other; create table other.child (x text not null); \
         analyze",
    )
    .await;
    let response = asked(&bench, "public.\"Mixed \"\"Case\"").await.expect("it is there");
    assert_eq!(response.table, "public.\"Mixed \"\"Case\"");
    let names: Vec<&str> = response.columns.iter().map(|one| one.column_name.as_str()).collect();
    assert_eq!(names, ["id", "price", "twice"]);
    let [id, price, twice] = response.columns.as_slice() else { panic!("three") };
    assert_eq!((id.identity.as_deref(), id.is_nullable.as_str()), (Some("a"), "NO"));
    assert_eq!((price.full_type.as_str(), price.data_type.as_str()), ("numeric(10,2)", "numeric"));
    assert_eq!(
        (price.comment.as_deref(), price.column_default.as_deref()),
        (Some("net"), Some("1.5"))
    );
    assert!(twice.generated.is_some() && twice.column_default.is_none());
    assert_eq!(kinds(&response), ["constraint", "index", "referenced by"]);
    assert!(response.size > Some(0) && response.rows_estimate == Some(0));

    let several = asked(&bench, "child").await.expect_err("there are two");
    assert!(several.message.contains("other.child or public.child"), "{several}");
    assert_eq!(asked(&bench, "other.child").await.expect("one").columns.len(), 1);
    let none = asked(&bench, "Child").await;
    assert!(none.is_err() || none.is_ok_and(|found| found.table.contains("child")));
}

#[tokio::test]
async fn a_hostile_name_is_a_name() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table t (a int)").await;
    for name in [
        "t; drop table t",
        "t'; drop table t; --",
        "\"t\"\"; drop table t; --\"",
        "pg_catalog.pg_class; drop table t",
        "",
        " ",
        ".",
        "a.b.c.d",
        "\"unclosed",
        "t\0",
        "日本語.\u{202e}t",
    ] {
        let failure = asked(&bench, name).await.expect_err(name);
        assert_eq!(failure.code, Code::Invalid, "{name:?}: {failure:?}");
    }
    let request = SchemaRequest { table: "t".into(), database: Some("app'; drop table t".into()) };
    let failure = schema(&workbench(&bench), &request).await.expect_err("no such database");
    assert_eq!(failure.sqlstate.as_deref(), Some("3D000"));
    assert_eq!(one(&boss, "to_regclass('t') is not null").await, "true");
}

#[tokio::test]
async fn columns_are_told_while_somebody_holds_the_table() {
    let bench = postgres(&[]);
    let boss = superuser(&bench).await;
    run(&boss, "create table held (a int primary key)").await;
    run(&boss, "begin; lock table held").await;
    let response = asked(&bench, "public.held").await.expect("columns need no lock");
    assert_eq!((response.columns.len(), response.size), (1, None));
    let Objects::Unknown { why, hint } = response.objects else { panic!("it is held") };
    assert!(why.starts_with("locked: ") && hint.is_some(), "{why}");
}
