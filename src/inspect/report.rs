//! What an inspection answers: parts made of figures and tables, checks with grades, and what to do about them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::subject::Subject;
use super::unknown::Unknown;

/// The answer of one inspection.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InspectionReport)]
pub struct Report {
    pub inspection: &'static str,
    pub verb: &'static str,
    pub target: String,
    pub at: DateTime<Utc>,
    pub took_ms: f64,
    /// The worst of the checks.
    pub grade: Grade,
    /// Figures, tables, or why something cannot be known; each with its name and title.
    #[schema(value_type = Vec<Object>)]
    pub parts: Vec<Part>,
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether the server let us in at all.
    pub fn was_answered(&self) -> bool {
        !self.parts.iter().any(|part| part.name == NOT_CONNECTED)
    }
}

/// The part of a report about a server that could not be reached.
pub(super) const NOT_CONNECTED: &str = "connect";

/// How a check came out. What could not be asked is never *ok*.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[schema(as = InspectionGrade)]
pub enum Grade {
    #[default]
    Ok,
    Inconclusive,
    Warn,
    Crit,
}

impl Grade {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Inconclusive => "inconclusive",
            Self::Warn => "WARN",
            Self::Crit => "CRIT",
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    None,
    Count,
    Bytes,
    Seconds,
    Millis,
    Percent,
}

/// One question's answer.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub title: String,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Figures(Vec<Figure>),
    Table(Table),
    Unknown(Unknown),
}

/// A number or word with its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub value: Value,
    pub unit: Unit,
}

/// A column of a table: the name of the field, and what its numbers count.
pub type Column = (&'static str, Unit);

/// Rows of one shape.
#[derive(Clone, Debug)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
    /// How many there are when these are not all.
    pub total: Option<u64>,
    /// What each row is about, in the order of the rows; empty where nothing can be acted on.
    pub subjects: Vec<Option<Subject>>,
}

impl Table {
    /// These fields of each row, in this order.
    pub fn of<T: Serialize>(rows: &[T], columns: &[Column]) -> Self {
        let cells = |row: &T| {
            let row = serde_json::to_value(row).unwrap_or_default();
            columns.iter().map(|(name, _)| row.get(name).cloned().unwrap_or_default()).collect()
        };
        let rows = rows.iter().map(cells).collect();
        Self { columns: columns.to_vec(), rows, total: None, subjects: Vec::new() }
    }

    /// What each of these rows, the table's own, is about.
    pub fn about<T>(mut self, rows: &[T], subject: impl Fn(&T) -> Option<Subject>) -> Self {
        self.subjects = rows.iter().map(subject).collect();
        self
    }

    /// Says that there are more than these.
    pub fn out_of(mut self, total: u64) -> Self {
        self.total = (total > self.rows.len() as u64).then_some(total);
        self
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let names = || self.columns.iter().map(|(name, _)| (*name).to_owned());
        let row = |cells: &Vec<Value>| names().zip(cells.iter().cloned()).collect::<Map<_, _>>();
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        let units: BTreeMap<&str, Unit> =
            self.columns.iter().filter(|(_, unit)| *unit != Unit::None).copied().collect();
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("units", &units)?;
        map.serialize_entry("rows", &rows)?;
        if let Some(total) = self.total {
            map.serialize_entry("shown", &rows.len())?;
            map.serialize_entry("total", &total)?;
        }
        map.end()
    }
}

/// One judgement, with what it was judged by and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = InspectionCheck)]
pub struct Check {
    pub id: &'static str,
    pub grade: Grade,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    pub unit: Unit,
    /// What the value is held against, in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub threshold: String,
    pub evidence: String,
    /// What a person does about it, where that is no action of ours or more than one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// Actions that fit, the cheapest first. An offer, never an order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leads_to: Vec<Offer>,
}

/// An action of the catalogue with the arguments it would take.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Offer {
    pub action: &'static str,
    #[schema(value_type = Object)]
    pub args: Value,
}

impl Check {
    /// Graded by two limits; a limit that is missing is never reached.
    pub fn over(
        id: &'static str,
        value: f64,
        unit: Unit,
        (warn, crit): (Option<f64>, Option<f64>),
    ) -> Self {
        let reaches = |limit: Option<f64>| limit.is_some_and(|limit| value >= limit);
        let grade = match (reaches(warn), reaches(crit)) {
            (_, true) => Grade::Crit,
            (true, _) => Grade::Warn,
            _ => Grade::Ok,
        };
        let words = [("warn", warn), ("crit", crit)];
        let words: Vec<String> = words
            .iter()
            .filter_map(|(word, limit)| {
                Some(format!("{word} {}", super::words::value((*limit)?, unit)))
            })
            .collect();
        let threshold = words.join(", ");
        Self { value: Some(value), unit, threshold, ..Self::graded(id, grade) }
    }

    /// Graded already.
    pub fn graded(id: &'static str, grade: Grade) -> Self {
        Self {
            id,
            grade,
            value: None,
            unit: Unit::None,
            threshold: String::new(),
            evidence: String::new(),
            advice: String::new(),
            leads_to: Vec::new(),
        }
    }

