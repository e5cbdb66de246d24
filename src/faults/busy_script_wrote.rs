//! A script that has written and runs on and on: Redis refuses to kill it, so that no half of its work stays.

use std::time::Duration;

use super::script::{Kind, PARAMS, Script};
use super::{ANYWHERE, Class, Descriptor, Tier};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;

pub(super) const FAULT: Script = Script { descriptor: &DESCRIPTOR, kind: Kind::Writes };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "busy-script-wrote",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Redis),
    class: Class::Expires,
    title: "A script that has written and does not end",
    about: "Runs a Lua script that sets one key of its own and then only reads the clock, over and over. SCRIPT KILL is \
            refused; the script ends by itself, or the server is stopped without saving.",
    finding: FindingKind::ProbeFailing,
    cause: "busy-script-wrote",
    fixed_by: &["stop_redis_nosave"],
    params: PARAMS,
    risk: Risk::High,
    untouched: &["every other key", "the connections of clients, which wait or are told"],
    undo: &[
        "wait for the end of the script, and UNLINK its key",
        "CONFIG SET busy-reply-threshold back to the value it had",
    ],
    takes_within: Duration::from_secs(3),
};
