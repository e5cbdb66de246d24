//! The catalogue as a page: every fault with its symptom, its cause and what tells it apart, its end and its undo.
//!
//! All of it comes from the descriptors of faults, judges, playbook and actions; `src/faults/README.md` is this page.

use std::fmt::Write as _;

use crate::actions;
use crate::agent::playbook::{Row, Wrong, rows};
use crate::diagnose;
use crate::domain::ids::CauseId;
use crate::faults::{ALL, Class, Descriptor, Fault, Tier, complete_params};

const HEAD: &str = "\
# The catalogue of faults

Written by `simctl faults --markdown`; a test fails when it is not what that prints.

`simctl inject FAULT` breaks a server of the lab this way, `simctl drill FAULT` follows it to its proven end, and
`simctl drill --all --yes` goes through tiers 1 and 2. Every injection has its undo on disk before the first call and
is taken back at its deadline, also when simctl was killed.
";

const TIERS: [(Tier, &str); 3] = [
    (Tier::First, "Tier 1: first"),
    (Tier::Practical, "Tier 2: practical"),
    (Tier::Dangerous, "Tier 3: dangerous, or depends on the environment; only by name"),
];

/// The whole page.
pub(super) fn page() -> String {
    let mut text = HEAD.to_owned();
    for (tier, title) in TIERS {
        let of_tier = |fault: &&dyn Fault| fault.descriptor().tier == tier;
        let faults: Vec<&dyn Fault> = ALL.iter().copied().filter(of_tier).collect();
        if faults.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {title}\n\n");
        text.push_str("| fault | server | symptom | cause | ends by |\n|---|---|---|---|---|\n");
        for d in faults.iter().map(|fault| fault.descriptor()) {
            let cells = [d.id, super::engine(d), d.finding.as_str(), d.cause, &ends_by(d)];
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        for fault in faults {
            section(&mut text, fault);
        }
    }
    text
}

/// The actions that end it, or that only a person can.
pub(super) fn ends_by(d: &Descriptor) -> String {
    match d.fixed_by {
        [] => "a person, with advice".to_owned(),
        actions => actions.join(", then "),
    }
}

/// Tempting remedies for its cause that simctl never chooses, or not first.
pub(super) fn wrong(d: &Descriptor) -> &'static [Wrong] {
    row(d).map_or(&[], |row| row.wrong)
}

fn row(d: &Descriptor) -> Option<&'static Row> {
    rows().find(|row| row.cause == d.cause)
}

fn section(text: &mut String, fault: &dyn Fault) {
    let d = fault.descriptor();
    let _ = write!(text, "\n### {}\n\n{}. {}\n\n", d.id, d.title, d.about);
    let runtimes: Vec<&str> = d.runtimes.iter().map(|runtime| runtime.as_str()).collect();
    let (server, untouched) = (super::engine(d), d.untouched.join("; "));
    let _ = writeln!(
        text,
        "- **Where**: {server} ({}); risk {}; left alone: {untouched}",
        runtimes.join(", "),
        d.risk
    );
    if let Ok(params) = complete_params(fault, &Default::default()) {
        for call in fault.calls(None, &params) {
            // Otherwise `<prefix>` is taken for a tag, and not shown.
            let _ = writeln!(text, "- **Calls**: {}", call.replace('<', "\\<"));
        }
    }
    for p in d.params {
        let bounds = format!("{} ({} to {})", p.default, p.min, p.max);
        let _ = writeln!(text, "- **Parameter** `{}`: {}, {bounds}", p.name, p.about);
    }
    let _ = writeln!(text, "- **Symptom**: {} ({})", d.finding.as_str(), d.finding.about().phrase);
    if let Some(judge) = diagnose::find(&CauseId::of(d.cause)) {
        let _ = writeln!(text, "- **Cause**: {} ({}). {}", d.cause, judge.title, judge.about);
    }
    remedies(text, d);
    for undo in d.undo {
        let _ = writeln!(text, "- **Undo**: {undo}");
    }
    let _ = writeln!(text, "- **If nobody undoes it**: {}", class(d.class));
}

fn remedies(text: &mut String, d: &Descriptor) {
    let _ = writeln!(text, "- **Ends by**: {}", ends_by(d));
    for action in d.fixed_by.iter().filter_map(|id| actions::find(id)) {
        let action = action.descriptor();
        let _ = writeln!(
            text,
            "  - `{}` ({} risk): {} Proof: {}.",
            action.id, action.risk, action.about, action.verify
        );
    }
    if let Some(row) = row(d) {
        let _ = writeln!(text, "- **Advice**: {}", row.advice);
    }
    for wrong in wrong(d) {
        let _ = writeln!(text, "- **Wrong**: {}: {}", wrong.what, wrong.does);
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Held => "it goes with the connections that hold it",
        Class::Expires => "it ends by itself",
        Class::Setting => "it goes with a restart of the server",
        Class::Persists => "it stays",
        Class::Restores => "it stays; what was there before was saved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `simctl faults --markdown > src/faults/README.md` mends it.
    #[test]
    fn the_page_in_the_tree_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/faults/README.md");
        let kept = std::fs::read_to_string(path).expect("the catalogue page is in the tree");
        let now = page();
        for (number, (kept, now)) in kept.lines().zip(now.lines()).enumerate() {
            assert_eq!(kept, now, "src/faults/README.md, line {}", number + 1);
        }
        assert_eq!(kept.trim_end(), now.trim_end(), "src/faults/README.md is not whole");
    }

    #[test]
    fn every_fault_leads_to_a_known_cause_and_known_actions() {
        for d in ALL.iter().map(|fault| fault.descriptor()) {
            assert!(diagnose::find(&CauseId::of(d.cause)).is_some(), "{}: {}", d.id, d.cause);
            let row = row(d).unwrap_or_else(|| panic!("{}: no row in the playbook", d.id));
            for id in d.fixed_by {
                assert!(actions::find(id).is_some(), "{}: {id}", d.id);
                let named = row.remedies.iter().flat_map(|r| r.uses).any(|used| used.action == *id);
                assert!(named, "{}: the playbook does not know {id} for {}", d.id, d.cause);
            }
            assert!(!row.wrong.iter().any(|wrong| d.fixed_by.contains(&wrong.what)), "{}", d.id);
        }
    }
}
