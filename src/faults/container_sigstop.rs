//! The container's first process is stopped by a signal: the container runs, and nothing answers.

use std::time::Duration;

use super::stroke::{Blow, Stroke};
use super::{Class, Descriptor, IN_CONTAINERS, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;

pub(super) const FAULT: Stroke = Stroke { descriptor: &DESCRIPTOR, blow: Blow::Stop };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "container-sigstop",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: IN_CONTAINERS,
    engine: None,
    class: Class::Persists,
    title: "First process stopped by a signal",
    about: "Sends SIGSTOP to the container's first process. The container is not paused and commands run in it, but \
            nobody who connects is answered; sessions of PostgreSQL that are open go on.",
    finding: FindingKind::ServerHung,
    cause: "container-sigstop",
    fixed_by: &["continue_process"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data and memory", "connections that are open"],
    undo: &["SIGCONT, if it is still stopped"],
    takes_within: Duration::from_secs(5),
};
