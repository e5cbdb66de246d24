//! What an investigation observes: the client's view, the unit the server runs in, then the server from inside.
//! Reads only; a server that is stopped, frozen or full costs a deadline at most.

use std::collections::BTreeMap;
use std::time::Duration;

use super::notebook::{Notebook, Report};
use super::{Limit, Link, Place, Server, dial, disk};
use crate::diagnose::facts::{Disk, Facts, Refusal};
use crate::diagnose::source;
use crate::domain::effect::Known;
use crate::domain::finding::FindingKind;
use crate::domain::ids::ActionId;
use crate::domain::sample::{Answer, Origin, RuntimeEvent, Sample};
use crate::domain::unit::{UnitLimits, UnitState, UnitStatus, pids_text, setting};
use crate::domain::words;

mod place;

/// All questions together take no longer.
const WHOLE: Duration = Duration::from_secs(3);
/// The runtime answers at once or not at all.
const INSPECT: Duration = Duration::from_secs(1);
/// So much of the log is looked at.
const LOG_LINES: usize = 60;
/// The SQLSTATE of a client that is turned away whatever its password.
const NOT_LET_IN: &str = "28000";

impl Server {
    /// Observes what a judgement about `finding` needs. Each question and its answer is reported as it happens.
    pub async fn facts(&self, finding: FindingKind, known: &Known, report: Report<'_>) -> Facts {
        let mut notebook = Notebook::new(report, Limit::of(WHOLE));
        notebook.note(source::CLIENT_VIEW, &clients_view(&known.samples));
        if !known.runtime_events.is_empty() {
            notebook.note(source::RUNTIME_EVENTS, &events(&known.runtime_events));
        }
        if !known.baseline.is_empty() {
            notebook.note(source::BASELINE, &settings(&known.baseline));
        }
        let unit = match &self.place {
            Some(place) => inspect(place, &mut notebook).await,
            None => None,
        };
        let log = match &self.place {
            Some(place) => log_tail(place, &mut notebook).await,
            None => None,
        };
        let mut also = place::PlaceFacts::default();
        if let (Some(place), Some(unit)) = (&self.place, &unit) {
            also = place::look(place, unit, finding, &mut notebook).await;
        }
        let mut slow_commands = None;
        for (action, said) in &known.refusals {
            notebook.note(source::EARLIER, &format!("{action} failed: {said}"));
        }
        let disk = match &self.place {
            Some(place) if cannot_write(&known.samples) => {
                disk_of(place, &known.baseline, &mut notebook).await
            }
            Some(_) | None => None,
        };
        let (mut redis, mut postgres) = (None, None);
        match unit.as_ref().map(|unit| unit.status) {
            None | Some(UnitStatus::Running) => match &self.link {
                Link::Redis(link) => {
                    if finding == FindingKind::Slow {
                        slow_commands = link.slow_commands(&mut notebook).await;
                    }
                    redis = link.facts(&known.baseline, &mut notebook).await;
                }
                Link::Postgres(link) => {
                    postgres = link.facts(finding, &known.baseline, &mut notebook).await;
                }
            },
            Some(status) => {
                let why = format!("not asked: what it runs in is {}", status_word(status));
                notebook.note("server", &why);
            }
        }
        if let (Some(place), Some(pg), Link::Postgres(link)) =
            (&self.place, &mut postgres, &self.link)
            && may_lack_room(finding, &known.samples)
        {
            pg.volumes = link.volumes(place, &mut notebook).await;
        }
        if let (Some(place), Some(seen)) = (&self.place, &mut postgres) {
            super::postgres::blockers::look(place, seen, &mut notebook).await;
        }
        if let Link::Postgres(link) = &self.link
            && newest_refusal(&known.samples) == Some(NOT_LET_IN)
            && let Some(hba) = link.hba(self.place.as_ref(), &mut notebook).await
        {
            // All there is where every login is turned away.
            postgres.get_or_insert_default().hba = Some(hba);
        }
        Facts {
            finding,
            samples: known.samples.clone(),
            runtime_events: known.runtime_events.clone(),
            baseline: known.baseline.clone(),
            unit,
            log,
            place: also,
            slow_commands,
            refusals: known.refusals.iter().map(refusal).collect(),
            disk,
            redis,
            postgres,
            evidence: notebook.into_evidence(),
        }
    }

