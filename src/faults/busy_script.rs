//! A script that runs on and on: every other command is answered with BUSY until it ends or is killed.

use std::time::Duration;

use super::script::{Kind, PARAMS, Script};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Script = Script { descriptor: &DESCRIPTOR, kind: Kind::Reads };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "busy-script",
    aliases: &[],
    tier: Tier::First,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Expires,
    title: "A script that does not end",
    about: "Runs a Lua script that only reads the clock, over and over. Redis does nothing else meanwhile; it says so \
            to everybody and would kill the script when told to.",
    finding: FindingKind::ProbeFailing,
    cause: "busy-script",
    fixed_by: &["kill_redis_script"],
    params: PARAMS,
    risk: Risk::Medium,
    untouched: &["every key", "the connections of clients, which wait or are told"],
    undo: &[
        "SCRIPT KILL, or wait for the end of the script",
        "CONFIG SET busy-reply-threshold back to the value it had",
    ],
    takes_within: Duration::from_secs(3),
};
