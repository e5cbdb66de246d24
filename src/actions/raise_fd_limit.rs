//! Puts a process's limit of open files back to what it was when the server was healthy.

use super::limit::{Limit, Resetting};
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;

pub(super) const ACTION: Resetting = Resetting { descriptor: &DESCRIPTOR, parse: Limit::files };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "raise_fd_limit",
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Let a process open files again",
    about: "Sets the limit of open files of the running process to what it was when the server was healthy, no further \
            than its hard limit. Right when new clients hang because no socket can be opened; nothing is restarted.",
    args: &[Arg::text("limit", "how many files and sockets, like 10032")],
    needs: &[Need::Runtime("prlimit")],
    verify: "the limit reads back from the system, and the process was not restarted",
};
