//! The keys as a table for the documentation.

use std::fmt::Write as _;

use crate::tui::keymap::{self, Group, Scope};

/// Every key in a Markdown table, a section per group.
pub fn markdown() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let _ = writeln!(text, "### {}\n\n| key | command | does | where |\n|---|---|---|---|", {
            group.title()
        });
        for binding in keymap::ALL.iter().filter(|binding| binding.group == group) {
            let keys: Vec<_> =
                binding.keys.iter().map(|key| format!("`{}`", key.replace('|', "\\|"))).collect();
            let more = if binding.asks { " (asks first)" } else { "" };
            let _ = writeln!(
                text,
                "| {} | `:{}` | {}{more} | {} |",
                keys.join(" "),
                binding.name,
                binding.hint,
                place(binding.scope)
            );
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn place(scope: Scope) -> String {
    match scope {
        Scope::Everywhere => "everywhere".into(),
        Scope::Lists => "lists".into(),
        Scope::Logs => "logs".into(),
        Scope::Panes => "lists and logs".into(),
        Scope::On(screens) => screens.join(", "),
    }
}
