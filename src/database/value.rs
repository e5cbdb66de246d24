//! What comes back: columns, rows as objects, values as JSON.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Number, Value};
use tokio_postgres::types::{FromSql, Kind, Type};
use tokio_postgres::{Row as ServerRow, SimpleQueryRow, Statement};

use super::failure::{Failure, Outcome};
use super::param::base;

/// One column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Column {
    /// Told apart by a number when several have the same name.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// The columns of an answer, for all of its rows.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) columns: Vec<Column>,
    types: Vec<Type>,
    names: Arc<[String]>,
}

impl Head {
    pub(super) fn of(prepared: &Statement) -> Self {
        let mut columns: Vec<Column> = Vec::new();
        for column in prepared.columns() {
            let name = unique(column.name(), &columns);
            columns.push(Column { name, kind: column.type_().name().to_owned() });
        }
        let types = prepared.columns().iter().map(|column| column.type_().clone()).collect();
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Self { columns, types, names }
    }

    /// A row whose values came as the server's own text.
    pub(super) fn of_text(&self, row: &SimpleQueryRow) -> Row {
        let values = self.types.iter().enumerate().map(|(index, kind)| {
            row.get(index).map_or(Value::Null, |text| of_text(text, base(kind)))
        });
        Row { values: values.collect(), names: Arc::clone(&self.names) }
    }

    /// A row whose values came as bytes; of the types that [`Self::must_be_readable`] let pass.
    pub(super) fn of_bytes(&self, row: &ServerRow) -> Outcome<Row> {
        let values = self.types.iter().enumerate().map(|(index, kind)| {
            let value = of_bytes(row, index, base(kind));
            value.map_err(|error| Failure::of_postgres(&error))
        });
        Ok(Row { values: values.collect::<Outcome<_>>()?, names: Arc::clone(&self.names) })
    }

    /// Refuses, before anything runs, what could not be shown afterwards.
    pub(super) fn must_be_readable(&self) -> Outcome<()> {
        for (column, kind) in self.columns.iter().zip(&self.types) {
            if !is_readable(base(kind)) {
                return Err(Failure::invalid(
                    format!(
                        "column {} is of type {}, which cannot be shown here",
                        column.name, column.kind
                    ),
                    format!("cast it to text: {}::text", column.name),
                ));
            }
        }
        Ok(())
    }
}

/// `a`, then `a_2`, `a_3`.
fn unique(name: &str, before: &[Column]) -> String {
    let taken = |name: &str| before.iter().any(|column| column.name == name);
    if !taken(name) {
        return name.to_owned();
    }
    let numbered = (2..).map(|n: usize| format!("{name}_{n}"));
    numbered.into_iter().find(|name| !taken(name)).unwrap_or_default()
}

/// One row: an object in the order of the columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub values: Vec<Value>,
    names: Arc<[String]>,
}

impl Row {
    /// The value of that column.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|column| column == name)?;
        self.values.get(at)
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        self.values.iter().map(weight).sum()
    }
}

fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.values.len()))?;
        for (name, value) in self.names.iter().zip(&self.values) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Numbers, truths and JSON become JSON; every other type stays the server's text.
fn of_text(text: &str, kind: &Type) -> Value {
    let value = match *kind {
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => {
            text.parse::<i64>().ok().map(|number| Value::Number(number.into()))
        }
        Type::FLOAT4 | Type::FLOAT8 => {
            text.parse().ok().and_then(Number::from_f64).map(Value::Number)
        }
        Type::BOOL => Some(Value::Bool(text == "t")),
        Type::JSON | Type::JSONB => serde_json::from_str(text).ok(),
        _ => None,
    };
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

const READABLE: [Type; 19] = [
    Type::BOOL,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::OID,
    Type::FLOAT4,
    Type::FLOAT8,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::NAME,
    Type::UNKNOWN,
    Type::UUID,
    Type::JSON,
    Type::JSONB,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
    Type::DATE,
    Type::TIME,
];

fn is_readable(kind: &Type) -> bool {
    READABLE.contains(kind) || matches!(kind.kind(), Kind::Enum(_)) || *kind == Type::VOID
}

/// A text whatever the type is called.
struct Text(String);

impl<'a> FromSql<'a> for Text {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(std::str::from_utf8(raw)?.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn of_bytes(row: &ServerRow, at: usize, kind: &Type) -> Result<Value, tokio_postgres::Error> {
    let text = |value: Option<String>| value.map_or(Value::Null, Value::String);
    Ok(match *kind {
        Type::BOOL => row.try_get::<_, Option<bool>>(at)?.map_or(Value::Null, Value::Bool),
        Type::INT2 => number(row.try_get::<_, Option<i16>>(at)?),
        Type::INT4 => number(row.try_get::<_, Option<i32>>(at)?),
        Type::INT8 => number(row.try_get::<_, Option<i64>>(at)?),
        Type::OID => number(row.try_get::<_, Option<u32>>(at)?),
        Type::FLOAT4 => float(row.try_get::<_, Option<f32>>(at)?.map(f64::from)),
        Type::FLOAT8 => float(row.try_get(at)?),
        Type::JSON | Type::JSONB => row.try_get::<_, Option<Value>>(at)?.unwrap_or(Value::Null),
        Type::UUID => text(row.try_get::<_, Option<uuid::Uuid>>(at)?.map(|id| id.to_string())),
        Type::DATE => text(row.try_get::<_, Option<NaiveDate>>(at)?.map(|day| day.to_string())),
        Type::TIME => text(row.try_get::<_, Option<NaiveTime>>(at)?.map(|time| time.to_string())),
        Type::TIMESTAMP => {
            text(row.try_get::<_, Option<NaiveDateTime>>(at)?.map(|time| time.to_string()))
        }
        Type::TIMESTAMPTZ => {
            let time = row.try_get::<_, Option<DateTime<Utc>>>(at)?;
            text(time.map(|time| time.format("%Y-%m-%d %H:%M:%S%.f+00").to_string()))
        }
        _ => text(row.try_get::<_, Option<Text>>(at)?.map(|text| text.0)),
    })
}

fn number<T: Into<i64>>(value: Option<T>) -> Value {
    value.map_or(Value::Null, |value| Value::Number(value.into().into()))
}

fn float(value: Option<f64>) -> Value {
    let Some(value) = value else { return Value::Null };
    Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_becomes_json_where_json_can_hold_it() {
        for (text, kind, value) in [
            ("9223372036854775807", Type::INT8, json!(9_223_372_036_854_775_807_i64)),
            ("-1.5", Type::FLOAT8, json!(-1.5)),
            ("NaN", Type::FLOAT8, json!("NaN")),
            ("Infinity", Type::FLOAT4, json!("Infinity")),
            ("t", Type::BOOL, json!(true)),
            ("{\"a\": [1]}", Type::JSONB, json!({"a": [1]})),
            ("1.50", Type::NUMERIC, json!("1.50")),
            ("{1,2}", Type::INT4_ARRAY, json!("{1,2}")),
            ("2026-01-01 00:00:00+00", Type::TIMESTAMPTZ, json!("2026-01-01 00:00:00+00")),
        ] {
            assert_eq!(of_text(text, &kind), value, "{text} as {kind}");
        }
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let column = |name: &str| Column { name: name.into(), kind: "int4".into() };
        let before = [column("a"), column("a_2")];
        assert_eq!(unique("a", &before), "a_3");
        assert_eq!(unique("b", &before), "b");
    }
}
