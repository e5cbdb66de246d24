//! The setting and the value that are wanted, and what a value looks like.

use super::super::ActionError;
use super::super::args::{Given, wrong};
use super::PgSetting;
use crate::domain::proposal::Args;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actions) enum Form {
    OnOff,
    /// A whole number with a unit, or -1.
    Quantity,
    /// A number that may have a fraction.
    Number,
    SyncCommit,
    /// Names of standbys, as `synchronous_standby_names` takes them.
    Standbys,
    /// A command line: only ever the one that the configuration file or the server itself has.
    FromFileOnly,
}

/// One setting, and the value it shall have.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: &'static str,
    pub(super) baseline: String,
    form: Form,
    in_own_unit: bool,
}

impl Wanted {
    pub(super) fn read(action: &PgSetting, args: &Args) -> Result<Self, ActionError> {
        let settings = action.settings;
        let given = Given::to(action.descriptor, args)?;
        let name: String = given.required("name", "the name of a setting")?;
        let Some((name, form)) = settings.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = settings.iter().map(|(known, _)| *known).collect();
            return Err(wrong("name", format!("`{name}` is none of {}", known.join(", "))));
        };
        let baseline: String = given.required("value", "the value, as text")?;
        if !form.fits(&baseline) {
            let takes = form.describe();
            let reason = format!("`{baseline}` is no value of {name}: it takes {takes}");
            return Err(wrong("value", reason));
        }
        Ok(Self { name, baseline, form: *form, in_own_unit: action.in_own_unit })
    }

    /// Whether the value must already stand in a configuration file.
    pub(super) fn only_from_file(&self) -> bool {
        self.form == Form::FromFileOnly
    }

    /// Whether a value, as a configuration file writes it, is the one to go back to.
    pub(super) fn is(&self, written: &str) -> bool {
        let written = written.trim();
        if written == self.baseline {
            return true;
        }
        match self.form {
            Form::OnOff => on_off(written).is_some_and(|on| on_off(&self.baseline) == Some(on)),
            // pg_settings gives the unit apart; a bare number in a file means that unit.
            Form::Quantity => {
                let bare = self.baseline.trim_end_matches(|c: char| c.is_alphabetic());
                self.in_own_unit && bare == written
                    || quantity(written)
                        .is_some_and(|known| quantity(&self.baseline) == Some(known))
            }
            Form::Number => {
                let number = |text: &str| text.parse::<f64>().ok();
                number(written).is_some_and(|known| number(&self.baseline) == Some(known))
            }
            Form::SyncCommit | Form::Standbys | Form::FromFileOnly => false,
        }
    }
}

/// A size in bytes or a time in microseconds, told apart; a number without a unit is neither.
fn quantity(written: &str) -> Option<(bool, i64)> {
    let digits = written.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (is_size, times) = match &written[digits.len()..] {
        "B" => (true, 1),
        "kB" => (true, 1 << 10),
        "MB" => (true, 1 << 20),
        "GB" => (true, 1 << 30),
        "TB" => (true, 1 << 40),
        "us" => (false, 1),
        "ms" => (false, 1_000),
        "s" => (false, 1_000_000),
        "min" => (false, 60_000_000),
        "h" => (false, 3_600_000_000),
        "d" => (false, 86_400_000_000),
        _ => return None,
    };
    Some((is_size, digits.parse::<i64>().ok()?.checked_mul(times)?))
}

fn on_off(written: &str) -> Option<bool> {
    match written.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

impl Form {
    fn fits(self, value: &str) -> bool {
        match self {
            Self::OnOff => matches!(value, "on" | "off"),
            Self::Quantity => {
                let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                digits.parse::<i64>().is_ok_and(|number| number >= -1) && value.len() < 24
            }
            Self::Number => {
                value.len() < 16
                    && value.parse::<f64>().is_ok_and(|number| number.is_finite() && number >= -1.0)
            }
            Self::SyncCommit => {
                matches!(value, "on" | "off" | "local" | "remote_write" | "remote_apply")
            }
            Self::Standbys => value.chars().all(|c| c.is_ascii_graphic() || c == ' '),
            Self::FromFileOnly => true,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::OnOff => "on or off",
            Self::Quantity => "a whole number with its unit",
            Self::Number => "a number",
            Self::SyncCommit => "on, off, local, remote_write or remote_apply",
            Self::Standbys => "names of standbys",
            Self::FromFileOnly => "what the configuration file says",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::{reset_pg_setting, set_pg_setting};
    use super::*;

    fn read(name: &str, value: &str) -> Result<Wanted, String> {
        of(&reset_pg_setting::ACTION, name, value)
    }

    fn of(action: &super::super::PgSetting, name: &str, value: &str) -> Result<Wanted, String> {
        let args = [("name".into(), json!(name)), ("value".into(), json!(value))].into();
        action.read(&args).map_err(|e| e.to_string())
    }

    #[test]
    fn what_a_person_may_set_is_a_list_too_and_units_are_known_again() {
        let set = |name, value| of(&set_pg_setting::ACTION, name, value);
        for (name, value, written) in [
            ("work_mem", "64MB", "65536kB"),
            ("statement_timeout", "60s", "60000ms"),
            ("checkpoint_timeout", "15min", "900s"),
            ("random_page_cost", "1.1", "1.10"),
            ("default_statistics_target", "200", "200"),
            ("log_lock_waits", "on", "on"),
        ] {
            assert!(set(name, value).unwrap().is(written), "{name} {value}");
        }
        assert!(!set("work_mem", "64MB").unwrap().is("64kB"));
        assert!(!set("work_mem", "64MB").unwrap().is("64"), "another unit by itself");
        for (name, value) in [
            ("shared_buffers", "1GB"),
            ("archive_command", "rm"),
            ("work_mem", "64 MB; drop"),
            ("random_page_cost", "NaN"),
        ] {
            assert!(set(name, value).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn only_known_settings_with_proper_values_are_taken() {
        for (name, value) in [
            ("default_transaction_read_only", "off"),
            ("synchronous_standby_names", ""),
            ("synchronous_standby_names", "FIRST 1 (one, two)"),
            ("statement_timeout", "0ms"),
            ("temp_file_limit", "-1kB"),
            ("archive_command", "(disabled)"),
        ] {
            assert!(read(name, value).is_ok(), "{name} {value}");
        }
        for (name, value) in [
            ("shared_buffers", "16MB"),
            ("default_transaction_read_only", "maybe"),
            ("statement_timeout", "-7ms"),
            ("statement_timeout", "1; drop"),
            ("synchronous_standby_names", "a\nb"),
        ] {
            assert!(read(name, value).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn a_value_is_known_again_as_a_file_writes_it() {
        let is = |name, value, written: &str| read(name, value).unwrap().is(written);
        assert!(is("autovacuum", "on", "true") && !is("autovacuum", "on", "0"));
        assert!(is("statement_timeout", "30000ms", "30000") && is("work_mem", "4096kB", "4096kB"));
        assert!(!is("statement_timeout", "30000ms", "30"));
        assert!(is("synchronous_standby_names", "", "") && !is("archive_command", "cp", "rm"));
    }
}
