//! A plan as EXPLAIN gives it, read into nodes.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The whole answer of EXPLAIN.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::database) struct Plan {
    #[serde(rename = "Plan")]
    pub(in crate::database) root: Node,
    #[serde(rename = "Planning Time")]
    pub(super) planning_ms: Option<f64>,
    #[serde(rename = "Execution Time")]
    pub(super) execution_ms: Option<f64>,
    #[serde(rename = "JIT")]
    pub(super) jit: Option<Value>,
    #[serde(rename = "Triggers")]
    pub(super) triggers: Vec<Trigger>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Trigger {
    #[serde(rename = "Trigger Name")]
    pub(super) name: String,
    #[serde(rename = "Time")]
    pub(super) ms: f64,
    #[serde(rename = "Calls")]
    pub(super) calls: f64,
}

/// One step of a plan. What belongs to few kinds of node is in `more`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::database) struct Node {
    #[serde(rename = "Node Type")]
    pub(in crate::database) kind: String,
    #[serde(rename = "Relation Name")]
    pub(in crate::database) relation: Option<String>,
    #[serde(rename = "Schema")]
    pub(in crate::database) schema: Option<String>,
    #[serde(rename = "Alias")]
    pub(in crate::database) alias: Option<String>,
    #[serde(rename = "Index Name")]
    pub(super) index: Option<String>,
    #[serde(rename = "Total Cost")]
    pub(in crate::database) cost: f64,
    #[serde(rename = "Plan Rows")]
    pub(super) planned_rows: f64,
    #[serde(rename = "Actual Rows")]
    pub(super) actual_rows: Option<f64>,
    #[serde(rename = "Actual Loops")]
    pub(super) loops: Option<f64>,
    #[serde(rename = "Actual Total Time")]
    pub(super) ms: Option<f64>,
    #[serde(rename = "Plans")]
    pub(in crate::database) inner: Vec<Node>,
    #[serde(flatten)]
    pub(in crate::database) more: Map<String, Value>,
}

impl Plan {
    /// Out of the text that EXPLAIN (FORMAT JSON) gave.
    pub(in crate::database) fn read(text: &str) -> Option<Self> {
        let mut all: Vec<Self> = serde_json::from_str(text).ok()?;
        all.pop()
    }
}

impl Node {
    /// This node and all below it.
    pub(in crate::database) fn all(&self) -> Vec<&Self> {
        let mut found = vec![self];
        found.extend(self.inner.iter().flat_map(Self::all));
        found
    }

    /// A figure of few kinds of node.
    pub(super) fn figure(&self, name: &str) -> Option<f64> {
        self.more.get(name)?.as_f64()
    }

    pub(in crate::database) fn text(&self, name: &str) -> Option<&str> {
        self.more.get(name)?.as_str()
    }

    /// Of all its loops together.
    pub(super) fn whole_ms(&self) -> Option<f64> {
        Some(self.ms? * self.loops.unwrap_or(1.0))
    }

    /// How people call it: `Seq Scan on orders`.
    pub(super) fn name(&self) -> String {
        let on = self.index.as_ref().map_or(String::new(), |index| format!(" using {index}"));
        match &self.relation {
            Some(relation) => format!("{}{on} on {relation}", self.kind),
            None => format!("{}{on}", self.kind),
        }
    }

    /// Every expression in it, as SQL writes it.
    pub(super) fn expressions(&self) -> Vec<&str> {
        const NOT_SQL: [&str; 16] = [
            "Join Type",
            "Scan Direction",
            "Strategy",
            "Partial Mode",
            "Parent Relationship",
            "Subplan Name",
            "Operation",
            "CTE Name",
            "Sort Method",
            "Sort Space Type",
            "Sampling Method",
            "Command",
            "Cache Mode",
            "Custom Plan Provider",
            "Function Name",
            "Table Function Name",
        ];
        let mut found = Vec::new();
        for (name, value) in &self.more {
            if NOT_SQL.contains(&name.as_str()) {
                continue;
            }
            match value {
                Value::String(text) => found.push(text.as_str()),
                Value::Array(items) => found.extend(items.iter().filter_map(Value::as_str)),
                _ => {}
            }
        }
        found
    }
}
