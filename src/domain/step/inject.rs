//! Faults we cause: the guards before, the watch over the deadline, clearing.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::Value;

use super::{Turn, actor};
use crate::domain::effect::{Accepted, Effect, Refused};
use crate::domain::event::EventBody;
use crate::domain::health::Health;
use crate::domain::ids::{FaultId, InjectionId, TargetId};
use crate::domain::injection::{Injection, InjectionState};

/// The watchdog keeps the deadline; the engine steps in when it is this late.
const GRACE: TimeDelta = TimeDelta::seconds(5);

/// An injection somebody ordered.
pub(super) struct Wanted {
    pub(super) fault: FaultId,
    pub(super) target: TargetId,
    pub(super) params: BTreeMap<String, Value>,
    pub(super) ttl: TimeDelta,
    pub(super) undo: Vec<String>,
    pub(super) beside: bool,
}

impl Turn<'_> {
    pub(super) fn inject(&mut self, by: &str, wanted: Wanted) -> Result<Accepted, Refused> {
        let Wanted { fault, target, params, ttl, undo, beside } = wanted;
        self.may_inject(&target, &fault, beside)?;
        let injection = Injection {
            id: InjectionId(self.ids.next(self.now)),
            number: self.world.ledger.last_injection + 1,
            fault,
            target: target.clone(),
            params,
            actor: by.to_owned(),
            undo,
            started_at: self.now,
            deadline: self.now + ttl,
            beside,
            state: InjectionState::Starting,
        };
        let (name, number) = (injection.name(), injection.number);
        let message = format!(
            "{name} {} on {target}, reverts by {} at the latest",
            injection.fault,
            injection.deadline.format("%H:%M:%S")
        );
        self.emit(
            None,
            Some(target),
            by,
            EventBody::InjectionStarted { injection: injection.clone() },
        );
        self.outcome.effects.push(Effect::Inject { injection: Box::new(injection) });
        Ok(Accepted { message, incident: None, injection: Some(number) })
    }

    fn may_inject(&self, target: &TargetId, fault: &FaultId, beside: bool) -> Result<(), Refused> {
        let Some(watch) = self.world.watches.get(target) else {
            return Err(Refused::because(format!("{target} is not watched here")));
        };
        if !watch.window.target.is_lab() {
            let text = format!("{target} is not a server of the lab; only the lab may be broken");
            return Err(Refused::because(text));
        }
        let live = self.world.ledger.live_injections(target);
        if let Some(live) = live.iter().find(|live| !beside || live.fault == *fault) {
            let name = live.name();
            return Err(Refused::because(format!(
                "{name} ({}) is still on {target}; clear it first: simctl clear {name}",
                live.fault
            )));
        }
        if beside {
            return Ok(());
        }
        if let Some(open) = self.world.ledger.open_on(target).first() {
            let name = open.name();
            return Err(Refused::because(format!(
                "{name} is open on {target}; a drill starts from a healthy target"
            )));
        }
        if watch.health() == Health::Inconclusive {
            let text = format!("{target} was not measured yet; try again in a second");
            return Err(Refused::because(text));
        }
        if !watch.client_is_content() || watch.health().score().is_none_or(|score| score == 0) {
            let text = format!("{target} is not healthy right now (health {})", watch.health());
            return Err(Refused::because(text));
        }
        Ok(())
    }

    /// In reverse order on every target, since the later ones were put on top of the earlier ones.
    pub(super) fn clear(
        &mut self,
        by: &str,
        number: Option<u64>,
        target: Option<&TargetId>,
    ) -> Result<Accepted, Refused> {
        let mut live: Vec<Injection> = self
            .world
            .ledger
            .injections
            .values()
            .filter(|i| i.state.is_live())
            .filter(|i| {
                number.is_none_or(|n| n == i.number) && target.is_none_or(|t| *t == i.target)
            })
            .cloned()
            .collect();
        live.sort_by_key(|injection| std::cmp::Reverse(injection.number));
        if live.is_empty() {
            let what = number
                .map(|n| format!("f-{n} is not live"))
                .unwrap_or_else(|| "nothing is injected".into());
            return Ok(Accepted { message: what, ..Accepted::default() });
        }
        let names: Vec<String> = live.iter().map(Injection::name).collect();
        for (at, injection) in live.iter().enumerate() {
            let later = live.iter().take(at).filter(|other| other.target == injection.target);
            self.revert(by, injection.clone(), later.map(|other| other.id).collect());
        }
        let message = format!("reverting {}", names.join(", "));
        Ok(Accepted { message, ..Accepted::default() })
    }

    pub(super) fn revert(&mut self, by: &str, injection: Injection, after: Vec<InjectionId>) {
        let target = Some(injection.target.clone());
        let body =
            EventBody::InjectionMoved { injection: injection.id, state: InjectionState::Reverting };
        self.emit(None, target, by, body);
        self.outcome.effects.push(Effect::Revert { injection: Box::new(injection), after });
    }

    pub(super) fn injection_moved(&mut self, id: InjectionId, state: InjectionState) {
        let Some(known) = self.world.ledger.injections.get(&id) else { return };
        let is_news = known.state.is_live() && known.state != state;
        let goes_back = known.state == InjectionState::Reverting
            && matches!(state, InjectionState::Active { .. });
        if !state.is_live() {
            self.outcome.effects.push(Effect::Forget { injection: id });
        }
        if is_news && !goes_back {
            let target = Some(known.target.clone());
            self.emit(
                None,
                target,
                actor::WATCHDOG,
                EventBody::InjectionMoved { injection: id, state },
            );
        }
    }

    /// Steps in for a watchdog that did not keep the deadline.
    pub(super) fn revert_overdue(&mut self) {
        let overdue: Vec<Injection> = self
            .world
            .ledger
            .injections
            .values()
            .filter(|i| i.state.is_live() && i.state != InjectionState::Reverting)
            .filter(|i| self.now > i.deadline + GRACE)
            .cloned()
            .collect();
        for injection in overdue {
            self.revert(actor::ENGINE, injection, Vec::new());
        }
    }
}
