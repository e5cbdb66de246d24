//! Asking the planner itself: each statement planned as it is, then with indexes that exist only in one session.

use tokio_postgres::types::{ToSql, Type};

use super::candidates::Candidate;
use super::workload::Work;
use super::{Facts, IndexSuggestion, suggestion};
use crate::database::failure::Outcome;
use crate::database::optimize::explain::Sandbox;
use crate::database::optimize::plan::Plan;
use crate::inspect::quoted;

/// Indexes suggested for one table.
const MOST: usize = 3;
/// The whole workload must get cheaper by this.
const WHOLE_GAIN: f64 = 0.10;
/// A statement that takes the index must get cheaper by this.
const WINNER_GAIN: f64 = 0.30;

/// A statement with its plan for any values.
pub(super) struct Planned {
    pub(super) work: Work,
    pub(super) plan: Plan,
}

/// Plans every statement. What cannot be planned is left out and said.
pub(super) async fn plans(
    sandbox: &Sandbox,
    works: Vec<Work>,
) -> Outcome<(Vec<Planned>, Vec<String>)> {
    let (mut planned, mut left_out) = (Vec::new(), 0);
    for work in works {
        match plan(sandbox, &work).await? {
            Some(plan) => planned.push(Planned { work, plan }),
            None => left_out += 1,
        }
    }
    let note = format!("{left_out} statements could not be planned without their values");
    Ok((planned, if left_out > 0 { vec![note] } else { Vec::new() }))
}

/// One plan in a transaction of its own, so that one statement's error is not another's. An error only where the
/// sandbox itself is gone.
async fn plan(sandbox: &Sandbox, work: &Work) -> Outcome<Option<Plan>> {
    sandbox.begin().await?;
    let planned = sandbox.plan(&work.statement, &[]).await;
    let planned = planned.ok().and_then(|(json, _)| Plan::read(&json));
    sandbox.ask(sandbox.connection.batch_execute("ROLLBACK")).await?;
    Ok(planned)
}

/// The candidates that the planner takes and that are worth it; `None`: hypopg is not there.
pub(super) async fn proven(
    sandbox: &Sandbox,
    table: &str,
    facts: &Facts,
    planned: &[Planned],
    candidates: &[Candidate],
) -> Option<Vec<IndexSuggestion>> {
    let hypopg = Hypopg::find(sandbox).await?;
    let mut kept: Vec<IndexSuggestion> = Vec::new();
    let mut costs: Vec<f64> = planned.iter().map(|one| one.plan.root.cost).collect();
    let calls: Vec<f64> = planned.iter().map(|one| one.work.calls).collect();
    while kept.len() < MOST {
        let mut best: Option<(f64, Vec<f64>, IndexSuggestion)> = None;
        for candidate in candidates {
            let prefix = |one: &IndexSuggestion| one.columns.starts_with(&candidate.columns);
            if kept.iter().any(prefix) {
                continue;
            }
            let Some(tried) = hypopg.tried(sandbox, table, candidate, planned).await else {
                continue;
            };
            let write_cost = write_cost(facts, tried.size);
            let Some(gain) = gain(&costs, &tried.costs, &calls, write_cost) else { continue };
            // Of two as good the smaller one.
            let better = best.as_ref().is_none_or(|(other, _, it)| {
                gain > other + 0.001 || (gain > other - 0.001 && Some(tried.size) < it.size)
            });
            if better {
                let percent = Some((gain * 1_000.0).round() / 10.0);
                let found =
                    suggestion(table, candidate, percent, Some(write_cost), Some(tried.size));
                best = Some((gain, tried.costs, found));
            }
        }
        let Some((_, with, found)) = best else { break };
        hypopg.keep(sandbox, &found).await?;
        costs = with;
        kept.push(found);
    }
    Some(kept)
}

/// How much less the whole costs with the index, as a share; `None`: it is not worth it.
fn gain(before: &[f64], with: &[f64], calls: &[f64], write_cost: f64) -> Option<f64> {
    let sum =
        |costs: &[f64]| costs.iter().zip(calls).map(|(cost, calls)| cost * calls).sum::<f64>();
    let (whole, less) = (sum(before), sum(before) - sum(with));
    if whole <= 0.0 || less <= write_cost {
        return None;
    }
    let share = (less - write_cost) / whole;
    let winners = before.iter().zip(with).filter(|(before, with)| with < before);
    let real = winners.clone().count() > 0
        && winners.clone().any(|(before, with)| (before - with) / before >= WINNER_GAIN);
    (share >= WHOLE_GAIN && real).then_some(share)
}

