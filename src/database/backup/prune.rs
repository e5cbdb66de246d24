//! Removing what the rule lets go, database by database.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::super::Outcome;
use super::catalogue::Catalogue;
use super::retention::{Kept, Rule, expired};

/// What goes, and what was done about it.
#[derive(Clone, Debug, Serialize)]
pub struct PruneResponse {
    pub success: bool,
    /// Oldest first in each database.
    pub removed: Vec<String>,
    pub kept: usize,
    /// They were only named.
    pub dry_run: bool,
}

/// The names of those that may go.
pub fn candidates(catalogue: &Catalogue, rule: Rule, now: DateTime<Utc>) -> Outcome<PruneResponse> {
    let (all, _) = catalogue.list()?;
    let mut databases: BTreeMap<(String, String), Vec<Kept>> = BTreeMap::new();
    for entry in &all {
        let of = (entry.manifest.system.clone(), entry.manifest.database.clone());
        databases.entry(of).or_default().push(entry.kept());
    }
    let goes = databases.values().flat_map(|kept| expired(kept, rule, now));
    let removed: Vec<String> = goes.map(|one| one.name.clone()).collect();
    Ok(PruneResponse { success: true, kept: all.len() - removed.len(), removed, dry_run: true })
}

/// Removes those that were named, as far as they may still go.
pub fn remove(
    catalogue: &Catalogue,
    named: &PruneResponse,
    rule: Rule,
    now: DateTime<Utc>,
) -> Outcome<PruneResponse> {
    let may_go = candidates(catalogue, rule, now)?.removed;
    let mut removed = Vec::new();
    for name in named.removed.iter().filter(|name| may_go.contains(name)) {
        catalogue.remove(name)?;
        removed.push(name.clone());
    }
    let (left, _) = catalogue.list()?;
    Ok(PruneResponse { success: true, removed, kept: left.len(), dry_run: false })
}
