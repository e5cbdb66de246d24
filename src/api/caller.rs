//! Who asks, and whether they may: the door says who it is, the method how much that takes.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::config::http::Role;
use crate::domain::step::actor;

/// Somebody whom a door let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Stands in the records.
    pub name: String,
    pub role: Role,
    /// Whether it is the owner of the engine, who may speak in other names.
    pub is_owner: bool,
}

impl Caller {
    /// Whoever may open the control socket.
    pub fn owner(name: impl Into<String>) -> Self {
        Self { name: name.into(), role: Role::Admin, is_owner: true }
    }

    /// Somebody who is known by a token.
    pub(super) fn guest(name: impl Into<String>, role: Role) -> Self {
        Self { name: name.into(), role, is_owner: false }
    }

    /// An agent of theirs: neither the owner nor an admin, and told apart in the records.
    fn through_an_agent(self) -> Self {
        Self::guest(actor::through_an_agent(&self.name), self.role.min(Role::Operator))
    }

    /// Whether the role suffices; else the problem that says which would.
    pub(super) fn may(&self, wanted: Role) -> Result<(), Problem> {
        if self.role >= wanted {
            return Ok(());
        }
        let (name, role, wanted) = (&self.name, self.role.as_str(), wanted.as_str());
        Err(Problem::forbidden(format!("`{name}` has the role {role}; this takes {wanted}")))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// Turns away everybody but an admin.
pub(super) struct Admin;

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.may(Role::Admin)?;
        Ok(Self)
    }
}

fn nobody() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "this door let nobody in")
}

/// What the method takes at least; a route may ask for more.
pub(super) fn least_role(method: &Method) -> Role {
    if *method == Method::GET || *method == Method::HEAD { Role::Viewer } else { Role::Operator }
}

/// In a request that an agent makes in its caller's name.
pub(super) const AGENT_HEADER: &str = "simctl-agent";

/// Turns away who may not. In front of every route, so that none can be forgotten.
pub(super) async fn check(mut request: Request, next: Next) -> Response {
    let Some(mut caller) = request.extensions().get::<Caller>().cloned() else {
        return nobody().into_response();
    };
    if request.headers().contains_key(AGENT_HEADER) {
        caller = caller.through_an_agent();
        request.extensions_mut().insert(caller.clone());
    }
    match caller.may(least_role(request.method())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
