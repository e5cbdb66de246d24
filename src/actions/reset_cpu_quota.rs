//! Puts a container's CPU quota back to what it was when the server was healthy.

use async_trait::async_trait;

use super::checks::unmeasured;
use super::limit::{Limit, Resetting};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::targets::Server;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "reset_cpu_quota",
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Give a container its processor time back",
    about: "Sets the CPU quota and period to what they were when the server was healthy. Right when a lower \
            quota holds the server back; nothing is restarted.",
    args: &[Arg {
        name: "limit",
        about: "quota and period in microseconds, like 200000/100000, or none",
    }],
    needs: &[Need::Runtime("update cpu quota")],
    verify: "the quota reads back from the engine, and the container was not restarted",
};

const RESETTING: Resetting = Resetting { descriptor: &DESCRIPTOR, parse: Limit::cpu };

/// See the module.
#[derive(Debug)]
pub(super) struct ResetCpuQuota;

#[async_trait]
impl Action for ResetCpuQuota {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        RESETTING.preview(server, args).await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("sets the limit to what it was before".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        RESETTING.save(server, args).await
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        RESETTING.run(server, args, report).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let checked = RESETTING.verify(server, args, saved).await;
        checked.unwrap_or_else(|error| vec![unmeasured("limit", &error)])
    }

    fn undo_commands(&self, server: &Server, _args: &Args, saved: &Saved) -> Vec<String> {
        RESETTING.undo_commands(server, saved)
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        saved: &Saved,
    ) -> Result<String, ActionError> {
        RESETTING.undo(server, args, saved).await
    }
}
