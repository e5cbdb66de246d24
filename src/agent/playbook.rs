//! The single place where causes meet actions: one row per cause, its remedies from the least destructive on.

use crate::diagnose::facts::Facts;
use crate::domain::diagnosis::{Diagnosis, Grade, JudgedCause};
use crate::domain::ids::{ActionId, CauseId};
use crate::domain::incident::Tried;
use crate::domain::proposal::Args;

mod arguments;
mod learned;
mod table;

#[cfg(test)]
mod tests;

pub use learned::ordered;
pub use table::rows;

/// What to do about one cause.
pub struct Row {
    pub cause: &'static str,
    /// Least destructive first.
    pub remedies: &'static [Remedy],
    /// Tempting remedies that are never proposed for it (or only after the others), and what they would do.
    pub wrong: &'static [Wrong],
    /// What a person should look at, when nothing (more) is proposed.
    pub advice: &'static str,
}

/// A remedy that looks right and is not.
#[derive(Debug)]
pub struct Wrong {
    /// An action's name, or what people do by hand.
    pub what: &'static str,
    pub does: &'static str,
}

/// Actions that belong together.
pub struct Remedy {
    pub uses: &'static [Use],
    /// Only once this action was tried for the same cause: there is something lesser to do before.
    pub only_after: Option<&'static str>,
    /// Why this and not more, in words.
    pub why: &'static str,
    /// What it brings, in words.
    pub effect: &'static str,
}

/// One action, and where its arguments come from.
pub struct Use {
    pub action: &'static str,
    /// An error says in words why the arguments cannot be named.
    pub args: fn(&Facts) -> Result<Args, String>,
}

/// A remedy with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub cause: CauseId,
    pub steps: Vec<(ActionId, Args)>,
    pub why: String,
    pub effect: &'static str,
}

impl Candidate {
    /// Its actions in order, for one line of text.
    pub fn actions(&self) -> String {
        let names: Vec<&str> = self.steps.iter().map(|(id, _)| id.as_str()).collect();
        names.join(" and ")
    }
}

/// What the playbook says about a diagnosis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remedies {
    /// In the order in which they are to be tried.
    pub candidates: Vec<Candidate>,
    /// Remedies that are out of the question now: their actions, and why.
    pub passed_over: Vec<(String, String)>,
    /// For a person, about the causes at hand.
    pub advice: Vec<&'static str>,
}

/// The remedies for a diagnosis. What was tried for a cause on this incident does not come again, and what is
/// barred does not come at all.
pub fn remedies(
    diagnosis: &Diagnosis,
    facts: &Facts,
    tried: &[Tried],
    barred: &[(ActionId, String)],
) -> Remedies {
    let mut found = Remedies::default();
    for judged in worth_acting_on(diagnosis) {
        let Some(row) = rows().find(|row| judged.cause == *row.cause) else { continue };
        found.advice.push(row.advice);
        for remedy in row.remedies {
            match candidate(judged, remedy, facts, tried, barred) {
                Ok(candidate) => found.candidates.push(candidate),
                Err(reason) => found.passed_over.push((names(remedy), reason)),
            }
        }
    }
    found
}

/// Everything confirmed; else the one likely cause. Several likely ones cannot be told apart, so acting on one
/// of them would be a guess.
fn worth_acting_on(diagnosis: &Diagnosis) -> Vec<&JudgedCause> {
    let of = |grade| diagnosis.causes.iter().filter(move |judged| judged.grade == grade);
    let confirmed: Vec<&JudgedCause> = of(Grade::Confirmed).collect();
    if !confirmed.is_empty() {
        return confirmed;
    }
    let likely: Vec<&JudgedCause> = of(Grade::Likely).collect();
    if likely.len() == 1 { likely } else { Vec::new() }
}

fn candidate(
    judged: &JudgedCause,
    remedy: &Remedy,
    facts: &Facts,
    tried: &[Tried],
    barred: &[(ActionId, String)],
) -> Result<Candidate, String> {
    let before = |action: &str| {
        let for_cause = tried.iter().filter(|tried| tried.cause == judged.cause);
        for_cause.flat_map(|tried| &tried.actions).any(|id| *id == *action)
    };
    for used in remedy.uses {
        if before(used.action) {
            let what = if remedy.uses.len() == 1 { "it" } else { used.action };
            return Err(format!("{what} was already tried for this cause"));
        }
        if let Some((_, reason)) = barred.iter().find(|(id, _)| *id == *used.action) {
            return Err(reason.clone());
        }
    }
    if let Some(lesser) = remedy.only_after.filter(|lesser| !before(lesser)) {
        return Err(format!("only after {lesser} was tried and did not help"));
    }
    let step = |used: &Use| Ok((ActionId::of(used.action), (used.args)(facts)?));
    Ok(Candidate {
        cause: judged.cause.clone(),
        steps: remedy.uses.iter().map(step).collect::<Result<_, String>>()?,
        why: format!("{}. {}", judged.because, remedy.why),
        effect: remedy.effect,
    })
}

fn names(remedy: &Remedy) -> String {
    let names: Vec<&str> = remedy.uses.iter().map(|used| used.action).collect();
    names.join(" and ")
}
