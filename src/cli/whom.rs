//! Which server a command is about: a target by name, one at a URL, or the only one there is.

use clap::Args;

use super::context::Context;
use super::{bad_input, parse};
use crate::config::load::at_url;
use crate::config::secret::Secret;
use crate::domain::target::Engine;
use crate::targets::{self, Server};

/// Whom to ask.
#[derive(Debug, Args)]
pub(super) struct Whom {
    /// The target to ask [default: the only one of its kind, else the lab's]
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "url")]
    pub(super) target: Option<String>,
    /// A server that is in no configuration
    #[arg(long, global = true, value_name = "URL", value_parser = parse::secret)]
    pub(super) url: Option<Secret>,
}

/// The server that is meant.
pub(super) async fn server(
    context: &Context,
    whom: &Whom,
    engine: Engine,
) -> anyhow::Result<Server> {
    if let Some(url) = &whom.url {
        let target = at_url(url)?;
        if target.engine != engine {
            let (is, wanted) = (target.engine.as_str(), engine.as_str());
            return Err(bad_input(format!("--url is a {is}; this asks a {wanted}")));
        }
        return Ok(targets::own::server(&target, None));
    }
    // A server of the user's own is asked whether there is a lab or not.
    let own =
        context.config().targets.iter().find(|own| Some(own.id.as_str()) == whom.target.as_deref());
    let lab = if own.is_some() { None } else { context.lab().await? };
    let all = context.servers(lab.as_ref()).await;
    choose(all, whom.target.as_deref(), engine)
}

fn choose(all: Vec<Server>, wanted: Option<&str>, engine: Engine) -> anyhow::Result<Server> {
    let of_kind: Vec<Server> =
        all.into_iter().filter(|server| server.target.engine == engine).collect();
    let names: Vec<String> = of_kind.iter().map(|server| server.target.id.to_string()).collect();
    let word = engine.as_str();
    let Some(wanted) = wanted else {
        let only = of_kind.len() == 1;
        let chosen = of_kind.into_iter().find(|server| only || server.target.is_lab());
        return chosen.ok_or_else(|| match names.as_slice() {
            [] => bad_input(format!(
                "there is no {word} to ask; start the lab with `simctl up`, write a target into simctl.toml, or give --url"
            )),
            names => bad_input(format!("which one? write --target {}", names.join(" or --target "))),
        });
    };
    of_kind.into_iter().find(|server| server.target.id.as_str() == wanted).ok_or_else(|| {
        parse::unknown(
            &format!("{word} target"),
            wanted,
            names.iter().map(String::as_str),
            "simctl status",
        )
    })
}
