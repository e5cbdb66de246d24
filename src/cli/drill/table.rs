//! The table of a drill through all faults.

use crate::cli::print::Print;
use crate::domain::proposal::Consequence;
use crate::engine::drill::outcome::Outcome;
use crate::engine::drill::tour::{End, Leg};

const HEAD: [&str; 10] = [
    "FAULT",
    "TARGET",
    "DETECTED",
    "CAUSE",
    "GRADE",
    "ACTION",
    "DESTROYED",
    "RECOVERED",
    "LEFT OVER",
    "RESULT",
];

pub(super) fn print(print: Print, legs: &[Leg]) -> anyhow::Result<()> {
    if print.json {
        return print.json(&legs);
    }
    let rows: Vec<_> = legs.iter().map(row).collect();
    print.table(&HEAD, &rows, "no fault fits the lab")?;
    for leg in legs {
        if let Some(why) = why(leg) {
            print.line(format_args!("{} on {}: {why}", leg.fault, leg.target))?;
        }
    }
    print.line(summary(legs))
}

fn row(leg: &Leg) -> Vec<String> {
    let head = [leg.fault.to_owned(), leg.target.clone()];
    let rest = match &leg.end {
        End::Played(outcome) => played(outcome),
        End::Skipped(_) => unplayed("not here"),
        End::Broken(_) => unplayed("BROKE OFF"),
    };
    head.into_iter().chain(rest).collect()
}

fn unplayed(result: &str) -> Vec<String> {
    let mut cells = vec!["-".to_owned(); HEAD.len() - 3];
    cells.push(result.to_owned());
    cells
}

fn played(outcome: &Outcome) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let handed_over = outcome.actions.is_empty();
    let result = match (outcome.passed, handed_over) {
        (true, false) => "proven",
        (true, true) => "handed over",
        (false, _) => "FAILED",
    };
    let action = if handed_over { "for a person".to_owned() } else { outcome.actions.join(" + ") };
    vec![
        detected(outcome.times.detected_after_symptom),
        or_dash(&outcome.cause),
        or_dash(&outcome.grade),
        action,
        destroyed(&outcome.cost),
        super::took(outcome.times.recovered),
        super::listed(&outcome.left_over, "; ", "nothing"),
        result.to_owned(),
    ]
}

/// Since the injector saw the symptom, which it sometimes does after the detector.
fn detected(ms: Option<i64>) -> String {
    match ms {
        Some(ms) if ms <= 0 => "at once".into(),
        ms => super::took(ms),
    }
}

/// Of what an action costs, that which nothing but an undo brings back.
fn destroyed(cost: &[Consequence]) -> String {
    const LOSS: [&str; 4] = ["removed", "lost", "losing", "rolled"];
    let lost: Vec<String> = cost
        .iter()
        .filter(|c| c.count > 0 && LOSS.iter().any(|word| c.what.contains(word)))
        .map(ToString::to_string)
        .collect();
    super::listed(&lost, ", ", "nothing")
}

fn why(leg: &Leg) -> Option<String> {
    match &leg.end {
        End::Played(outcome) if outcome.passed => None,
        End::Played(outcome) => {
            let told = outcome.unexpected.iter().chain(&outcome.failure);
            Some(told.map(String::as_str).collect::<Vec<_>>().join("; "))
        }
        End::Skipped(reason) | End::Broken(reason) => Some(reason.clone()),
    }
}

fn summary(legs: &[Leg]) -> String {
    let played = legs.iter().filter(|leg| matches!(leg.end, End::Played(_)));
    let fine = played.clone().filter(|leg| leg.is_fine()).count();
    let skipped = legs.iter().filter(|leg| matches!(leg.end, End::Skipped(_))).count();
    let all = legs.len() - skipped;
    let rest = if skipped == 0 { String::new() } else { format!(", {skipped} left out") };
    let verdict = if fine == all { "PASS" } else { "FAIL" };
    format!("{verdict}: {fine} of {all} went as the catalogue says{rest}")
}
