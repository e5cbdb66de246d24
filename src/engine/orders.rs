//! Completes what a person ordered with what only the catalogues know, before the decision sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;

use super::pollers::Watched;
use crate::domain::effect::{Command, Input, Ordered, Refused};
use crate::domain::ids::{FaultId, TargetId};
use crate::faults::{self, Fault, LONGEST_TTL_S};

/// The input an order becomes, or why it is refused.
pub(super) fn complete(
    ordered: Ordered,
    watched: &BTreeMap<TargetId, Watched>,
    default_ttl: Duration,
) -> Result<Input, Refused> {
    let Ordered { actor, command } = ordered;
    let Command::Inject { fault, target, params, ttl_s, beside } = command else {
        return Ok(Input::Command(Ordered { actor, command }));
    };
    let known = faults::find(fault.as_str()).ok_or_else(|| {
        Refused::because(format!("there is no fault `{fault}`; `simctl faults` lists them"))
    })?;
    let target = choose_target(known, target, watched)?;
    let params = complete_params(known, &params)?;
    let ttl_s = ttl_s.unwrap_or(default_ttl.as_secs());
    if !(1..=LONGEST_TTL_S).contains(&ttl_s) {
        return Err(Refused::because(format!(
            "a deadline of {ttl_s} s is not between 1 s and {LONGEST_TTL_S} s"
        )));
    }
    Ok(Input::Inject {
        actor,
        fault: FaultId::of(known.descriptor().id),
        target,
        params,
        ttl: TimeDelta::seconds(i64::try_from(ttl_s).unwrap_or(120)),
        undo: known.descriptor().undo.iter().map(|line| (*line).to_owned()).collect(),
        beside,
    })
}

fn choose_target(
    fault: &dyn Fault,
    asked: Option<TargetId>,
    watched: &BTreeMap<TargetId, Watched>,
) -> Result<TargetId, Refused> {
    let engine = fault.descriptor().engine;
    let fits = |one: &&Watched| engine.is_none_or(|engine| one.server.target.engine == engine);
    let id = fault.descriptor().id;
    match asked {
        Some(name) => {
            let names = || watched.keys().map(TargetId::as_str).collect::<Vec<_>>().join(", ");
            let one = watched.get(&name).ok_or_else(|| {
                Refused::because(format!("{name} is not watched here; watched are: {}", names()))
            })?;
            if !fits(&one) {
                let kind = engine.map_or("other", crate::domain::target::Engine::as_str);
                return Err(Refused::because(format!(
                    "{id} is for {kind} targets; {name} is none"
                )));
            }
            Ok(name)
        }
        None => watched
            .values()
            .filter(|one| one.server.target.is_lab())
            .find(fits)
            .map(|one| one.server.target.id.clone())
            .ok_or_else(|| {
                Refused::because(format!(
                    "no target of the lab fits {id}; `simctl up` makes the lab"
                ))
            }),
    }
}

fn complete_params(
    fault: &dyn Fault,
    given: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, Refused> {
    let params = faults::complete_params(fault, given)
        .map_err(|error| Refused::because(error.to_string()))?;
    Ok(params.into_iter().map(|(name, value)| (name, Value::from(value))).collect())
}
