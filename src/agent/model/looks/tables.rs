//! Tables with dead rows, and what keeps them.

use serde_json::json;

use super::{Kind, Look, LookArg, first};
use crate::agent::model::node::Node;
use crate::domain::target::Engine;

pub(super) const TABLES: Look = Look {
    name: "tables",
    about: "PostgreSQL tables with dead rows (live, dead, last vacuum, autovacuum off), and prepared transactions \
            and replication slots that hold old rows or locks.",
    engine: Some(Engine::Postgres),
    args: &[LookArg { name: "most", kind: Kind::Count, about: "at most so many tables" }],
    see: |scene, given| {
        let postgres =
            scene.facts.postgres.as_ref().ok_or("the server could not be asked from inside")?;
        let tables =
            postgres.tables.as_ref().ok_or("its tables were not asked for with this finding")?;
        let tables = tables.iter().map(|table| json!(table)).collect();
        Ok(Node::map([
            ("tables", first(tables, given.count("most"))),
            ("holders", Node::observed(json!(postgres.holders))),
        ]))
    },
};
