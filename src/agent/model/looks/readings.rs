//! How one reading moved over the last samples.

use serde_json::json;

use super::{Kind, Look, LookArg, first};
use crate::agent::model::node::Node;

pub(super) const READINGS: Look = Look {
    name: "readings",
    about: "The last values of one reading with their times, newest first, and its lowest and highest.",
    args: &[
        LookArg {
            name: "name",
            kind: Kind::Text,
            about: "the reading, as it is named in the case",
        },
        LookArg { name: "most", kind: Kind::Count, about: "at most so many values" },
    ],
    see: |scene, given| {
        let name = given.text("name").ok_or("name a reading")?;
        let samples = scene.known.samples.iter().rev();
        let points: Vec<_> =
            samples.filter_map(|sample| Some((sample.at, sample.reading(name)?))).collect();
        let values = || points.iter().map(|(_, value)| *value);
        let lowest = values().reduce(f64::min).ok_or("there is no such reading")?;
        let highest = values().reduce(f64::max).unwrap_or(lowest);
        let told = points.iter().map(|(at, value)| json!({"at": at, "value": value})).collect();
        Ok(Node::map([
            ("lowest", Node::figure(lowest)),
            ("highest", Node::figure(highest)),
            ("values", first(told, given.count("most"))),
        ]))
    },
};
