//! What may be broken at all: only our own lab, on this machine, exactly the server that was meant.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::{Spec, journal};
use crate::domain::target::Engine;
use crate::engine::clock;
use crate::faults::{Fault, FaultError, standing};
use crate::ports::runtime::{RuntimeKind, UnitState};
use crate::runtime::made::Made;
use crate::targets::{Link, Server};

/// No fault lasts longer than this, whatever was asked.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// What can be decided without a call.
pub(super) fn scope(server: &Server) -> Result<(), FaultError> {
    let name = &server.target.id;
    let Some(lab) = &server.target.lab else {
        return refused(format!("{name} is no server of the lab; only those may be broken"));
    };
    let (host, tls) = match &server.link {
        Link::Redis(link) => (&link.host, link.tls.is_some()),
        Link::Postgres(link) => (&link.host, link.tls.is_some()),
    };
    let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if !local {
        return refused(format!("{name} is at {host}, not on this machine; it will not be broken"));
    }
    if tls {
        return refused(format!("{name} wants TLS, which no server of the lab does"));
    }
    let kind = match &server.link {
        Link::Redis(_) => Engine::Redis,
        Link::Postgres(_) => Engine::Postgres,
    };
    if kind != server.target.engine {
        return refused(format!(
            "{name} is called {}, its link is not",
            server.target.engine.as_str()
        ));
    }
    if standing::place(server)?.unit.lab.as_ref() != Some(lab) {
        return refused(format!("what {name} runs in is not labelled as lab `{lab}`"));
    }
    Ok(())
}

/// All of it, right before the originals are read.
pub(super) async fn check(
    spec: &Spec,
    fault: &dyn Fault,
    server: &Server,
) -> Result<(), FaultError> {
    scope(server)?;
    let (name, descriptor) = (&server.target.id, fault.descriptor());
    if descriptor.engine.is_some_and(|engine| engine != server.target.engine) {
        return refused(format!("{} is not for {name}", descriptor.id));
    }
    let left = spec.injection.deadline - clock::now();
    if left <= TimeDelta::zero() || left > LONGEST {
        return refused("a fault needs a deadline in the future, an hour away at most".into());
    }
    let (this, busy) = (&spec.injection, journal::live_beside(&spec.state_dir, &spec.injection));
    if let Some(other) =
        busy.iter().find(|other| !this.beside || other.injection.fault == this.fault)
    {
        return refused(format!(
            "{name} is still broken by {} ({}); `simctl clear` undoes it",
            other.injection.name(),
            other.injection.fault
        ));
    }
    identity(spec, server).await?;
    fault.available(server).await.map_err(FaultError::Precondition)
}

/// The unit is labelled as ours, was made here, holds the port, and is still the one that was meant.
async fn identity(spec: &Spec, server: &Server) -> Result<(), FaultError> {
    let name = &server.target.id;
    let seen = standing::unit(server).await?;
    if seen.lab != server.target.lab {
        return refused(format!(
            "what {name} runs in is labelled {}, not as this lab",
            seen.lab.as_deref().map_or_else(|| "as no lab".into(), |lab| format!("`{lab}`"))
        ));
    }
    made_here(spec, server, &seen)?;
    if let Some(ports) = &seen.published
        && !ports.contains(&port(server))
    {
        return refused(format!(
            "{name} is said to be at port {}, which what it runs in does not publish on 127.0.0.1; \
             who answers there may be anybody",
            port(server)
        ));
    }
    if spec.server.identity.as_deref() != Some(seen.identity().as_str()) {
        return refused(format!("{name} was restarted or replaced meanwhile; inject again"));
    }
    Ok(())
}

/// Anybody can name and label a container; only those on record were made for this lab.
fn made_here(spec: &Spec, server: &Server, seen: &UnitState) -> Result<(), FaultError> {
    let place = standing::place(server)?;
    let lab = place.unit.lab.as_deref().unwrap_or_default();
    let in_docker = place.runtime.kind() == RuntimeKind::Docker;
    if in_docker && !Made::of(lab, &spec.state_dir).has(&seen.id) {
        return refused(format!(
            "the container of {} was not made from here, whatever its name and label say; \
             `simctl down` and `simctl up` make one that may be broken",
            server.target.id
        ));
    }
    Ok(())
}

fn port(server: &Server) -> u16 {
    match &server.link {
        Link::Redis(link) => link.port,
        Link::Postgres(link) => link.port,
    }
}

fn refused(why: String) -> Result<(), FaultError> {
    Err(FaultError::Precondition(why))
}
