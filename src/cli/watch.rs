//! `watch`: what happens, as lines that are only ever added, from the running engine and whatever engine follows it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::context::{Context, stored_incident};
use super::parse::{self, When};
use super::print::Print;
use super::signals::Signals;
use super::teller::Teller;
use super::{Done, bad_input};
use crate::api::client::{Client, ClientError};
use crate::api::events;
use crate::api::remote::{self, Link, Remote};
use crate::domain::event::Sealed;
use crate::domain::ids::TargetId;
use crate::domain::incident::Incident;
use crate::engine::clock;
use crate::engine::handle::{Snapshot, TargetView};
use crate::engine::tasks::Tasks;
use crate::ports::store::{IncidentFilter, Store};

/// How often an engine is looked for while there is none.
const LOOK: Duration = Duration::from_millis(250);
/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How many stored events are read at once.
const PAGE: u32 = 500;
/// Incidents from before the history whose names are known.
const KNOWN: u32 = 1_000;

/// Tell what happens in plain lines: for screen readers, pipes and CI
///
/// Attaches to the running engine, or waits for one. Every event is one line, and so is every change of a
/// target's state. An engine that ends and starts again is followed on; no event is lost or told twice. Decisions
/// go through `simctl approve` and `simctl reject`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl watch --since 10m\n  simctl watch --incident INC-0042\n  simctl watch --json | jq .event.body.kind"
)]
pub(super) struct Watch {
    /// Plain lines; the only form there is so far
    #[arg(long)]
    plain: bool,
    /// Begin with what happened since then: `10m`, `14:00` of today, or a UTC time
    #[arg(long, value_name = "WHEN", value_parser = parse::when)]
    since: Option<When>,
    /// Only this incident, and the state of its target
    #[arg(long, value_name = "INC", value_parser = parse::incident)]
    incident: Option<u64>,
}

pub(super) async fn run(context: &Context, args: &Watch) -> Done {
    let mut signals = Signals::listen()?;
    let (out, mut written) = writer(context.print)?;
    let mut watcher = Watcher {
        context,
        teller: Teller::new(context.print, 0),
        states: BTreeMap::new(),
        only: None,
        said: String::new(),
        out,
    };
    tokio::select! {
        ended = watcher.watch(args) => ended?,
        // The reader of our lines went away.
        ended = &mut written => return ended?.map(|()| ExitCode::SUCCESS),
        () = signals.heard() => {}
    }
    drop(watcher);
    let _ = timeout(LAST_LINES, written).await;
    Ok(ExitCode::SUCCESS)
}

/// Writes lines in a thread of its own: a reader that stopped reading must not keep a signal from being heard.
fn writer(
    print: Print,
) -> anyhow::Result<(mpsc::Sender<String>, oneshot::Receiver<anyhow::Result<()>>)> {
    let (out, mut lines) = mpsc::channel::<String>(64);
    let (done, written) = oneshot::channel();
    std::thread::Builder::new().name("lines".into()).spawn(move || {
        let mut write = || {
            while let Some(line) = lines.blocking_recv() {
                print.line(line)?;
            }
            Ok(())
        };
        let _ = done.send(write());
    })?;
    Ok((out, written))
}

struct Watcher<'a> {
    context: &'a Context,
    teller: Teller,
    /// The word that was last told of each target.
    states: BTreeMap<TargetId, String>,
    only: Option<Incident>,
    /// What was last said on standard error.
    said: String,
    out: mpsc::Sender<String>,
}

