//! Takes an order while no engine runs: the lease is held for the time of one transaction.

use std::sync::Arc;

use anyhow::bail;

use super::clock::now;
use super::keeper::Keeper;
use crate::config::Config;
use crate::domain::effect::{Accepted, Input, Ordered};
use crate::domain::ids::Ids;
use crate::domain::step::step;
use crate::domain::world::World;
use crate::ports::store::Store;

/// Puts an order on record that asks for nothing but that. An engine that holds the lease is named in the error.
pub async fn record(
    store: Arc<dyn Store>,
    config: &Config,
    ordered: Ordered,
) -> anyhow::Result<Accepted> {
    let holder = format!("{} (pid {})", config.operator, std::process::id());
    let (mut keeper, ledger) = Keeper::open(store, &holder, &config.state_dir, now()).await?;
    let mut world = World::new(ledger, Vec::new(), config.policy.clone(), config.limits.clone());
    let outcome = step(&mut world, Input::Command(ordered), now(), &mut Ids::seeded(0));
    let kept = match outcome.effects.as_slice() {
        [] => keeper.keep(outcome.events, &world.ledger).await.map_err(Into::into),
        _ => Err(anyhow::anyhow!("this order needs an engine; start `simctl run` or `simctl tui`")),
    };
    keeper.release().await;
    kept?;
    match outcome.reply {
        Some(reply) => Ok(reply?),
        None => bail!("the order was not answered; this is a defect of simctl"),
    }
}
