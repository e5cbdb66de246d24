//! The lab as local processes: the same servers on the same ports, without containers' limits.
//!
//! Records and logs are under the state directory. As root, the servers run as an unprivileged user,
//! who may not be able to enter that directory; then the data lives where it can.

use std::time::Duration;

use anyhow::{Context, bail};

use super::spec::{Part, Ports, SERVERS};
use super::{Found, Progress, ports, ready, servers};
use crate::config::Config;
use crate::ports::runtime::{Runtime, RuntimeKind, Unit, UnitStatus};
use crate::runtime::process::ProcessRuntime;

mod layout;

/// For a server's orderly end.
const GRACE: Duration = Duration::from_secs(10);

/// Starts what is not running, then waits until the servers answer.
pub(super) async fn up(
    runtime: &ProcessRuntime,
    config: &Config,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    let mut began = Vec::new();
    match build(runtime, config, progress, &mut began).await {
        Ok(()) => Ok(()),
        Err(error) => {
            for step in began.into_iter().rev() {
                if let Err(left) = undo(runtime, step).await {
                    progress(format!("could not undo a step: {left:#}"));
                }
            }
            Err(error)
        }
    }
}

/// What an attempt did to a unit.
enum Began {
    Created { unit: Unit, fresh_data: bool },
    Started(Unit),
    Unpaused(Unit),
}

async fn build(
    runtime: &ProcessRuntime,
    config: &Config,
    progress: Progress<'_>,
    began: &mut Vec<Began>,
) -> anyhow::Result<()> {
    let listen = Ports::of(&config.lab);
    let mut seen = Vec::new();
    for part in SERVERS {
        let unit = servers::unit(part, &config.lab.id, RuntimeKind::Process, listen);
        let status = runtime.inspect(&unit).await?.status;
        let known = runtime.records().load(&unit.name)?;
        let port = listen.get(part).context("a server has a port")?;
        let runs = matches!(status, UnitStatus::Running | UnitStatus::Paused);
        let moved = known.as_ref().is_some_and(|record| record.port != port);
        if moved && runs {
            bail!(
                "{} runs on another port than {port}: run `simctl down` first, then `simctl up`",
                unit.name
            );
        }
        if !runs && !ports::is_free(port) {
            return Err(ports::taken(part, port, None));
        }
        // One that moved is set up anew, as one that is not known at all.
        seen.push((part, unit, port, if moved { UnitStatus::Absent } else { status }));
    }
    for (part, unit, port, status) in &seen {
        bring_up(runtime, *part, unit, *port, *status, progress, began).await?;
    }
    for (part, unit, port, _) in &seen {
        ready::wait(*part, *port, || why_ended(runtime, unit)).await?;
        progress(format!("{} answers on 127.0.0.1:{port}", unit.name));
    }
    Ok(())
}

async fn bring_up(
    runtime: &ProcessRuntime,
    part: Part,
    unit: &Unit,
    port: u16,
    status: UnitStatus,
    progress: Progress<'_>,
    began: &mut Vec<Began>,
) -> anyhow::Result<()> {
    let name = &unit.name;
    match status {
        UnitStatus::Running | UnitStatus::Restarting => progress(format!("{name} is there")),
        UnitStatus::Paused => {
            progress(format!("unpausing {name}"));
            runtime.unpause(unit).await?;
            began.push(Began::Unpaused(unit.clone()));
        }
        UnitStatus::Exited => {
            progress(format!("starting {name}, which was stopped"));
            began.push(Began::Started(unit.clone()));
            runtime.start(unit).await?;
        }
        UnitStatus::Absent => {
            progress(format!("starting {name}"));
            let (record, fresh_data) = layout::prepare(runtime.records(), part, port)?;
            began.push(Began::Created { unit: unit.clone(), fresh_data });
            runtime.records().save(&record)?;
            runtime.start(unit).await?;
        }
    }
    Ok(())
}

async fn undo(runtime: &ProcessRuntime, step: Began) -> anyhow::Result<()> {
    match step {
        Began::Unpaused(unit) => Ok(runtime.pause(&unit).await?),
        Began::Started(unit) => end(runtime, &unit).await,
        Began::Created { unit, fresh_data } => {
            end(runtime, &unit).await?;
            let Some(record) = runtime.records().load(&unit.name)? else { return Ok(()) };
            runtime.records().remove(&unit.name)?;
            layout::forget(runtime.records(), &record, fresh_data)
        }
    }
}

/// The servers that are on record, and where they listen.
pub(super) fn find(runtime: &ProcessRuntime, config: &Config) -> anyhow::Result<Found> {
    let mut listen = Ports::of(&config.lab);
    let mut parts = Vec::new();
    for part in SERVERS {
        let Some(record) = runtime.records().load(&part.name(&config.lab.id))? else { continue };
        parts.push(part);
        match part {
            Part::Redis => listen.redis = record.port,
            Part::Postgres => listen.postgres = record.port,
            Part::Store | Part::Keeper => listen.store = record.port,
        }
    }
    Ok((!parts.is_empty()).then_some((listen, parts)))
}

/// Ends the servers and removes what they left; the store's data only when `volumes`.
pub(super) async fn down(
    runtime: &ProcessRuntime,
    config: &Config,
    volumes: bool,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    for record in runtime.records().all()? {
        progress(format!("removing {}", record.name));
        let unit = Unit {
            name: record.name.clone(),
            lab: Some(config.lab.id.clone()),
            client: Vec::new(),
        };
        end(runtime, &unit).await?;
        runtime.records().remove(&record.name)?;
        let keep = record.kind == Part::Store.as_str() && !volumes;
        if keep {
            progress(format!("keeping the data of {}", record.name));
        }
        layout::forget(runtime.records(), &record, !keep)?;
    }
    layout::tidy(runtime.records(), volumes)
}

/// Stopped in order; a paused one could not follow the request.
async fn end(runtime: &ProcessRuntime, unit: &Unit) -> anyhow::Result<()> {
    if runtime.inspect(unit).await?.status == UnitStatus::Paused {
        runtime.unpause(unit).await?;
    }
    Ok(runtime.stop(unit, GRACE).await?)
}

async fn why_ended(runtime: &ProcessRuntime, unit: &Unit) -> Option<String> {
    if runtime.inspect(unit).await.ok()?.status != UnitStatus::Exited {
        return None;
    }
    Some(runtime.logs(unit, 3).await.ok()?.join(" / "))
}
