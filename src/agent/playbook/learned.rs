//! What earlier incidents teach about the order of remedies. Only neighbours for the same cause and of the same risk
//! change places: what worked often is no reason to destroy more.

use super::Candidate;
use crate::actions;
use crate::domain::proposal::Risk;
use crate::ports::store::SimilarIncident;

/// Fewer trials of a remedy than this teach nothing.
const LEAST: usize = 3;

/// How often a remedy was tried for its cause, and how often that was the end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    tried: usize,
    worked: usize,
}

/// The candidates in the order that was best before, and a sentence for each that moved up.
pub fn ordered(
    mut candidates: Vec<Candidate>,
    similar: &[SimilarIncident],
) -> (Vec<Candidate>, Vec<String>) {
    let mut said = Vec::new();
    for end in 1..candidates.len() {
        let mut at = end;
        while at > 0 && is_better(&candidates[at], &candidates[at - 1], similar) {
            candidates.swap(at, at - 1);
            at -= 1;
        }
        if at < end {
            let record = record(&candidates[at], similar);
            said.push(format!(
                "{} goes before {}, of the same risk: for {} it worked {} of {} times",
                candidates[at].actions(),
                candidates[at + 1].actions(),
                candidates[at].cause,
                record.worked,
                record.tried
            ));
        }
    }
    (candidates, said)
}

fn is_better(one: &Candidate, before: &Candidate, similar: &[SimilarIncident]) -> bool {
    let (mine, theirs) = (record(one, similar), record(before, similar));
    let is_known = mine.tried >= LEAST && theirs.tried >= LEAST;
    let is_alike = one.cause == before.cause && risk(one) == risk(before);
    is_known && is_alike && mine.worked * theirs.tried > theirs.worked * mine.tried
}

/// The worst of its actions; `None` where one is not known any more.
fn risk(candidate: &Candidate) -> Option<Risk> {
    let risks =
        candidate.steps.iter().map(|(id, _)| Some(actions::find(id.as_str())?.descriptor().risk));
    risks.collect::<Option<Vec<Risk>>>()?.into_iter().max()
}

fn record(candidate: &Candidate, similar: &[SimilarIncident]) -> Record {
    let for_cause =
        similar.iter().filter(|one| one.cause.as_deref() == Some(candidate.cause.as_str()));
    let tried: Vec<&SimilarIncident> = for_cause.filter(|one| was_tried(candidate, one)).collect();
    let worked = tried.iter().filter(|one| one.resolved && ended_it(candidate, one)).count();
    Record { tried: tried.len(), worked }
}

fn was_tried(candidate: &Candidate, one: &SimilarIncident) -> bool {
    let mut steps = candidate.steps.iter();
    steps.all(|(id, _)| one.actions.iter().any(|(action, _)| *id == **action))
}

/// The last thing that was done is the last of its steps: what came after a remedy says that it was not enough.
fn ended_it(candidate: &Candidate, one: &SimilarIncident) -> bool {
    let last = candidate.steps.last().map(|(id, _)| id);
    one.actions.last().is_some_and(|(action, _)| last.is_some_and(|id| *id == **action))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::ids::{ActionId, CauseId};
    use crate::domain::proposal::Args;

    fn candidate(cause: &'static str, action: &'static str) -> Candidate {
        Candidate {
            cause: CauseId::of(cause),
            steps: vec![(ActionId::of(action), Args::new())],
            why: String::new(),
            effect: "",
        }
    }

    fn before(cause: &str, actions: &[&str], resolved: bool) -> SimilarIncident {
        SimilarIncident {
            number: 1,
            target: "db".into(),
            cause: Some(cause.into()),
            actions: actions.iter().map(|id| ((*id).to_owned(), "success".to_owned())).collect(),
            resolved,
            took_s: None,
            opened_at: DateTime::default(),
        }
    }

    fn order(candidates: &[Candidate], similar: &[SimilarIncident]) -> (Vec<String>, usize) {
        let (ordered, said) = ordered(candidates.to_vec(), similar);
        (ordered.iter().map(Candidate::actions).collect(), said.len())
    }

    /// Both are of medium risk; the second worked thrice, the first never by itself.
    fn taught() -> Vec<SimilarIncident> {
        let both = ["kill_blocker", "kill_idle_transactions"];
        vec![before("idle-leak", &both, true); 3]
    }

    #[test]
    fn what_worked_more_often_goes_first_among_the_same_risk() {
        let all = [
            candidate("idle-leak", "kill_blocker"),
            candidate("idle-leak", "kill_idle_transactions"),
        ];
        let swapped = ["kill_idle_transactions", "kill_blocker"].map(str::to_owned);
        assert_eq!(order(&all, &taught()), (swapped.to_vec(), 1));
        assert_eq!(order(&all, &taught()[..2]).1, 0, "two trials teach nothing");
        assert_eq!(order(&all, &[]).1, 0);
        let failed = vec![before("idle-leak", &["kill_idle_transactions"], false); 4];
        assert_eq!(order(&all, &failed).1, 0);
    }

    #[test]
    fn no_record_makes_a_greater_risk_or_another_cause_go_first() {
        let riskier =
            [candidate("idle-leak", "kill_blocker"), candidate("idle-leak", "restart_postgres")];
        let both = ["kill_blocker", "restart_postgres"];
        let always = vec![before("idle-leak", &both, true); 9];
        assert_eq!(order(&riskier, &always).1, 0);
        let other = [
            candidate("slow-pile", "kill_blocker"),
            candidate("idle-leak", "kill_idle_transactions"),
        ];
        assert_eq!(order(&other, &taught()).1, 0);
    }
}
