//! Events of local processes: nobody sends them, so two looks a moment apart are compared.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::record::Records;
use crate::domain::sample::RuntimeEventKind;
use crate::engine::clock;
use crate::ports::runtime::{Unit, UnitEvent, UnitState, UnitStatus};

const PERIOD: Duration = Duration::from_millis(100);

/// Events of these units, without end.
pub(super) fn watch(records: Records, units: &[Unit]) -> BoxStream<'static, UnitEvent> {
    let seen = units
        .iter()
        .map(|unit| Seen { name: unit.name.clone(), last: look(&records, &unit.name) })
        .collect();
    let watcher = Watcher { records, seen, ready: VecDeque::new() };
    let ticks: Option<Interval> = None;
    stream::unfold((watcher, ticks), |(mut watcher, mut ticks)| async move {
        // Made on the first poll, inside the caller's tokio runtime.
        let ticks_now = ticks.get_or_insert_with(|| {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        loop {
            if let Some(event) = watcher.ready.pop_front() {
                return Some((event, (watcher, ticks)));
            }
            ticks_now.tick().await;
            watcher.look_again();
        }
    })
    .boxed()
}

struct Watcher {
    records: Records,
    seen: Vec<Seen>,
    ready: VecDeque<UnitEvent>,
}

struct Seen {
    name: String,
    last: Option<UnitState>,
}

impl Watcher {
    fn look_again(&mut self) {
        for seen in &mut self.seen {
            let now = look(&self.records, &seen.name);
            for (kind, detail) in changes(seen.last.as_ref(), now.as_ref()) {
                let unit = seen.name.clone();
                self.ready.push_back(UnitEvent { unit, at: clock::now(), kind, detail });
            }
            seen.last = now;
        }
    }
}

fn look(records: &Records, name: &str) -> Option<UnitState> {
    records.load(name).ok().flatten().map(|record| record.state())
}

/// What must have happened between two looks.
fn changes(
    before: Option<&UnitState>,
    after: Option<&UnitState>,
) -> Vec<(RuntimeEventKind, String)> {
    let lives =
        |state: &&UnitState| matches!(state.status, UnitStatus::Running | UnitStatus::Paused);
    let (before, after) = (before.filter(lives), after.filter(lives));
    let died =
        |state: &UnitState| (RuntimeEventKind::Died, format!("process {} is gone", state.id));
    let started = |state: &UnitState| (RuntimeEventKind::Started, format!("process {}", state.id));
    match (before, after) {
        (None, None) => Vec::new(),
        (Some(old), None) => vec![died(old)],
        (None, Some(new)) => vec![started(new)],
        (Some(old), Some(new)) if old.id != new.id => vec![died(old), started(new)],
        (Some(old), Some(new)) => match (old.status, new.status) {
            (UnitStatus::Running, UnitStatus::Paused) => {
                vec![(RuntimeEventKind::Paused, String::new())]
            }
            (UnitStatus::Paused, UnitStatus::Running) => {
                vec![(RuntimeEventKind::Unpaused, String::new())]
            }
            _ => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_tell_what_happened_between() {
        use RuntimeEventKind::{Died, Paused, Started, Unpaused};
        use UnitStatus::{Exited, Running};
        let state = |id: &str, status| UnitState {
            status,
            id: id.into(),
            lab: None,
            exit_code: None,
            started_at: None,
            ..UnitState::default()
        };
        let cases = [
            (Some(("1", Running)), Some(("1", Running)), vec![]),
            (Some(("1", Running)), Some(("1", UnitStatus::Paused)), vec![Paused]),
            (Some(("1", UnitStatus::Paused)), Some(("1", Running)), vec![Unpaused]),
            (Some(("1", Running)), Some(("1", Exited)), vec![Died]),
            (Some(("1", UnitStatus::Paused)), None, vec![Died]),
            (Some(("1", Running)), Some(("2", Running)), vec![Died, Started]),
            (Some(("1", Exited)), Some(("2", Running)), vec![Started]),
            (None, Some(("1", Exited)), vec![]),
        ];
        for (before, after, kinds) in cases {
            let before = before.map(|(id, status)| state(id, status));
            let after = after.map(|(id, status)| state(id, status));
            let seen: Vec<_> =
                changes(before.as_ref(), after.as_ref()).into_iter().map(|c| c.0).collect();
            assert_eq!(seen, kinds, "{before:?} -> {after:?}");
        }
    }
}
