//! Puts a container's limit of processes back to what it was when the server was healthy.

use super::limit::{Limit, Resetting};
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;

pub(super) const ACTION: Resetting = Resetting { descriptor: &DESCRIPTOR, parse: Limit::pids };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "reset_pids_limit",
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Let a container start processes again",
    about: "Sets the limit of processes to what it was when the server was healthy. Right when the server cannot \
            fork because of a lower limit; nothing is restarted.",
    args: &[Arg::text("limit", "how many processes and threads, like 128, or none")],
    needs: &[Need::Runtime("update pids limit")],
    verify: "the limit reads back from the engine, and the container was not restarted",
};
