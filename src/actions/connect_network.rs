//! Attaches a container to the network it was made for.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::Given;
use super::channel::{Call, Channel, Op, succeeded};
use super::checks::{announced, kept, measured, unmeasured};
use super::unit::{inspect, word};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved};
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::domain::unit::{UnitState, UnitStatus};
use crate::targets::Server;

const ID: &str = "connect_network";
const CALL_DEADLINE: Duration = Duration::from_secs(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Connect a container to its network",
    about: "Attaches the container to the network it was made for; its published ports come back with it. Right when \
            it is on no network and the server answers inside.",
    args: &[Arg::text("network", "the network the container was made for")],
    needs: &[Need::Runtime("connect network")],
    verify: "the container is on that network, and it is the same life of it as before",
};

/// See the module.
#[derive(Debug)]
pub(super) struct ConnectNetwork;

fn network(args: &Args) -> Result<String, ActionError> {
    Given::to(&DESCRIPTOR, args)?.required("network", "the name of a network")
}

fn is_on(state: &UnitState, network: &str) -> bool {
    state.networks.iter().flatten().any(|on| on.network == network)
}

fn networks(state: &UnitState) -> String {
    match state.networks.as_deref() {
        None => "not known".into(),
        Some([]) => "none".into(),
        Some(on) => on.iter().map(|on| on.network.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// A container that is not on the network it was made for.
async fn cut_off(server: &Server, network: &str) -> Result<UnitState, ActionError> {
    let state = inspect(server).await?;
    let name = &server.target.id;
    let refused = |why: String| Err(ActionError::Precondition(why));
    if state.networks.is_none() {
        return refused(format!("{name} has no network of its own"));
    }
    if state.home_network.as_deref() != Some(network) {
        return refused(format!("{name} was not made for the network {network}"));
    }
    if is_on(&state, network) {
        return refused(format!("{name} is on {network} already"));
    }
    Ok(state)
}

#[async_trait]
impl Action for ConnectNetwork {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let network = network(args)?;
        let state = cut_off(server, &network).await?;
        Ok(Preview {
            commands: vec![
                Channel::new(server, ID).spell(&Call::Runtime(Op::Connect(network.clone()))),
            ],
            scope: [
                ("unit".into(), state.identity()),
                ("networks".into(), networks(&state)),
                ("network".into(), network),
            ]
            .into(),
            consequences: Vec::new(),
            notes: vec!["the server goes on as it is; nothing in memory is lost".into()],
        })
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("disconnects the network again".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let state = cut_off(server, &network(args)?).await?;
        Ok(Saved::from([("unit".into(), json!(state.identity()))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let network = network(args)?;
        cut_off(server, &network).await?;
        let (channel, call) = (Channel::new(server, ID), Call::Runtime(Op::Connect(network)));
        report(announced(channel.spell(&call)));
        channel.perform(&call, CALL_DEADLINE).await
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = async {
            let (network, before): (_, String) = (network(args)?, kept(saved, "unit")?);
            let state = inspect(server).await?;
            let same = state.identity() == before && state.status == UnitStatus::Running;
            Ok(vec![
                measured("on its network", is_on(&state, &network), networks(&state)),
                measured("same container, not restarted", same, word(state.status)),
            ])
        };
        measuring.await.unwrap_or_else(|e: ActionError| vec![unmeasured("network", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<String> {
        let call =
            |network| Channel::new(server, ID).spell(&Call::Runtime(Op::Disconnect(network)));
        network(args).map(call).into_iter().collect()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        _saved: &Saved,
    ) -> Result<String, ActionError> {
        let network = network(args)?;
        if !is_on(&inspect(server).await?, &network) {
            return Ok(format!("it is not on {network} any more"));
        }
        let call = Call::Runtime(Op::Disconnect(network.clone()));
        let output = Channel::new(server, ID).perform(&call, CALL_DEADLINE).await?;
        if succeeded(&output) {
            return Ok(format!("it is off {network} again"));
        }
        Err(ActionError::Precondition(output.stderr))
    }
}
