//! Settings of a server, as they are and as they were when it was healthy.

use super::{Kind, Look, LookArg};
use crate::agent::model::case;
use crate::agent::model::node::Node;

pub(super) const SETTINGS: Look = Look {
    name: "settings",
    about: "Settings of the server: each as it is now and as it was while the server was healthy.",
    args: &[LookArg { name: "names", kind: Kind::Names, about: "which ones, as `maxmemory`" }],
    see: |scene, given| {
        let names = given.names("names");
        if names.is_empty() {
            return Err("name one setting at least".into());
        }
        let now = case::settings(scene.facts);
        let one =
            |name: &&str| case::setting(name, now.get(*name), scene.facts.baseline.get(*name));
        Ok(Node::List(names.iter().map(one).collect()))
    },
};