    /// The limits of what it runs in, as settings; empty where there are none.
    pub async fn unit_settings(&self) -> BTreeMap<String, String> {
        let Some(place) = &self.place else { return BTreeMap::new() };
        let seen = tokio::time::timeout(INSPECT, place.runtime.inspect(&place.unit)).await;
        let Some(state) = seen.ok().and_then(Result::ok) else { return BTreeMap::new() };
        let memory = state.memory_limit.map(|most| (setting::MEMORY.to_owned(), most.to_string()));
        let files = state.files.map(|files| (setting::FILES.to_owned(), files.soft.to_string()));
        let limits = state.limits.into_iter().flat_map(UnitLimits::settings);
        limits.chain(memory).chain(files).collect()
    }

    /// Names this life of this server: another process is another identity.
    pub async fn identity(&self) -> String {
        if let Some(place) = &self.place
            && let Ok(Ok(state)) =
                tokio::time::timeout(INSPECT, place.runtime.inspect(&place.unit)).await
            && state.status != UnitStatus::Absent
        {
            return state.identity();
        }
        let life = match &self.link {
            Link::Redis(link) => link.life().await,
            Link::Postgres(link) => link.life().await,
        };
        life.unwrap_or_else(|| "unreachable".to_owned())
    }
}

/// Whether a PostgreSQL says, or shows, that a volume is full.
fn may_lack_room(finding: FindingKind, samples: &[Sample]) -> bool {
    let newest = samples.iter().rev().take(6);
    finding == FindingKind::VolumeFull
        || newest.filter_map(Sample::first_bad).any(|answer| answer.code() == Some("53100"))
}

/// The code of the newest bad answer.
fn newest_refusal(samples: &[Sample]) -> Option<&str> {
    samples.iter().rev().find_map(Sample::first_bad).and_then(Answer::code)
}

/// The settings that causes turn on; the rest is only counted.
fn settings(known: &BTreeMap<String, String>) -> String {
    const TELLING: [&str; 7] = [
        "maxmemory",
        "maxmemory-policy",
        "maxclients",
        "max_connections",
        "default_transaction_read_only",
        setting::CPU,
        setting::PIDS,
    ];
    let telling = TELLING.iter().filter_map(|name| Some(format!("{name}={}", known.get(*name)?)));
    let said: Vec<String> = telling.collect();
    format!("{} settings while it was healthy, {}", known.len(), said.join(" "))
}

async fn inspect(place: &Place, notebook: &mut Notebook<'_>) -> Option<UnitState> {
    let question =
        format!("{} {} ({})", source::UNIT, place.unit.name, place.runtime.kind().as_str());
    let look = async {
        place
            .runtime
            .inspect(&place.unit)
            .await
            .map_err(|error| dial::failed("RUNTIME", chain(&error)))
    };
    notebook.ask(&question, INSPECT, look, unit_words).await
}

fn refusal((action, said): &(ActionId, String)) -> Refusal {
    Refusal { action: action.to_string(), said: said.clone() }
}

/// Whether a Redis says that it cannot write to its disk.
fn cannot_write(samples: &[Sample]) -> bool {
    let newest = samples.iter().rev().take(6);
    newest.filter_map(Sample::first_bad).any(|answer| answer.code() == Some("MISCONF"))
}

/// The file system below the data directory, as the healthy server named that.
async fn disk_of(
    place: &Place,
    baseline: &BTreeMap<String, String>,
    notebook: &mut Notebook<'_>,
) -> Option<Disk> {
    let dir = baseline.get("dir")?;
    let question = format!("{} -P -k {dir}", source::DISK);
    notebook.ask(&question, INSPECT, disk::look(place, dir), disk::words).await
}

