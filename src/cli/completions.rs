//! `completions`: for the shells.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Done};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  simctl completions bash > ~/.local/share/bash-completion/completions/simctl"
)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn write(args: &Completions) -> Done {
    // clap_complete panics on a closed pipe; a buffer does not close.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "simctl", &mut text);
    std::io::stdout().lock().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
