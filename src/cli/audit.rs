//! `audit`: check the log of events, or write it out.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::Context;
use super::{Done, NO};
use crate::audit::{Auditor, Broken};
use crate::domain::event::{Head, RawEvent};
use crate::ports::store::{Store, StoreError};

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

/// How many records are read at once.
const PAGE: u32 = 1_000;

pub(super) async fn run(context: &Context, args: &Audit) -> Done {
    let store = context.store().await?;
    match args.what {
        What::Verify => verify(context, &*store).await,
        What::Export => export(context, &*store).await,
    }
}

async fn verify(context: &Context, store: &dyn Store) -> Done {
    let found = audit(store).await?;
    let print = context.print;
    match (&found, print.json) {
        (Ok(head), false) => {
            let short = head.hash.get(..12).unwrap_or(&head.hash);
            print.line(format_args!("ok: {} records, the last is {short}", head.seq))?;
        }
        (Ok(head), true) => {
            print.json(&json!({ "ok": true, "records": head.seq, "hash": head.hash }))?;
        }
        (Err(broken), false) => print.line(format_args!("BROKEN at {broken}"))?,
        (Err(broken), true) => print.json(&json!({ "ok": false, "broken": broken }))?,
    }
    Ok(if found.is_ok() { ExitCode::SUCCESS } else { NO })
}

/// Reads to the end, then compares with the remembered end; a running engine may add records in between, so it
/// looks again as long as there are new ones.
async fn audit(store: &dyn Store) -> Result<Result<Head, Broken>, StoreError> {
    let mut auditor = Auditor::default();
    loop {
        let before = auditor.head().seq;
        loop {
            let page = store.events(auditor.head().seq, PAGE).await?;
            if page.is_empty() {
                break;
            }
            if let Err(broken) = page.iter().try_for_each(|raw| auditor.check(raw)) {
                return Ok(Err(broken));
            }
        }
        let remembered = store.remembered_head().await?;
        let more = remembered.as_ref().is_some_and(|head| head.seq > auditor.head().seq);
        if !more || auditor.head().seq == before {
            return Ok(auditor.finish(remembered.as_ref()));
        }
    }
}

async fn export(context: &Context, store: &dyn Store) -> Done {
    let mut after = 0;
    loop {
        let page = store.events(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(ExitCode::SUCCESS) };
        after = last.seq;
        for raw in &page {
            context.print.json_line(&view(raw))?;
        }
    }
}

fn view(raw: &RawEvent) -> Value {
    json!({
        "seq": raw.seq,
        "at": raw.at,
        "kind": raw.kind,
        "incident": raw.incident,
        "target": raw.target,
        "actor": raw.actor,
        "body": raw.body,
        "prev_hash": raw.prev_hash,
        "hash": raw.hash,
    })
}
