//! Puts a container's limit of memory back to what it was when the server was healthy.

use super::limit::{Limit, Resetting};
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;

pub(super) const ACTION: Resetting = Resetting { descriptor: &DESCRIPTOR, parse: Limit::memory };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "reset_memory_limit",
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Give a container its memory back",
    about: "Sets the limit of memory to what it was when the server was healthy, running or not. Right when it ran \
            out of memory under a lower limit; nothing is restarted.",
    args: &[Arg::text("limit", "how many bytes, as the baseline has it")],
    needs: &[Need::Runtime("update memory limit")],
    verify: "the limit reads back from the engine, and it is the same container",
};
