//! What a server runs in, seen from outside.

use serde_json::json;

use super::Look;
use crate::agent::model::node::Node;

pub(super) const PLACE: Look = Look {
    name: "place",
    about: "The container or process the server runs in, looked at anew: its state, limits, networks, processes, how \
            often it was throttled, its data volume, and what happened to it lately.",
    args: &[],
    see: |scene, _| {
        let facts = scene.facts;
        let unit = facts.unit.as_ref().ok_or("what it runs in cannot be seen from here")?;
        Ok(Node::observed(json!({
            "unit": unit, "more": facts.place, "volume": facts.disk, "events": facts.runtime_events,
        })))
    },
};
