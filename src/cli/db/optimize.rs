//! `db optimize`: how the server would run a statement, and what its plan tells.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::query::{stoppable, text, values};
use super::{How, answer};
use crate::cli::Done;
use crate::cli::context::Context;
use crate::cli::print::{or_dash, table};
use crate::database::optimize::{OptimizeRequest, OptimizeResponse, optimize};

/// Show how a statement would run and what its plan tells
///
/// It is only planned. With --analyze it is run too, where it provably changes nothing: a SELECT without locks, DML
/// or volatile functions, in a READ ONLY transaction with 5 s, rolled back. What is refused is planned, and why is
/// said.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db optimize 'select * from orders where customer = 42'\n  simctl db optimize --queryid -5291841563042375 --json\n  simctl db explain --file slow.sql --analyze"
)]
pub(super) struct Optimize {
    /// The statement, without EXPLAIN [default: standard input]
    sql: Option<String>,
    /// Read the statement from a file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sql", "queryid"])]
    file: Option<PathBuf>,
    /// A statement that the server counted; `simctl pg slow` lists them
    #[arg(long, value_name = "N", conflicts_with = "sql", allow_hyphen_values = true)]
    queryid: Option<i64>,
    /// The value for $1, $2 …; without any it is planned for all values
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    param: Vec<String>,
    /// All values as one JSON array
    #[arg(long, value_name = "JSON", conflicts_with = "param", allow_hyphen_values = true)]
    params: Option<String>,
    /// Run it too, where that provably changes nothing, and measure
    #[arg(long)]
    analyze: bool,
    /// Print the plan too
    #[arg(long)]
    plan: bool,
}

pub(super) async fn run(context: &Context, how: &How, args: &Optimize) -> Done {
    let sql = match args.queryid {
        Some(_) => String::new(),
        None => text(args.sql.as_deref(), args.file.as_deref())?,
    };
    let request = OptimizeRequest {
        sql,
        queryid: args.queryid,
        params: values(args.params.as_deref(), &args.param)?,
        analyze: args.analyze,
        database: how.database.clone(),
    };
    let bench = how.workbench(context).await?;
    let job = Box::pin(optimize(&bench, &request));
    let outcome = stoppable(job, &bench.stop_token()).await?;
    answer(context, &outcome, |response| show(response, args.plan))
}

fn show(response: &OptimizeResponse, plan: bool) -> String {
    let ms = |value: Option<f64>| or_dash(value.map(|ms| format!("{ms:.2} ms")));
    let mut text = format!(
        "planning {}, execution {}{}{}\n",
        ms(response.planning_time_ms),
        ms(response.execution_time_ms),
        if response.generic { ", planned for any values" } else { "" },
        if response.is_slow { ", slow" } else { "" },
    );
    if let Some(why) = &response.analyze_refused {
        let _ = writeln!(text, "it was not run: {why}");
    }
    text.push('\n');
    for node in nodes(&response.plan) {
        let _ = writeln!(text, "{node}");
    }
    if response.advice.is_empty() && response.indexes.is_empty() {
        text.push_str("\nthe plan gives no advice\n");
    }
    if !response.advice.is_empty() {
        let row = |one: &crate::database::optimize::Advice| {
            vec![one.rule.clone(), one.node.clone(), one.evidence.clone(), one.action.clone()]
        };
        let rows: Vec<Vec<String>> = response.advice.iter().map(row).collect();
        let _ = write!(text, "\n{}", table(&["RULE", "NODE", "EVIDENCE", "WHAT MAY HELP"], &rows));
    }
    text.push_str(&super::indexes::suggested(&response.indexes));
    if plan {
        let json = serde_json::to_string_pretty(&response.plan).unwrap_or_default();
        let _ = write!(text, "\n{json}");
    }
    text
}

/// The plan as a tree of lines.
fn nodes(plan: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![(plan.pointer("/0/Plan"), 0_usize)];
    while let Some((node, depth)) = open.pop() {
        let Some(node) = node else { continue };
        lines.push(format!("{}{}", "  ".repeat(depth), line(node)));
        let inner = node["Plans"].as_array().into_iter().flatten();
        open.extend(inner.rev().map(|node| (Some(node), depth + 1)));
    }
    lines
}

fn line(node: &Value) -> String {
    let word = |name: &str| node[name].as_str();
    let number = |name: &str| node[name].as_f64();
    let mut text = word("Node Type").unwrap_or("?").to_owned();
    for (before, name) in [(" using ", "Index Name"), (" on ", "Relation Name")] {
        if let Some(named) = word(name) {
            text.push_str(before);
            text.push_str(named);
        }
    }
    let cost = number("Total Cost").unwrap_or_default();
    let planned = number("Plan Rows").unwrap_or_default();
    let _ = write!(text, "  cost {cost:.0}, rows {planned:.0}");
    if let (Some(rows), Some(ms)) = (number("Actual Rows"), number("Actual Total Time")) {
        let loops = number("Actual Loops").unwrap_or(1.0);
        let _ = write!(text, "; {rows:.0} came, {:.2} ms", ms * loops);
        if loops > 1.0 {
            let _ = write!(text, " in {loops:.0} loops");
        }
    }
    for name in ["Index Cond", "Filter", "Hash Cond", "Join Filter", "Merge Cond"] {
        if let Some(condition) = word(name) {
            let _ = write!(text, "  {}: {condition}", name.to_lowercase());
        }
    }
    text
}
