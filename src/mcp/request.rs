//! A request to the service, put together from a route's pattern and arguments. An argument is data: it is escaped
//! where it stands, so none can name another route.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::api::client::PATIENCE;

/// How a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Patch,
}

impl From<Method> for hyper::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Patch => Self::PATCH,
        }
    }
}

/// What is asked of the service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// With the query.
    pub(super) path: String,
    body: Map<String, Value>,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

impl Request {
    pub(super) fn new(method: Method, pattern: &str) -> Self {
        Self { method, path: pattern.to_owned(), body: Map::new(), patience: PATIENCE }
    }

    pub(super) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Puts a value where the pattern has `{name}`.
    pub(super) fn place(&mut self, name: &str, value: &str) {
        self.path = self.path.replace(&format!("{{{name}}}"), &escaped(value));
    }

    pub(super) fn query(&mut self, name: &str, value: &str) {
        let sign = if self.path.contains('?') { '&' } else { '?' };
        self.path.extend([format!("{sign}{name}={}", escaped(value))]);
    }

    pub(super) fn field(&mut self, name: &str, value: Value) {
        self.body.insert(name.to_owned(), value);
    }

    /// The body, where it has one.
    pub(super) fn body(&self) -> Option<Value> {
        (!self.body.is_empty()).then(|| Value::Object(self.body.clone()))
    }
}

/// Everything but letters, digits, `-`, `_` and `~` is escaped; a dot too, so that nothing leads upwards.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend([format!("%{byte:02X}")]);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_names_another_route() {
        let mut request = Request::new(Method::Post, "/api/v1/incidents/{incident}/diagnose");
        request.place("incident", "../1/approve?x=1#");
        request.query("text", "a&b=c é");
        assert_eq!(
            request.path,
            "/api/v1/incidents/%2E%2E%2F1%2Fapprove%3Fx%3D1%23/diagnose?text=a%26b%3Dc%20%C3%A9"
        );
        assert_eq!(request.body(), None);
    }
}
