//! A server that runs and that nobody outside can reach: whether its container is on any network at all.

use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::unit::UnitStatus;

use super::Judge;
use super::facts::{Facts, Inside};
use super::verdict::{Verdict, source};
use super::words;

pub(super) const DISCONNECTED: Judge = Judge {
    cause: "network-disconnected",
    title: "cut off its network",
    about: "The container is on no network: the server runs and answers inside, and nobody outside gets through.",
    findings: &[FindingKind::ServerDown, FindingKind::ServerHung, FindingKind::ProbeFailing],
    judge: disconnected,
};

fn disconnected(facts: &Facts) -> Option<JudgedCause> {
    let unit = facts.unit.as_ref().filter(|unit| unit.status == UnitStatus::Running)?;
    let networks = unit.networks.as_ref()?;
    // One that was made without a network is not cut off.
    let home = unit.home_network.as_deref()?;
    if !networks.is_empty() {
        return None;
    }
    let sources = [source::UNIT, source::INSIDE, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, DISCONNECTED.cause, &sources);
    let cut =
        format!("the container runs and is on no network (it was made for {})", words::name(home));
    Some(match &facts.place.inside {
        Some(Inside::Answered(_)) => verdict
            .confirmed(format!("{cut}; a client inside is answered, so the server itself is well")),
        Some(Inside::Refused(text)) => verdict.likely(
            format!("{cut}; but a client inside gets no answer either: {}", words::line(text)),
            "why the server does not answer inside",
        ),
        Some(Inside::Silent) => verdict.likely(
            format!("{cut}; but a client inside hears nothing either"),
            "why the server does not answer inside",
        ),
        None => verdict.likely(cut, "whether a client inside gets an answer"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graded, in_unit, unit};
    use super::*;
    use crate::domain::sample::RuntimeEventKind::Died;
    use crate::domain::unit::{Attachment, UnitState};

    fn running(networks: &[&str]) -> UnitState {
        let on = |name: &&str| Attachment { network: (*name).into(), aliases: Vec::new() };
        UnitState {
            networks: Some(networks.iter().map(on).collect()),
            home_network: Some("lab".into()),
            ..unit(UnitStatus::Running, None)
        }
    }

    fn cut_off(inside: Option<Inside>) -> Facts {
        let mut facts = in_unit(FindingKind::ServerDown, Some(running(&[])), &[]);
        facts.place.inside = inside;
        facts
    }

    fn pong() -> Option<Inside> {
        Some(Inside::Answered("PONG".into()))
    }

    #[test]
    fn no_network_and_an_answer_inside_settle_it() {
        assert_eq!(graded(&cut_off(pong())), ["network-disconnected: confirmed"]);
        assert_eq!(graded(&cut_off(None)), ["network-disconnected: likely"]);
        let refused = Some(Inside::Refused("Connection refused".into()));
        assert_eq!(graded(&cut_off(refused)), ["network-disconnected: likely"]);
        assert_eq!(graded(&cut_off(Some(Inside::Silent))), ["network-disconnected: likely"]);
    }

    #[test]
    fn what_looks_like_it_is_not_it() {
        let with = |change: fn(&mut Facts)| {
            let mut facts = cut_off(pong());
            change(&mut facts);
            graded(&facts)
        };
        // On its network, and answering inside only: bound to another address, or behind a filter.
        assert_eq!(with(|f| f.unit = Some(running(&["lab"]))), Vec::<String>::new());
        // Made without a network, as a local process or a container on the host's.
        assert_eq!(with(|f| f.unit.as_mut().unwrap().home_network = None), Vec::<String>::new());
        assert_eq!(with(|f| f.unit.as_mut().unwrap().networks = None), Vec::<String>::new());
        // A stopped or frozen one is not reachable for another reason, and is mended first.
        let ended = with(|f| {
            f.unit.as_mut().unwrap().status = UnitStatus::Exited;
            f.unit.as_mut().unwrap().exit_code = Some(137);
            f.runtime_events = in_unit(FindingKind::ServerDown, None, &[Died]).runtime_events;
        });
        assert_eq!(ended, ["container-killed: confirmed"]);
        let frozen = with(|f| f.unit.as_mut().unwrap().status = UnitStatus::Paused);
        assert_eq!(frozen, ["container-paused: confirmed"]);
    }
}
