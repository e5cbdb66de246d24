//! `faults`, `inject`, `clear`: the ways to break the lab, and the way back.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::context::Context;
use super::print::Print;
use super::{Done, NO, bad_input, parse};
use crate::api::client::Client;
use crate::domain::effect::Command;
use crate::domain::ids::TargetId;
use crate::domain::injection::{Injection, InjectionState};
use crate::faults::{ALL, Descriptor, Fault, Params, find, watchdog};
use crate::targets::Server;

mod catalogue;

/// How often it is looked whether an injection has taken.
const LOOK: Duration = Duration::from_millis(100);

/// List the faults that can be injected into the lab, or explain one
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl faults\n  simctl faults idle-leak")]
pub(super) struct Faults {
    /// Explain this one
    #[arg(value_name = "FAULT")]
    name: Option<String>,
    /// Print the catalogue as a page of Markdown
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

/// Break a lab target on purpose, with an undo and a deadline
///
/// Only the lab can be broken. The fault is undone at its deadline even when simctl was killed. Ends once the fault's own
/// symptom shows, or says why it does not.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl inject leak-oom\n  simctl inject idle-leak --set connections=12 --ttl 60\n  simctl inject container-paused --target redis-test --dry-run"
)]
pub(super) struct Inject {
    /// Which fault; `simctl faults` lists them
    #[arg(value_name = "FAULT")]
    fault: String,
    /// Which lab target, where more than one fits
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Undo it after this at the latest: seconds, or like `2m` [default: inject.ttl, 120s]
    #[arg(long, value_name = "TIME", value_parser = parse::ttl)]
    ttl: Option<Duration>,
    /// Set a parameter of the fault (repeatable)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse::setting)]
    set: Vec<(String, u64)>,
    /// Also where the target is broken already, to see several causes told apart
    #[arg(long)]
    beside: bool,
    /// Print the exact calls and their undo, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Undo injections
///
/// With a running engine: through it. Without: here, from what the injections wrote down in the state directory.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl clear --all\n  simctl clear f-19\n  simctl clear redis-test"
)]
#[group(required = true, multiple = false)]
pub(super) struct Clear {
    /// Undo every injection, newest first
    #[arg(long)]
    all: bool,
    /// Undo this injection (`f-19`), or every one on this target
    #[arg(value_name = "f-N|TARGET")]
    what: Option<String>,
}

pub(super) fn list(print: &Print, args: &Faults) -> Done {
    match &args.name {
        Some(name) => explain(*print, known(name)?.descriptor())?,
        None if args.markdown => print.line(catalogue::page().trim_end())?,
        None if print.json => print.json(&all().map(view).collect::<Vec<_>>())?,
        None => {
            let rows: Vec<_> = all()
                .map(|d| {
                    let finding = d.finding.as_str().to_owned();
                    vec![d.id.into(), engine(d).into(), finding, d.cause.into(), d.title.into()]
                })
                .collect();
            let head = ["FAULT", "ENGINE", "FINDING", "CAUSE", "WHAT IT DOES"];
            print.table(&head, &rows, "there is none")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn all() -> impl Iterator<Item = &'static Descriptor> {
    ALL.iter().map(|fault| fault.descriptor())
}

fn engine(d: &Descriptor) -> &'static str {
    d.engine.map_or("any", crate::domain::target::Engine::as_str)
}

/// The fault of that name, or the sentence that names those like it.
pub(super) fn known(name: &str) -> anyhow::Result<&'static dyn Fault> {
    let names = || all().flat_map(|d| d.aliases.iter().copied().chain([d.id]));
    find(name).ok_or_else(|| parse::unknown("fault", name, names(), "simctl faults"))
}

fn explain(print: Print, d: &Descriptor) -> anyhow::Result<()> {
    if print.json {
        return print.json(&view(d));
    }
    print.line(format_args!("{}: {}\n{}", d.id, d.title, d.about))?;
    print.line(format_args!("leads to {}, caused by {}", d.finding.as_str(), d.cause))?;
    print.line(format_args!("ends by {}", catalogue::ends_by(d)))?;
    for wrong in catalogue::wrong(d) {
        print.line(format_args!("wrong: {}: {}", wrong.what, wrong.does))?;
    }
    print.line(format_args!("risk {}; left alone: {}", d.risk, d.untouched.join("; ")))?;
    if !d.aliases.is_empty() {
        print.line(format_args!("also called {}", d.aliases.join(", ")))?;
    }
    for p in d.params {
        let (name, about) = (p.name, p.about);
        let bounds = format!("{} ({} to {})", p.default, p.min, p.max);
        print.line(format_args!("--set {name}={bounds}: {about}"))?;
    }
    for undo in d.undo {
        print.line(format_args!("undo: {undo}"))?;
    }
    Ok(())
}

