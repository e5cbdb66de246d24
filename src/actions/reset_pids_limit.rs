//! Puts a container's limit of processes back to what it was when the server was healthy.

use async_trait::async_trait;

use super::checks::unmeasured;
use super::limit::{Limit, Resetting};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::targets::Server;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "reset_pids_limit",
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Let a container start processes again",
    about: "Sets the limit of processes to what it was when the server was healthy. Right when the server cannot \
            fork because of a lower limit; nothing is restarted.",
    args: &[Arg { name: "limit", about: "how many processes and threads, like 128, or none" }],
    needs: &[Need::Runtime("update pids limit")],
    verify: "the limit reads back from the engine, and the container was not restarted",
};

const RESETTING: Resetting = Resetting { descriptor: &DESCRIPTOR, parse: Limit::pids };

/// See the module.
#[derive(Debug)]
pub(super) struct ResetPidsLimit;

#[async_trait]
impl Action for ResetPidsLimit {
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
