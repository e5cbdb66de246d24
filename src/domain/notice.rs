//! What somebody outside noticed: a person by a form, a monitoring system by an alert. Nothing in it is believed
//! beyond that it was said.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::Severity;
use super::ids::TargetId;

const MESSAGE_CHARS: usize = 500;
const NAME_CHARS: usize = 64;
const TARGET_BYTES: usize = 63;
const LINES: usize = 20;
const LINE_CHARS: usize = 2_000;

/// Something that is wrong, in somebody's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// What it is about; need not be watched.
    pub target: TargetId,
    pub severity: Severity,
    pub message: String,
    /// Who noticed, where that is not who says so.
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub team: Option<String>,
    #[serde(default)]
    pub error_lines: Vec<String>,
}

impl Notice {
    /// Why it cannot be taken as it is, if so.
    pub fn check(&self) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let target = self.target.as_str();
        if target.is_empty() || target.len() > TARGET_BYTES || !target.chars().all(fits) {
            return Err("a target has 1 to 63 letters, digits, `.`, `_` and `-`".into());
        }
        if self.message.trim().is_empty() || self.message.chars().count() > MESSAGE_CHARS {
            return Err(format!("a message has 1 to {MESSAGE_CHARS} characters"));
        }
        if let Some(source) = &self.source {
            check_name("source", source)?;
        }
        if let Some(team) = &self.team {
            check_name("team", team)?;
        }
        let too_long = |line: &String| line.chars().count() > LINE_CHARS;
        if self.error_lines.len() > LINES || self.error_lines.iter().any(too_long) {
            return Err(format!("there are at most {LINES} lines of {LINE_CHARS} characters each"));
        }
        Ok(())
    }
}

/// A name that stands in records and on screens; what shows it makes it harmless, as every text from outside.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.chars().count() > NAME_CHARS {
        return Err(format!("a {what} has at most {NAME_CHARS} characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Notice {
        Notice {
            target: TargetId::of("orders-db"),
            severity: Severity::High,
            message: "checkout answers with 500".into(),
            source: Some("support".into()),
            team: None,
            error_lines: vec!["FATAL".into()],
        }
    }

    #[test]
    fn what_is_too_much_or_nothing_is_refused_with_its_bounds() {
        assert_eq!(notice().check(), Ok(()));
        type Spoil<'a> = &'a dyn Fn(&mut Notice);
        let cases: [(Spoil<'_>, &str); 8] = [
            (&|n| n.target = TargetId::from("a b"), "63 letters"),
            (&|n| n.target = TargetId::from(""), "63 letters"),
            (&|n| n.message = " \n".into(), "1 to 500"),
            (&|n| n.message = "x".repeat(501), "1 to 500"),
            (&|n| n.source = Some("x".repeat(65)), "at most 64"),
            (&|n| n.team = Some("x".repeat(65)), "at most 64"),
            (&|n| n.error_lines = vec![String::new(); 21], "at most 20"),
            (&|n| n.error_lines = vec!["x".repeat(2_001)], "2000 characters"),
        ];
        for (spoil, said) in cases {
            let mut bad = notice();
            spoil(&mut bad);
            let refused = bad.check().unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
