//! Answers that take long: held back by a limit from outside, or kept waiting by what the server itself does.

use crate::domain::diagnosis::JudgedCause;
use crate::domain::finding::FindingKind;
use crate::domain::unit::{CpuLimit, setting};

use super::Judge;
use super::facts::{Facts, SlowCommand, Throttling};
use super::verdict::{Verdict, source};
use super::words;

pub(super) const CPU_THROTTLED: Judge = Judge {
    cause: "cpu-throttled",
    title: "short of processor time",
    about: "What the server runs in may use less processor time than when it was healthy, and is stopped in most \
            periods of that limit.",
    findings: &[FindingKind::Slow, FindingKind::ServerHung],
    judge: throttled,
};

pub(super) const BLOCKING_COMMAND: Judge = Judge {
    cause: "blocking-command",
    title: "blocked by slow commands",
    about: "Redis does one thing at a time: a client runs commands that take long, and everybody else waits for them.",
    findings: &[FindingKind::Slow],
    judge: blocked,
};

/// Stopped in so many of its periods, it is held back; a burst of work is stopped now and then.
const THROTTLED_PERCENT: u64 = 25;
/// Fewer periods say nothing.
const PERIODS: u64 = 3;
/// Slow commands of so long ago are not what is waited for now.
const RECENT_S: f64 = 10.0;
/// Fewer slow commands, or less time in them, do not keep everybody waiting.
const COMMANDS: usize = 3;
const BUSY_MS: f64 = 500.0;

fn is_throttled(seen: Throttling) -> bool {
    seen.periods >= PERIODS
        && words::percent(seen.throttled_periods, seen.periods) >= THROTTLED_PERCENT
}

fn limits(facts: &Facts) -> (Option<CpuLimit>, Option<CpuLimit>) {
    let now = facts.unit.as_ref().and_then(|unit| unit.limits).map(|limits| limits.cpu);
    (now, facts.baseline.get(setting::CPU).and_then(|text| CpuLimit::parse(text)))
}

/// The CPU limit of the healthy server, when there is less now.
pub(crate) fn cpu_to_restore(facts: &Facts) -> Option<CpuLimit> {
    let (now, was) = limits(facts);
    was.filter(|was| now.is_some_and(|now| now.is_below(*was)))
}

fn throttled(facts: &Facts) -> Option<JudgedCause> {
    let (Some(now), was) = limits(facts) else { return None };
    now.quota_us?;
    let sources = [source::THROTTLING, source::UNIT, source::BASELINE];
    let verdict = Verdict::on(facts, CPU_THROTTLED.cause, &sources);
    let limit = match was {
        Some(was) if now.is_below(was) => {
            format!("its CPU limit is {}, it was {}", now.words(), was.words())
        }
        Some(_) | None => format!("its CPU limit is {}", now.words()),
    };
    let Some(seen) = facts.place.throttling else {
        let lowered = was.is_some_and(|was| now.is_below(was));
        let missing = "how many periods of the limit it is stopped in";
        return lowered.then(|| verdict.likely(limit, missing));
    };
    if !is_throttled(seen) {
        return None;
    }
    let because = format!(
        "{limit}, and it was stopped in {} of {} periods within {}",
        seen.throttled_periods,
        seen.periods,
        words::seconds(seen.seconds)
    );
    Some(match was {
        Some(was) if now.is_below(was) => verdict.confirmed(because),
        // The limit is as it always was: what changed is the load.
        Some(_) => verdict.inconclusive(because, "what uses the processor time in there"),
        None => verdict.likely(because, "the CPU limit when the server was healthy"),
    })
}

