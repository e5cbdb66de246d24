//! Index advice out of the workload, in the right order of columns; fresh statistics.

use serde_json::json;
use simctl::database::indexes::{
    IndexesRequest, SuggestResponse, analyze, analyze_change, suggest,
};
use uuid::Uuid;

use super::bench::{configured, failure, one, postgres, run, session, superuser, workbench};
use crate::faults::bench::Bench;

const MADE: &str = "create extension pg_stat_statements; \
    create table orders (id int primary key, customer int, status int, created int, filler text); \
    insert into orders select g, g % 5000, g % 4, g, repeat('x', 80) from generate_series(1, 100000) g; \
    alter table orders owner to app; analyze orders";

async fn bench() -> Bench {
    let bench = postgres(&["shared_preload_libraries=pg_stat_statements"]);
    run(&superuser(&bench).await, MADE).await;
    bench
}

fn request(table: &str) -> IndexesRequest {
    IndexesRequest { table: table.into(), database: None }
}

async fn suggested(bench: &Bench) -> SuggestResponse {
    suggest(&workbench(bench), &request("orders")).await.expect("suggestions")
}

/// What an application asks.
async fn workload(bench: &Bench) {
    let app = session(bench, "app", "app").await;
    for n in 0..30 {
        run(
            &app,
            &format!(
                "select filler from orders where customer = {n} and created > {n} and status = 1"
            ),
        )
        .await;
        run(&app, &format!("select id from orders where customer = {n}")).await;
        let odd = "select filler from orders where status = 2 and now() - interval '1 day' > now()";
        run(&app, odd).await;
    }
}

#[tokio::test]
async fn the_workload_decides_on_columns_and_their_order() {
    let bench = bench().await;
    let nothing = suggested(&bench).await;
    assert!(nothing.suggestions.is_empty() && nothing.statements == 0 && !nothing.notes.is_empty());
    workload(&bench).await;
    let response = suggested(&bench).await;
    assert_eq!((response.table.as_str(), response.statements), ("public.orders", 3));
    let first = &response.suggestions[0];
    assert_eq!(
        (first.column.as_str(), first.kind.as_str()),
        ("customer", "btree"),
        "{response:#?}"
    );
    assert!(!first.columns.contains(&"filler".to_owned()));
    if let Some(range) = first.columns.iter().position(|column| column == "created") {
        assert_eq!(range, first.columns.len() - 1, "a range comes last");
    }
    let boss = superuser(&bench).await;
    let there =
        one(&boss, "select count(*) > 0 from pg_available_extensions where name = 'hypopg'").await;
    if there != "true" {
        assert!(response.suggestions.iter().all(|one| !one.proven && one.gain.is_none()));
        assert!(response.notes.iter().any(|note| note.contains("hypopg")), "{:?}", response.notes);
    }
    run(&boss, &first.ddl.replace(" CONCURRENTLY", "")).await;
    run(&boss, "analyze orders").await;
    let again = suggested(&bench).await;
    assert!(again.suggestions.iter().all(|one| one.columns != first.columns), "it is there now");
    assert_eq!(one(&boss, "select count(*) from pg_indexes where tablename = 'orders'").await, "2");
}

#[tokio::test]
async fn where_hypopg_is_the_planner_proves_each_index() {
    let bench = bench().await;
    let boss = superuser(&bench).await;
    if one(&boss, "select count(*) > 0 from pg_available_extensions where name = 'hypopg'").await
        != "true"
    {
        return;
    }
    run(&boss, "create extension hypopg").await;
    workload(&bench).await;
    let response = suggested(&bench).await;
    let first = response.suggestions.first().expect("one is worth it");
    assert!(first.proven && first.gain > Some(50.0) && first.size > Some(0), "{response:#?}");
    assert_eq!(first.column, "customer");
    assert_eq!(
        one(&boss, "select count(*) from pg_indexes where tablename = 'orders'").await,
        "1",
        "only in one mind"
    );
}

#[tokio::test]
async fn statistics_are_made_anew_with_a_permit_and_a_proof() {
    let bench = bench().await;
    let (desk, records) = configured(&bench, &Default::default());
    let wanted = request("orders");
    assert_eq!(failure(analyze(&desk, &wanted, None).await).code.as_str(), "approval_required");
    let change = analyze_change(&desk, &wanted).await.expect("a change");
    assert_eq!(change.statements, ["ANALYZE public.orders"]);
    let permit = change.permit(Uuid::from_u128(3), "tester", "in a test");
    let response = analyze(&desk, &wanted, Some(&permit)).await.expect("analysed");
    assert!(response.last_analyze_after > response.last_analyze_before, "{response:?}");
    assert_eq!(response.rows_estimate, Some(100_000.0));
    assert_eq!(records.lock().unwrap().len(), 2);
    assert_eq!(
        failure(analyze(&desk, &request("nowhere"), Some(&permit)).await).code.as_str(),
        "invalid"
    );
    let _ = json!(response);
}
