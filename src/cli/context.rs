//! What most commands need: the configuration, the running engine, the store.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::print::Print;
use super::{Done, bad_input};
use crate::api::client::Client;
use crate::config::load::{Flags, Loaded, load};
use crate::config::secret::Secret;
use crate::config::{Config, RuntimeChoice, TargetConfig, dirs};
use crate::domain::effect::{Accepted, Command, Ordered};
use crate::domain::ids::incident_name;
use crate::domain::incident::Incident;
use crate::lab::{self, Lab};
use crate::ports::runtime::{Runtime, RuntimeKind};
use crate::ports::store::{IncidentFilter, Store};
use crate::runtime::docker::DockerRuntime;
use crate::targets::{self, Server};

/// The surroundings of a command.
pub(super) struct Context {
    pub(super) loaded: Loaded,
    pub(super) print: Print,
    /// Where remarks on the way go; standard error, unless a console has the terminal.
    say: Option<Say>,
}

/// Takes a line of what goes on.
pub(super) type Say = Arc<dyn Fn(String) + Send + Sync>;

impl Context {
    /// Reads the configuration; starts and creates nothing.
    pub(super) fn load(flags: &Flags, print: Print) -> anyhow::Result<Self> {
        let loaded = load(flags, &|name| std::env::var(name).ok())?;
        Ok(Self { loaded, print, say: None })
    }

    /// Sends remarks somewhere else.
    pub(super) fn saying(self, say: Say) -> Self {
        Self { say: Some(say), ..self }
    }

    /// Tells what goes on meanwhile.
    pub(super) fn say(&self, line: impl Into<String>) {
        match &self.say {
            Some(say) => say(line.into()),
            None => self.print.progress(&line.into()),
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The engine that is running, if any.
    pub(super) async fn running(&self) -> anyhow::Result<Option<Client>> {
        Ok(Client::connect(&self.config().state_dir).await?)
    }

    /// The running engine, for commands that cannot do without.
    pub(super) async fn engine(&self) -> anyhow::Result<Client> {
        self.running()
            .await?
            .ok_or_else(|| anyhow!("no engine is running; start `simctl run` or `simctl tui`"))
    }

    /// Gives a command in the operator's name and prints the answer.
    pub(super) async fn order(&self, engine: &Client, command: Command) -> Done {
        let accepted = self.give(engine, command).await?;
        if self.print.json {
            self.print.json(&accepted)?;
        } else {
            self.print.line(&accepted.message)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Gives a command in the operator's name.
    pub(super) async fn give(&self, engine: &Client, command: Command) -> anyhow::Result<Accepted> {
        let ordered = Ordered { actor: self.config().operator.clone(), command };
        Ok(engine.order(&ordered).await?)
    }

    /// The store by the configuration, else the lab's, else SQLite in the state directory.
    pub(super) fn store_url(&self, lab: Option<&Lab>) -> Secret {
        let lab_url = || lab.map(|lab| lab.store_url.clone());
        self.config().store_url.clone().or_else(lab_url).unwrap_or_else(|| {
            let path = self.config().state_dir.join("simctl.db");
            Secret::new(format!("sqlite:{}", path.display()))
        })
    }

    /// Opens the store that records are read from.
    pub(super) async fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let config = self.config();
        let lab = if config.store_url.is_some() { None } else { self.lab().await? };
        self.open_store(&self.store_url(lab.as_ref())).await
    }

    pub(super) async fn open_store(&self, at: &Secret) -> anyhow::Result<Arc<dyn Store>> {
        dirs::ensure_private(&self.config().state_dir)?;
        Ok(crate::store::open(at, &self.config().state_dir).await?)
    }

    /// The lab, when the configuration wants one and there is one. The user's own servers do not need it: for
    /// them a runtime that cannot be reached is a remark.
    pub(super) async fn lab(&self) -> anyhow::Result<Option<Lab>> {
        let config = self.config();
        if !config.lab.enabled {
            return Ok(None);
        }
        match lab::find(config).await {
            Err(error)
                if config.lab.runtime == RuntimeChoice::Auto && !config.targets.is_empty() =>
            {
                self.say(format!("only your own servers are watched: {error:#}"));
                Ok(None)
            }
            found => found,
        }
    }

    /// For commands that make or break the lab.
    pub(super) fn must_have_lab(&self) -> anyhow::Result<()> {
        if self.config().lab.enabled {
            return Ok(());
        }
        bail!("the lab is switched off by the configuration; set `enabled = true` under `[lab]`")
    }

    /// Everything to watch: the lab's servers, then the user's own.
    pub(super) async fn servers(&self, lab: Option<&Lab>) -> Vec<Server> {
        let config = self.config();
        let runtime = match lab.map(|lab| &lab.runtime) {
            Some(runtime) if runtime.kind() == RuntimeKind::Docker => Some(Arc::clone(runtime)),
            _ => self.engine_of_containers().await,
        };
        let own =
            config.targets.iter().map(|target| targets::own::server(target, runtime.as_ref()));
        let of_lab = lab.map_or(&[][..], |lab| &lab.servers);
        of_lab.iter().cloned().chain(own).collect()
    }

    /// The engine that runs the containers of the user's own servers, where some are named.
    async fn engine_of_containers(&self) -> Option<Arc<dyn Runtime>> {
        let inside = |target: &&TargetConfig| target.container.is_some();
        let first = self.config().targets.iter().find(inside)?;
        match DockerRuntime::connect().await {
            Ok(engine) => Some(Arc::new(engine)),
            Err(error) => {
                let name = &first.id;
                self.say(format!("{name} is watched from outside only: {error}"));
                None
            }
        }
    }
}

/// An incident out of the store, or the sentence that names the newest ones.
pub(super) async fn stored_incident(store: &dyn Store, number: u64) -> anyhow::Result<Incident> {
    if let Some(incident) = store.incident(number).await? {
        return Ok(incident);
    }
    let newest = store.incidents(&IncidentFilter { limit: 3, ..Default::default() }).await?;
    Err(no_incident(number, "the newest are", newest.iter().map(|line| line.number)))
}

/// "there is no incident INC-0099; the newest are INC-0042, INC-0041"
pub(super) fn no_incident(
    number: u64,
    which: &str,
    others: impl Iterator<Item = u64>,
) -> anyhow::Error {
    let names: Vec<_> = others.map(incident_name).collect();
    let others = match names.as_slice() {
        [] => "there is none".to_owned(),
        names => format!("{which} {}", names.join(", ")),
    };
    bad_input(format!("there is no incident {}; {others}", incident_name(number)))
}
