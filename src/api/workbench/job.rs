//! A job as it comes in, with whom it is about, and its outcome as it goes out.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::agreed::Agreed;
use crate::api::door::Door;
use crate::api::extract;
use crate::api::problem::Problem;
use crate::database::{Code, Failure, Outcome, Workbench};

/// A request of the workbench: beside what the job itself takes, which target, and who agreed to what.
pub(super) struct Job<T> {
    pub(super) target: Option<String>,
    pub(super) agreed: Agreed,
    pub(super) request: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Job<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let extract::Json(mut fields) =
            extract::Json::<Map<String, Value>>::from_request(request, state).await?;
        let mut text = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::invalid(format!("`{name}` is a text"))),
        };
        let (target, fingerprint, typed) = (text("target")?, text("fingerprint")?, text("typed")?);
        let request = serde_json::from_value(Value::Object(fields))
            .map_err(|bad| Problem::invalid(bad.to_string()))?;
        Ok(Self { target, agreed: Agreed { fingerprint, typed }, request })
    }
}

impl Door {
    /// The workbench of a target, or of the first PostgreSQL.
    #[expect(
        clippy::result_large_err,
        reason = "an answer is made once a request and sent at once"
    )]
    pub(in crate::api) fn bench(&self, target: Option<&str>) -> Result<&Workbench, Response> {
        let found = match target {
            Some(name) => self.benches.iter().find(|bench| bench.target.id.as_str() == name),
            None => self.benches.first(),
        };
        found.ok_or_else(|| {
            let names: Vec<_> = self.benches.iter().map(|b| b.target.id.as_str()).collect();
            let detail = match names.as_slice() {
                [] => "no PostgreSQL is watched, so there is nothing to work on".to_owned(),
                names => format!("there is no such PostgreSQL; there are: {}", names.join(", ")),
            };
            Problem::not_found(detail).into_response()
        })
    }
}

/// The response of a job, or its failure as a problem.
pub(super) fn answer<T: Serialize>(outcome: Outcome<T>) -> Response {
    match outcome {
        Ok(response) => Json(response).into_response(),
        Err(failure) => failed(failure),
    }
}

/// A failure is a response of its own, with the members of a problem beside its own.
#[expect(clippy::needless_pass_by_value, reason = "errors are mapped with it")]
pub(in crate::api) fn failed(failure: Failure) -> Response {
    let status = match failure.code {
        Code::ApprovalRequired => StatusCode::ACCEPTED,
        Code::ReadOnly | Code::Refused => StatusCode::FORBIDDEN,
        Code::Conflict | Code::UnknownOutcome => StatusCode::CONFLICT,
        Code::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let detail = match &failure.hint {
        Some(hint) => format!("{}; {hint}", failure.message),
        None => failure.message.clone(),
    };
    let mut body = json!(failure);
    let problem = json!(Problem::new(status, detail));
    if let (Some(body), Value::Object(problem)) = (body.as_object_mut(), problem) {
        body.extend(problem);
    }
    Problem::response(status, &body)
}
