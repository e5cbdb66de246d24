//! A workbench on a server of the test's own, whose changes are kept in a list.

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use serde_json::{Value, json};
use simctl::config::workbench::WorkbenchConfig;
use simctl::database::jobs::{Deed, Recorder};
use simctl::database::query::{QueryRequest, QueryResponse, query};
use simctl::database::transaction::{TransactionRequest, TransactionResponse, transaction};
use simctl::database::writes::{Change, Permit};
use simctl::database::{Failure, Outcome, Row, Workbench};
use uuid::Uuid;

use crate::faults::bench::Bench;

pub(crate) use crate::inspect::bench::{one, postgres, run, session, superuser, until};

/// What was recorded.
pub(crate) type Records = Arc<Mutex<Vec<Deed>>>;

/// What the workbench does for the role `app` of that server.
pub(crate) fn workbench(bench: &Bench) -> Workbench {
    configured(bench, &WorkbenchConfig::default()).0
}

pub(crate) fn configured(bench: &Bench, settings: &WorkbenchConfig) -> (Workbench, Records) {
    let made = Workbench::new(&bench.server(None), settings, 7).expect("it is a PostgreSQL");
    recording(made)
}

pub(crate) fn recording(bench: Workbench) -> (Workbench, Records) {
    let records = Records::default();
    let kept = Arc::clone(&records);
    let recorder = Recorder::new(move |deed| {
        kept.lock().unwrap().push(deed);
        async { Ok(()) }.boxed()
    });
    (bench.recording(recorder), records)
}

pub(crate) fn asked(sql: &str) -> QueryRequest {
    QueryRequest { sql: sql.into(), ..QueryRequest::default() }
}

/// Reads.
pub(crate) async fn read(bench: &Workbench, sql: &str) -> Outcome<QueryResponse> {
    query(bench, &asked(sql), None).await
}

/// Somebody who saw it agrees.
pub(crate) fn permit(bench: &Workbench, request: &QueryRequest) -> Permit {
    let change = Change::of_query(bench, request).expect("a change");
    change.permit(Uuid::from_u128(1), "tester", "in a test")
}

/// Changes something, agreed to.
pub(crate) async fn write(bench: &Workbench, sql: &str) -> Outcome<QueryResponse> {
    let request = QueryRequest { write: true, ..asked(sql) };
    query(bench, &request, Some(&permit(bench, &request))).await
}

/// Runs a transaction that may change something, agreed to.
pub(crate) async fn write_all(
    bench: &Workbench,
    request: &TransactionRequest,
) -> Outcome<TransactionResponse> {
    let change = Change::of_transaction(bench, request).expect("a change");
    let permit = change.permit(Uuid::from_u128(2), "tester", "in a test");
    transaction(bench, request, Some(&permit)).await
}

/// A request as the API would send it.
#[expect(clippy::needless_pass_by_value, reason = "values are written where they are passed")]
pub(crate) fn transaction_of(sql: &[&str], more: Value) -> TransactionRequest {
    let queries: Vec<Value> = sql.iter().map(|sql| json!({"sql": sql})).collect();
    let mut request = json!({"queries": queries});
    for (key, value) in more.as_object().into_iter().flatten() {
        request[key] = value.clone();
    }
    serde_json::from_value(request).expect("a request")
}

/// Rows as JSON.
pub(crate) fn json_of(rows: &[Row]) -> Value {
    serde_json::to_value(rows).expect("rows are JSON")
}

#[track_caller]
pub(crate) fn code(outcome: &Outcome<QueryResponse>) -> &'static str {
    match outcome {
        Ok(response) => panic!("it worked: {response:#?}"),
        Err(failure) => failure.code.as_str(),
    }
}

#[track_caller]
pub(crate) fn failure<T: std::fmt::Debug>(outcome: Outcome<T>) -> Failure {
    outcome.expect_err("it fails")
}
