//! What `tui.toml` and the flags say together; flags win.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;
use serde_json::json;

use super::{Theme, Tui};
use crate::cli::Done;
use crate::cli::print::Print;
use crate::config::dirs;
use crate::tui::recorder;
use crate::tui::settings::{self, Preferences};
use crate::tui::theme::Palette;

/// The file that was read, and what it says.
fn read() -> anyhow::Result<(Option<PathBuf>, Preferences)> {
    let Some(path) = dirs::console_file() else { return Ok((None, Preferences::default())) };
    let read = settings::load(&path)?;
    Ok((read.is_some().then_some(path), read.unwrap_or_default()))
}

/// What is in force.
pub(super) fn chosen(args: &Tui) -> anyhow::Result<Preferences> {
    let (file, preferences) = read()?;
    Ok(Preferences {
        file,
        palette: match args.theme {
            None => preferences.palette,
            Some(Theme::Auto) => None,
            Some(Theme::Dark) => Some(Palette::Dark),
            Some(Theme::Light) => Some(Palette::Light),
            Some(Theme::Light256) => Some(Palette::Light256),
            Some(Theme::Mono) => Some(Palette::Mono),
        },
        ascii: if args.ascii { Some(true) } else { preferences.ascii },
        read_only: args.read_only || preferences.read_only,
        ..preferences
    })
}

/// Makes the file of `--record`, before the console opens.
pub(super) fn recording(args: &Tui) -> anyhow::Result<Option<Arc<File>>> {
    let Some(path) = &args.record else { return Ok(None) };
    match recorder::create(path) {
        Ok(file) => Ok(Some(Arc::new(file))),
        Err(error) => Err(anyhow!(recorder::refusal(path, &error))),
    }
}

/// `--print-config` and `--check-config`.
pub(super) fn tell(print: &Print, args: &Tui) -> Done {
    if args.print_config {
        let chosen = chosen(args)?;
        print.line(settings::print(&chosen).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (path, _) = read()?;
    let file = path.map(|path| path.display().to_string());
    match (print.json, &file) {
        (true, file) => print.json(&json!({ "ok": true, "file": file }))?,
        (false, Some(file)) => print.line(format_args!("{file}: ok"))?,
        (false, None) => print.line("no tui.toml; the defaults are ok")?,
    }
    Ok(ExitCode::SUCCESS)
}
