//! `db indexes`: which indexes a table wants, and fresh statistics for it.

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use super::agree::{Agreed, agreed};
use super::query::stoppable;
use super::{How, answer, failed};
use crate::cli::context::Context;
use crate::cli::print::{or_dash, table};
use crate::cli::{Done, NO};
use crate::database::indexes::{
    AnalyzeResponse, IndexSuggestion, IndexesRequest, SuggestResponse, analyze, analyze_change,
    suggest,
};

/// Find the indexes a table wants; give its planner fresh statistics
///
/// Suggestions come from the statements that the server counted (pg_stat_statements), their plans and, where hypopg
/// is installed, from the planner's own verdict on each index; otherwise they are marked as not proven.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl db indexes suggest public.orders\n  simctl db indexes analyze orders --yes",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Indexes {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Suggest indexes out of the workload; creates nothing
    Suggest {
        /// The table as SQL writes it
        table: String,
    },
    /// Have the server look at the table again (ANALYZE)
    Analyze {
        /// The table as SQL writes it
        table: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(context: &Context, how: &How, args: &Indexes) -> Done {
    let request =
        |table: &str| IndexesRequest { table: table.to_owned(), database: how.database.clone() };
    match &args.what {
        What::Suggest { table } => {
            let bench = how.workbench(context).await?;
            let request = request(table);
            let job = Box::pin(suggest(&bench, &request));
            let outcome = stoppable(job, &bench.stop_token()).await?;
            answer(context, &outcome, show)
        }
        What::Analyze { table, yes } => fresh(context, how, &request(table), *yes).await,
    }
}

async fn fresh(context: &Context, how: &How, request: &IndexesRequest, yes: bool) -> Done {
    let bench = how.recording(context).await?;
    let change = match analyze_change(&bench, request).await {
        Ok(change) => change,
        Err(failure) => return failed(context, &failure),
    };
    let permit = match agreed(context, &change, yes)? {
        Agreed::By(permit) => Some(permit),
        Agreed::Nobody => None,
        Agreed::No => {
            context.print.line("nothing was analysed")?;
            return Ok(NO);
        }
    };
    let job = Box::pin(analyze(&bench, request, permit.as_ref()));
    let outcome = stoppable(job, &bench.stop_token()).await?;
    answer(context, &outcome, |response: &AnalyzeResponse| {
        format!(
            "{} analysed: before {}, now {}; about {} rows",
            response.table,
            or_dash(response.last_analyze_before.as_ref()),
            or_dash(response.last_analyze_after.as_ref()),
            or_dash(response.rows_estimate)
        )
    })
}

fn show(response: &SuggestResponse) -> String {
    let mut text = format!(
        "{}: {} statements of the workload touch it\n",
        response.table, response.statements
    );
    for note in &response.notes {
        let _ = writeln!(text, "  {note}");
    }
    if response.suggestions.is_empty() {
        text.push_str("no index is worth it\n");
    }
    text.push_str(&suggested(&response.suggestions));
    text
}

/// Suggestions as a table, with the statements that would make them.
pub(super) fn suggested(all: &[IndexSuggestion]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let row = |one: &IndexSuggestion| {
        vec![
            one.columns.join(", "),
            one.kind.clone(),
            or_dash(one.gain.map(|gain| format!("{gain} %"))),
            or_dash(one.size.map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6))),
            if one.proven { "proven" } else { "not proven" }.to_owned(),
            one.reason.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let mut text = format!("\n{}\n", table(&["COLUMNS", "TYPE", "GAIN", "SIZE", "", "WHY"], &rows));
    for one in all {
        let _ = writeln!(text, "{}", one.ddl);
    }
    text
}
