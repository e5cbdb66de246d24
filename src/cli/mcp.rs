//! `simctl mcp`: the running engine for somebody else's agent, over standard input and output.

use std::process::ExitCode;

use clap::Args;

use super::Done;
use super::context::Context;
use crate::mcp::Server;

/// Let an agent look and propose, by the Model Context Protocol over standard input and output
///
/// The agent reads targets and incidents, asks read-only questions and has fixes proposed, in your name with
/// "through an agent" added in the records. It cannot approve anything.
#[derive(Debug, Args)]
#[command(after_help = "Example, as a client's configuration has it:\n  \
                  { \"mcpServers\": { \"simctl\": { \"command\": \"simctl\", \"args\": [\"mcp\"] } } }")]
pub(super) struct Mcp {}

pub(super) async fn serve(context: &Context) -> Done {
    let engine = context.engine().await?;
    Server::new(engine).serve_stdio().await?;
    Ok(ExitCode::SUCCESS)
}
