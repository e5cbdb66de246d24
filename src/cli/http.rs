//! The service: where it listens, tokens for those who ask, its description.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::print::Print;
use super::{Done, parse};
use crate::api;
use crate::config::http::{HttpFlags, Role, address, digest_text};
use crate::domain::proposal::hex;

/// Where `run` and `tui` listen.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Http {
    /// Serve HTTP there too, for those with a token [env: SIMCTL_HTTP_LISTEN] [default: nowhere]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<std::net::SocketAddr>,
    /// With --listen on 127.0.0.1: everybody on this machine may do everything, without a token
    #[arg(long)]
    open: bool,
}

impl Http {
    pub(super) fn flags(&self) -> HttpFlags {
        HttpFlags { listen: self.listen, open: self.open }
    }
}

/// Make a token for somebody who asks over HTTP
///
/// Prints the token, which is nowhere else, and the lines of the configuration that let it in.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl token new grafana\n  simctl token new deploy --role operator --json"
)]
pub(super) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make one
    New(New),
}

#[derive(Debug, Args)]
struct New {
    /// Who has it; stands in the records
    #[arg(value_name = "NAME", value_parser = parse::name)]
    name: String,
    /// What it may: read; decide, inject and query; everything
    #[arg(long, value_name = "ROLE", default_value = "viewer")]
    role: Role,
}

pub(super) fn token(print: &Print, args: &Token) -> Done {
    let What::New(New { name, role }) = &args.what;
    let mut secret = [0u8; 32];
    SysRng.try_fill_bytes(&mut secret).context("read randomness from the system")?;
    let token = format!("simctl_{}", hex(&secret));
    let digest = digest_text(&Sha256::digest(&token));
    let role = role.as_str();
    if print.json {
        print.json(&json!({ "token": token, "name": name, "role": role, "digest": digest }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print.line(format_args!("{token}\n"))?;
    print.line("Keep it: it is nowhere else. In simctl.toml:\n")?;
    print.line(format_args!(
        "[[http.token]]\nname = \"{name}\"\nrole = \"{role}\"\ndigest = \"{digest}\""
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Print the description of the service (OpenAPI 3.1, JSON)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl openapi > simctl.json")]
pub(super) struct Openapi {}

pub(super) fn openapi(print: &Print) -> Done {
    print.json(&api::description())?;
    Ok(ExitCode::SUCCESS)
}
