//! `actions`: the closed set of remedies.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::print::Print;
use super::{Done, parse};
use crate::actions::{ALL, Descriptor, find};

/// List the actions simctl can propose, or explain one
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl actions\n  simctl actions unlink_keys")]
pub(super) struct Actions {
    /// Explain this one
    #[arg(value_name = "ACTION")]
    name: Option<String>,
}

pub(super) fn list(print: &Print, args: &Actions) -> Done {
    match &args.name {
        Some(name) => explain(*print, name)?,
        None if print.json => print.json(&all().map(view).collect::<Vec<_>>())?,
        None => {
            let rows: Vec<_> = all()
                .map(|d| {
                    let title = d.title.to_owned();
                    vec![d.id.into(), engine(d).into(), d.risk.as_str().into(), title]
                })
                .collect();
            print.table(&["ACTION", "ENGINE", "RISK", "WHAT IT DOES"], &rows, "there is none")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn all() -> impl Iterator<Item = &'static Descriptor> {
    ALL.iter().map(|action| action.descriptor())
}

fn engine(d: &Descriptor) -> &'static str {
    d.engine.map_or("any", crate::domain::target::Engine::as_str)
}

fn explain(print: Print, name: &str) -> anyhow::Result<()> {
    let names = || all().flat_map(|d| d.aliases.iter().copied().chain([d.id]));
    let action =
        find(name).ok_or_else(|| parse::unknown("action", name, names(), "simctl actions"))?;
    let d = action.descriptor();
    if print.json {
        return print.json(&view(d));
    }
    print.line(format_args!("{}: {}\n{}", d.id, d.title, d.about))?;
    print.line(format_args!("engine {}, {} risk", engine(d), d.risk))?;
    if d.needs_runtime {
        print.line("needs access to the container or process of the server")?;
    }
    if !d.aliases.is_empty() {
        print.line(format_args!("also called {}", d.aliases.join(", ")))?;
    }
    for arg in d.args {
        let (name, form) = (arg.name, arg.form.word());
        let whether = if arg.required { "" } else { " (may be left out)" };
        print.line(format_args!("--arg {name}={form}: {}{whether}", arg.about))?;
    }
    print.line(format_args!("verified by: {}", d.verify))
}

fn view(d: &Descriptor) -> Value {
    let args: Vec<_> = d
        .args
        .iter()
        .map(|arg| {
            json!({
                "name": arg.name, "about": arg.about, "required": arg.required,
                "form": arg.form.word(), "schema": arg.form.schema(),
            })
        })
        .collect();
    json!({
        "id": d.id,
        "aliases": d.aliases,
        "engine": d.engine,
        "needs_runtime": d.needs_runtime,
        "risk": d.risk,
        "title": d.title,
        "about": d.about,
        "args": args,
        "verify": d.verify,
    })
}
