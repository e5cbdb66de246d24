//! What changes something is agreed to by its fingerprint: shown first, run when it comes back. With
//! `policy.two_people` by somebody else than who wanted it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::caller::Caller;
use crate::api::problem::Problem;
use crate::config::workbench::Writes;
use crate::database::writes::{Change, Permit};

/// Wishes that nobody agrees to are forgotten, the oldest first.
const MOST: usize = 1_000;

/// What a request says about agreeing.
#[derive(Debug, Default)]
pub(super) struct Agreed {
    pub(super) fingerprint: Option<String>,
    pub(super) typed: Option<String>,
}

/// A change that waits for somebody to agree to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToAgree {
    success: bool,
    #[schema(example = "approval_required")]
    code: &'static str,
    /// What to do.
    message: String,
    change: Change,
}

/// By fingerprint: when it was wanted, in order of wishes, and by whom.
type Wishes = BTreeMap<String, (u64, String)>;

/// Who may agree to what.
pub struct Agreements {
    writes: Writes,
    two_people: bool,
    /// How many wishes there were, and those that are remembered.
    wished: Mutex<(u64, Wishes)>,
}

impl Agreements {
    pub fn new(writes: Writes, two_people: bool) -> Self {
        Self { writes, two_people, wished: Mutex::default() }
    }

    #[expect(
        clippy::result_large_err,
        reason = "an answer is made once a request and sent at once"
    )]
    pub(super) fn permit(
        &self,
        caller: &Caller,
        change: &Change,
        agreed: &Agreed,
        id: Uuid,
    ) -> Result<Permit, Response> {
        let permit = |how: &str| change.permit(id, caller.name.clone(), how);
        match (self.writes, &agreed.fingerprint) {
            (Writes::Automatic, _) => return Ok(permit("workbench.writes = automatic")),
            // The job itself says that nothing is changed here.
            (Writes::Forbid, _) => return Ok(permit("nobody")),
            (Writes::Approval, None) => {
                self.remember(&caller.name, change);
                return Err(to_agree(change));
            }
            (Writes::Approval, Some(given)) if !change.fingerprint.is_named_by(given) => {
                let detail = format!(
                    "{given} names another change; this one is {}",
                    change.fingerprint.short()
                );
                return Err(Problem::conflict(detail).into_response());
            }
            (Writes::Approval, Some(_)) => {}
        }
        if change.destructive && agreed.typed.as_deref() != Some(change.database.as_str()) {
            let detail = format!(
                "something is gone afterwards: `typed` wants the database's name, {}",
                change.database
            );
            return Err(Problem::conflict(detail).into_response());
        }
        let wisher = self.wisher(change);
        if self.two_people && wisher.as_ref().is_none_or(|wisher| *wisher == caller.name) {
            let detail = "`policy.two_people`: somebody else asks for it first, then you agree";
            return Err(Problem::forbidden(detail).into_response());
        }
        Ok(permit("over HTTP, by its fingerprint"))
    }

    fn remember(&self, who: &str, change: &Change) {
        let mut wished = self.wished.lock().unwrap_or_else(PoisonError::into_inner);
        wished.0 += 1;
        let turn = wished.0;
        wished.1.insert(change.fingerprint.0.clone(), (turn, who.to_owned()));
        if wished.1.len() > MOST {
            let oldest = wished.1.iter().min_by_key(|(_, (turn, _))| *turn);
            if let Some(oldest) = oldest.map(|(print, _)| print.clone()) {
                wished.1.remove(&oldest);
            }
        }
    }

    fn wisher(&self, change: &Change) -> Option<String> {
        let wished = self.wished.lock().unwrap_or_else(PoisonError::into_inner);
        wished.1.get(&change.fingerprint.0).map(|(_, who)| who.clone())
    }
}

fn to_agree(change: &Change) -> Response {
    let typed = if change.destructive { ", with the database's name as `typed`" } else { "" };
    let message =
        format!("ask again with `fingerprint` {}{typed}, and it runs", change.fingerprint.short());
    let waits =
        ToAgree { success: false, code: "approval_required", message, change: change.clone() };
    (StatusCode::ACCEPTED, Json(waits)).into_response()
}
