//! The container has less memory than its server may use: the kernel ends it as soon as it is filled.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::{number, saved as entry, text};
use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier,
    filling, keys, reach, redis_state, standing,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::ports::runtime::{Change, UnitStatus};
use crate::targets::Server;

pub(super) struct CgroupOom;

const ORIGINAL: &str = "memory";
const LOWERED: &str = "lowered_to";
/// Left to the container beyond what it uses now, and what is then put into the server at most.
const LEFT: u64 = 12 << 20;
const FILLED: u64 = 32 << 20;
const VALUE: usize = 512 << 10;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "cgroup-oom",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: IN_CONTAINERS,
    engine: Some(Engine::Redis),
    class: Class::Persists,
    title: "Out of the container's memory",
    about: "Lowers the container's memory limit below what maxmemory lets Redis use, and fills it. The kernel ends \
            the server; what was only in memory is lost, and started again it would end the same way.",
    finding: FindingKind::ServerDown,
    cause: "cgroup-oom",
    fixed_by: &["reset_memory_limit", "start_container"],
    params: &[],
    risk: Risk::High,
    untouched: &["what is on disk", "the server's settings"],
    undo: &[
        "set the memory limit back to what it was, unless somebody did already",
        "start it, if it is not running; else UNLINK the keys of the fault",
    ],
    takes_within: Duration::from_secs(8),
};

#[async_trait]
impl Fault for CgroupOom {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let name = server.and_then(|server| server.place.as_ref()).map(|place| &place.unit.name);
        let name = name.map_or("<the container>", String::as_str);
        vec![
            format!("docker update --memory=<in use now and {} MB> {name}", keys::megabytes(LEFT)),
            format!(
                "SET <prefix><n> <{} kB>, {} MB of them at most, until the server is gone",
                VALUE >> 10,
                keys::megabytes(FILLED)
            ),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, seed: u64) -> Result<Saved, FaultError> {
        let unit = standing::unit(server).await?;
        let mut con = reach::redis(server, reach::OURS).await?;
        let full = keys::fullness(&mut con).await?;
        let resident = redis_state::info(&mut con, "memory", "used_memory_rss").await?;
        let resident: u64 =
            resident.parse().map_err(|e| FaultError::failed("read used_memory_rss", e))?;
        let refused =
            |why: &str| Err(FaultError::Precondition(format!("{} {why}", server.target.id)));
        let lowered = resident + LEFT;
        let Some(original) = unit.memory_limit.filter(|original| *original > lowered) else {
            return refused("has no memory limit that could be lowered");
        };
        if full.limit > 0 && full.used + FILLED > full.limit {
            return refused("has no room under maxmemory to fill beyond its container's");
        }
        let mut saved = filling::names(&mut con, seed).await?;
        saved.extend([(ORIGINAL.into(), json!(original)), (LOWERED.into(), json!(lowered))]);
        Ok(saved)
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let (lowered, prefix) = (number(saved, LOWERED)?, text(saved, entry::PREFIX)?);
        let mut con = reach::redis(server, text(saved, entry::SESSION)?).await?;
        standing::adjust(server, Change::Memory(lowered)).await?;
        progress(format!("no more than {} MB of memory", keys::megabytes(lowered)));
        let value = vec![b'x'; VALUE];
        for n in 0..FILLED / VALUE as u64 {
            let mut set = redis::cmd("SET");
            set.arg(format!("{prefix}{n}")).arg(&value);
            if let Err(error) = set.query_async::<()>(&mut con).await {
                progress(format!("gone after {n} values: {error}"));
                break;
            }
        }
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        standing::has_ended(server).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let unit = standing::unit(server).await?;
        // Only our own value is taken back: after a fix it is somebody else's.
        if unit.memory_limit == Some(number(saved, LOWERED)?) {
            standing::adjust(server, Change::Memory(number(saved, ORIGINAL)?)).await?;
        }
        if unit.status != UnitStatus::Exited {
            return filling::unlink(server, saved).await;
        }
        standing::start_if_ended(server).await
    }
}
