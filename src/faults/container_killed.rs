//! The container (or process) is killed: clients are cut off, new ones are refused.

use std::time::Duration;

use super::stroke::{Blow, Stroke};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;

pub(super) const FAULT: Stroke = Stroke { descriptor: &DESCRIPTOR, blow: Blow::Kill };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "container-killed",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: None,
    class: Class::Persists,
    title: "Container killed",
    about: "Kills what the server runs in with SIGKILL. Clients are cut off; what was only in memory is lost.",
    finding: FindingKind::ServerDown,
    cause: "container-killed",
    fixed_by: &["start_container"],
    params: &[],
    risk: Risk::High,
    untouched: &["what is on disk"],
    undo: &["start it, if it is not running"],
    takes_within: Duration::from_secs(5),
};
