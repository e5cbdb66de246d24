//! Which settings may be put back, and what a value of each looks like.

use super::super::args::{Given, wrong};
use super::super::{ActionError, Descriptor};
use crate::domain::proposal::Args;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OnOff,
    /// A whole number with a unit, or -1.
    Quantity,
    SyncCommit,
    /// Names of standbys, as `synchronous_standby_names` takes them.
    Standbys,
    /// A command line: only ever the one that the configuration file or the server itself has.
    FromFileOnly,
}

const SETTINGS: [(&str, Form); 17] = [
    ("default_transaction_read_only", Form::OnOff),
    ("synchronous_standby_names", Form::Standbys),
    ("synchronous_commit", Form::SyncCommit),
    ("statement_timeout", Form::Quantity),
    ("lock_timeout", Form::Quantity),
    ("idle_session_timeout", Form::Quantity),
    ("idle_in_transaction_session_timeout", Form::Quantity),
    ("work_mem", Form::Quantity),
    ("temp_file_limit", Form::Quantity),
    ("max_wal_size", Form::Quantity),
    ("max_slot_wal_keep_size", Form::Quantity),
    ("autovacuum", Form::OnOff),
    ("enable_indexscan", Form::OnOff),
    ("enable_bitmapscan", Form::OnOff),
    ("enable_seqscan", Form::OnOff),
    ("archive_command", Form::FromFileOnly),
    ("archive_library", Form::FromFileOnly),
];

/// One setting, and the value to go back to.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: &'static str,
    pub(super) baseline: String,
    form: Form,
}

impl Wanted {
    pub(super) fn read(descriptor: &'static Descriptor, args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(descriptor, args)?;
        let name: String = given.required("name", "the name of a setting")?;
        let Some((name, form)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(known, _)| *known).collect();
            return Err(wrong("name", format!("`{name}` is none of {}", known.join(", "))));
        };
        let baseline: String = given.required("value", "the value to go back to, as text")?;
        if !form.fits(&baseline) {
            let takes = form.describe();
            let reason = format!("`{baseline}` is no value of {name}: it takes {takes}");
            return Err(wrong("value", reason));
        }
        Ok(Self { name, baseline, form: *form })
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
                self.baseline.trim_end_matches(|c: char| c.is_alphabetic()) == written
            }
            Form::SyncCommit | Form::Standbys | Form::FromFileOnly => false,
        }
    }
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
            Self::SyncCommit => "on, off, local, remote_write or remote_apply",
            Self::Standbys => "names of standbys",
            Self::FromFileOnly => "what the configuration file says",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::DESCRIPTOR;
    use super::*;

    fn read(name: &str, value: &str) -> Result<Wanted, String> {
        let args = [("name".into(), json!(name)), ("value".into(), json!(value))].into();
        Wanted::read(&DESCRIPTOR, &args).map_err(|e| e.to_string())
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