impl Watcher<'_> {
    /// Ends only when it cannot begin.
    async fn watch(&mut self, args: &Watch) -> anyhow::Result<()> {
        if let Some(number) = args.incident {
            let incident = self.incident(number).await?;
            self.teller.only(&incident);
            self.only = Some(incident);
        }
        let mut after = None;
        if let Some(since) = args.since {
            after = Some(self.history(since).await?);
        }
        loop {
            let engine = self.engine().await?;
            let mut tasks = Tasks::default();
            match remote::attach_after(engine, after, &mut tasks).await {
                Ok(remote) => after = Some(self.follow(remote, after).await?),
                Err(error) => self.not_now(error).await,
            }
            tasks.stop().await;
        }
    }

    /// The engine knows the newest ones even while the store is away.
    async fn incident(&self, number: u64) -> anyhow::Result<Incident> {
        if let Some(engine) = self.context.running().await?
            && let Ok(snapshot) = engine.snapshot().await
            && let Some(found) = snapshot.incidents.iter().find(|known| known.number == number)
        {
            return Ok(Incident::clone(found));
        }
        stored_incident(&*self.context.store().await?, number).await
    }

    /// Tells what is stored from then on. Returns the number of the last event.
    async fn history(&mut self, since: When) -> anyhow::Result<u64> {
        let now = clock::now();
        let since = since.at(now);
        if since > now {
            return Err(bad_input(format!(
                "--since is still to come: {} UTC; name a time before now",
                since.format("%Y-%m-%d %H:%M:%S")
            )));
        }
        let store = self.context.store().await?;
        let listed = IncidentFilter { limit: KNOWN, ..IncidentFilter::default() };
        self.teller.know_listed(&store.incidents(&listed).await?);
        let mut after = last_before(&*store, since).await?;
        loop {
            let page = store.events(after, PAGE).await?;
            for raw in &page {
                let sealed = events::sealed(raw).map_err(anyhow::Error::msg)?;
                self.tell(&sealed).await?;
            }
            let Some(last) = page.last() else { return Ok(after) };
            after = last.seq;
        }
    }

    /// The running engine, as soon as there is one.
    async fn engine(&mut self) -> anyhow::Result<Client> {
        loop {
            if let Some(engine) = self.context.running().await? {
                return Ok(engine);
            }
            self.say("no engine is running; waiting for one: start `simctl run` or `simctl tui`");
            sleep(LOOK).await;
        }
    }

    /// An engine that is about to end or to begin; asked again soon.
    async fn not_now(&mut self, error: ClientError) {
        self.say(&format!("{:#}; trying again", anyhow::Error::from(error)));
        sleep(LOOK).await;
    }

    /// Follows engines until this reader is too slow for what they say. Returns the number of the last event.
    async fn follow(&mut self, remote: Remote, after: Option<u64>) -> anyhow::Result<u64> {
        let Remote { handle, mut link, mut events } = remote;
        let mut snapshots = handle.snapshots;
        let first = Arc::clone(&snapshots.borrow_and_update());
        let mut last = after.unwrap_or(first.seq);
        self.teller.know(first.incidents.iter().map(|incident| &**incident));
        self.say(&attached(&first));
        self.look(&first).await?;
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(sealed) => {
                        self.tell(&sealed).await?;
                        last = self.teller.last();
                    }
                    // The next attachment begins after the last event that was told.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return Ok(last),
                },
                Ok(()) = snapshots.changed() => {
                    let snapshot = Arc::clone(&snapshots.borrow_and_update());
                    self.look(&snapshot).await?;
                }
                Ok(()) = link.changed() => {
                    let now = link.borrow_and_update().clone();
                    self.say(&match now {
                        Link::Live => attached(&snapshots.borrow()),
                        Link::Lost { reason, .. } => format!("{reason}; waiting for an engine"),
                    });
                }
            }
        }
    }

    async fn tell(&mut self, sealed: &Sealed) -> anyhow::Result<()> {
        match self.teller.line(sealed)? {
            Some(line) => self.write(line).await,
            None => Ok(()),
        }
    }

    /// Tells which targets are in another state than was told last; `ok` goes without saying.
    async fn look(&mut self, snapshot: &Snapshot) -> anyhow::Result<()> {
        if self.context.print.json {
            return Ok(());
        }
        for line in state_lines(&mut self.states, snapshot, self.only.as_ref()) {
            self.write(line).await?;
        }
        Ok(())
    }

    /// A writer that ended says why itself.
    async fn write(&self, line: String) -> anyhow::Result<()> {
        if self.out.send(line).await.is_err() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// On standard error, each sentence once in a row.
    fn say(&mut self, text: &str) {
        if self.said != text {
            self.context.print.progress(text);
            text.clone_into(&mut self.said);
        }
    }
}

fn attached(snapshot: &Snapshot) -> String {
    let names: Vec<&str> = snapshot.targets.iter().map(|view| view.target.id.as_str()).collect();
    format!("attached to the running engine, which watches {}", names.join(", "))
}

/// The number of the last event before then; 0 when there is none.
async fn last_before(
    store: &dyn Store,
    since: chrono::DateTime<chrono::Utc>,
) -> anyhow::Result<u64> {
    let (mut before, mut from) = (0, store.head().await?.seq + 1);
    while from - before > 1 {
        let middle = before + (from - before) / 2;
        let event = store.events(middle - 1, 1).await?;
        if event.first().is_some_and(|event| event.at < since) {
            before = middle;
        } else {
            from = middle;
        }
    }
    Ok(before)
}

