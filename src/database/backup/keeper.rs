//! Keeps the schedule inside the engine's process: tidies up after a crash, takes what is due, one after the other,
//! and lets old backups go after a success.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::super::restore::resume;
use super::super::{Outcome, Workbench};
use super::catalogue::Catalogue;
use super::progress::Teller;
use super::schedule::{Memories, Run};
use super::{BackupRequest, Job, now, prune, scratch};
use crate::config::backup::BackupJob;
use crate::config::workbench::WorkbenchConfig;
use crate::domain::target::Engine;
use crate::targets::Server;

const LOOK: Duration = Duration::from_secs(5);

/// What the schedule is kept with.
pub struct Keeper {
    settings: WorkbenchConfig,
    servers: Vec<Server>,
    clock: fn() -> DateTime<Utc>,
    /// Servers that were not tidied up yet; one that is down is tried again.
    untidy: Vec<Server>,
}

impl Keeper {
    pub fn new(
        settings: &WorkbenchConfig,
        servers: &[Server],
        clock: fn() -> DateTime<Utc>,
    ) -> Self {
        let ours = |server: &&Server| server.target.engine == Engine::Postgres;
        let servers: Vec<Server> = servers.iter().filter(ours).cloned().collect();
        Self { settings: settings.clone(), untidy: servers.clone(), servers, clock }
    }

    /// Until told to stop. A backup that runs then is ended, and leaves nothing.
    pub async fn keep(mut self, stop: CancellationToken) {
        // Where nothing was ever backed up, nothing is made for it.
        if self.settings.backup.jobs.is_empty() && !self.settings.backup.location.exists() {
            return;
        }
        while !stop.is_cancelled() {
            if let Err(failure) = self.turn(&stop).await {
                tracing::error!(%failure, "the schedule of backups was not kept");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn turn(&mut self, stop: &CancellationToken) -> Outcome<()> {
        let catalogue = Catalogue::open(&self.settings.backup.location)?;
        for name in catalogue.sweep()? {
            tracing::warn!(name, "removed a backup that was never finished");
        }
        self.tidy_up(&catalogue).await;
        for job in self.settings.backup.jobs.clone() {
            if stop.is_cancelled() {
                break;
            }
            let mut memories = Memories::read(&catalogue)?;
            let due = memories.of(&job.name(), (self.clock)()).begin(&job, (self.clock)());
            memories.write()?;
            if let Some(due) = due {
                self.run(&job, due, stop, &catalogue).await?;
            }
        }
        Ok(())
    }

    fn bench(&self, server: &Server) -> Outcome<Workbench> {
        let seed = (self.clock)().timestamp_nanos_opt().unwrap_or_default().unsigned_abs();
        Workbench::new(server, &self.settings, seed)
    }

    /// Finishes or takes back restores, and drops databases that were made for a proof.
    async fn tidy_up(&mut self, catalogue: &Catalogue) {
        let mut still = Vec::new();
        for server in std::mem::take(&mut self.untidy) {
            let Ok(bench) = self.bench(&server) else { continue };
            let now = (self.clock)();
            let tidied = async {
                resume::resume(&bench, catalogue, now).await?;
                scratch::sweep(&bench, now).await
            };
            match tidied.await {
                Ok(dropped) if dropped.is_empty() => {}
                Ok(dropped) => tracing::warn!(?dropped, "dropped what proofs of backups had left"),
                Err(failure) => {
                    tracing::debug!(target = %server.target.id, %failure, "not tidied up yet");
                    still.push(server);
                }
            }
        }
        self.untidy = still;
    }

    async fn run(
        &self,
        job: &BackupJob,
        due: DateTime<Utc>,
        stop: &CancellationToken,
        catalogue: &Catalogue,
    ) -> Outcome<()> {
        tracing::info!(job = job.name(), %due, "a backup is due");
        let taken = self.take(job, stop).await;
        if stop.is_cancelled() && taken.is_err() {
            // It counts as broken off: the next start takes it up.
            return Ok(());
        }
        let (ok, what) = match taken {
            Ok(name) => (true, name),
            Err(why) => (false, why),
        };
        tracing::info!(job = job.name(), ok, what, "the backup ended");
        let mut memories = Memories::read(catalogue)?;
        let finished_at = (self.clock)();
        memories.of(&job.name(), finished_at).end(Run { due, finished_at, ok, what });
        memories.write()?;
        if ok { self.prune(catalogue) } else { Ok(()) }
    }

    /// The backup's name, or why there is none that counts.
    async fn take(&self, job: &BackupJob, stop: &CancellationToken) -> Result<String, String> {
        let find =
            |name: &str| self.servers.iter().find(|server| server.target.id.as_str() == name);
        let bench_of = |name: &str| {
            let server = find(name).ok_or_else(|| format!("{name} is not there now"))?;
            self.bench(server).map_err(|failure| failure.message)
        };
        let bench = bench_of(job.target.as_str())?;
        let proof = self.settings.backup.verify_on.as_ref().map(|name| bench_of(name.as_str()));
        let proof = proof.transpose()?;
        let at_work =
            Job::new(&bench, Teller::silent(), self.clock).map_err(|failure| failure.message)?;
        let at_work = Job { proof_on: proof.as_ref(), ..at_work };
        let request = BackupRequest { database: job.database.clone(), ..BackupRequest::default() };
        match Box::pin(now(&at_work, &request, stop)).await {
            Ok(made) if made.success => Ok(made.backup_file),
            Ok(made) => Err(format!("{}: {}", made.backup_file, made.verified.problems.join("; "))),
            Err(failure) => Err(failure.message),
        }
    }

    fn prune(&self, catalogue: &Catalogue) -> Outcome<()> {
        let (rule, now) = (self.settings.backup.keep, (self.clock)());
        let goes = prune::candidates(catalogue, rule, now)?;
        if goes.removed.is_empty() {
            return Ok(());
        }
        tracing::info!(goes = ?goes.removed, "these backups go");
        let removed = prune::remove(catalogue, &goes, rule, now)?;
        tracing::info!(removed = ?removed.removed, kept = removed.kept, "they are gone");
        Ok(())
    }
}