/// The server's own last words.
async fn log_tail(place: &Place, notebook: &mut Notebook<'_>) -> Option<Vec<String>> {
    let question = format!("{} of {}", source::LOG, place.unit.name);
    let read = async {
        let lines = place.runtime.logs(&place.unit, LOG_LINES).await;
        lines.map_err(|error| dial::failed("RUNTIME", chain(&error)))
    };
    notebook.ask(&question, INSPECT, read, |lines| log_words(lines)).await
}

fn log_words(lines: &[String]) -> String {
    match lines {
        [] => "it is empty".to_owned(),
        _ => {
            let newest = lines.iter().skip(lines.len().saturating_sub(3)).map(|line| line.trim());
            format!("its newest lines: {}", newest.collect::<Vec<_>>().join(" / "))
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

fn unit_words(unit: &UnitState) -> String {
    let exit = unit.exit_code.filter(|_| unit.status == UnitStatus::Exited);
    let words = [
        Some(status_word(unit.status).to_owned()),
        exit.map(|code| format!("exit code {code}")),
        unit.started_at.map(|at| format!("started {}", at.format("%Y-%m-%d %H:%M:%S UTC"))),
        unit.memory_limit.map(|bytes| format!("memory limit {}", words::bytes(bytes))),
        unit.limits.map(|limits| limits.cpu.words()),
        unit.limits.map(|limits| format!("process limit {}", pids_text(limits.pids))),
        unit.files.map(|files| format!("{} of {} files open", files.open, files.soft)),
        unit.networks.as_ref().map(|networks| {
            let names: Vec<&str> = networks.iter().map(|on| on.network.as_str()).collect();
            if names.is_empty() {
                "on no network".into()
            } else {
                format!("on {}", names.join(", "))
            }
        }),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn status_word(status: UnitStatus) -> &'static str {
    match status {
        UnitStatus::Running => "running",
        UnitStatus::Paused => "paused",
        UnitStatus::Restarting => "restarting",
        UnitStatus::Exited => "exited",
        UnitStatus::Absent => "absent",
    }
}

/// The newest answers over each connection, in words.
fn clients_view(samples: &[Sample]) -> String {
    let newest = |origin| samples.iter().rev().find(|sample| sample.origin == origin);
    let views = [(Origin::Fresh, "a new client"), (Origin::Held, "the kept connection")];
    let words: Vec<_> = views
        .into_iter()
        .filter_map(|(origin, name)| Some(format!("{name}: {}", answers(newest(origin)?))))
        .collect();
    if words.is_empty() { "no samples".to_owned() } else { words.join("; ") }
}

fn answers(sample: &Sample) -> String {
    let asked = [("connect", &sample.connect), ("read", &sample.read), ("write", &sample.write)];
    let words: Vec<_> = asked
        .into_iter()
        .filter(|(_, answer)| **answer != Answer::NotAsked)
        .map(|(what, answer)| format!("{what} {}", answer.describe()))
        .collect();
    if words.is_empty() { "nothing was asked".to_owned() } else { words.join(", ") }
}

fn events(events: &[RuntimeEvent]) -> String {
    let words: Vec<_> = events
        .iter()
        .map(|event| {
            let detail = match event.detail.as_str() {
                "" => String::new(),
                detail => format!(": {detail}"),
            };
            format!("{} {}{detail}", event.at.format("%H:%M:%S%.3f"), event.kind.as_str())
        })
        .collect();
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::sample::RuntimeEventKind;

    #[test]
    fn runtime_events_say_what_happened() {
        let at = DateTime::from_timestamp_millis(1_700_000_000_250).unwrap();
        let event = |kind, detail: &str| RuntimeEvent { at, kind, detail: detail.into() };
        let told = events(&[
            event(RuntimeEventKind::Paused, ""),
            event(RuntimeEventKind::Died, "exit code 137"),
        ]);
        assert_eq!(told, "22:13:20.250 paused; 22:13:20.250 died: exit code 137");
    }
}