/// In the planner's units: a descent for each entry that is written, dearer the larger the index.
fn write_cost(facts: &Facts, size: i64) -> f64 {
    const COMPARISON: f64 = 0.002_5;
    const PAGE: f64 = 1.0;
    let pages = (size as f64 / 8192.0).max(1.0);
    let comparisons = facts.rows.max(2.0).log2();
    // A page is written once for as many entries as it holds, at best; this is half as good.
    let page_share = 2.0 * pages / facts.rows.max(pages);
    facts.writes * (comparisons * COMPARISON + page_share * PAGE)
}

/// The extension's functions, where they are.
struct Hypopg {
    schema: String,
}

struct Tried {
    costs: Vec<f64>,
    size: i64,
}

impl Hypopg {
    async fn find(sandbox: &Sandbox) -> Option<Self> {
        const ASK: &str = "select n.nspname::text from pg_catalog.pg_extension e \
             join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'hypopg'";
        let row = sandbox.ask(sandbox.connection.query_opt(ASK, &[])).await.ok()??;
        let schema: String = row.try_get(0).ok()?;
        Some(Self { schema: quoted(&schema) })
    }

    /// Makes the index in this session's mind. Returns its number and size.
    async fn make(&self, sandbox: &Sandbox, ddl: &str) -> Option<(u32, i64)> {
        let ask = format!(
            "select h.indexrelid, {schema}.hypopg_relation_size(h.indexrelid)::int8 \
             from {schema}.hypopg_create_index($1) h",
            schema = self.schema
        );
        let rows = sandbox.ask(sandbox.connection.query_typed(&ask, &[(&ddl, Type::TEXT)])).await;
        let rows = rows.ok()?;
        let row = rows.first()?;
        Some((row.try_get(0).ok()?, row.try_get(1).ok()?))
    }

    async fn drop(&self, sandbox: &Sandbox, number: u32) -> Option<()> {
        let ask = format!("select {}.hypopg_drop_index($1)", self.schema);
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&number, Type::OID)];
        let dropped = sandbox.ask(sandbox.connection.query_typed(&ask, &params)).await;
        dropped.ok().map(|_| ())
    }

    /// What the workload costs with it.
    async fn tried(
        &self,
        sandbox: &Sandbox,
        table: &str,
        candidate: &Candidate,
        planned: &[Planned],
    ) -> Option<Tried> {
        let (number, size) = self.make(sandbox, &candidate.ddl(table, "CREATE INDEX")).await?;
        let mut costs = Vec::with_capacity(planned.len());
        for one in planned {
            let plan = plan(sandbox, &one.work).await.ok()?;
            costs.push(plan.map_or(one.plan.root.cost, |plan| plan.root.cost));
        }
        self.drop(sandbox, number).await?;
        Some(Tried { costs, size })
    }

    /// What was decided for stays, so that the next one must be worth it beside this.
    async fn keep(&self, sandbox: &Sandbox, found: &IndexSuggestion) -> Option<()> {
        let ddl = found.ddl.replace("CREATE INDEX CONCURRENTLY", "CREATE INDEX");
        self.make(sandbox, ddl.trim_end_matches(';')).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_must_be_worth_its_keep() {
        let calls = [100.0, 100.0];
        assert_eq!(gain(&[100.0, 100.0], &[10.0, 100.0], &calls, 0.0), Some(0.45));
        assert_eq!(gain(&[100.0, 100.0], &[100.0, 100.0], &calls, 0.0), None);
        assert_eq!(
            gain(&[100.0, 1_000.0], &[10.0, 1_000.0], &calls, 0.0),
            None,
            "8 % of the whole"
        );
        assert_eq!(gain(&[100.0, 100.0], &[75.0, 75.0], &calls, 0.0), None, "nobody gains 30 %");
        assert_eq!(
            gain(&[100.0, 100.0], &[10.0, 100.0], &calls, 9_000.0),
            None,
            "writing eats it up"
        );
    }

    #[test]
    fn keeping_an_index_costs_more_with_writes_and_size() {
        let facts = |writes| Facts { rows: 1e6, writes, ..Facts::default() };
        let small = write_cost(&facts(1e5), 20 << 20);
        assert!(write_cost(&facts(2e5), 20 << 20) > small * 1.9);
        assert!(write_cost(&facts(1e5), 200 << 20) > small);
        assert!(write_cost(&facts(0.0), 20 << 20) < f64::EPSILON);
    }
}
