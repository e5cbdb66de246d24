//! The figures: median and worst per failure and side, the ratio, and what each process cost.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::board::Noticed;
use crate::failures::{ALL, Failure};
use crate::load::{Cost, shares};

/// Seconds from the symptom to each side's word. Below zero: before the symptom was complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    event: f64,
    arrived: f64,
    webhook: f64,
}

impl Round {
    pub(crate) fn since(symptom: DateTime<Utc>, noticed: &Noticed) -> Self {
        let after = |at: DateTime<Utc>| (at - symptom).as_seconds_f64();
        Self {
            event: after(noticed.event),
            arrived: after(noticed.event_arrived),
            webhook: after(noticed.webhook),
        }
    }
}

/// Everything measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rounds: BTreeMap<Failure, Vec<Round>>,
    pub(crate) load: Vec<Cost>,
}

impl Table {
    pub(crate) fn add(&mut self, failure: Failure, round: Round) {
        eprintln!(
            "  simctl {:.3} s (heard after {:.3} s), Alertmanager's webhook {:.3} s",
            round.event, round.arrived, round.webhook
        );
        self.rounds.entry(failure).or_default().push(round);
    }
}

/// Median and worst.
fn spread(rounds: &[Round], of: fn(&Round) -> f64) -> (f64, f64) {
    let mut all: Vec<f64> = rounds.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    let median = all.get(all.len() / 2).copied().unwrap_or(f64::NAN);
    (median, all.last().copied().unwrap_or(f64::NAN))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seconds from the symptom, median / worst")?;
        let heads = ("event", "event heard", "webhook", "median ratio");
        writeln!(
            f,
            "{:<28}{:>16}{:>16}{:>16}{:>14}",
            "failure", heads.0, heads.1, heads.2, heads.3
        )?;
        for failure in ALL {
            let Some(rounds) = self.rounds.get(&failure) else { continue };
            let pair = |(median, worst): (f64, f64)| format!("{median:.3} / {worst:.3}");
            let arrived = spread(rounds, |round| round.arrived);
            let webhook = spread(rounds, |round| round.webhook);
            let event = pair(spread(rounds, |round| round.event));
            let ratio = format!("{:.1}", webhook.0 / arrived.0);
            let (arrived, webhook) = (pair(arrived), pair(webhook));
            writeln!(f, "{:<28}{event:>16}{arrived:>16}{webhook:>16}{ratio:>14}", failure.name())?;
        }
        writeln!(f, "\n{:<30}{:>10}{:>10}{:>10}", "process", "quiet %", "whole %", "MiB")?;
        for cost in &self.load {
            writeln!(f, "{cost}")?;
        }
        let [quiet, whole, memory] = shares(&self.load);
        writeln!(f, "{:<30}{quiet:>10.2}{whole:>10.2}{memory:>10.2}", "simctl / peers together")
    }
}
