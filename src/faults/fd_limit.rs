//! The process may have no more files open: no socket for a new client.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::number;
use super::{Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, standing};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::domain::unit::FileLimit;
use crate::ports::runtime::{Change, Operation, RuntimeKind};
use crate::targets::Server;

pub(super) struct FdLimit;

const ORIGINAL: &str = "files";
const LOWERED: &str = "lowered_to";
/// A client that is there for a moment must not be counted.
const LOOKS: u32 = 5;
const APART: Duration = Duration::from_millis(120);

static DESCRIPTOR: Descriptor = Descriptor {
    id: "fd-limit",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: &[RuntimeKind::Process],
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "No socket for a new client",
    about: "Lowers the soft limit of open files of the running process so that it can open no more. New clients connect and \
            are never answered; who is in goes on.",
    finding: FindingKind::ProbeFailing,
    cause: "fd-limit",
    fixed_by: &["raise_fd_limit"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "connections that are open", "the hard limit"],
    undo: &["set the soft limit back to what it was, unless somebody did already"],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for FdLimit {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        files(server).await.map(drop).map_err(|error| error.in_words())
    }

    fn calls(&self, server: Option<&Server>, _: &Params) -> Vec<String> {
        let change = Operation::Adjust(Change::Files(0));
        let spelled = standing::spelled(server, change, "lower the soft limit of open files of");
        vec![spelled.replace("=0:", "=<the lowest number that is free>:")]
    }

    async fn save(&self, server: &Server, _: &Params, _: u64) -> Result<Saved, FaultError> {
        let FileLimit { mut next, soft, .. } = files(server).await?;
        for _ in 1..LOOKS {
            tokio::time::sleep(APART).await;
            next = next.min(files(server).await?.next);
        }
        if next >= soft {
            let text = format!("{} has as many files open as it may already", server.target.id);
            return Err(FaultError::Precondition(text));
        }
        Ok(Saved::from([(ORIGINAL.into(), json!(soft)), (LOWERED.into(), json!(next))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let lowered = number(saved, LOWERED)?;
        standing::adjust(server, Change::Files(lowered)).await?;
        progress(format!("no more than {lowered} files"));
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        standing::is_silent(server).await
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        // Only our own value is taken back: after a fix it is somebody else's.
        if files(server).await?.soft == number(saved, LOWERED)? {
            standing::adjust(server, Change::Files(number(saved, ORIGINAL)?)).await?;
        }
        Ok(())
    }
}

async fn files(server: &Server) -> Result<FileLimit, FaultError> {
    standing::unit(server).await?.files.ok_or_else(|| {
        FaultError::Precondition(format!(
            "how many files {} may have open cannot be seen",
            server.target.id
        ))
    })
}
