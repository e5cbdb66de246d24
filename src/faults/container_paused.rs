//! The container (or process) is frozen: clients connect and wait for an answer that does not come.

use std::time::Duration;

use super::stroke::{Blow, Stroke};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;

pub(super) const FAULT: Stroke = Stroke { descriptor: &DESCRIPTOR, blow: Blow::Pause };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "container-paused",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: None,
    class: Class::Persists,
    title: "Container paused",
    about: "Freezes what the server runs in. Connecting still succeeds; nothing answers. Memory is kept.",
    finding: FindingKind::ServerHung,
    cause: "container-paused",
    fixed_by: &["unpause_container"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data and memory", "connections that are open"],
    undo: &["unpause it, if it is still paused"],
    takes_within: Duration::from_secs(5),
};
