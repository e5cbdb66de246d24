//! Proof by measurement: rounds of checks until all pass, and then for as long as they must hold.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::pollers::Watched;
use crate::actions;
use crate::domain::effect::{Goal, RanStep};
use crate::domain::execution::{Check, Verification};
use crate::domain::health::{self, Health};
use crate::domain::sample::{Answer, Sample};

mod beside;

/// A fix that shows no effect within this, plus the hold, is no fix.
const PATIENCE: Duration = Duration::from_secs(20);
/// Until the symptom is gone, look often: somebody waits.
const EAGER: Duration = Duration::from_millis(50);
/// While it must hold, look often enough to catch a relapse.
const STEADY: Duration = Duration::from_millis(500);

/// Measures until the goal has held, or patience ends.
pub(super) async fn prove(watched: &Watched, steps: &[RanStep], goal: &Goal) -> Verification {
    let began = Instant::now();
    let mut proof = Verification::default();
    let mut good_since: Option<Instant> = None;
    loop {
        let Round { checks, left_out, cause_gone, health } = round(watched, steps, goal).await;
        proof.rounds += 1;
        proof.checks = checks;
        proof.left_out = left_out;
        proof.cause_gone = cause_gone;
        proof.health_after = health;
        if proof.passed() {
            let since = *good_since.get_or_insert_with(Instant::now);
            proof.symptom_free_after_ms.get_or_insert_with(|| millis(began.elapsed()));
            proof.held_ms = millis(since.elapsed());
            if since.elapsed() >= goal.hold {
                return proof;
            }
        } else {
            good_since = None;
            proof.held_ms = 0;
            if began.elapsed() > PATIENCE + goal.hold {
                return proof;
            }
        }
        sleep(if good_since.is_some() { STEADY } else { EAGER }).await;
    }
}

/// What one round saw.
struct Round {
    checks: Vec<Check>,
    left_out: Vec<String>,
    cause_gone: bool,
    health: Health,
}

async fn round(watched: &Watched, steps: &[RanStep], goal: &Goal) -> Round {
    let (held, fresh) = tokio::join!(watched.probe.held(), watched.probe.fresh());
    let health = health::judge(&watched.server.target, Some(&held), Some(&fresh));
    let base = vec![
        answer_check("a new client connects", &fresh, &fresh.connect),
        answer_check("it reads", &fresh, &fresh.read),
        answer_check("it writes", &fresh, &fresh.write),
        health_check(health, goal),
    ];
    let (mut checks, left_out) = beside::without_other_trouble(base, &held, goal);
    let mut own = Vec::new();
    // Asking a server that is not back about its insides only costs deadlines.
    if fresh.connect.is_ok() || (!goal.besides.is_empty() && held.connect.is_ok()) {
        for ran in steps {
            if let Some(action) =
                actions::find_for(ran.plan.action.as_str(), watched.server.target.engine)
            {
                own.extend(action.verify(&watched.server, &ran.plan.args, &ran.undo_data).await);
            }
        }
    }
    let cause_gone = !own.is_empty() && own.iter().all(|check| check.passed == Some(true));
    checks.extend(own);
    Round { checks, left_out, cause_gone, health }
}

fn answer_check(name: &str, sample: &Sample, answer: &Answer) -> Check {
    let passed = match answer {
        Answer::Ok => Some(true),
        // A server of the user's without a place to write: the connection itself is the proof.
        Answer::NotAsked if sample.is_clean() => Some(true),
        Answer::NotAsked => None,
        Answer::Gone { .. }
        | Answer::Hung { .. }
        | Answer::Error { .. }
        | Answer::Starting { .. } => Some(false),
    };
    Check { name: name.to_owned(), passed, detail: answer.describe() }
}

fn health_check(health: Health, goal: &Goal) -> Check {
    let passed = health.score().map(|score| {
        f64::from(score) > goal.above_score
            || goal.or_level.is_some_and(|level| health::is_back_at(score, level))
    });
    let wanted = goal.or_level.map_or(String::new(), |level| format!(" (or back at {level})"));
    Check {
        name: format!("health is above {}{wanted}", goal.above_score),
        passed: passed.or(Some(false)),
        detail: format!("health {health}"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
