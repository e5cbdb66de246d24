//! Indexes of a table: which the workload wants, and fresh statistics for the planner.

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Outcome};
use super::optimize::explain::Sandbox;
use super::optimize::plan::Plan;
use super::schema::{find, rows};
use super::statement::Statement;
use super::workbench::{As, Workbench};
use crate::targets::postgres::Session;
use candidates::{Candidate, Wish, candidates, wishes};
use workload::Work;

mod analyze;
mod candidates;
mod prove;
mod workload;

pub use analyze::{AnalyzeResponse, analyze, change_of as analyze_change};

/// Which table.
#[derive(Clone, Debug, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexesRequest {
    pub table: String,
    #[serde(default)]
    pub database: Option<String>,
}

/// What the workload wants.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SuggestResponse {
    pub success: bool,
    pub table: String,
    pub suggestions: Vec<IndexSuggestion>,
    /// Statements of the workload that touch the table and could be planned.
    pub statements: usize,
    /// What limits the answer.
    pub notes: Vec<String>,
}

/// One index worth having.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct IndexSuggestion {
    pub table: String,
    /// The first column.
    pub column: String,
    /// `btree` or `gin`.
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: String,
    pub columns: Vec<String>,
    pub include: Vec<String>,
    #[serde(rename = "where")]
    pub condition: Option<String>,
    pub ddl: String,
    /// How much less the workload costs, in per cent; known when it was proven.
    pub gain: Option<f64>,
    /// What keeping it costs, in the planner's units, for the same workload.
    pub write_cost: Option<f64>,
    /// Bytes, as the planner expects them.
    pub size: Option<i64>,
    /// The planner was shown it and took it.
    pub proven: bool,
}

/// What is known of a table besides the workload.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Facts {
    pub(super) rows: f64,
    /// Index entries that were written for each index.
    pub(super) writes: f64,
    /// Updates that left the indexes alone.
    pub(super) hot_updates: f64,
    /// The key columns of each index there is.
    #[serde(default)]
    pub(super) indexes: Vec<Vec<String>>,
    #[serde(default)]
    pub(super) columns: Vec<String>,
}

/// Suggests indexes for a table out of what is really asked.
pub async fn suggest(bench: &Workbench, request: &IndexesRequest) -> Outcome<SuggestResponse> {
    let database = request.database.as_deref();
    let monitor = bench.connect(As::Monitor, database, Session::Inspect, "indexes").await?;
    let found = async {
        let table = find(&monitor, &request.table).await?;
        let facts = facts(&monitor, &table.oid).await?;
        let works = workload::of_table(&monitor, &table.name).await?;
        Outcome::Ok((table.name, facts, works))
    };
    let found = found.await;
    monitor.close().await;
    let (table, facts, works) = found?;
    advised(bench, database, &table, &facts, works).await
}

async fn facts(monitor: &crate::targets::postgres::PgConnection, table: &str) -> Outcome<Facts> {
    const FACTS: &str = include_str!("../sql/20_index_facts.sql");
    let mut facts: Vec<Facts> = rows(monitor, FACTS, table).await?;
    facts
        .pop()
        .ok_or_else(|| Failure::invalid(format!("{table} is not there any more"), "ask again"))
}

async fn advised(
    bench: &Workbench,
    database: Option<&str>,
    table: &str,
    facts: &Facts,
    works: Vec<Work>,
) -> Outcome<SuggestResponse> {
    let sandbox = Sandbox::open(bench, database).await?;
    let planned = prove::plans(&sandbox, works).await;
    let (planned, mut notes) = planned?;
    let wishes: Vec<Wish> =
        planned.iter().flat_map(|one| wishes(&one.plan, table, one.work.calls)).collect();
    let updated: Vec<String> =
        planned.iter().flat_map(|one| candidates::updated(&one.work.statement)).collect();
    let found = candidates(&wishes, facts, &updated);
    let proven = prove::proven(&sandbox, table, facts, &planned, &found).await;
    sandbox.close().await;
    let suggestions = match proven {
        Some(proven) => proven,
        None if found.is_empty() => Vec::new(),
        None => {
            notes.push("not proven: hypopg is not installed in this database; CREATE EXTENSION hypopg proves the next answer".into());
            found.iter().take(3).map(|one| unproven(table, one)).collect()
        }
    };
    if planned.is_empty() {
        notes.push(
            "no statement that touches it was counted; `simctl pg slow` tells how to count them"
                .into(),
        );
    }
    let statements = planned.len();
    Ok(SuggestResponse { success: true, table: table.to_owned(), suggestions, statements, notes })
}

/// Indexes for one statement, for whoever looks at its plan.
pub(super) async fn for_plan(
    bench: &Workbench,
    database: Option<&str>,
    statement: &Statement,
    plan: &Plan,
) -> Vec<IndexSuggestion> {
    let mut found = Vec::new();
    let nodes = plan.root.all();
    let mut tables: Vec<String> = nodes
        .iter()
        .filter(|node| candidates::is_wishing(node))
        .filter_map(|node| {
            Some(candidates::full_name(node.schema.as_deref()?, node.relation.as_deref()?))
        })
        .collect();
    tables.sort();
    tables.dedup();
    for table in tables.iter().take(4) {
        let Ok(monitor) = bench.connect(As::Monitor, database, Session::Inspect, "indexes").await
        else {
            return found;
        };
        let facts = match find(&monitor, table).await {
            Ok(found) => facts(&monitor, &found.oid).await,
            Err(failure) => Err(failure),
        };
        monitor.close().await;
        let Ok(facts) = facts else { continue };
        let works = vec![Work { statement: statement.clone(), calls: 1.0 }];
        if let Ok(advised) = advised(bench, database, table, &facts, works).await {
            found.extend(advised.suggestions);
        }
    }
    found
}

fn unproven(table: &str, candidate: &Candidate) -> IndexSuggestion {
    suggestion(table, candidate, None, None, None)
}

fn suggestion(
    table: &str,
    candidate: &Candidate,
    gain: Option<f64>,
    write_cost: Option<f64>,
    size: Option<i64>,
) -> IndexSuggestion {
    IndexSuggestion {
        table: table.to_owned(),
        column: candidate.columns.first().cloned().unwrap_or_default(),
        kind: candidate.method.to_owned(),
        reason: candidate.reason.clone(),
        columns: candidate.columns.clone(),
        include: candidate.include.clone(),
        condition: candidate.condition.clone(),
        ddl: format!("{};", candidate.ddl(table, "CREATE INDEX CONCURRENTLY")),
        gain,
        write_cost,
        size,
        proven: gain.is_some(),
    }
}
