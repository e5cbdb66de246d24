//! Why a job was not done, as a response of its own: a word for programs, a sentence for people, what to do next.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::domain::sample::Answer;
use crate::ports::probe::ProbeError;
use crate::targets::postgres::answer_of;
use crate::targets::{Unanswered, felt};

/// What became of a job: its response, or why there is none.
pub type Outcome<T> = Result<T, Failure>;

/// The kinds of failure that programs tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// It changes something, and nobody has agreed to that yet.
    ApprovalRequired,
    /// It would have changed something, and only reading was asked for.
    ReadOnly,
    Timeout,
    /// Somebody else's work is in the way: a lock, a deadlock, a constraint.
    Conflict,
    /// Whether it was done is not known, so it was not repeated.
    UnknownOutcome,
    /// Not permitted, by the server or by the configuration.
    Refused,
    /// What was asked cannot be meant.
    Invalid,
    /// The server, or something that the job takes, is not there.
    Unavailable,
}

impl Code {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalRequired => "approval_required",
            Self::ReadOnly => "read_only",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
        }
    }

    /// What an SQLSTATE means for whoever asked.
    fn of(sqlstate: &str) -> Self {
        match sqlstate {
            "25006" => Self::ReadOnly,
            "57014" | "25P03" => Self::Timeout,
            "40001" | "40P01" | "55P03" | "55006" => Self::Conflict,
            "42501" | "28000" | "28P01" => Self::Refused,
            "53300" | "3D000" | "IO" | "TLS" | "CLIENT" => Self::Unavailable,
            _ => match sqlstate.get(..2) {
                Some("08" | "57" | "53" | "58" | "XX") => Self::Unavailable,
                Some("23") => Self::Conflict,
                _ => Self::Invalid,
            },
        }
    }
}

/// Why a job was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: Code,
    /// The server's own code, when it was the server that refused.
    pub sqlstate: Option<String>,
    pub message: String,
    pub hint: Option<String>,
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut response = to.serialize_struct("Failure", 2)?;
        response.serialize_field("success", &false)?;
        let error = Said {
            code: self.code,
            sqlstate: self.sqlstate.as_deref(),
            message: &self.message,
            hint: self.hint.as_deref(),
        };
        response.serialize_field("error", &error)?;
        response.end()
    }
}

#[derive(Serialize)]
struct Said<'a> {
    code: Code,
    sqlstate: Option<&'a str>,
    message: &'a str,
    hint: Option<&'a str>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, sqlstate: None, message: message.into(), hint: Some(hint.into()) }
    }

    /// The shorthand for what cannot be meant.
    pub fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message, hint)
    }

    /// The shorthand for what would have changed something.
    pub fn read_only(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Code::ReadOnly, message, hint)
    }

    /// The shorthand for what may not be.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Code::Refused, message, hint)
    }

    /// Nothing came back in time.
    pub fn timed_out(after_ms: u64) -> Self {
        Self::new(
            Code::Timeout,
            format!("no answer within {after_ms} ms; the statement was cancelled"),
            "give it more time, or ask `simctl pg locks` who is in its way",
        )
    }

    /// What the server said, or that it said nothing.
    pub fn of_postgres(error: &tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else { return Self::of_answer(answer_of(error)) };
        let sqlstate = said.code().code();
        let mut message = said.message().to_owned();
        if let Some(detail) = said.detail() {
            message.push_str(": ");
            message.push_str(detail);
        }
        let hint = said.hint().map(str::to_owned).or_else(|| hint(sqlstate).map(str::to_owned));
        Self { code: Code::of(sqlstate), sqlstate: Some(sqlstate.into()), message, hint }
    }

    /// Why there is no connection.
    pub fn of_connecting(error: &ProbeError) -> Self {
        Self::of_answer(felt(error))
    }

    fn of_answer(answer: Answer) -> Self {
        match answer {
            Answer::Hung { after_ms } => Self::timed_out(after_ms),
            Answer::Error { code, text } => {
                let is_state = code.len() == 5;
                Self {
                    code: Code::of(&code),
                    hint: hint(&code).map(str::to_owned),
                    sqlstate: is_state.then_some(code),
                    message: text,
                }
            }
            other => Self::new(Code::Unavailable, Unanswered(other).to_string(), UNREACHABLE),
        }
    }

    /// Of one statement among several.
    pub(super) fn of_statement(self, index: usize, sql: &str) -> Self {
        let text = super::statement::redacted(sql);
        let shown: String = text.chars().take(60).collect();
        let cut = if shown.len() < text.len() { "…" } else { "" };
        Self {
            message: format!("statement {} ({shown}{cut}): {}", index + 1, self.message),
            ..self
        }
    }

    /// Whether the same statement could work if everything were begun again.
    pub(super) fn sqlstate_is(&self, any: &[&str]) -> bool {
        self.sqlstate.as_deref().is_some_and(|state| any.contains(&state))
    }
}

const UNREACHABLE: &str = "bring the server up, or correct its address";

/// What to do where the server itself says nothing about it.
fn hint(sqlstate: &str) -> Option<&'static str> {
    let hint = match sqlstate {
        "25006" => "it changes something: add `--write` if that is meant",
        "57014" => "give it more time, or ask `simctl pg locks` who is in its way",
        "40001" | "40P01" => "run the whole transaction again",
        "55P03" => "`simctl pg locks` names who holds it",
        "42501" => "grant it to the login, or ask as one that has it",
        "53300" => "free a connection: `simctl pg connections`",
        "3D000" => "correct the name; `simctl pg sizes` lists the databases",
        "28P01" | "28000" => "correct user and password, or let the login in",
        "42P01" => "write the schema too, and quote a name with upper case: public.\"Orders\"",
        "IO" | "TLS" | "08006" | "08001" | "57P01" | "57P02" | "57P03" => UNREACHABLE,
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_response() {
        let failure = Failure::read_only("it would delete", "add `--write`");
        let expected = serde_json::json!({
            "success": false,
            "error": {
                "code": "read_only", "sqlstate": null, "message": "it would delete",
                "hint": "add `--write`",
            },
        });
        assert_eq!(serde_json::to_value(&failure).unwrap(), expected);
    }

    #[test]
    fn every_state_means_one_thing() {
        for (state, code) in [
            ("25006", "read_only"),
            ("57014", "timeout"),
            ("40P01", "conflict"),
            ("23505", "conflict"),
            ("42501", "refused"),
            ("42601", "invalid"),
            ("22P02", "invalid"),
            ("53300", "unavailable"),
            ("57P01", "unavailable"),
            ("08006", "unavailable"),
            ("3D000", "unavailable"),
        ] {
            assert_eq!(Code::of(state).as_str(), code, "{state}");
        }
    }

    #[test]
    fn what_the_way_to_the_server_did_is_said_with_a_remedy() {
        let refused = Answer::Error { code: "IO".into(), text: "Connection refused".into() };
        let failure = Failure::of_answer(refused);
        assert_eq!((failure.code, failure.sqlstate), (Code::Unavailable, None));
        assert!(failure.hint.is_some());
        let hung = Failure::of_answer(Answer::Hung { after_ms: 30 });
        assert!(hung.code == Code::Timeout && hung.message.contains("30 ms"));
    }
}
