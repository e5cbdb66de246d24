//! What every job on backups takes besides its request.

use chrono::{DateTime, Utc};

use super::super::{Outcome, Workbench};
use super::catalogue::{Catalogue, Entry};
use super::progress::Teller;
use super::record::{Level, next_level};
use super::retention::Rule;

/// The surroundings of a job.
pub struct Job<'a> {
    pub bench: &'a Workbench,
    pub catalogue: Catalogue,
    /// Where copies are restored for proof; unset: on the server itself.
    pub proof_on: Option<&'a Workbench>,
    pub teller: Teller,
    pub clock: fn() -> DateTime<Utc>,
}

impl<'a> Job<'a> {
    /// A job on that server, with its backups where the configuration puts them.
    pub fn new(
        bench: &'a Workbench,
        teller: Teller,
        clock: fn() -> DateTime<Utc>,
    ) -> Outcome<Self> {
        let catalogue = Catalogue::open(&bench.settings.backup.location)?;
        Ok(Self { bench, catalogue, proof_on: None, teller, clock })
    }

    pub fn rule(&self) -> Rule {
        self.bench.settings.backup.keep
    }

    /// Rows beyond this are not hashed.
    pub(crate) fn hash_budget(&self) -> u64 {
        self.bench.settings.backup.hash_bytes
    }

    /// How thoroughly that backup is looked at when nobody says.
    pub(crate) fn next_level(&self, entry: &Entry) -> Outcome<Level> {
        let (all, _) = self.catalogue.list()?;
        let manifest = &entry.manifest;
        let same = all.iter().filter(|one| one.is_of(&manifest.system, &manifest.database));
        Ok(next_level(same.map(|one| &one.record), (self.clock)()))
    }

    /// Where copies are restored for proof.
    pub(crate) fn proof_bench(&self) -> &'a Workbench {
        self.proof_on.unwrap_or(self.bench)
    }
}
