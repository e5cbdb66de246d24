//! The server crashes: a segmentation fault, a crash report in its log, and it is gone.

use std::time::Duration;

use super::stroke::{Blow, Stroke};
use super::{Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::ports::runtime::RuntimeKind;

pub(super) const FAULT: Stroke = Stroke { descriptor: &DESCRIPTOR, blow: Blow::Crash };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "segv",
    aliases: &[],
    tier: Tier::Dangerous,
    // As the first process of a container it reports the crash and goes on.
    runtimes: &[RuntimeKind::Process],
    engine: Some(Engine::Redis),
    class: Class::Persists,
    title: "Crash by a segmentation fault",
    about: "Sends SIGSEGV to the server. It writes a crash report to its log and ends; what was only in memory is \
            lost.",
    finding: FindingKind::ServerDown,
    cause: "container-exited",
    fixed_by: &["start_container"],
    params: &[],
    risk: Risk::High,
    untouched: &["what is on disk"],
    undo: &["start it, if it is not running"],
    takes_within: Duration::from_secs(10),
};
