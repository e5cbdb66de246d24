//! `config check` and `config show`: what is in effect, and where each value came from.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Done;
use super::context::Context;

/// Check or show the configuration
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl config check\n  simctl config show --json")]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read and check everything, start nothing; exit code 2 when something is wrong
    Check,
    /// Print every effective value with its source, secrets masked
    Show,
}

pub(super) fn run(context: &Context, args: &ConfigArgs) -> Done {
    let (loaded, print) = (&context.loaded, context.print);
    let file = loaded.file.as_ref().map(|path| path.display().to_string());
    match (&args.what, print.json) {
        // Reading it was the check.
        (What::Check, false) => print.line(match &file {
            Some(file) => format!("{file}: ok"),
            None => "no configuration file; the defaults are ok".to_owned(),
        })?,
        (What::Check, true) => print.json(&json!({ "ok": true, "file": file }))?,
        (What::Show, true) => print.json(&json!({ "file": file, "values": loaded.shown }))?,
        (What::Show, false) => {
            let rows: Vec<_> = loaded
                .shown
                .iter()
                .map(|shown| vec![shown.key.clone(), shown.value.clone(), shown.source.to_string()])
                .collect();
            print.table(&["KEY", "VALUE", "SOURCE"], &rows, "")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
