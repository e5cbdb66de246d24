//! What a server runs in, asked in more ways than by a look: a client inside, and how often a limit stopped it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{INSPECT, chain};
pub(super) use crate::diagnose::facts::PlaceFacts;
use crate::diagnose::facts::{Inside, Throttling};
use crate::diagnose::source;
use crate::domain::execution::Output;
use crate::domain::finding::FindingKind;
use crate::domain::sample::Answer;
use crate::domain::unit::{UnitState, UnitStatus, UnitUsage};
use crate::ports::runtime::{ExecLimits, RuntimeKind};
use crate::targets::notebook::Notebook;
use crate::targets::{Place, dial, processes};

/// The client inside gives up after this by itself: nobody ends it from outside.
const INSIDE_S: &str = "1";
const EXEC: Duration = Duration::from_millis(1_500);
/// Between two looks at the counters: ten periods of the usual length.
const APART: Duration = Duration::from_secs(1);

pub(super) async fn look(
    place: &Place,
    unit: &UnitState,
    finding: FindingKind,
    notebook: &mut Notebook<'_>,
) -> PlaceFacts {
    let mut facts = PlaceFacts::default();
    if unit.status != UnitStatus::Running {
        return facts;
    }
    // Beside a local process there is no inside: its client would come the same way as ours.
    if is_unreachable(finding) && place.runtime.kind() == RuntimeKind::Docker {
        facts.first_process = first_process(place, notebook).await;
        facts.inside = inside(place, notebook).await;
    }
    let has_limit = unit.limits.is_some_and(|limits| limits.cpu.quota_us.is_some());
    if matches!(finding, FindingKind::Slow | FindingKind::ServerHung) && has_limit {
        facts.throttling = throttling(place, notebook).await;
    }
    facts
}

fn is_unreachable(finding: FindingKind) -> bool {
    matches!(finding, FindingKind::ServerDown | FindingKind::ServerHung | FindingKind::ProbeFailing)
}

async fn first_process(place: &Place, notebook: &mut Notebook<'_>) -> Option<char> {
    let spelled =
        format!("{} docker exec {} cat /proc/1/stat", source::FIRST_PROCESS, place.unit.name);
    let words = |state: &char| match processes::is_stopped(*state) {
        true => format!("{state}: stopped by a signal"),
        false => format!("{state}: not stopped"),
    };
    notebook.ask(&spelled, EXEC, processes::first(place), words).await
}

/// The server's own client, run beside it.
async fn inside(place: &Place, notebook: &mut Notebook<'_>) -> Option<Inside> {
    let is_redis = place.unit.client.first().is_some_and(|program| program == "redis-cli");
    let question: &[&str] = if is_redis { &["PING"] } else { &["-Atc", "SELECT 1"] };
    let client = place.unit.client.iter().map(String::as_str);
    let argv: Vec<String> = ["timeout", INSIDE_S]
        .into_iter()
        .chain(client)
        .chain(question.iter().copied())
        .map(str::to_owned)
        .collect();
    let spelled = format!("{} docker exec {} {}", source::INSIDE, place.unit.name, argv.join(" "));
    let run = async {
        let limits = ExecLimits { deadline: EXEC, output_bytes: 4_096 };
        let output = place.runtime.exec(&place.unit, &argv, None, limits).await;
        let output = output.map_err(|error| dial::failed("RUNTIME", chain(&error)))?;
        heard(&output).ok_or_else(|| dial::failed("RUNTIME", output.stderr.trim().to_owned()))
    };
    notebook.ask(&spelled, EXEC, run, inside_words).await
}

/// `None`: the client was not there to be run.
fn heard(output: &Output) -> Option<Inside> {
    /// What `timeout` exits with when it ended the command, and what a missing program comes to.
    const TIMED_OUT: [i64; 2] = [124, 143];
    const NOT_RUN: [i64; 3] = [125, 126, 127];
    let said = output.stdout.trim();
    // redis-cli prints errors like answers, and exits with 0.
    let is_error = |text: &str| text.contains("Error") || text.contains("Could not connect");
    match output.exit_code? {
        code if NOT_RUN.contains(&code) => None,
        code if TIMED_OUT.contains(&code) => Some(Inside::Silent),
        0 if !said.is_empty() && !is_error(said) => Some(Inside::Answered(said.to_owned())),
        _ => {
            let told = [said, output.stderr.trim()].into_iter().find(|text| !text.is_empty());
            Some(Inside::Refused(told.unwrap_or("no words").to_owned()))
        }
    }
}

fn inside_words(inside: &Inside) -> String {
    match inside {
        Inside::Answered(text) => format!("answered: {text}"),
        Inside::Refused(text) => format!("not answered: {text}"),
        Inside::Silent => format!("no answer within {INSIDE_S} s"),
    }
}

async fn throttling(place: &Place, notebook: &mut Notebook<'_>) -> Option<Throttling> {
    let question = format!("{} of {}, twice", source::THROTTLING, place.unit.name);
    let looks = async {
        let (first, began) = (counted(place).await?, Instant::now());
        sleep_until(began + APART).await;
        let second = counted(place).await?;
        Ok(between(first, second, began.elapsed()))
    };
    notebook.ask(&question, APART + INSPECT, looks, throttling_words).await
}

async fn counted(place: &Place) -> Result<UnitUsage, Answer> {
    match place.runtime.usage(&place.unit).await {
        Ok(Some(usage)) => Ok(usage),
        Ok(None) => Err(dial::failed("RUNTIME", "nobody counts them")),
        Err(error) => Err(dial::failed("RUNTIME", chain(&error))),
    }
}

fn between(first: UnitUsage, second: UnitUsage, apart: Duration) -> Throttling {
    Throttling {
        seconds: apart.as_secs_f64(),
        periods: second.periods.saturating_sub(first.periods),
        throttled_periods: second.throttled_periods.saturating_sub(first.throttled_periods),
        throttled_ms: second.throttled_ms.saturating_sub(first.throttled_ms),
    }
}

fn throttling_words(seen: &Throttling) -> String {
    format!(
        "stopped in {} of {} periods within {:.1} s, for {} ms together",
        seen.throttled_periods, seen.periods, seen.seconds, seen.throttled_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(exit_code: i64, stdout: &str, stderr: &str) -> Option<Inside> {
        heard(&Output {
            exit_code: Some(exit_code),
            stdout: stdout.into(),
            stderr: stderr.into(),
            ..Output::default()
        })
    }

    #[test]
    fn the_client_inside_is_told_apart_from_its_server() {
        assert_eq!(said(0, "PONG\n", ""), Some(Inside::Answered("PONG".into())));
        assert_eq!(said(124, "", ""), Some(Inside::Silent));
        assert_eq!(said(127, "", "timeout: not found"), None);
        let refused = "Could not connect to Redis at 127.0.0.1:6379: Connection refused";
        assert_eq!(said(1, "", refused), Some(Inside::Refused(refused.into())));
        assert_eq!(said(0, refused, ""), Some(Inside::Refused(refused.into())));
        let full = "psql: error: FATAL:  sorry, too many clients already";
        assert_eq!(said(2, "", full), Some(Inside::Refused(full.into())));
    }

    #[test]
    fn counters_that_began_anew_say_nothing() {
        let of = |periods, throttled_periods| UnitUsage {
            periods,
            throttled_periods,
            ..UnitUsage::default()
        };
        let seen = between(of(10, 4), of(20, 13), APART);
        assert_eq!((seen.periods, seen.throttled_periods), (10, 9));
        assert_eq!(between(of(10, 4), of(2, 0), APART).periods, 0);
    }
}
