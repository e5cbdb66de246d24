//! `up`, `down`, `doctor`: the lab and what it needs.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::print::or_dash;
use super::{Done, NO};
use crate::config::{dirs, url};
use crate::domain::target::Engine;
use crate::lab::{self, DoctorLine, Lab};

mod abilities;
mod rights;

/// Create and start the lab: redis-test, postgres-test and the store
///
/// Real servers on 127.0.0.1 only, in containers, or as local processes where there is no container engine.
/// A lab that is there already is started and completed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl up\n  simctl up --runtime process")]
pub(super) struct Up {}

/// Stop and remove the lab
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl down\n  simctl down --volumes")]
pub(super) struct Down {
    /// Remove its data too, the store's included
    #[arg(long)]
    volumes: bool,
}

/// Check what simctl needs: engine, images, ports, binaries, roles, store, clock, disk
///
/// One line per subject with what to do about it. Exit code 1 when something is missing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl doctor --json")]
pub(super) struct Doctor {}

pub(super) async fn up(context: &Context) -> Done {
    context.must_have_lab()?;
    dirs::ensure_private(&context.config().state_dir)?;
    let print = context.print;
    let lab = lab::up(context.config(), &|line| print.progress(&line)).await?;
    if print.json {
        print.json(&view(&lab))?;
    } else {
        let rows: Vec<_> = lab
            .servers
            .iter()
            .map(|server| {
                let target = &server.target;
                vec![target.id.to_string(), target.engine.as_str().into(), address(server)]
            })
            .collect();
        print.table(&["TARGET", "ENGINE", "ADDRESS"], &rows, "the lab has no servers")?;
        print.line(format_args!("store  {}", url::masked(lab.store_url.reveal())))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn address(server: &crate::targets::Server) -> String {
    match &server.link {
        crate::targets::Link::Redis(link) => format!("{}:{}", link.host, link.port),
        crate::targets::Link::Postgres(link) => format!("{}:{}", link.host, link.port),
    }
}

/// The lab as JSON.
pub(super) fn view(lab: &Lab) -> serde_json::Value {
    let servers: Vec<_> = lab
        .servers
        .iter()
        .map(|server| {
            json!({
                "target": server.target.id,
                "engine": Engine::as_str(server.target.engine),
                "address": address(server),
                "unit": server.place.as_ref().map(|place| &place.unit.name),
            })
        })
        .collect();
    json!({
        "runtime": lab.runtime.kind(),
        "servers": servers,
        "store": url::masked(lab.store_url.reveal()),
    })
}

pub(super) async fn down(context: &Context, args: &Down) -> Done {
    context.must_have_lab()?;
    let (config, print) = (context.config(), context.print);
    let store = if args.volumes { lab::find(config).await?.map(|lab| lab.store_url) } else { None };
    lab::down(config, args.volumes, &|line| print.progress(&line)).await?;
    if let Some(store) = store {
        // The next lab's log begins anew and is not to be held against the end of this one.
        crate::store::forget(&store, &config.state_dir)?;
    }
    let kept = if args.volumes { "" } else { "; its volumes are kept" };
    if print.json {
        print.json(&json!({ "down": true, "volumes_removed": args.volumes }))?;
    } else {
        print.line(format_args!("the lab is down{kept}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the records can be read and where they are.
async fn store_line(context: &Context) -> DoctorLine {
    let subject = "store".to_owned();
    if let Some(detail) = not_yet(context).await {
        return DoctorLine { subject, ok: None, detail, remedy: None };
    }
    let looked = async {
        let store = context.store().await?;
        let head = store.head().await?;
        anyhow::Ok(format!("{}, {} records", store.url(), head.seq))
    };
    match looked.await {
        Ok(detail) => DoctorLine { subject, ok: Some(true), detail, remedy: None },
        Err(error) => DoctorLine {
            subject,
            ok: Some(false),
            detail: format!("{error:#}"),
            remedy: Some(
                "start it (`simctl up` for the lab's), or name another with --store".into(),
            ),
        },
    }
}

/// Looking must not make the file that is the store where there is neither a lab nor a choice.
async fn not_yet(context: &Context) -> Option<String> {
    let lab = context.lab().await.ok()?;
    let url = context.store_url(lab.as_ref());
    let file = url.reveal().strip_prefix("sqlite:")?;
    let missing = !file.is_empty() && !std::path::Path::new(file).exists();
    missing.then(|| format!("{file} is not there yet; the first run makes it"))
}

/// Looks at everything and says what is wrong.
pub(super) async fn doctor(context: &Context) -> Done {
    let mut lines = lab::doctor(context.config()).await;
    lines.push(store_line(context).await);
    lines.extend(rights::lines(context).await);
    if let Ok(Some(lab)) = context.lab().await {
        lines.extend(abilities::lines(&lab).await);
    }
    let print = context.print;
    if print.json {
        print.json(&lines)?;
    } else {
        let rows: Vec<_> = lines
            .iter()
            .map(|line| {
                let word = match line.ok {
                    Some(true) => "ok",
                    Some(false) => "MISSING",
                    None => "-",
                };
                let (subject, detail) = (line.subject.clone(), line.detail.clone());
                vec![subject, word.into(), detail, or_dash(line.remedy.as_ref())]
            })
            .collect();
        print.table(&["SUBJECT", "STATE", "DETAIL", "REMEDY"], &rows, "nothing was checked")?;
    }
    let missing = lines.iter().any(|line| line.ok == Some(false));
    Ok(if missing { NO } else { ExitCode::SUCCESS })
}
