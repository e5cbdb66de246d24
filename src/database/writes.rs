//! Who may change something: a person who saw exactly this, or a rule of the configuration, or nobody.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::failure::{Code, Failure, Outcome};
use super::query::QueryRequest;
use super::statement::Statement;
use super::transaction::TransactionRequest;
use super::workbench::{As, Workbench};
use crate::config::workbench::Writes;
use crate::domain::ids::Fingerprint;
use crate::domain::proposal::hex;

/// What a person decides about: everything that will run, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = WorkbenchChange)]
pub struct Change {
    pub target: String,
    pub database: String,
    /// To the letter, with their values.
    pub statements: Vec<String>,
    /// Something is gone afterwards: the name of the database is typed.
    pub destructive: bool,
    #[schema(value_type = String)]
    pub fingerprint: Fingerprint,
}

/// Somebody agreed to one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Permit {
    /// The id that the job gets: a permit is good for one.
    pub job: Uuid,
    /// Whose name stands in the records.
    pub actor: String,
    /// How they agreed: in words, for the records.
    pub how: String,
    /// Of the change they saw.
    #[schema(value_type = String)]
    pub fingerprint: Fingerprint,
}

impl Change {
    /// What a statement would change.
    pub fn of_query(bench: &Workbench, request: &QueryRequest) -> Outcome<Self> {
        let statement = Statement::one(&request.sql)?;
        statement.must_be_run()?;
        let texts = vec![with_values(&statement.text, &request.params)];
        Self::of(bench, request.database.as_deref(), texts, statement.destructive)
    }

    /// What a list of statements would change.
    pub fn of_transaction(bench: &Workbench, request: &TransactionRequest) -> Outcome<Self> {
        let (mut texts, mut destructive) = (Vec::new(), false);
        for query in &request.queries {
            let statement = Statement::one(&query.sql)?;
            statement.must_be_run()?;
            destructive |= statement.destructive;
            texts.push(with_values(&statement.text, &query.params));
        }
        let database = request.database.as_deref();
        let mut change = Self::of(bench, database, texts, destructive)?;
        change.bind(&format!("{:?}", request.isolation_level));
        Ok(change)
    }

    pub(super) fn of(
        bench: &Workbench,
        database: Option<&str>,
        statements: Vec<String>,
        destructive: bool,
    ) -> Outcome<Self> {
        let database = bench.login(As::App, database)?.database;
        let target = bench.target.id.to_string();
        let fingerprint = Fingerprint(String::new());
        let mut change = Self { target, database, statements, destructive, fingerprint };
        change.bind("");
        Ok(change)
    }

    /// Makes the fingerprint out of everything that was seen.
    fn bind(&mut self, more: &str) {
        let all = serde_json::json!([self.target, self.database, self.statements, more]);
        self.fingerprint = Fingerprint(hex(&Sha256::digest(all.to_string())));
    }

    /// The permission of somebody who saw this.
    pub fn permit(&self, job: Uuid, actor: impl Into<String>, how: impl Into<String>) -> Permit {
        Permit { job, actor: actor.into(), how: how.into(), fingerprint: self.fingerprint.clone() }
    }

    /// Refuses what nobody agreed to. Returns who did.
    pub(super) fn permitted(&self, bench: &Workbench, permit: Option<&Permit>) -> Outcome<Permit> {
        if bench.settings.writes == Writes::Forbid {
            return Err(Failure::refused(
                "the configuration says that nothing is changed here",
                "`workbench.writes` is `forbid`; set it to `approval` if that is meant",
            ));
        }
        match permit {
            Some(permit) if permit.fingerprint == self.fingerprint => Ok(permit.clone()),
            Some(_) => Err(Failure::new(
                Code::ApprovalRequired,
                "what was approved is something else than this",
                "look at it again and approve this",
            )),
            None => Err(Failure::new(
                Code::ApprovalRequired,
                format!("a person must agree to this change, {}", self.fingerprint.short()),
                "approve it on a terminal, or say `--yes`",
            )),
        }
    }
}

fn with_values(text: &str, params: &[serde_json::Value]) -> String {
    if params.is_empty() {
        return text.to_owned();
    }
    let values: Vec<String> = params
        .iter()
        .enumerate()
        .map(|(index, value)| format!("${} = {value}", index + 1))
        .collect();
    format!("{text}  -- {}", values.join(", "))
}
