//! Puts a container's CPU quota back to what it was when the server was healthy.

use super::limit::{Limit, Resetting};
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;

pub(super) const ACTION: Resetting = Resetting { descriptor: &DESCRIPTOR, parse: Limit::cpu };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "reset_cpu_quota",
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Give a container its processor time back",
    about: "Sets the CPU quota and period to what they were when the server was healthy. Right when a lower \
            quota holds the server back; nothing is restarted.",
    args: &[Arg::text("limit", "quota and period in microseconds, like 200000/100000, or none")],
    needs: &[Need::Runtime("update cpu quota")],
    verify: "the quota reads back from the engine, and the container was not restarted",
};