/// One line for every target whose word is another than the last one. An engine that has just started has not
/// measured yet, which is no change of the target.
fn state_lines(
    states: &mut BTreeMap<TargetId, String>,
    snapshot: &Snapshot,
    only: Option<&Incident>,
) -> Vec<String> {
    let is_measured = |view: &&Arc<TargetView>| view.held.is_some() || view.fresh.is_some();
    let is_meant = |view: &&Arc<TargetView>| only.is_none_or(|only| only.target == view.target.id);
    let mut lines = Vec::new();
    for view in snapshot.targets.iter().filter(is_measured).filter(is_meant) {
        let id = &view.target.id;
        let told = states.get(id).map_or("ok", String::as_str);
        if told != view.state {
            let time = snapshot.at.format("%H:%M:%S");
            lines.push(format!("{time} {} {} health {}", id.as_str(), view.state, view.health));
            states.insert(id.clone(), view.state.clone());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;
    use crate::config::load::Flags;
    use crate::domain::event::{EventBody, Head};
    use crate::domain::health::Health;
    use crate::domain::readings::Readings;
    use crate::domain::sample::{Answer, Origin, Sample};
    use crate::domain::target::{Engine, Profile, Target, Thresholds};
    use crate::engine::handle::{Handle, StoreView};
    use crate::report::example;

    fn snapshot(views: &[(&str, &str, u8)]) -> Snapshot {
        let targets = views.iter().map(|(name, state, score)| view(name, state, *score)).collect();
        let (incidents, injections) = (Vec::new(), Vec::new());
        let store = StoreView::default();
        Snapshot { at: example::at(0), seq: 0, targets, incidents, injections, store }
    }

    fn view(name: &str, state: &str, score: u8) -> Arc<TargetView> {
        let target = Target {
            id: TargetId::from(name),
            engine: Engine::Redis,
            profile: Profile::Lab,
            lab: None,
            has_runtime: false,
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(10),
        };
        let sample = Sample {
            at: example::at(0),
            origin: Origin::Held,
            took_ms: 0.5,
            connect: Answer::Ok,
            read: Answer::Ok,
            write: Answer::Ok,
            readings: Readings::default(),
        };
        let held = (state != "inconclusive").then_some(sample);
        let health = Health::Score(score);
        Arc::new(TargetView {
            target,
            health,
            state: state.into(),
            held,
            fresh: None,
            cannot: Arc::default(),
        })
    }

    #[test]
    fn a_state_is_told_once_per_change_and_not_by_an_engine_that_has_not_measured() {
        let mut states = BTreeMap::new();
        let mut look =
            |views: &[(&str, &str, u8)]| state_lines(&mut states, &snapshot(views), None);
        assert!(look(&[("a", "inconclusive", 0), ("b", "ok", 90)]).is_empty());
        let degraded = look(&[("a", "ok", 90), ("b", "DEGRADED", 4)]);
        assert_eq!(degraded.len(), 1);
        assert!(degraded[0].ends_with(" b DEGRADED health 4"), "{degraded:?}");
        assert!(look(&[("a", "ok", 80), ("b", "DEGRADED", 3)]).is_empty(), "the number alone");
        assert!(look(&[("a", "inconclusive", 0), ("b", "inconclusive", 0)]).is_empty());
        assert!(look(&[("a", "ok", 80), ("b", "DEGRADED", 3)]).is_empty(), "another engine");
        assert_eq!(look(&[("a", "ok", 80), ("b", "ok", 90)]).len(), 1);
    }

    #[test]
    fn with_one_incident_only_its_target_is_told() {
        let only = example::incident();
        let now = snapshot(&[(only.target.as_str(), "DOWN", 0), ("other", "DOWN", 0)]);
        let lines = state_lines(&mut BTreeMap::new(), &now, Some(&only));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains(only.target.as_str()));
    }

    /// The notes 8, 9 … that follow what was told before.
    fn notes(many: usize) -> Vec<Arc<Sealed>> {
        let mut head = Head { seq: 7, hash: "0".repeat(64) };
        let note = |n| {
            let body = EventBody::IncidentNoted { text: format!("note {n}") };
            let sealed = example::event(0, "ops1", body).seal(&head);
            head = sealed.head();
            Arc::new(sealed)
        };
        (8..8 + many).map(note).collect()
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_goes_on_after_the_last_line_it_told() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("simctl.toml");
        std::fs::write(&config, "").unwrap();
        let state_dir = Some(dir.path().to_owned());
        let flags = Flags { config: Some(config), state_dir, ..Flags::default() };
        let print = Print { json: false };
        let context = Context::load(&flags, print).unwrap();
        // A reader so slow that one line fills what is kept for it.
        let (out, mut lines) = mpsc::channel(1);
        let (teller, states) = (Teller::new(print, 0), BTreeMap::new());
        let mut watcher =
            Watcher { context: &context, teller, states, only: None, said: String::new(), out };
        let (sender, events) = broadcast::channel(2);
        let (_keep, snapshots) = tokio::sync::watch::channel(Arc::new(snapshot(&[])));
        let (_also, link) = tokio::sync::watch::channel(Link::Live);
        let handle = Handle { snapshots, events: sender.clone(), requests: mpsc::channel(1).0 };
        let mut follow = Box::pin(watcher.follow(Remote { handle, link, events }, Some(7)));
        let notes = notes(9);
        for note in &notes[..2] {
            sender.send(Arc::clone(note)).unwrap();
        }
        assert!(futures::poll!(&mut follow).is_pending(), "it waits for the reader");
        for note in &notes[2..] {
            sender.send(Arc::clone(note)).unwrap();
        }
        let (last, told) = tokio::join!(follow, async {
            [lines.recv().await.unwrap(), lines.recv().await.unwrap()]
        });
        assert_eq!(last.unwrap(), 9);
        assert!(told[0].ends_with("note 8") && told[1].ends_with("note 9"), "{told:?}");
    }
}