    /// Could not be judged.
    pub fn inconclusive(id: &'static str, why: &Unknown) -> Self {
        Self {
            evidence: why.sentence(),
            advice: why.remedy(),
            ..Self::graded(id, Grade::Inconclusive)
        }
    }

    pub fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    /// What to do, kept only where there is something to do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        if self.grade != Grade::Ok {
            self.advice = advice.into();
        }
        self
    }

    /// An action that fits, kept only where there is something to do.
    pub fn offer(mut self, action: &'static str, args: Value) -> Self {
        if self.grade != Grade::Ok {
            self.leads_to.push(Offer { action, args });
        }
        self
    }
}

/// A report while it is being made.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub parts: Vec<Part>,
    pub checks: Vec<Check>,
}

impl Draft {
    /// Adds an answer; one that could not be had makes its check inconclusive. What only needs a second sample is
    /// no trouble.
    pub fn part(
        &mut self,
        name: &'static str,
        title: impl Into<String>,
        content: Result<Content, Unknown>,
    ) {
        let content = content.unwrap_or_else(|unknown| {
            if !matches!(unknown, Unknown::NotEnoughHistory { .. }) {
                self.checks.push(Check::inconclusive(name, &unknown));
            }
            Content::Unknown(unknown)
        });
        self.parts.push(Part { name, title: title.into(), content });
    }

    /// Adds a table of these fields of each row.
    pub fn table<T: Serialize>(
        &mut self,
        name: &'static str,
        title: impl Into<String>,
        rows: &Result<Vec<T>, Unknown>,
        columns: &[Column],
    ) {
        let table = match rows {
            Ok(rows) => Ok(Content::Table(Table::of(rows, columns))),
            Err(unknown) => Err(unknown.clone()),
        };
        self.part(name, title, table);
    }

    /// The same, with what each row is about.
    pub(super) fn table_about<T: Serialize>(
        &mut self,
        name: &'static str,
        title: impl Into<String>,
        rows: &Result<Vec<T>, Unknown>,
        columns: &[Column],
        subject: impl Fn(&T) -> Option<Subject>,
    ) {
        let table = match rows {
            Ok(rows) => Ok(Content::Table(Table::of(rows, columns).about(rows, subject))),
            Err(unknown) => Err(unknown.clone()),
        };
        self.part(name, title, table);
    }

    /// Adds these fields of one row as figures.
    pub fn figures<T: Serialize>(
        &mut self,
        name: &'static str,
        title: impl Into<String>,
        row: &Result<T, Unknown>,
        fields: &[Column],
    ) {
        let figures = match row {
            Ok(row) => {
                let row = serde_json::to_value(row).unwrap_or_default();
                let value = |name: &str| row.get(name).cloned().unwrap_or_default();
                let figure =
                    |(name, unit): &Column| Figure { name, value: value(name), unit: *unit };
                Ok(Content::Figures(fields.iter().map(figure).collect()))
            }
            Err(unknown) => Err(unknown.clone()),
        };
        self.part(name, title, figures);
    }

    pub fn judge(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.checks.extend(checks);
    }

    pub fn grade(&self) -> Grade {
        self.checks.iter().map(|check| check.grade).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_graded_by_the_limits_it_reaches() {
        let grade = |value, limits| Check::over("x", value, Unit::Percent, limits).grade;
        let both = (Some(75.0), Some(90.0));
        assert_eq!(grade(74.9, both), Grade::Ok);
        assert_eq!(grade(75.0, both), Grade::Warn);
        assert_eq!(grade(90.0, both), Grade::Crit);
        assert_eq!(grade(1e9, (None, None)), Grade::Ok);
        assert_eq!(Check::over("x", 1.0, Unit::Percent, both).threshold, "warn 75 %, crit 90 %");
    }

    #[test]
    fn nothing_is_offered_where_all_is_well() {
        let offered = |grade| Check::graded("x", grade).advise("do").offer("y", json!({}));
        assert!(offered(Grade::Ok).leads_to.is_empty() && offered(Grade::Ok).advice.is_empty());
        assert_eq!(offered(Grade::Warn).leads_to[0].action, "y");
    }

    #[test]
    fn what_cannot_be_asked_is_inconclusive_and_what_lacks_history_is_not() {
        let mut draft = Draft::default();
        draft.part("slow", "Slow", Err(Unknown::NotEnoughHistory { have_s: 0.0, need_s: 1.0 }));
        assert_eq!(draft.grade(), Grade::Ok);
        draft.part("size", "Size", Err(Unknown::TimedOut { after_ms: 9 }));
        assert_eq!(draft.grade(), Grade::Inconclusive);
        draft.judge([Check::graded("x", Grade::Warn)]);
        assert_eq!(draft.grade(), Grade::Warn, "a known trouble weighs more than an unknown one");
    }

    #[test]
    fn a_table_is_written_as_rows_with_names_and_says_when_it_is_cut() {
        let rows = [json!({"a": 1, "b": "x", "c": 3})];
        let table = Table::of(&rows, &[("b", Unit::None), ("a", Unit::Bytes)]).out_of(5);
        let written = serde_json::to_value(&table).unwrap();
        let expected = json!({
            "units": {"a": "bytes"}, "rows": [{"b": "x", "a": 1}], "shown": 1, "total": 5
        });
        assert_eq!(written, expected);
    }
}
