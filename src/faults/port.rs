//! Somebody has Redis listen on another port.

use std::time::Duration;

use super::listening::{Listening, Moved};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Listening = Listening { descriptor: &DESCRIPTOR, moved: Moved::Port };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "port",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "Listening on another port",
    about: "Sets port to one that is free. New clients find nobody, beside the server too; who is in is answered.",
    finding: FindingKind::ProbeFailing,
    cause: "bind",
    fixed_by: &["reset_redis_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "connections that are open", "the network"],
    undo: &["CONFIG SET port back to what it was, at the new port, unless somebody did already"],
    takes_within: Duration::from_secs(3),
};
