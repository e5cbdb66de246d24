//! What a plan tells, each rule with its numbers. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::plan::{Node, Plan};

/// A remark about one node, with what it rests on and what may help.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Advice {
    pub rule: String,
    pub node: String,
    /// The numbers.
    pub evidence: String,
    /// What may help: an action's name, a setting, an index.
    pub action: String,
}

/// What is known besides the plan: rows of each table by `schema.name`.
pub(super) type Rows = BTreeMap<String, f64>;

/// Every remark, in the order of the plan.
pub(super) fn advise(plan: &Plan, rows: &Rows) -> Vec<Advice> {
    let whole = plan.execution_ms;
    let mut found: Vec<Advice> = plan
        .root
        .all()
        .into_iter()
        .flat_map(|node| {
            [
                estimate(node, whole),
                filter(node),
                sequential(node, rows),
                sort(node),
                hash(node),
                looped(node),
                heap_fetches(node),
                lossy(node),
                workers(node),
            ]
        })
        .flatten()
        .collect();
    found.extend([jit(plan), planning(plan)].into_iter().flatten());
    found.extend(triggers(plan));
    found
}

fn advice(rule: &str, node: &Node, evidence: String, action: impl Into<String>) -> Option<Advice> {
    Some(Advice { rule: rule.into(), node: node.name(), evidence, action: action.into() })
}

/// Planned and real rows 10 times apart, where a fifth of the time is spent.
fn estimate(node: &Node, whole: Option<f64>) -> Option<Advice> {
    let (actual, whole) = (node.actual_rows?, whole?);
    let share = node.whole_ms()? / whole.max(0.001);
    let (planned, actual) = (node.planned_rows.max(1.0), actual.max(1.0));
    let off = (planned / actual).max(actual / planned);
    if off < 10.0 || share < 0.2 {
        return None;
    }
    let evidence = format!(
        "{planned:.0} rows planned, {actual:.0} came, {off:.0} times off, in {:.0} % of the time",
        share.min(1.0) * 100.0
    );
    let action = match &node.relation {
        Some(table) => format!(
            "analyze_table {table}; if it stays, CREATE STATISTICS over the columns of its conditions"
        ),
        None => "analyze the tables below; if it stays, CREATE STATISTICS over the joined columns"
            .into(),
    };
    advice("estimate", node, evidence, action)
}

/// 90 % and 10,000 rows read for nothing. A sequential scan has a rule of its own.
fn filter(node: &Node) -> Option<Advice> {
    let (kept, removed) = read_and_removed(node)?;
    let share = removed / (kept + removed);
    if removed < 10_000.0 || share < 0.9 || node.kind == "Seq Scan" {
        return None;
    }
    let evidence =
        format!("{removed:.0} rows read and dropped, {:.1} % of all read", share * 100.0);
    advice("filter", node, evidence, index_for(node))
}

/// Rows it kept, and rows it read for nothing, of all loops.
fn read_and_removed(node: &Node) -> Option<(f64, f64)> {
    let loops = node.loops?;
    let removed = node.figure("Rows Removed by Filter").unwrap_or(0.0)
        + node.figure("Rows Removed by Index Recheck").unwrap_or(0.0);
    Some((node.actual_rows? * loops, removed * loops))
}

fn index_for(node: &Node) -> String {
    let condition = node.text("Filter").unwrap_or("its condition");
    let table = node.relation.as_deref().unwrap_or("the table");
    format!(
        "create_index on {table} for {condition}; `simctl db indexes suggest {table}` finds the columns"
    )
}

/// A whole table read for less than a twentieth of 10,000 rows: measured, or else as it is planned.
fn sequential(node: &Node, rows: &Rows) -> Option<Advice> {
    if node.kind != "Seq Scan" || node.text("Filter").is_none() {
        return None;
    }
    let (kept, read, how) = match read_and_removed(node) {
        Some((kept, removed)) => (kept, kept + removed, "read"),
        None => {
            let table = format!("{}.{}", node.schema.as_deref()?, node.relation.as_deref()?);
            (node.planned_rows, *rows.get(&table)?, "expected to be read")
        }
    };
    if read < 10_000.0 || kept >= read * 0.05 {
        return None;
    }
    let share = kept / read * 100.0;
    let evidence = format!("{read:.0} rows {how} for {kept:.0} kept, {share:.2} %");
    advice("sequential_scan", node, evidence, index_for(node))
}

fn work_mem(kb: f64) -> String {
    let mb = (kb * 1.2 / 1024.0).ceil().max(1.0);
    format!("SET LOCAL work_mem = '{mb:.0}MB' for this statement")
}

