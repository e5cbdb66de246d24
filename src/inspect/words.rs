//! Numbers of reports as people read them.

use serde_json::Value;

use super::report::Unit;
use crate::domain::words;

/// A number with its unit: `75 %`, `1.5 GB`, `2m09s`.
pub(super) fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes if value < 0.0 => format!("-{}", words::bytes((-value) as u64)),
        Unit::Bytes => words::bytes(value as u64),
        Unit::Seconds => seconds(value),
        Unit::Millis => millis(value),
        Unit::Percent => format!("{} %", trimmed(value, 1)),
        Unit::Count if value >= 0.0 && value.fract() == 0.0 => words::count(value as u64),
        Unit::Count | Unit::None => trimmed(value, 2),
    }
}

/// A cell: nothing is `-`, a list is its items.
pub fn cell(cell: &Value, unit: Unit) -> String {
    match cell {
        Value::Null => "-".into(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::Number(number) if unit == Unit::None => number.to_string(),
        Value::Number(number) => value(number.as_f64().unwrap_or_default(), unit),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            items.iter().map(|item| self::cell(item, unit)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(fields) => {
            let words =
                fields.iter().map(|(name, value)| format!("{name} {}", self::cell(value, unit)));
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

fn trimmed(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn millis(ms: f64) -> String {
    match ms {
        ..1.0 => format!("{ms:.2} ms"),
        1.0..1_000.0 => format!("{ms:.0} ms"),
        _ => seconds(ms / 1_000.0),
    }
}

/// `0.4 s`, `71 s`, `12m05s`, `3h02m`, `17 days`.
fn seconds(s: f64) -> String {
    let whole = s.max(0.0) as u64;
    match whole {
        0..10 => format!("{} s", trimmed(s.max(0.0), 1)),
        10..120 => format!("{whole} s"),
        120..7_200 => format!("{}m{:02}s", whole / 60, whole % 60),
        7_200..172_800 => format!("{}h{:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} days", words::count(whole / 86_400)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_read_as_people_say_them() {
        for (number, unit, text) in [
            (75.0, Unit::Percent, "75 %"),
            (58.66, Unit::Percent, "58.7 %"),
            (1_572_864.0, Unit::Bytes, "1.5 MB"),
            (-2_048.0, Unit::Bytes, "-2.0 kB"),
            (0.42, Unit::Seconds, "0.4 s"),
            (71.0, Unit::Seconds, "71 s"),
            (725.0, Unit::Seconds, "12m05s"),
            (10_920.0, Unit::Seconds, "3h02m"),
            (1_500_000.0, Unit::Seconds, "17 days"),
            (0.137, Unit::Millis, "0.14 ms"),
            (1_300.0, Unit::Millis, "1.3 s"),
            (1_600_000_000.0, Unit::Count, "1,600,000,000"),
        ] {
            assert_eq!(value(number, unit), text);
        }
    }

    #[test]
    fn a_cell_shows_what_there_is() {
        assert_eq!(cell(&json!(null), Unit::Bytes), "-");
        assert_eq!(cell(&json!(true), Unit::None), "yes");
        assert_eq!(cell(&json!([1_024, 2_048]), Unit::Bytes), "1.0 kB, 2.0 kB");
        assert_eq!(cell(&json!({"plpgsql": "1.0"}), Unit::None), "plpgsql 1.0");
        assert_eq!(cell(&json!(4_242), Unit::None), "4242", "a pid has no commas");
    }
}
