//! What this console is, what it is connected to and what it watches.

use std::fmt::Write as _;

use crate::tui::desk::Desk;
use crate::tui::message::Link;

/// The facts, one per line.
pub(super) fn text(desk: &Desk) -> String {
    let settings = &desk.settings;
    let link = match &desk.link {
        Link::Starting => "starting".to_owned(),
        Link::Here => "runs in this process".to_owned(),
        Link::Attached => "runs in another process".to_owned(),
        Link::Lost { since, reason } => {
            format!("lost {}: {reason}", since.format("%H:%M:%S"))
        }
    };
    let store = &desk.newest.store;
    let reach = match (store.reachable, store.journaled) {
        (true, 0) => "reachable".to_owned(),
        (true, count) => format!("reachable, {count} events wait in the journal"),
        (false, count) => format!("not reachable, {count} events wait in the journal"),
    };
    let (columns, rows) = desk.size;
    let mut text = String::new();
    let mut line = |word: &str, said: &str| {
        let _ = writeln!(text, "{word:<10} {said}");
    };
    line("version", env!("CARGO_PKG_VERSION"));
    line("operator", &settings.operator);
    line("engine", &link);
    line("store", &format!("{} ({reach})", store.url));
    line("lab", settings.lab.as_deref().unwrap_or("none"));
    line("changes", if settings.read_only { "read-only" } else { "allowed" });
    line("config", &settings.config_file);
    line("theme", desk.theme.palette.as_str());
    line("terminal", &format!("{columns}x{rows}"));
    for view in &desk.newest.targets {
        let kind = if view.target.is_lab() { "lab" } else { "not lab" };
        let engine = view.target.engine.as_str();
        line("target", &format!("{}  {engine}  {}  {kind}", view.target.id, view.state));
    }
    text
}
