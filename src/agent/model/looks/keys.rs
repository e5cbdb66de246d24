//! What a Redis keeps: families of keys and the largest single ones.

use serde_json::json;

use super::{Kind, Look, LookArg, first};
use crate::agent::model::node::Node;
use crate::domain::target::Engine;

pub(super) const KEYS: Look = Look {
    name: "keys",
    about: "Families of keys by the beginning of their names (how many, bytes, share without expiry) and the \
            largest single keys.",
    engine: Some(Engine::Redis),
    args: &[LookArg { name: "most", kind: Kind::Count, about: "at most so many of each" }],
    see: |scene, given| {
        let redis =
            scene.facts.redis.as_ref().ok_or("the server could not be asked from inside")?;
        let most = given.count("most");
        let prefixes = redis.prefixes.iter().map(|share| json!(share)).collect();
        let biggest = redis.biggest.iter().map(|key| json!(key)).collect();
        Ok(Node::map([
            ("keys", Node::figure(redis.keys)),
            ("counted_over", Node::figure(redis.keys_seen)),
            ("families", first(prefixes, most)),
            ("largest", first(biggest, most)),
        ]))
    },
};
