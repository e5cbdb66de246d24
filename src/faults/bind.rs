//! Somebody has Redis listen on an address that clients do not come to.

use std::time::Duration;

use super::listening::{Listening, Moved};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Listening = Listening { descriptor: &DESCRIPTOR, moved: Moved::Address };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "bind",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Setting,
    title: "Listening on another address",
    about: "Sets bind to an address nobody comes to. New clients find nobody, or are cut off at once; who is in is \
            answered, and so is a client beside the server.",
    finding: FindingKind::ProbeFailing,
    cause: "bind",
    fixed_by: &["reset_redis_setting"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["every key", "connections that are open", "the network"],
    undo: &[
        "CONFIG SET bind back to what it was, from beside the server, unless somebody did already",
    ],
    takes_within: Duration::from_secs(3),
};
