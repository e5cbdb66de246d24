//! What a person asks for is previewed on the live server before the decision sees it: what does not fit is refused
//! with its sentence and leaves no incident behind.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::pollers::Watched;
use super::run::Answer;
use crate::actions;
use crate::agent;
use crate::domain::effect::{Command, Input, Ordered, Refused};
use crate::domain::event::without_nul;
use crate::domain::ids::{ActionId, TargetId};
use crate::domain::incident::Request;
use crate::targets::Server;

/// Whoever asks waits for it; a control socket gives up after 30 s.
const PATIENCE: Duration = Duration::from_secs(25);

/// It stands in every proposal, event and report.
const MOST_BYTES: usize = 32 << 10;

/// What was previewed, and who waits for the decision.
pub(super) type Previewed = (Input, oneshot::Sender<Answer>);

/// An action that fits its target as far as the catalogue tells.
pub(super) struct Wanted {
    server: Server,
    actor: String,
    request: Request,
}

/// Looks up what was ordered.
pub(super) fn wanted(
    ordered: Ordered,
    watched: &BTreeMap<TargetId, Watched>,
) -> Result<Wanted, Refused> {
    let Ordered { actor, command } = ordered;
    let Command::Propose { target, action, args, reason } = command else {
        return Err(Refused::because("nothing was asked for; this is a defect of simctl"));
    };
    let Some(one) = watched.get(&target) else {
        let names: Vec<&str> = watched.keys().map(TargetId::as_str).collect();
        let names = names.join(", ");
        return Err(Refused::because(format!(
            "{target} is not watched here; watched are: {names}"
        )));
    };
    let found = actions::fitting(action.as_str(), one.server.target.engine, &args)
        .map_err(|error| Refused::because(error.to_string()))?;
    let action = ActionId::of(found.descriptor().id);
    let reason = without_nul(reason);
    let size = reason.len() + serde_json::to_string(&args).map_or(0, |text| text.len());
    if size > MOST_BYTES {
        let text = format!("arguments and reason of {action} are longer than {MOST_BYTES} bytes");
        return Err(Refused::because(text));
    }
    Ok(Wanted { server: one.server.clone(), actor, request: Request { action, args, reason } })
}

/// Previews it; what fits goes on to the decision.
pub(super) async fn preview(
    wanted: Wanted,
    reply: oneshot::Sender<Answer>,
    decide: mpsc::Sender<Previewed>,
) {
    let Wanted { server, actor, request } = wanted;
    let looking = agent::request::draft(&server, &actor, &request);
    let looked = timeout(PATIENCE, AssertUnwindSafe(looking).catch_unwind()).await;
    let (target, action) = (server.target.id.clone(), request.action.clone());
    let draft = match looked {
        Ok(Ok(draft)) => draft,
        Ok(Err(_)) => Err("the preview broke off, a defect of simctl; the log has it".into()),
        Err(_) => Err(format!("{target} gave no answer within {} s", PATIENCE.as_secs())),
    };
    match draft {
        Ok(draft) => {
            let input = Input::Requested { actor, target, request, draft };
            // An engine that ends meanwhile drops both, and whoever waits is told.
            let _ = decide.send((input, reply)).await;
        }
        Err(reason) => {
            let _ = reply.send(Err(Refused::because(format!("{action} on {target}: {reason}"))));
        }
    }
}
