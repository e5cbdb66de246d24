//! The container is cut off its network: inside all is well, outside nobody gets through.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::standing::{self, Contact};
use super::{
    Class, Descriptor, Fault, FaultError, Grip, IN_CONTAINERS, Params, Progress, Saved, Tier, marks,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::ports::runtime::{Attachment, Change, Operation, UnitState};
use crate::targets::Server;

pub(super) struct NetworkDisconnected;

const NETWORK: &str = "network";
const ALIASES: &str = "aliases";

static DESCRIPTOR: Descriptor = Descriptor {
    id: "network-disconnected",
    aliases: &[],
    tier: Tier::First,
    runtimes: IN_CONTAINERS,
    engine: None,
    class: Class::Persists,
    title: "Container cut off its network",
    about: "Disconnects the container from its network. The server goes on and answers inside; from outside its port \
            is refused, and every connection is cut.",
    finding: FindingKind::ServerDown,
    cause: "network-disconnected",
    fixed_by: &["connect_network"],
    params: &[],
    risk: Risk::Medium,
    untouched: &["data and memory", "the server's process"],
    undo: &["connect it to that network again under the names it had, if it is not on it"],
    takes_within: Duration::from_secs(5),
};

#[async_trait]
impl Fault for NetworkDisconnected {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        let unit = standing::unit(server).await.map_err(|error| error.in_words())?;
        only_network(server, &unit).map(|_| ()).map_err(|error| error.to_string())
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let lab = server.and_then(|server| server.target.lab.as_deref()).unwrap_or_default();
        let network = &crate::lab::spec::network(lab);
        let operation = Operation::Adjust(Change::Disconnect { network });
        vec![standing::spelled(server, operation, "disconnect from its network")]
    }

    async fn save(
        &self,
        server: &Server,
        _params: &Params,
        _seed: u64,
    ) -> Result<Saved, FaultError> {
        standing::must_run(server).await?;
        let unit = standing::unit(server).await?;
        let on = only_network(server, &unit)?;
        Ok(Saved::from([(NETWORK.into(), json!(on.network)), (ALIASES.into(), json!(on.aliases))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        _progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let network = marks::text(saved, NETWORK)?;
        standing::adjust(server, Change::Disconnect { network }).await?;
        Ok(Box::new(()))
    }

    async fn took(
        &self,
        server: &Server,
        _params: &Params,
        _saved: &Saved,
    ) -> Result<String, FaultError> {
        let unit = standing::unit(server).await?;
        if unit.networks.is_none_or(|networks| !networks.is_empty()) {
            return Err(FaultError::Precondition("it is still on a network".into()));
        }
        match standing::contact(server, Duration::from_millis(500)).await {
            Contact::Refused(words) => Ok(format!("on no network; {words}")),
            Contact::Silent => Ok("on no network; no answer".into()),
            Contact::Answers => Err(FaultError::Precondition("it still answers".into())),
        }
    }

    async fn revert(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
    ) -> Result<(), FaultError> {
        let network = marks::text(saved, NETWORK)?;
        let is_on =
            |unit: UnitState| unit.networks.into_iter().flatten().any(|on| on.network == network);
        if is_on(standing::unit(server).await?) {
            return Ok(());
        }
        let aliases: Vec<String> = saved
            .get(ALIASES)
            .and_then(|names| serde_json::from_value(names.clone()).ok())
            .unwrap_or_default();
        standing::adjust(server, Change::Connect { network, aliases: &aliases }).await
    }
}

/// The one network it is on. With another one left it would not be cut off.
fn only_network<'a>(server: &Server, unit: &'a UnitState) -> Result<&'a Attachment, FaultError> {
    let name = &server.target.id;
    match unit.networks.as_deref() {
        Some([one]) if unit.home_network.as_ref() == Some(&one.network) => Ok(one),
        Some([]) => Err(FaultError::Precondition(format!("{name} is on no network already"))),
        Some(_) => Err(FaultError::Precondition(format!(
            "{name} is not on just the network it was made for"
        ))),
        None => Err(FaultError::Precondition(format!("{name} has no network of its own"))),
    }
}
