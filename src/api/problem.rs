//! Why a request was not fulfilled, as every route says it: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::effect::Refused;
use crate::ports::store::StoreError;

const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not fulfilled, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "title": "Conflict", "status": 409, "detail": "INC-0042 is resolved; nothing is left to decide",
}))]
pub struct Problem {
    /// The status in words.
    pub title: String,
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// One sentence for a person: what failed, on what, and what to do next.
    pub detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { title, status: status.as_u16(), detail: detail.into() }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// An answer of this media type with members of its own.
    pub(super) fn response(status: StatusCode, body: &impl Serialize) -> Response {
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }

    fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Self::response(self.code(), &self)
    }
}

impl From<Refused> for Problem {
    /// The engine understood and says no: the state of things is against it.
    fn from(refused: Refused) -> Self {
        Self::conflict(refused.reason)
    }
}

impl From<StoreError> for Problem {
    /// The cause stays in the log; whoever asks learns that the records cannot be read now.
    fn from(error: StoreError) -> Self {
        let cause = anyhow::Error::from(error);
        tracing::warn!("a request found the records unreadable: {cause:#}");
        Self::unavailable("the records cannot be read right now; `simctl doctor` says why")
    }
}

impl From<JsonRejection> for Problem {
    fn from(bad: JsonRejection) -> Self {
        Self::new(bad.status(), bad.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(bad: QueryRejection) -> Self {
        Self::new(bad.status(), bad.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(bad: PathRejection) -> Self {
        Self::new(bad.status(), bad.body_text())
    }
}

/// The answer to a handler that panicked: nothing of the panic leaves, the log has it.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let words = match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic
            .downcast::<&str>()
            .map_or_else(|_| "without words".to_owned(), |words| (*words).to_owned()),
    };
    tracing::error!(words, "a request panicked");
    let detail = "a defect of simctl; the log in the state directory has what happened";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn read(response: Response) -> (StatusCode, String, Problem) {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let kind = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (status, kind, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_problem_names_its_status_and_says_what_to_do() {
        let refused = Problem::from(Refused::because("INC-0001 is resolved"));
        let (status, kind, problem) = read(refused.into_response()).await;
        assert_eq!((status, kind.as_str()), (StatusCode::CONFLICT, MEDIA_TYPE));
        assert_eq!((problem.title.as_str(), problem.status), ("Conflict", 409));
        assert_eq!(problem.detail, "INC-0001 is resolved");
    }

    #[tokio::test]
    async fn neither_a_panic_nor_a_store_tells_its_insides() {
        let hush = || anyhow::anyhow!("password=hunter2");
        let store = StoreError::Failed { verb: "read", source: hush() };
        let panic: Box<dyn std::any::Any + Send> = Box::new("password=hunter2".to_owned());
        for (response, code) in
            [(Problem::from(store).into_response(), 503), (panicked(panic), 500)]
        {
            let (status, _, problem) = read(response).await;
            assert_eq!(status, code);
            assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
        }
    }
}
