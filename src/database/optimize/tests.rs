//! Each rule on a plan that it is about, and on one a hair below its numbers.

#![expect(clippy::needless_pass_by_value, reason = "values are written where they are passed")]

use serde_json::{Value, json};

use super::plan::Plan;
use super::rules::{Rows, advise};

fn plan(root: Value) -> Plan {
    whole(json!({"Plan": root, "Execution Time": 100.0, "Planning Time": 1.0}))
}

fn whole(plan: Value) -> Plan {
    Plan::read(&json!([plan]).to_string()).expect("a plan")
}

fn told(plan: &Plan) -> Vec<String> {
    told_with(plan, &Rows::new())
}

fn told_with(plan: &Plan, rows: &Rows) -> Vec<String> {
    advise(plan, rows).into_iter().map(|one| format!("{}: {}", one.rule, one.evidence)).collect()
}

/// A node with these figures besides the usual.
fn node(kind: &str, more: Value) -> Value {
    let mut node = json!({
        "Node Type": kind, "Plan Rows": 100, "Actual Rows": 100, "Actual Loops": 1,
        "Actual Total Time": 90.0, "Relation Name": "orders", "Schema": "public",
    });
    let more = more.as_object().expect("an object").clone();
    node.as_object_mut().expect("an object").extend(more);
    node
}

#[test]
fn each_rule_speaks_at_its_numbers_and_not_below() {
    let cases: [(&str, Value, Value); 10] = [
        (
            "estimate: 10 rows planned, 100 came, 10 times off, in 90 % of the time",
            node("Index Scan", json!({"Plan Rows": 10})),
            node("Index Scan", json!({"Plan Rows": 11})),
        ),
        (
            "estimate: 1 rows planned, 5000 came, 5000 times off, in 20 % of the time",
            node(
                "Index Scan",
                json!({"Plan Rows": 0, "Actual Rows": 5000, "Actual Total Time": 20.0}),
            ),
            node(
                "Index Scan",
                json!({"Plan Rows": 0, "Actual Rows": 5000, "Actual Total Time": 19.0}),
            ),
        ),
        (
            "filter: 10000 rows read and dropped, 99.0 % of all read",
            node("Index Scan", json!({"Rows Removed by Filter": 10_000})),
            node("Index Scan", json!({"Rows Removed by Filter": 9_999})),
        ),
        (
            "sequential_scan: 10000 rows read for 100 kept, 1.00 %",
            node("Seq Scan", json!({"Rows Removed by Filter": 9_900, "Filter": "(a = 1)"})),
            node("Seq Scan", json!({"Rows Removed by Filter": 9_800, "Filter": "(a = 1)"})),
        ),
        (
            "sort_spilled: the sort spilled 5120 kB to disk",
            node("Sort", json!({"Sort Space Type": "Disk", "Sort Space Used": 5120})),
            node("Sort", json!({"Sort Space Type": "Memory", "Sort Space Used": 5120})),
        ),
        (
            "hash_spilled: the hash needed 4 batches, about 4096 kB",
            node("Hash", json!({"Hash Batches": 4, "Peak Memory Usage": 1024})),
            node("Hash", json!({"Hash Batches": 1, "Peak Memory Usage": 1024})),
        ),
        (
            "nested_loop: Index Scan on orders ran 10001 times",
            node(
                "Nested Loop",
                json!({"Plans": [node("Seq Scan", json!({})), node("Index Scan", json!({"Actual Loops": 10_001, "Actual Total Time": 0.0})) ]}),
            ),
            node(
                "Nested Loop",
                json!({"Plans": [node("Seq Scan", json!({})), node("Index Scan", json!({"Actual Loops": 10_000, "Actual Total Time": 0.0})) ]}),
            ),
        ),
        (
            "heap_fetches: 1000 of 5000 rows were fetched from the table",
            node(
                "Index Only Scan",
                json!({"Heap Fetches": 1_000, "Actual Rows": 5_000, "Plan Rows": 5_000}),
            ),
            node(
                "Index Only Scan",
                json!({"Heap Fetches": 999, "Actual Rows": 5_000, "Plan Rows": 5_000}),
            ),
        ),
        (
            "lossy_bitmap: 20 of 120 pages were remembered as a whole",
            node("Bitmap Heap Scan", json!({"Lossy Heap Blocks": 20, "Exact Heap Blocks": 100})),
            node("Bitmap Heap Scan", json!({"Lossy Heap Blocks": 0, "Exact Heap Blocks": 100})),
        ),
        (
            "workers: 1 of 2 workers were there",
            node("Gather", json!({"Workers Planned": 2, "Workers Launched": 1})),
            node("Gather", json!({"Workers Planned": 2, "Workers Launched": 2})),
        ),
    ];
    for (says, at, below) in cases {
        assert_eq!(told(&plan(at)), [says]);
        assert!(told(&plan(below.clone())).is_empty(), "{says}: {:?}", told(&plan(below)));
    }
}

#[test]
fn rules_about_the_whole_statement() {
    let quiet = node("Index Scan", json!({}));
    let jit = |ms: f64| {
        whole(json!({"Plan": quiet, "Execution Time": 100.0, "JIT": {"Timing": {"Total": ms}}}))
    };
    assert_eq!(told(&jit(20.0)), ["jit: 20 of 100 ms were spent on compiling"]);
    assert!(told(&jit(19.0)).is_empty());
    let planning =
        |ms: f64| whole(json!({"Plan": quiet, "Execution Time": 100.0, "Planning Time": ms}));
    assert_eq!(told(&planning(101.0)), ["planning: 101.0 ms of planning for 100.0 ms of work"]);
    assert!(told(&planning(100.0)).is_empty());
    let trigger = whole(json!({"Plan": quiet, "Execution Time": 100.0,
        "Triggers": [{"Trigger Name": "fk", "Time": 50.0, "Calls": 9}, {"Trigger Name": "x", "Time": 1.0, "Calls": 9}]}));
    assert_eq!(told(&trigger), ["trigger: trigger fk took 50 of 100 ms in 9 calls"]);
}

#[test]
fn a_plan_that_was_not_run_is_judged_by_what_is_known_of_the_table() {
    let scan = whole(
        json!({"Plan": {"Node Type": "Seq Scan", "Relation Name": "orders", "Schema": "public",
        "Plan Rows": 10, "Filter": "(a = 1)"}}),
    );
    let rows = Rows::from([("public.orders".to_owned(), 10_000.0)]);
    assert_eq!(
        told_with(&scan, &rows),
        ["sequential_scan: 10000 rows expected to be read for 10 kept, 0.10 %"]
    );
    assert!(told(&scan).is_empty(), "nothing is known of the table");
    let few = Rows::from([("public.orders".to_owned(), 9_999.0)]);
    assert!(told_with(&scan, &few).is_empty());
}

#[test]
fn a_sort_that_spilled_gets_what_it_needs_and_a_fifth() {
    let spilled = plan(node("Sort", json!({"Sort Space Type": "Disk", "Sort Space Used": 10_240})));
    let action = advise(&spilled, &Rows::new()).remove(0).action;
    assert_eq!(action, "SET LOCAL work_mem = '12MB' for this statement");
}

#[test]
fn a_plan_of_a_version_to_come_is_no_error() {
    let strange = whole(json!({"Plan": {"Node Type": "Quantum Scan", "New Figure": {"a": [1]}}}));
    assert!(told(&strange).is_empty());
    assert!(Plan::read("[]").is_none() && Plan::read("no plan").is_none());
}
