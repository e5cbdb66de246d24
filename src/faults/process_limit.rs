//! A container's limit of processes, lowered to as many as it has now: nothing more can be started in it.

use std::time::Duration;

use serde_json::json;

use super::marks::number;
use super::{FaultError, IN_CONTAINERS, Progress, Saved, standing};
use crate::ports::runtime::{Change, UnitLimits};
use crate::targets::Server;

const ORIGINAL: &str = "process_limit";
const LOWERED: &str = "process_limit_lowered_to";
/// A client or a command that is there for a moment must not be counted.
const LOOKS: u32 = 5;
const APART: Duration = Duration::from_millis(120);

/// Why the limit cannot be lowered here, if so.
pub(super) async fn available(server: &Server) -> Result<(), String> {
    standing::runs_in(server, IN_CONTAINERS)?;
    count(server).await.map(drop).map_err(|error| error.in_words())
}

/// The call, for a dry run.
pub(super) fn call(server: Option<&Server>) -> String {
    let name = server.and_then(|server| server.place.as_ref()).map(|place| &place.unit.name);
    let name = name.map_or("<the container>", String::as_str);
    format!("docker update --pids-limit=<as many as run in it now> {name}")
}

/// The limit as it is, and as it will be.
pub(super) async fn save(server: &Server, saved: &mut Saved) -> Result<(), FaultError> {
    let original = limits(server).await?.pids;
    let mut least = count(server).await?;
    for _ in 1..LOOKS {
        tokio::time::sleep(APART).await;
        least = least.min(count(server).await?);
    }
    if original.is_some_and(|original| original <= least) {
        return Err(FaultError::Precondition(format!(
            "{} has as many processes as it may already",
            server.target.id
        )));
    }
    saved.insert(ORIGINAL.into(), json!(original));
    saved.insert(LOWERED.into(), json!(least));
    Ok(())
}

pub(super) async fn lower(
    server: &Server,
    saved: &Saved,
    progress: Progress<'_>,
) -> Result<(), FaultError> {
    let least = lowered(saved)?;
    standing::adjust(server, Change::Pids(Some(least))).await?;
    progress(format!("no more than {least} processes and threads"));
    Ok(())
}

/// Puts it back, unless it is somebody else's by now.
pub(super) async fn raise(server: &Server, saved: &Saved) -> Result<(), FaultError> {
    if limits(server).await?.pids != Some(lowered(saved)?) {
        return Ok(());
    }
    let original = saved.get(ORIGINAL).and_then(serde_json::Value::as_u64);
    let original = original.and_then(|most| u32::try_from(most).ok());
    standing::adjust(server, Change::Pids(original)).await
}

fn lowered(saved: &Saved) -> Result<u32, FaultError> {
    let least = number(saved, LOWERED)?;
    u32::try_from(least).map_err(|e| FaultError::failed("read the limit that was saved", e))
}

async fn limits(server: &Server) -> Result<UnitLimits, FaultError> {
    standing::unit(server).await?.limits.ok_or_else(|| {
        FaultError::Precondition(format!(
            "the process limit of {} cannot be read",
            server.target.id
        ))
    })
}

/// Processes and threads in the container, its own and visitors.
async fn count(server: &Server) -> Result<u32, FaultError> {
    let place = standing::place(server)?;
    let usage = place.runtime.usage(&place.unit).await;
    let usage = usage
        .map_err(|e| FaultError::failed(format!("count the use of {}", place.unit.name), e))?;
    let pids = usage.and_then(|usage| usage.pids).and_then(|pids| u32::try_from(pids).ok());
    pids.filter(|pids| *pids > 0).ok_or_else(|| {
        FaultError::Precondition(format!(
            "the engine does not count the processes of {}",
            place.unit.name
        ))
    })
}
