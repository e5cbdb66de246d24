//! `status`: the targets, from the running engine, else asked directly, once.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::context::Context;
use super::{Done, NO, lab as lab_cli};
use crate::database::backup::schedule;
use crate::domain::health::{Health, judge};
use crate::domain::injection::Injection;
use crate::domain::sample::{Answer, Sample};
use crate::domain::target::Target;
use crate::engine::clock;
use crate::engine::handle::Snapshot;
use crate::lab::Lab;
use crate::targets::Server;

/// Show the targets and how they are
///
/// With a running engine: as it sees them. Without: asked once, directly. Exit code 1 when a target is not ok,
/// or when there is none.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl status --json")]
pub(super) struct Status {}

#[derive(Debug, Serialize)]
struct Line {
    target: String,
    engine: &'static str,
    lab: bool,
    state: String,
    /// `null`: cannot be told.
    health: Option<u8>,
    detail: String,
}

pub(super) async fn show(context: &Context) -> Done {
    if let Some(engine) = context.running().await? {
        return show_running(context, &engine.snapshot().await?);
    }
    let config = context.config();
    let (lab, problem) = match context.lab().await {
        Ok(lab) => (lab, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let servers = context.servers(lab.as_ref()).await;
    let lines = futures::future::join_all(servers.iter().map(ask)).await;
    let view = lab.as_ref().map(lab_cli::view);
    if context.print.json {
        let view = json!({
            "engine": null, "lab": view, "lab_problem": problem, "targets": lines,
            "alarms": alarms(context),
        });
        context.print.json(&view)?;
    } else {
        context.print.line("engine  not running; start `simctl run` or `simctl tui`")?;
        context.print.line(lab_line(config.lab.enabled, lab.as_ref(), problem))?;
        table(context, &lines)?;
    }
    Ok(verdict(&lines))
}

fn lab_line(enabled: bool, lab: Option<&Lab>, problem: Option<String>) -> String {
    if let Some(problem) = problem {
        return format!("lab     cannot tell: {problem}");
    }
    match lab {
        Some(lab) => format!("lab     up ({})", lab.runtime.kind().as_str()),
        None if enabled => "lab     not running; start it with `simctl up`".to_owned(),
        None => "lab     switched off by the configuration".to_owned(),
    }
}

fn show_running(context: &Context, snapshot: &Snapshot) -> Done {
    let lines: Vec<_> = snapshot
        .targets
        .iter()
        .map(|view| {
            let samples = (view.held.as_ref(), view.fresh.as_ref());
            line(&view.target, view.health, view.state.clone(), samples)
        })
        .collect();
    let open: Vec<_> =
        snapshot.incidents.iter().filter(|i| i.is_open()).map(|i| i.name()).collect();
    let live: Vec<_> =
        snapshot.injections.iter().filter(|i| i.state.is_live()).map(Injection::name).collect();
    if context.print.json {
        let mut view = engine_view(snapshot, &lines, &open, &live);
        view["alarms"] = json!(alarms(context));
        context.print.json(&view)?;
        return Ok(verdict(&lines));
    }
    let store = &snapshot.store;
    let reachable = if store.reachable {
        String::new()
    } else {
        format!(", not reachable, {} events journaled", store.journaled)
    };
    let print = context.print;
    print.line(format_args!("engine  running, {} events", snapshot.seq))?;
    print.line(format_args!("store   {}{reachable}", store.url))?;
    for (what, names) in [("open incidents", &open), ("live injections", &live)] {
        if !names.is_empty() {
            print.line(format_args!("{what}: {}", names.join(", ")))?;
        }
    }
    table(context, &lines)?;
    Ok(verdict(&lines))
}

fn engine_view(snapshot: &Snapshot, lines: &[Line], open: &[String], live: &[String]) -> Value {
    let at: DateTime<Utc> = snapshot.at;
    json!({
        "engine": { "at": at, "seq": snapshot.seq, "store": snapshot.store },
        "targets": lines,
        "open_incidents": open,
        "live_injections": live,
    })
}

fn table(context: &Context, lines: &[Line]) -> anyhow::Result<()> {
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let health = super::print::or_dash(line.health);
            vec![
                line.target.clone(),
                line.engine.into(),
                line.state.clone(),
                health,
                line.detail.clone(),
            ]
        })
        .collect();
    let head = ["TARGET", "ENGINE", "STATE", "HEALTH", "DETAIL"];
    context.print.table(&head, &rows, "no target to watch")?;
    for alarm in alarms(context) {
        context.print.line(format_args!("ALARM: {alarm}"))?;
    }
    Ok(())
}

