//! A target's readings as the cards show them: a label, a text, how full. Rounded, so that what means nothing
//! does not flicker.

use crate::domain::health::used_slot_percent;
use crate::domain::sample::{Sample, reading};
use crate::domain::target::Engine;
use crate::engine::handle::TargetView;

/// One line of a card.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub label: &'static str,
    pub text: String,
    /// In percent of what there is, for a bar.
    pub percent: Option<f64>,
}

/// The readings of a target, the one that matters most first; none when nothing was read.
pub fn of(view: &TargetView) -> Vec<Reading> {
    let held = view.held.as_ref().filter(|sample| !sample.readings.is_empty());
    let Some(sample) = held.or(view.fresh.as_ref()) else { return Vec::new() };
    match view.target.engine {
        Engine::Redis => redis(sample),
        Engine::Postgres => postgres(sample),
    }
}

/// How long the fresh connection's question took, coarsely.
pub fn latency(view: &TargetView) -> String {
    let sample = view.fresh.as_ref().or(view.held.as_ref());
    let Some(sample) = sample.filter(|sample| sample.first_bad().is_none()) else {
        return "-".into();
    };
    match sample.took_ms {
        ms if ms < 10.0 => "<10 ms".into(),
        ms if ms < 100.0 => format!("{:.0} ms", (ms / 10.0).round() * 10.0),
        ms => format!("{:.1} s", ms / 1_000.0),
    }
}

/// Everything of a target that stands on the screen, as one text.
pub fn glance(view: &TargetView) -> String {
    let mut text = format!("{} {} {}", view.state, view.health, latency(view));
    for reading in of(view) {
        text.push(' ');
        text.push_str(&reading.text);
    }
    text
}

fn redis(sample: &Sample) -> Vec<Reading> {
    let mut rows = Vec::new();
    if let Some(used) = sample.reading(reading::USED_MEMORY_BYTES) {
        let max = sample.reading(reading::MAXMEMORY_BYTES).filter(|max| *max > 0.0);
        rows.push(Reading {
            label: "memory",
            text: match max {
                Some(max) => format!("{}/{} MiB", mebibytes(used), mebibytes(max)),
                None => format!("{} MiB", mebibytes(used)),
            },
            percent: max.map(|max| 100.0 * used / max),
        });
    }
    rows.extend(share(sample, "clients", reading::CLIENTS, reading::MAXCLIENTS));
    rows.extend(plain(sample, "ops/s", reading::COMMANDS_PER_SECOND, coarse));
    rows.extend(plain(sample, "keys", reading::KEYS, whole));
    rows
}

fn postgres(sample: &Sample) -> Vec<Reading> {
    let mut rows = Vec::new();
    let used = sample.reading(reading::SESSIONS);
    let usable = usable_slots(sample);
    if let (Some(used), Some(usable)) = (used, usable) {
        rows.push(Reading {
            label: "conns",
            text: format!("{used:.0}/{usable:.0}"),
            percent: used_slot_percent(sample),
        });
    }
    let of_used = |part: Option<f64>| Some(100.0 * part? / usable?);
    for (label, name) in [
        ("idle", reading::IDLE_SESSIONS),
        ("idle in tx", reading::IDLE_IN_TRANSACTION),
        ("active", reading::ACTIVE_SESSIONS),
        ("lock waits", reading::LOCK_WAITS),
    ] {
        let value = sample.reading(name);
        rows.extend(value.map(|value| Reading {
            label,
            text: whole(value),
            percent: of_used(Some(value)),
        }));
    }
    rows
}

fn usable_slots(sample: &Sample) -> Option<f64> {
    let own = sample.reading(reading::OWN_SESSIONS).unwrap_or(0.0);
    let max = sample.reading(reading::MAX_CONNECTIONS)?;
    Some(max - sample.reading(reading::RESERVED_CONNECTIONS)? - own)
}

fn share(sample: &Sample, label: &'static str, part: &str, of: &str) -> Option<Reading> {
    let (part, of) = (sample.reading(part)?, sample.reading(of)?);
    Some(Reading {
        label,
        text: format!("{part:.0}/{of:.0}"),
        percent: Some(100.0 * part / of.max(1.0)),
    })
}

fn plain(
    sample: &Sample,
    label: &'static str,
    name: &str,
    shown: impl Fn(f64) -> String,
) -> Option<Reading> {
    Some(Reading { label, text: shown(sample.reading(name)?), percent: None })
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1_048_576.0)
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

/// Two digits that mean something: `10`, `340`, `1.9k`.
fn coarse(value: f64) -> String {
    match value {
        v if v < 1_000.0 => format!("{:.0}", (v / 10.0).round() * 10.0),
        v if v < 1_000_000.0 => format!("{:.1}k", v / 1_000.0),
        v => format!("{:.1}M", v / 1_000_000.0),
    }
}
