//! All that is known of a server, observed anew.

use super::Look;
use crate::agent::model::case;
use crate::config::agent::Share;

pub(super) const EVERYTHING: Look = Look {
    name: "look_again",
    about: "Observes the server and what it runs in once more and gives all facts as they are now.",
    engine: None,
    args: &[],
    // Never more than every setting of `share` lets through.
    see: |scene, _| Ok(case::seen(scene.facts, Share::Evidence)),
};
