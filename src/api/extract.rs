//! What a request says, read with problems as answers: JSON bodies, queries, paths.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};

use super::problem::Problem;
use crate::config::http::HttpLimits;

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        object(request, state).await.map(Self)
    }
}

/// serde takes a list for a struct, by the order of its fields; nobody means that.
async fn object<S: Send + Sync, T: DeserializeOwned>(
    request: Request,
    state: &S,
) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let broken = |_| Problem::new(StatusCode::BAD_REQUEST, "the body broke off");
    let bytes = body.collect().await.map_err(broken)?.to_bytes();
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Problem::invalid("the body is a list; it must be a JSON object"));
    }
    let request = Request::from_parts(parts, Body::from(bytes));
    let axum::Json(read) = axum::Json::<T>::from_request(request, state).await?;
    Ok(read)
}

/// A JSON body that may be left out, or `null`; then everything in it has its default.
pub(super) struct MaybeJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        object::<_, Option<T>>(request, state).await.map(|read| Self(read.unwrap_or_default()))
    }
}

/// The part after the question mark.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(read) =
            axum::extract::Query::<T>::from_request_parts(parts, state).await?;
        Ok(Self(read))
    }
}

/// The named parts of the path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(read) =
            axum::extract::Path::<T>::from_request_parts(parts, state).await?;
        Ok(Self(read))
    }
}

/// Words with commas between them, in one part of a query.
pub(super) fn listed<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let text = String::deserialize(from)?;
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let word = serde::de::value::StrDeserializer::<D::Error>::new(word);
            T::deserialize(word)
        })
        .collect()
}

/// A field of a change that tells `null` from a field that is not there.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// How large a body may be, and how long it may take to arrive.
#[derive(Clone, Copy, Debug)]
pub struct BodyBounds {
    pub bytes: usize,
    pub time: Duration,
}

impl BodyBounds {
    /// As the configuration has them.
    pub fn of(limits: &HttpLimits) -> Self {
        let bytes = usize::try_from(limits.body_kb).unwrap_or(usize::MAX).saturating_mul(1_024);
        Self { bytes, time: limits.request_time }
    }
}

/// Reads the body whole before anything else happens: no handler ever waits for a client.
pub(super) async fn bound(bounds: BodyBounds, request: Request, next: Next) -> Response {
    match read(bounds, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// A body that is too large is still taken up to so many times its bound: who is cut off while sending does not hear
/// why.
const TAKEN: usize = 16;

async fn read(bounds: BodyBounds, request: Request) -> Result<Request, Problem> {
    let most = bounds.bytes.saturating_mul(TAKEN);
    let told = request.headers().get(header::CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > most) {
        return Err(too_large(bounds));
    }
    let (parts, body) = request.into_parts();
    let taken = tokio::time::timeout(bounds.time, whole(body, bounds, most)).await;
    let bytes = taken.unwrap_or_else(|_| {
        let after = bounds.time.as_secs_f64();
        let detail = format!("the body did not arrive within {after} s");
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
    })?;
    let body = if bytes.is_empty() { Body::empty() } else { Body::from(bytes) };
    Ok(Request::from_parts(parts, body))
}

async fn whole(mut body: Body, bounds: BodyBounds, most: usize) -> Result<Vec<u8>, Problem> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
        let data = frame.into_data().unwrap_or_default();
        length += data.len();
        if length <= bounds.bytes {
            bytes.extend_from_slice(&data);
        } else if length > most {
            break;
        }
    }
    if length > bounds.bytes { Err(too_large(bounds)) } else { Ok(bytes) }
}

fn too_large(bounds: BodyBounds) -> Problem {
    let kb = bounds.bytes / 1_024;
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {kb} kB here"))
}