fn sort(node: &Node) -> Option<Advice> {
    if node.text("Sort Space Type")? != "Disk" {
        return None;
    }
    let kb = node.figure("Sort Space Used")?;
    let evidence = format!("the sort spilled {kb:.0} kB to disk");
    advice("sort_spilled", node, evidence, work_mem(kb))
}

fn hash(node: &Node) -> Option<Advice> {
    let join = node.figure("Hash Batches").filter(|batches| *batches > 1.0);
    let aggregate = node.figure("HashAgg Batches").filter(|batches| *batches > 1.0);
    let batches = join.or(aggregate)?;
    let kb = node.figure("Peak Memory Usage").unwrap_or(0.0) * batches
        + node.figure("Disk Usage").unwrap_or(0.0);
    let evidence = format!("the hash needed {batches:.0} batches, about {kb:.0} kB");
    advice("hash_spilled", node, evidence, work_mem(kb))
}

/// The inner side of a nested loop ran more than 10,000 times.
fn looped(node: &Node) -> Option<Advice> {
    if node.kind != "Nested Loop" {
        return None;
    }
    let inner = node.inner.get(1)?;
    let loops = inner.loops?;
    if loops <= 10_000.0 {
        return None;
    }
    let evidence = format!("{} ran {loops:.0} times", inner.name());
    let action =
        "an index for the joined column, or better estimates so that a hash join is chosen";
    advice("nested_loop", node, evidence, action)
}

/// An index-only scan that had to look into the table all the same.
fn heap_fetches(node: &Node) -> Option<Advice> {
    let fetches = node.figure("Heap Fetches")?;
    let rows = node.actual_rows? * node.loops.unwrap_or(1.0);
    if fetches < 1_000.0 || fetches < rows * 0.1 {
        return None;
    }
    let table = node.relation.as_deref().unwrap_or("the table");
    let evidence = format!("{fetches:.0} of {rows:.0} rows were fetched from the table");
    advice("heap_fetches", node, evidence, format!("vacuum_table {table}"))
}

fn lossy(node: &Node) -> Option<Advice> {
    let (lossy, exact) =
        (node.figure("Lossy Heap Blocks")?, node.figure("Exact Heap Blocks").unwrap_or(0.0));
    if lossy <= 0.0 {
        return None;
    }
    let evidence = format!("{lossy:.0} of {:.0} pages were remembered as a whole", lossy + exact);
    // A page takes about 100 bytes in the bitmap.
    advice("lossy_bitmap", node, evidence, work_mem((lossy + exact) * 100.0 / 1024.0))
}

fn workers(node: &Node) -> Option<Advice> {
    let (planned, launched) = (node.figure("Workers Planned")?, node.figure("Workers Launched")?);
    if launched >= planned {
        return None;
    }
    let evidence = format!("{launched:.0} of {planned:.0} workers were there");
    let action = "max_parallel_workers, or fewer parallel statements at a time";
    advice("workers", node, evidence, action)
}

fn whole(rule: &str, evidence: String, action: &str) -> Option<Advice> {
    Some(Advice {
        rule: rule.into(),
        node: "whole statement".into(),
        evidence,
        action: action.into(),
    })
}

fn jit(plan: &Plan) -> Option<Advice> {
    let execution = plan.execution_ms?;
    let ms = plan.jit.as_ref()?.pointer("/Timing/Total")?.as_f64()?;
    if ms < execution * 0.2 || ms < 10.0 {
        return None;
    }
    let evidence = format!("{ms:.0} of {execution:.0} ms were spent on compiling");
    whole("jit", evidence, "SET LOCAL jit = off for this statement, or a higher jit_above_cost")
}

fn planning(plan: &Plan) -> Option<Advice> {
    let (planning, execution) = (plan.planning_ms?, plan.execution_ms?);
    if planning <= execution || planning < 10.0 {
        return None;
    }
    let evidence = format!("{planning:.1} ms of planning for {execution:.1} ms of work");
    whole("planning", evidence, "prepare the statement once and run it many times")
}

fn triggers(plan: &Plan) -> Vec<Advice> {
    let execution = plan.execution_ms.unwrap_or(f64::INFINITY);
    let heavy = plan.triggers.iter().filter(|trigger| trigger.ms >= execution * 0.2);
    heavy
        .filter_map(|trigger| {
            let evidence = format!(
                "trigger {} took {:.0} of {execution:.0} ms in {:.0} calls",
                trigger.name, trigger.ms, trigger.calls
            );
            whole(
                "trigger",
                evidence,
                "look into the trigger; one for a foreign key wants an index on its column",
            )
        })
        .collect()
}
