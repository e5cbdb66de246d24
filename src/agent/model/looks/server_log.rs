//! The server's own last words.

use serde_json::json;

use super::{Kind, Look, LookArg, first};

pub(super) const SERVER_LOG: Look = Look {
    name: "server_log",
    about: "The newest lines of the server's own log, newest first.",
    args: &[
        LookArg { name: "contains", kind: Kind::Text, about: "only lines with this in them" },
        LookArg { name: "most", kind: Kind::Count, about: "at most so many lines" },
    ],
    see: |scene, given| {
        let log = scene.facts.log.as_ref().ok_or("the server's log cannot be read from here")?;
        let wanted = |line: &&String| given.text("contains").is_none_or(|part| line.contains(part));
        let lines = log.iter().rev().filter(wanted).map(|line| json!(line)).collect();
        Ok(first(lines, given.count("most")))
    },
};
