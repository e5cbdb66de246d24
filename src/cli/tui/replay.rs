//! `tui --replay FILE`: a recording on the terminal, without an engine.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::PANICKED;
use crate::cli::context::Context;
use crate::cli::{Done, bad_input};
use crate::config::dirs;
use crate::telemetry;
use crate::tui::recorder::Recording;
use crate::tui::replay::{self, End};
use crate::tui::terminal;

pub(super) async fn run(context: &Context, file: &Path) -> Done {
    let recording = Recording::read(file).map_err(bad_input)?;
    let state_dir = &context.config().state_dir;
    dirs::ensure_private(state_dir)?;
    let _log = telemetry::start(state_dir)?;
    let alarm = terminal::watch_for_panics();
    match replay::show(recording, alarm).await.context("use the terminal")? {
        End::Quit => Ok(ExitCode::SUCCESS),
        End::Stopped(signal) => {
            context.print.progress(&format!("simctl: stopped by {signal}"));
            Ok(ExitCode::SUCCESS)
        }
        End::Panicked(words) => {
            context.print.progress(&format!("simctl: a part of simctl failed: {words}"));
            Ok(ExitCode::from(PANICKED))
        }
    }
}
