//! Every fault of the common tiers in one run, on every server of the lab that it fits.
//!
//! The servers of the lab are independent, so each goes through its faults beside the others.

use std::time::Duration;

use anyhow::Context;
use futures::future::join_all;
use serde::Serialize;

use super::outcome::Outcome;
use super::{Console, Drill, Stage, close, open, play};
use crate::config::Config;
use crate::faults::{self, Ability, Tier};
use crate::targets::Server;

/// What to go through.
#[derive(Clone, Debug)]
pub struct Tour {
    /// On this server only.
    pub target: Option<String>,
    pub ttl: Option<Duration>,
    /// One server after the other, where a person is asked.
    pub one_by_one: bool,
}

/// One fault on one server, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Leg {
    pub fault: &'static str,
    pub target: String,
    pub tier: Tier,
    #[serde(flatten)]
    pub end: End,
}

/// How a leg ended.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Played(Box<Outcome>),
    /// Not possible here, and why.
    Skipped(String),
    /// The drill itself broke off.
    Broken(String),
}

impl Leg {
    /// Whether it went as the catalogue says; one that is not possible here is no failure.
    pub fn is_fine(&self) -> bool {
        match &self.end {
            End::Played(outcome) => outcome.passed,
            End::Skipped(_) => true,
            End::Broken(_) => false,
        }
    }
}

/// A fault to play on a server, or why not.
struct Plan<'a> {
    server: &'a Server,
    ability: Ability,
}

/// Goes through all of them. Only what keeps the whole from starting is an error.
pub async fn run(config: &Config, tour: &Tour, stage: Stage<'_>) -> anyhow::Result<Vec<Leg>> {
    let (console, engine) = open(config, &stage).await?;
    let legs = walk(&console, config, tour, &stage).await;
    close(engine).await;
    legs
}

async fn walk(
    console: &Console,
    config: &Config,
    tour: &Tour,
    stage: &Stage<'_>,
) -> anyhow::Result<Vec<Leg>> {
    let lab = crate::lab::find(config).await?.context("no lab is running; `simctl up` makes it")?;
    let mut lanes = Vec::new();
    for server in &lab.servers {
        let wanted = tour.target.as_ref().is_none_or(|name| server.target.id == **name);
        if wanted && server.target.is_lab() {
            lanes.push(plans(server).await);
        }
    }
    if let (true, Some(name)) = (lanes.is_empty(), &tour.target) {
        anyhow::bail!("{name} is not a server of the lab; only the lab may be broken");
    }
    let lanes = lanes.into_iter().map(|plans| lane(console, config, tour, stage, plans));
    let mut legs = Vec::new();
    if tour.one_by_one {
        for lane in lanes {
            legs.extend(lane.await);
        }
    } else {
        legs.extend(join_all(lanes).await.into_iter().flatten());
    }
    Ok(legs)
}

/// The faults that this server may have, in the order of the catalogue; the dangerous ones only to be told of.
async fn plans(server: &Server) -> Vec<Plan<'_>> {
    let all = faults::abilities(server).await.into_iter();
    all.map(|ability| Plan { server, ability: unless_dangerous(ability) }).collect()
}

fn unless_dangerous(ability: Ability) -> Ability {
    let d = ability.fault.descriptor();
    if d.tier < Tier::Dangerous {
        return ability;
    }
    let reason = format!("dangerous, so only by name: `simctl drill {}`", d.id);
    Ability { available: Err(reason), ..ability }
}

async fn lane(
    console: &Console,
    config: &Config,
    tour: &Tour,
    stage: &Stage<'_>,
    plans: Vec<Plan<'_>>,
) -> Vec<Leg> {
    let mut legs = Vec::new();
    let all = plans.len();
    for (at, plan) in plans.into_iter().enumerate() {
        let (d, target) = (plan.ability.fault.descriptor(), plan.server.target.id.to_string());
        let head = format!("{target} {}/{all} {}", at + 1, d.id);
        let say = |line: String| (stage.say)(format!("{head}: {line}"));
        let end = match plan.ability.available {
            Err(reason) => End::Skipped(reason),
            Ok(()) => {
                let drill = Drill { fault: d.id, target: Some(target.clone()), ttl: tour.ttl };
                let own = Stage { say: &say, ask: stage.ask };
                match play(console, config, drill, &own).await {
                    Ok(outcome) => End::Played(Box::new(outcome)),
                    Err(error) => End::Broken(format!("{error:#}")),
                }
            }
        };
        say(last_word(&end));
        legs.push(Leg { fault: d.id, target, tier: d.tier, end });
    }
    legs
}

fn last_word(end: &End) -> String {
    match end {
        End::Played(outcome) if outcome.passed => "as the catalogue says".into(),
        End::Played(outcome) => {
            let wrong: Vec<&str> =
                outcome.unexpected.iter().chain(&outcome.left_over).map(String::as_str).collect();
            format!("NOT as the catalogue says: {}", wrong.join("; "))
        }
        End::Skipped(reason) => format!("left out: {reason}"),
        End::Broken(reason) => format!("BROKE OFF: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    #[test]
    fn a_dangerous_fault_is_told_of_and_not_played() {
        for fault in faults::ALL {
            let d = fault.descriptor();
            let ability = unless_dangerous(Ability { fault: *fault, available: Ok(()) });
            match ability.available {
                Ok(()) => assert!(d.tier < Tier::Dangerous, "{}", d.id),
                Err(reason) => {
                    assert_eq!(d.tier, Tier::Dangerous, "{}", d.id);
                    assert!(reason.contains(&format!("`simctl drill {}`", d.id)), "{reason}");
                }
            }
        }
        let dangerous = |fault: &&dyn Fault| fault.descriptor().tier == Tier::Dangerous;
        assert!(faults::ALL.iter().any(dangerous), "there is one to tell of");
    }
}
