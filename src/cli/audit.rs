//! `audit`: check the log of events, or write it out.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::context::Context;
use super::{Done, NO};
use crate::ports::store::Store;
use crate::store::audit;

/// Check or export the log of events
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl audit verify\n  simctl audit export > events.jsonl")]
pub(super) struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check every hash, every link and the end of the log; names the first record that was changed
    Verify,
    /// Print every record as one JSON object per line
    Export,
}

pub(super) async fn run(context: &Context, args: &Audit) -> Done {
    let store = context.store().await?;
    match args.what {
        What::Verify => verify(context, &*store).await,
        What::Export => {
            audit::export(&*store, &mut std::io::stdout())
                .await
                .context("write the records out")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn verify(context: &Context, store: &dyn Store) -> Done {
    let anchor = audit::recall(&audit::anchor_dir(&context.config().state_dir, store))?;
    let report = audit::verify(store, anchor.as_ref()).await?;
    match (context.print.json, report.is_ok()) {
        (true, _) => context.print.json(&report)?,
        (false, true) => context.print.line(format_args!("ok: {report}"))?,
        (false, false) => context.print.line(format_args!("BROKEN: {report}"))?,
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { NO })
}
