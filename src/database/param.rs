//! A person's values on their way into a statement: in the server's own text form, never as part of the SQL.

use std::error::Error;

use bytes::BytesMut;
use serde_json::Value;
use tokio_postgres::Statement;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::failure::{Failure, Outcome};

/// One value, bound as text for whatever type the server inferred.
#[derive(Debug)]
pub(super) struct Param(Option<String>);

impl Param {
    fn of(value: &Value, kind: &Type) -> Self {
        let json = matches!(*kind, Type::JSON | Type::JSONB);
        Self(match value {
            Value::Null => None,
            // A text is the value's own text form, also for numbers, dates and JSON.
            Value::String(text) => Some(text.clone()),
            Value::Array(items) if !json => Some(array(items)),
            other => Some(other.to_string()),
        })
    }
}

impl ToSql for Param {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The values of a prepared statement; as many as it has places for.
pub(super) fn bound(values: &[Value], prepared: &Statement) -> Outcome<Vec<Param>> {
    let places = prepared.params();
    if places.len() != values.len() {
        return Err(Failure::invalid(
            format!("the statement has {} places for values, {} given", places.len(), values.len()),
            "write $1, $2 … in the statement and give one value for each, in order",
        ));
    }
    if values.iter().any(holds_zero) {
        return Err(Failure::invalid(
            "a value has a zero byte in it",
            "PostgreSQL has no such text",
        ));
    }
    Ok(values.iter().zip(places).map(|(value, kind)| Param::of(value, base(kind))).collect())
}

/// As the driver takes them.
pub(super) fn refs(params: &[Param]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

/// The type below all domains.
pub(super) fn base(kind: &Type) -> &Type {
    match kind.kind() {
        Kind::Domain(inner) => base(inner),
        _ => kind,
    }
}

fn holds_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_zero),
        _ => false,
    }
}

/// `{1,"a \"b\"",NULL,{2}}`
fn array(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(element).collect();
    format!("{{{}}}", items.join(","))
}

fn element(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => array(items),
        Value::String(text) => in_quotes(text),
        Value::Object(_) => in_quotes(&value.to_string()),
    }
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_a_text() {
        for (value, kind, text) in [
            (json!(null), Type::INT4, None),
            (json!(5), Type::INT4, Some("5")),
            (json!("5"), Type::INT4, Some("5")),
            (json!(true), Type::BOOL, Some("true")),
            (json!(1.5), Type::NUMERIC, Some("1.5")),
            (json!("'; drop table t; --"), Type::TEXT, Some("'; drop table t; --")),
            (json!([1, null, 2]), Type::INT4_ARRAY, Some("{1,NULL,2}")),
            (
                json!(["a\"b", "c\\d", "NULL", ""]),
                Type::TEXT_ARRAY,
                Some(r#"{"a\"b","c\\d","NULL",""}"#),
            ),
            (json!([[1], [2]]), Type::INT4_ARRAY, Some("{{1},{2}}")),
            (json!([1, "a"]), Type::JSONB, Some(r#"[1,"a"]"#)),
            (json!({"a": 1}), Type::JSON, Some(r#"{"a":1}"#)),
            (json!("{\"a\": 1}"), Type::JSONB, Some("{\"a\": 1}")),
        ] {
            assert_eq!(Param::of(&value, &kind).0.as_deref(), text, "{value} as {kind}");
        }
    }
}
