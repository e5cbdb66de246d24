//! From the plans of a workload to the columns of an index, in the right order.

#![expect(clippy::needless_pass_by_value, reason = "values are written where they are passed")]

use serde_json::json;

use super::*;

fn plan(node: serde_json::Value) -> Plan {
    Plan::read(&json!([{"Plan": node}]).to_string()).expect("a plan")
}

fn scan(filter: &str) -> serde_json::Value {
    json!({"Node Type": "Seq Scan", "Relation Name": "orders", "Schema": "public", "Alias": "o",
        "Filter": filter, "Output": ["o.id", "o.total"]})
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn facts() -> Facts {
    Facts {
        columns: columns(&["id", "customer", "status", "created", "tags", "Mixed Case", "total"]),
        ..Facts::default()
    }
}

fn first(wishes: &[Wish], facts: &Facts) -> Vec<String> {
    candidates(wishes, facts, &[]).first().map(|one| one.columns.clone()).unwrap_or_default()
}

#[test]
fn conditions_become_wishes_whatever_they_look_like() {
    let text = "((o.status = ($1)::text) AND (o.created >= $2) AND (o.\"Mixed Case\" = 5) \
                AND (o.tags @> $3) AND ((o.note)::text ~~ $4) AND (o.gone IS NULL) \
                AND (x.other = 1) AND (o.label = 'a.b = o.secret'::text))";
    let wish = wishes(&plan(scan(text)), "public.orders", 3.0).remove(0);
    assert_eq!(wish.equal, ["status", "Mixed Case", "label"]);
    assert_eq!((wish.range, wish.contains), (columns(&["created"]), columns(&["tags"])));
    assert_eq!((wish.like, wish.constant), (columns(&["note"]), columns(&["\"gone\" IS NULL"])));
    assert_eq!((wish.output, wish.calls), (columns(&["id", "total"]), 3.0));
}

#[test]
fn joins_and_sorts_above_a_table_are_its_wishes_too() {
    let join = json!({"Node Type": "Sort", "Sort Key": ["o.created DESC"], "Plans": [{
        "Node Type": "Hash Join", "Hash Cond": "(c.id = o.customer)",
        "Plans": [scan("(o.status = $1)"), {"Node Type": "Seq Scan", "Relation Name": "customers",
            "Schema": "public", "Alias": "c"}]}]});
    let wish = wishes(&plan(join), "public.orders", 1.0).remove(0);
    assert_eq!((wish.equal, wish.sort), (columns(&["status", "customer"]), columns(&["created"])));
}

#[test]
fn equality_comes_before_a_range_and_a_range_before_nothing() {
    let wish = Wish {
        equal: columns(&["status"]),
        range: columns(&["created"]),
        calls: 10.0,
        ..Wish::default()
    };
    assert_eq!(first(&[wish], &facts()), ["status", "created"]);
    let only_sorted = Wish { sort: columns(&["created"]), calls: 1.0, ..Wish::default() };
    assert_eq!(first(&[only_sorted], &facts()), ["created"]);
}

#[test]
fn the_column_that_more_statements_compare_goes_first() {
    let both = Wish { equal: columns(&["status", "customer"]), calls: 10.0, ..Wish::default() };
    let one = Wish { equal: columns(&["customer"]), calls: 5.0, ..Wish::default() };
    let found = candidates(&[both, one], &facts(), &[]);
    assert_eq!(found[0].columns, ["customer", "status"]);
    assert!(
        found.iter().any(|one| one.columns == ["status", "customer"]),
        "the other order is tried too"
    );
}

#[test]
fn what_is_there_and_what_breaks_hot_updates_is_not_suggested() {
    let wish = Wish { equal: columns(&["status"]), calls: 1.0, ..Wish::default() };
    let wishes = [wish];
    let there = Facts { indexes: vec![columns(&["status", "created"])], ..facts() };
    assert!(candidates(&wishes, &there, &[]).is_empty());
    let behind = Facts { indexes: vec![columns(&["created", "status"])], ..facts() };
    assert_eq!(candidates(&wishes, &behind, &[]).len(), 1);
    let hot = Facts { hot_updates: 5.0, ..facts() };
    assert!(candidates(&wishes, &hot, &columns(&["status"])).is_empty());
    assert_eq!(candidates(&wishes, &hot, &columns(&["total"])).len(), 1);
}

#[test]
fn an_index_is_written_with_quoted_names() {
    let wish = Wish {
        equal: columns(&["Mixed Case"]),
        constant: columns(&["\"gone\" IS NULL"]),
        contains: columns(&["tags"]),
        ..Wish::default()
    };
    let found = candidates(&[wish], &facts(), &[]);
    let ddl: Vec<String> =
        found.iter().map(|one| one.ddl("public.orders", "CREATE INDEX")).collect();
    assert!(ddl.contains(&"CREATE INDEX ON public.orders (\"Mixed Case\")".to_owned()), "{ddl:?}");
    assert!(ddl.contains(&"CREATE INDEX ON public.orders USING gin (\"tags\")".to_owned()));
    assert!(ddl.contains(
        &"CREATE INDEX ON public.orders (\"Mixed Case\") WHERE \"gone\" IS NULL".to_owned()
    ));
}

#[test]
fn the_columns_that_an_update_sets_are_found() {
    let of = |text: &str| updated(&Statement::one(text).expect("one"));
    assert_eq!(
        of("update t set a = 1, \"B c\" = 'x = y', d = f(e) where g = 1"),
        ["a", "B c", "d"]
    );
    assert!(of("select 1").is_empty());
}

#[test]
fn no_more_than_three_columns_and_no_endless_list() {
    let equal: Vec<String> = (0..9).map(|n| format!("c{n}")).collect();
    let wish = Wish { equal: equal.clone(), range: columns(&["created"]), ..Wish::default() };
    let facts = Facts { columns: [equal, columns(&["created"])].concat(), ..Facts::default() };
    let found = candidates(&[wish], &facts, &[]);
    assert!(!found.is_empty() && found.len() <= MOST);
    assert!(found.iter().all(|one| one.columns.len() <= WIDEST));
}