/// Databases that are backed up on schedule and have no backup that counts.
fn alarms(context: &Context) -> Vec<String> {
    match schedule::show(&context.config().workbench.backup, clock::now()) {
        Ok(shown) => shown.alarms,
        Err(failure) => vec![format!("the backups cannot be looked at: {failure}")],
    }
}

fn verdict(lines: &[Line]) -> ExitCode {
    let ok = !lines.is_empty() && lines.iter().all(|line| line.state == "ok");
    if ok { ExitCode::SUCCESS } else { NO }
}

/// Asks one server over a kept and a fresh connection.
async fn ask(server: &Server) -> Line {
    let probe = server.probe();
    let held = probe.held().await;
    let fresh = probe.fresh().await;
    let health = judge(&server.target, Some(&held), Some(&fresh));
    let state = state(&[&held, &fresh]).to_owned();
    line(&server.target, health, state, (Some(&held), Some(&fresh)))
}

/// `ok DEGRADED DOWN HUNG REFUSED starting inconclusive`, the worst of the samples.
fn state(samples: &[&Sample]) -> &'static str {
    if samples.iter().any(|sample| sample.is_starting()) {
        return "starting";
    }
    match samples.iter().find_map(|sample| Some((sample.first_bad()?, sample))) {
        Some((Answer::Gone { .. }, _)) => "DOWN",
        Some((Answer::Hung { .. }, _)) => "HUNG",
        Some((_, sample)) if sample.connect.is_bad() => "REFUSED",
        Some(_) => "DEGRADED",
        None if samples.iter().all(|sample| sample.is_clean()) => "ok",
        None => "inconclusive",
    }
}

fn line(
    target: &Target,
    health: Health,
    state: String,
    (held, fresh): (Option<&Sample>, Option<&Sample>),
) -> Line {
    let bad = [held, fresh].into_iter().flatten().find_map(Sample::first_bad);
    let took = fresh.or(held).map(|sample| format!("answers in {:.1} ms", sample.took_ms));
    Line {
        target: target.id.to_string(),
        engine: target.engine.as_str(),
        lab: target.is_lab(),
        state,
        health: health.score(),
        detail: bad.map(Answer::describe).or(took).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::readings::Readings;
    use crate::domain::sample::Origin;

    fn sample(connect: Answer, read: Answer, write: Answer) -> Sample {
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let readings = Readings::default();
        Sample { at, origin: Origin::Fresh, took_ms: 1.0, connect, read, write, readings }
    }

    #[test]
    fn the_state_is_the_worst_of_what_a_client_felt() {
        let ok = || sample(Answer::Ok, Answer::Ok, Answer::Ok);
        let error = || Answer::Error { code: "53300".into(), text: "too many".into() };
        let gone = || Answer::Gone { text: "refused".into() };
        for (other, word) in [
            (ok(), "ok"),
            (sample(gone(), Answer::NotAsked, Answer::NotAsked), "DOWN"),
            (sample(Answer::Ok, Answer::Hung { after_ms: 9 }, Answer::NotAsked), "HUNG"),
            (sample(error(), Answer::NotAsked, Answer::NotAsked), "REFUSED"),
            (sample(Answer::Ok, Answer::Ok, error()), "DEGRADED"),
            (sample(Answer::Starting { text: String::new() }, error(), error()), "starting"),
            (sample(Answer::NotAsked, Answer::NotAsked, Answer::NotAsked), "inconclusive"),
        ] {
            assert_eq!(state(&[&ok(), &other]), word);
            assert_eq!(state(&[&other, &ok()]), word);
        }
    }
}