fn blocked(facts: &Facts) -> Option<JudgedCause> {
    let all = facts.slow_commands.as_ref()?;
    let recent: Vec<&SlowCommand> = all.iter().filter(|slow| slow.age_s <= RECENT_S).collect();
    let busy_ms: f64 = recent.iter().map(|slow| slow.took_ms).sum();
    if recent.len() < COMMANDS || busy_ms < BUSY_MS {
        return None;
    }
    let sources = [source::REDIS_SLOWLOG, source::THROTTLING, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, BLOCKING_COMMAND.cause, &sources);
    let longest = recent.iter().max_by(|a, b| a.took_ms.total_cmp(&b.took_ms))?;
    let because = format!(
        "{} commands kept the server busy for {} in the last {}, the longest {} {} ({:.0} ms) of {}",
        recent.len(),
        words::seconds(busy_ms / 1_000.0),
        words::seconds(RECENT_S),
        words::name(&longest.command),
        words::name(&longest.argument),
        longest.took_ms,
        words::name(&longest.client)
    );
    match facts.place.throttling {
        // Every command is slow while its process is stopped in the midst of it.
        Some(seen) if is_throttled(seen) => None,
        Some(_) => Some(verdict.confirmed(because)),
        None if facts.unit.as_ref().is_some_and(|unit| unit.limits.is_none()) => {
            Some(verdict.confirmed(because))
        }
        None => Some(verdict.likely(because, "whether a CPU limit stops the server meanwhile")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graded, in_unit, unit};
    use super::*;
    use crate::domain::unit::{UnitLimits, UnitState, UnitStatus};

    const NONE: Vec<String> = Vec::new();

    fn running(quota: Option<i64>) -> UnitState {
        let limits = UnitLimits { cpu: CpuLimit::of(quota, None), pids: Some(128) };
        UnitState { limits: Some(limits), ..unit(UnitStatus::Running, None) }
    }

    fn slow(quota: Option<i64>, throttled_periods: u64) -> Facts {
        let mut facts = in_unit(FindingKind::Slow, Some(running(quota)), &[]);
        facts.baseline.insert(setting::CPU.into(), "200000/100000".into());
        facts.place.throttling = Some(Throttling {
            seconds: 1.0,
            periods: 10,
            throttled_periods,
            throttled_ms: throttled_periods * 90,
        });
        facts
    }

    fn keys(n: usize) -> Option<Vec<SlowCommand>> {
        let one = SlowCommand {
            age_s: 2.0,
            took_ms: 240.0,
            command: "keys".into(),
            argument: "*".into(),
            client: "report".into(),
        };
        Some(vec![one; n])
    }

    #[test]
    fn a_lowered_limit_that_stops_it_is_the_cause() {
        let low = || slow(Some(1_000), 9);
        assert_eq!(graded(&low()), ["cpu-throttled: confirmed"]);
        let with = |change: fn(&mut Facts)| {
            let mut facts = low();
            change(&mut facts);
            graded(&facts)
        };
        assert_eq!(with(|f| f.place.throttling = None), ["cpu-throttled: likely"]);
        assert_eq!(with(|f| f.baseline.clear()), ["cpu-throttled: likely"]);
        assert_eq!(with(|f| f.finding = FindingKind::ServerHung), ["cpu-throttled: confirmed"]);
        assert_eq!(with(|f| f.unit = None), NONE);
        // A stopped process finds each of its commands slow: that is no second cause.
        assert_eq!(with(|f| f.slow_commands = keys(30)), ["cpu-throttled: confirmed"]);
    }

    #[test]
    fn a_limit_that_does_not_stop_it_or_never_changed_is_not() {
        assert_eq!(graded(&slow(Some(1_000), 1)), NONE, "an idle server under a low limit");
        assert_eq!(graded(&slow(None, 0)), NONE);
        assert_eq!(graded(&slow(Some(200_000), 9)), ["cpu-throttled: inconclusive"], "load");
        assert_eq!(cpu_to_restore(&slow(Some(200_000), 9)), None);
        let was = CpuLimit::of(Some(200_000), None);
        assert_eq!(cpu_to_restore(&slow(Some(1_000), 9)), Some(was));
    }

    #[test]
    fn commands_that_keep_everybody_waiting_are_the_cause_where_nothing_stops_the_server() {
        let with = |change: fn(&mut Facts)| {
            let mut facts = slow(Some(200_000), 0);
            facts.slow_commands = keys(30);
            change(&mut facts);
            graded(&facts)
        };
        assert_eq!(with(|_| ()), ["blocking-command: confirmed"]);
        assert_eq!(with(|f| f.place.throttling = None), ["blocking-command: likely"]);
        let local = with(|f| {
            f.place.throttling = None;
            f.unit.as_mut().unwrap().limits = None;
        });
        assert_eq!(local, ["blocking-command: confirmed"], "a process without limits");
        assert_eq!(with(|f| f.slow_commands = keys(2)), NONE, "two of them are no habit");
        assert_eq!(with(|f| f.slow_commands = None), NONE);
        let old =
            with(|f| f.slow_commands.as_mut().unwrap().iter_mut().for_each(|s| s.age_s = 60.0));
        assert_eq!(old, NONE, "long ago");
    }
}
