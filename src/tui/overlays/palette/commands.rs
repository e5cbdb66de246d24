//! What can be said in the palette: every action by its name, and a few commands that take a word.

use crate::tui::desk::Desk;
use crate::tui::keymap::{self, Action};
use crate::tui::theme::Palette as Colors;

/// Commands that are no action of the keymap, or take a word behind it.
pub(super) const WITH_WORD: &[(&str, &str)] = &[
    ("inc", "NUMBER  show this incident, also an old one"),
    ("info", "what this console is connected to"),
    ("record", "FILE  write what reached this console so far"),
    ("target", "NAME  go to the newest incident of a server"),
    ("theme", "NAME  dark, light, light256 or mono"),
];

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Run(Action),
    Incident(u64),
    Info,
    Record(String),
    Target(String),
    Theme(Colors),
}

/// Every name, for completion.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let own = WITH_WORD.iter().map(|(name, _)| *name);
    let is_own = |name: &str| WITH_WORD.iter().any(|(own, _)| *own == name);
    let actions = keymap::ALL.iter().map(|binding| binding.name);
    actions.filter(move |name| !is_own(name)).chain(own)
}

/// What a name does, in a few words.
pub(super) fn about(name: &str) -> &'static str {
    let own = WITH_WORD.iter().find(|(own, _)| *own == name).map(|(_, about)| *about);
    own.or_else(|| action(name).and_then(keymap::binding).map(|binding| binding.hint))
        .unwrap_or_default()
}

/// The action of that name.
pub(super) fn action(name: &str) -> Option<Action> {
    keymap::ALL.iter().find(|binding| binding.name == name).map(|binding| binding.action)
}

/// Reads a whole line, or says what is wrong with it.
pub(super) fn read(line: &str, desk: &Desk) -> Result<Said, String> {
    let mut words = line.split_whitespace();
    let Some(name) = words.next() else { return Ok(Said::Nothing) };
    let word = words.next();
    if let Some(more) = words.next() {
        return Err(format!("`{more}` is too much; {name} takes one word at most"));
    }
    match (name, word) {
        ("inc", word) => incident(word).map(Said::Incident),
        ("info", None) => Ok(Said::Info),
        ("record", Some(word)) => Ok(Said::Record(word.to_owned())),
        ("record", None) => Err("record wants a file, as in `record console.jsonl`".into()),
        ("target", word) => target(word, desk).map(Said::Target),
        ("theme", Some(word)) => theme(word).map(Said::Theme),
        (name, None) => action(name).map(Said::Run).ok_or_else(|| unknown(name)),
        (name, Some(_)) if action(name).is_some() || name == "info" => {
            Err(format!("{name} takes no word behind it"))
        }
        (name, Some(_)) => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    let best = super::matching::best(name, names());
    match best.first() {
        Some(best) => format!("there is no command `{name}`; perhaps `{best}`"),
        None => format!("there is no command `{name}`; ? lists them all"),
    }
}

/// `42` or `INC-0042`.
fn incident(word: Option<&str>) -> Result<u64, String> {
    let word = word.ok_or("inc wants a number, as in `inc 42`")?;
    let is_named = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("inc-"));
    let number = if is_named { &word[4..] } else { word };
    number.parse().map_err(|_| format!("`{word}` is no incident's number; write `inc 42`"))
}

fn target(word: Option<&str>, desk: &Desk) -> Result<String, String> {
    let names: Vec<_> = desk.newest.targets.iter().map(|view| view.target.id.as_str()).collect();
    match word {
        Some(word) if names.contains(&word) => Ok(word.to_owned()),
        Some(word) => Err(format!("{word} is not watched; watched are: {}", names.join(", "))),
        None => Err(format!("target wants a name: {}", names.join(", "))),
    }
}

fn theme(word: &str) -> Result<Colors, String> {
    Colors::ALL.into_iter().find(|colors| colors.as_str() == word).ok_or_else(|| {
        let names: Vec<_> = Colors::ALL.iter().map(|colors| colors.as_str()).collect();
        format!("there is no theme `{word}`; there are {}", names.join(", "))
    })
}

/// The words that may follow a name, for completion.
pub(super) fn words_for(name: &str, desk: &Desk) -> Vec<String> {
    match name {
        "target" => desk.newest.targets.iter().map(|view| view.target.id.to_string()).collect(),
        "theme" => Colors::ALL.iter().map(|colors| colors.as_str().to_owned()).collect(),
        "inc" => {
            let newest = desk.newest.incidents.iter().rev();
            newest.map(|incident| incident.number.to_string()).collect()
        }
        _ => Vec::new(),
    }
}