fn view(d: &Descriptor) -> Value {
    let params: Vec<_> = d
        .params
        .iter()
        .map(|p| {
            json!({
                "name": p.name, "about": p.about, "default": p.default, "min": p.min, "max": p.max,
            })
        })
        .collect();
    json!({
        "id": d.id,
        "tier": d.tier,
        "runtimes": d.runtimes,
        "aliases": d.aliases,
        "engine": d.engine,
        "class": d.class,
        "title": d.title,
        "about": d.about,
        "finding": d.finding,
        "cause": d.cause,
        "fixed_by": d.fixed_by,
        "params": params,
        "risk": d.risk,
        "untouched": d.untouched,
        "undo": d.undo,
        "takes_within_ms": u64::try_from(d.takes_within.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The parameters that were set, each known and within its bounds.
fn checked(d: &Descriptor, set: &[(String, u64)]) -> anyhow::Result<Params> {
    let mut params = Params::new();
    for (name, value) in set {
        let Some(param) = d.params.iter().find(|param| param.name == name) else {
            let names = d.params.iter().map(|param| param.name);
            let list = format!("simctl faults {}", d.id);
            return Err(parse::unknown(&format!("parameter of {}", d.id), name, names, &list));
        };
        if !(param.min..=param.max).contains(value) {
            let (min, max) = (param.min, param.max);
            return Err(bad_input(format!(
                "`{name}={value}` is out of bounds; use {min} to {max}"
            )));
        }
        params.insert(name.clone(), *value);
    }
    Ok(params)
}

pub(super) async fn inject(context: &Context, args: &Inject) -> Done {
    let fault = known(&args.fault)?;
    let params = checked(fault.descriptor(), &args.set)?;
    if args.dry_run {
        return dry_run(context, args, fault, params).await;
    }
    let engine = context.engine().await?;
    let command = Command::Inject {
        fault: fault.descriptor().id.into(),
        target: args.target.as_deref().map(TargetId::from),
        params: params.into_iter().map(|(name, value)| (name, Value::from(value))).collect(),
        ttl_s: args.ttl.map(|ttl| ttl.as_secs()),
        beside: args.beside,
    };
    let accepted = context.give(&engine, command).await?;
    if !context.print.json {
        context.print.line(&accepted.message)?;
    }
    let Some(number) = accepted.injection else { bail!("the engine named no injection") };
    let state = begun(&engine, number).await?;
    if context.print.json {
        let mut told = serde_json::to_value(&accepted)?;
        told["state"] = serde_json::to_value(&state)?;
        context.print.json(&told)?;
    }
    match state {
        InjectionState::Active { symptom, .. } if !context.print.json => {
            context.print.line(format_args!("it took: {symptom}"))?;
        }
        InjectionState::DidNotTake { reason } if !context.print.json => {
            bail!("it did not take and was undone: {reason}")
        }
        InjectionState::DidNotTake { .. } => return Ok(ExitCode::FAILURE),
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What the injection came to at first: its symptom shows, or it was undone. Its own deadline bounds the wait.
async fn begun(engine: &Client, number: u64) -> anyhow::Result<InjectionState> {
    loop {
        let snapshot = engine.snapshot().await?;
        let injection = snapshot.injections.iter().find(|known| known.number == number);
        let Some(injection) = injection else { bail!("the engine does not know it any more") };
        if injection.state != InjectionState::Starting {
            return Ok(injection.state.clone());
        }
        sleep(LOOK).await;
    }
}

async fn dry_run(context: &Context, args: &Inject, fault: &dyn Fault, mut params: Params) -> Done {
    let d = fault.descriptor();
    for param in d.params {
        params.entry(param.name.to_owned()).or_insert(param.default);
    }
    let lab = context
        .lab()
        .await?
        .ok_or_else(|| anyhow!("no lab is running; start it with `simctl up`"))?;
    let server = lab_server(&lab.servers, d, args.target.as_deref())?;
    let calls = fault.calls(Some(server), &params);
    let ttl = args.ttl.unwrap_or(context.config().inject_ttl).as_secs();
    if context.print.json {
        let target = &server.target.id;
        context.print.json(&json!({
            "fault": d.id, "target": target, "params": params, "calls": calls, "undo": d.undo,
            "ttl_s": ttl,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let print = context.print;
    print.line(format_args!("{} on {}; nothing was done", d.id, server.target.id))?;
    for call in calls {
        print.line(format_args!("  {call}"))?;
    }
    for undo in d.undo {
        print.line(format_args!("undo: {undo}"))?;
    }
    for (name, value) in &params {
        print.line(format_args!("{name}={value}"))?;
    }
    print.line(format_args!("undone after {ttl} s at the latest"))?;
    Ok(ExitCode::SUCCESS)
}

fn lab_server<'a>(
    servers: &'a [Server],
    d: &Descriptor,
    name: Option<&str>,
) -> anyhow::Result<&'a Server> {
    let fits = |server: &&Server| d.engine.is_none_or(|engine| engine == server.target.engine);
    if let Some(name) = name {
        let Some(server) = servers.iter().find(|server| server.target.id == *name) else {
            let names = servers.iter().map(|server| server.target.id.as_str());
            return Err(parse::unknown("lab target", name, names, "simctl status"));
        };
        if !fits(&server) {
            return Err(bad_input(format!("{} does not fit {name}, a {}", d.id, {
                server.target.engine.as_str()
            })));
        }
        return Ok(server);
    }
    let fitting: Vec<_> = servers.iter().filter(fits).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => bail!("the lab has no target that {} fits; start it with `simctl up`", d.id),
        [one, ..] => {
            Err(bad_input(format!("{} fits several targets; add --target {}", d.id, one.target.id)))
        }
    }
}

pub(super) async fn clear(context: &Context, args: &Clear) -> Done {
    let Some(engine) = context.running().await? else {
        return Box::pin(clear_without_engine(context, args)).await;
    };
    let command = match &args.what {
        None => Command::Clear { injection: None, target: None },
        Some(what) => match what.strip_prefix("f-").and_then(|number| number.parse().ok()) {
            Some(number) => Command::Clear { injection: Some(number), target: None },
            None => {
                let snapshot = engine.snapshot().await?;
                let names: Vec<_> =
                    snapshot.targets.iter().map(|view| view.target.id.as_str()).collect();
                if !names.contains(&what.as_str()) {
                    return Err(parse::unknown("target", what, names, "simctl status"));
                }
                Command::Clear { injection: None, target: Some(TargetId::from(what.as_str())) }
            }
        },
    };
    context.order(&engine, command).await
}

/// From the injections' own journals; the next engine records how they ended.
async fn clear_without_engine(context: &Context, args: &Clear) -> Done {
    let wanted = |injection: &Injection| {
        let named = |what: &String| *what == injection.name() || injection.target == *what.as_str();
        args.what.as_ref().is_none_or(named)
    };
    let swept = watchdog::clear(&context.config().state_dir, wanted).await;
    let print = context.print;
    let failed = swept.iter().any(|one| one.ended.is_err());
    let lines: Vec<_> = swept.iter().map(|one| told(&one.name, &one.ended)).collect();
    if print.json {
        print.json(&json!({ "cleared": lines, "failed": failed }))?;
    } else if lines.is_empty() {
        let what = args.what.as_deref().map_or_else(String::new, |what| format!(" by {what}"));
        print.line(format_args!("nothing is injected{what}; no engine is running"))?;
    } else {
        print.line(lines.join("\n"))?;
    }
    Ok(if failed { NO } else { ExitCode::SUCCESS })
}

fn told(name: &str, ended: &Result<Injection, String>) -> String {
    match ended {
        Ok(injection) => {
            let (name, fault, target) = (injection.name(), &injection.fault, &injection.target);
            let rest = match &injection.state {
                InjectionState::Reverted { left_over, .. } if !left_over.is_empty() => {
                    format!("; left over: {}", left_over.join(", "))
                }
                _ => String::new(),
            };
            format!("{name} {fault} on {target} is reverted{rest}")
        }
        Err(reason) => format!("{name} is not reverted: {reason}"),
    }
}
