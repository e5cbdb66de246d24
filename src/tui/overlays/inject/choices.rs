//! What can be broken: the faults that fit each server of the lab.

use crate::domain::ids::TargetId;
use crate::domain::injection::Injection;
use crate::domain::target::Target;
use crate::faults::{self, Descriptor, Fault};
use crate::tui::desk::Desk;

/// A fault on a server of the lab.
#[derive(Clone)]
pub(super) struct Choice {
    pub(super) target: TargetId,
    pub(super) fault: &'static dyn Fault,
    /// Why the server cannot have it, if so.
    pub(super) cannot: Option<String>,
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.words().id, self.target)
    }
}

impl Choice {
    pub(super) fn words(&self) -> &'static Descriptor {
        self.fault.descriptor()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.target == other.target && self.words().id == other.words().id
    }
}

fn fits(fault: &dyn Fault, target: &Target) -> bool {
    fault.descriptor().engine.is_none_or(|engine| engine == target.engine)
}

/// Every choice: by server, in the order in which the catalogue comes to them.
fn all(desk: &Desk) -> Vec<Choice> {
    let mut targets: Vec<_> =
        desk.newest.targets.iter().filter(|view| view.target.is_lab()).collect();
    targets.sort_by_key(|view| {
        let engine = Some(view.target.engine);
        faults::ALL.iter().position(|fault| fault.descriptor().engine == engine)
    });
    targets
        .into_iter()
        .flat_map(|view| {
            let fitting = faults::ALL.iter().filter(|fault| fits(**fault, &view.target));
            fitting.map(|fault| Choice {
                target: view.target.id.clone(),
                fault: *fault,
                cannot: view.cannot.get(fault.descriptor().id).cloned(),
            })
        })
        .collect()
}

/// Those whose name, title, cause or finding has every word of the filter.
pub(super) fn filtered(desk: &Desk, filter: &str) -> Vec<Choice> {
    let mut choices = all(desk);
    let filter = filter.to_lowercase();
    // Looked through at every news of the engine, mostly without a filter.
    if !filter.is_empty() {
        choices.retain(|choice| {
            let d = choice.words();
            let text = format!("{} {} {} {}", d.id, d.title, d.cause, d.finding.as_str());
            let text = text.to_lowercase();
            filter.split_whitespace().all(|word| text.contains(word))
        });
    }
    choices
}

/// Servers that are watched but not of the lab.
pub(super) fn unbreakable(desk: &Desk) -> Vec<&str> {
    let targets = desk.newest.targets.iter().map(|view| &view.target);
    targets.filter(|target| !target.is_lab()).map(|target| target.id.as_str()).collect()
}

/// The injection that keeps a server broken.
pub(super) fn live_on<'a>(target: &TargetId, desk: &'a Desk) -> Option<&'a Injection> {
    let mut all = desk.newest.injections.iter();
    all.find(|injection| injection.target == *target && injection.state.is_live())
}

/// `f-19 leak-oom runs here until 14:12:00; C clears`.
pub(super) fn busy(injection: &Injection) -> String {
    let (name, fault) = (injection.name(), &injection.fault);
    format!("{name} {fault} runs here until {}; C clears", injection.deadline.format("%H:%M:%S"))
}
