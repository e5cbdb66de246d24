//! How soon the console shows a key while 100,000 log lines a second arrive, and what it costs at rest.
//!
//! The console runs in a process of its own on a pseudo-terminal; a key every 50 ms changes the screen, and the
//! time counts from the key until the terminal has the frame. `SECONDS` sets how long the lines come (default 4).
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the real clock")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use simctl::domain::event::{Event, EventBody, Sealed};
use simctl::domain::execution::{Phase, PhaseLine};
use simctl::domain::finding::{FindingKind, Severity};
use simctl::domain::health::Health;
use simctl::domain::ids::{ExecutionId, IncidentId};
use simctl::domain::incident::{Incident, IncidentType, RemediationMode, Status};
use simctl::engine::handle::{EVENTS_KEPT, Handle, Snapshot, StoreView};
use simctl::tui::desk::Settings;
use simctl::tui::feed::{Connected, News};
use simctl::tui::keymap::Keys;
use simctl::tui::runner::{self, Options};
use simctl::tui::terminal;
use simctl::tui::theme::{Own, Palette};
use tokio::sync::{broadcast, mpsc, watch};
use uuid::Uuid;

const CHILD: &str = "SIMCTL_CONSOLE_LOOP";
const PER_SECOND: u64 = 100_000;
const BETWEEN_KEYS: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_secs(10);
const SIZE: (u16, u16) = (120, 35);

fn main() -> anyhow::Result<()> {
    let seconds = std::env::var("SECONDS").ok().map_or(Ok(4), |text| text.parse())?;
    if std::env::var_os(CHILD).is_some() { show(seconds) } else { measure(seconds) }
}

// ---- the console ----------------------------------------------------------------------------------------

fn show(seconds: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (errands, _errands) = mpsc::unbounded_channel();
        let options = Options {
            settings: Settings::default(),
            palette: Some(Palette::Dark),
            light: Palette::Light,
            ascii: false,
            state_dir: std::env::temp_dir(),
            keys: Keys::default(),
            own: Own::default(),
            fps: 30,
            saved: None,
            remark: None,
            record: None,
        };
        let console = runner::start(options, errands, terminal::watch_for_panics())?;
        let (_snapshots, snapshots) = watch::channel(Arc::new(snapshot()));
        let (events, listener) = broadcast::channel(EVENTS_KEPT);
        let (requests, _requests) = mpsc::channel(1);
        let handle = Handle { snapshots, events: events.clone(), requests };
        let connected = Connected { handle, events: listener, remote: None };
        let _ = console.news.send(News::Connected(Box::new(connected)));
        let flood = std::thread::spawn(move || flood(&events, seconds));
        let end = console.ended.await;
        println!("{end:?}");
        drop(flood);
        anyhow::Ok(())
    })
}

fn flood(events: &broadcast::Sender<Arc<Sealed>>, seconds: u64) {
    std::thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    let mut sent = 0;
    while sent < PER_SECOND * seconds {
        let due = u64::try_from(began.elapsed().as_micros()).unwrap_or(0) * PER_SECOND / 1_000_000;
        while sent < due.min(PER_SECOND * seconds) {
            sent += 1;
            let _ = events.send(Arc::new(line(sent)));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn line(seq: u64) -> Sealed {
    let text = format!("line {seq} says as much as a usual line of a log does");
    let event = Event {
        seq,
        at: DateTime::<Utc>::UNIX_EPOCH,
        incident: Some(IncidentId(Uuid::from_u128(1))),
        target: None,
        actor: "agent".into(),
        body: EventBody::Phase {
            execution: ExecutionId(Uuid::from_u128(2)),
            line: PhaseLine::say(Phase::Thinking, text),
        },
    };
    Sealed { event, prev_hash: String::new(), hash: String::new() }
}

/// One incident that is over, so that nothing on the screen ages.
fn snapshot() -> Snapshot {
    let at = DateTime::<Utc>::UNIX_EPOCH;
    let incident = Incident {
        id: IncidentId(Uuid::from_u128(1)),
        number: 1,
        revision: 1,
        target: "redis-test".into(),
        finding: FindingKind::ServerHung,
        status: Status::Resolved,
        severity: Severity::High,
        message: "the server hung".into(),
        source: "detector".into(),
        team: None,
        notes: Vec::new(),
        error_logs: Vec::new(),
        metrics: BTreeMap::new(),
        incident_type: IncidentType::Real,
        remediation: RemediationMode::Approval,
        health_at_open: Health::Score(0),
        health_before: None,
        occurrences: 1,
        first_bad_at: at,
        opened_at: at,
        last_seen: at,
        updated_at: at,
        acknowledged_at: None,
        resolved_at: Some(at),
        health_at_end: None,
        failure_reason: None,
        diagnosis: None,
        executions: Vec::new(),
        tried: Vec::new(),
        attempts_from: 0,
        request: None,
        alerts: Vec::new(),
        model_spend: Default::default(),
    };
    Snapshot {
        at,
        seq: 1,
        targets: Vec::new(),
        incidents: vec![Arc::new(incident)],
        injections: Vec::new(),
        store: StoreView::default(),
    }
}

// ---- the terminal ---------------------------------------------------------------------------------------

/// What reached the terminal.
#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    frames: usize,
    screen: String,
}

fn measure(seconds: u64) -> anyhow::Result<()> {
    let (cols, rows) = SIZE;
    let pair =
        native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })?;
    let mut command = CommandBuilder::new(std::env::current_exe()?);
    for (name, value) in [(CHILD, "1"), ("TERM", "xterm-256color")] {
        command.env(name, value);
    }
    let mut child = pair.slave.spawn_command(command)?;
    let pid = child.process_id().context("the console runs")?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let tabs = watch_screen(pair.master.try_clone_reader()?, Arc::clone(&seen));
    let mut keys = pair.master.take_writer()?;
    // The lines begin after a second.
    std::thread::sleep(Duration::from_millis(1_200));
    let frames_before = frames(&seen);
    let (mut latencies, began) = (Vec::new(), Instant::now());
    while began.elapsed() < Duration::from_secs(seconds).saturating_sub(Duration::from_millis(400))
    {
        let key = if latencies.len() % 2 == 0 { b"2" } else { b"1" };
        while tabs.try_recv().is_ok() {}
        let pressed = Instant::now();
        keys.write_all(key)?;
        let tab =
            tabs.recv_timeout(Duration::from_secs(5)).context("a key was not drawn in 5 s")?;
        latencies.push(tab.duration_since(pressed));
        std::thread::sleep(BETWEEN_KEYS.saturating_sub(pressed.elapsed()));
    }
    let drawn = frames(&seen) - frames_before;
    latencies.sort();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    let (p50, p99) = (at(50).context("keys")?, at(99).context("keys")?);
    println!("key to frame: p50 {p50:?}, p99 {p99:?} ({} keys); {drawn} frames", latencies.len());
    std::thread::sleep(Duration::from_secs(2));
    let last = format!("line {}", PER_SECOND * seconds);
    let shown = seen.lock().map(|seen| seen.screen.clone()).unwrap_or_default();
    println!("the last line is shown: {}", shown.contains(&last));
    println!("peak memory: {}", field(pid, "VmHWM")?);
    let (ticks, bytes) = (console_ticks(pid)?, bytes(&seen));
    std::thread::sleep(IDLE);
    let (more_ticks, more_bytes) = (console_ticks(pid)? - ticks, self::bytes(&seen) - bytes);
    println!("idle {IDLE:?}: {more_ticks} ticks of the console's thread, {more_bytes} bytes");
    keys.write_all(b"q")?;
    child.wait()?;
    Ok(())
}

fn frames(seen: &Mutex<Seen>) -> usize {
    seen.lock().map_or(0, |seen| seen.frames)
}

fn bytes(seen: &Mutex<Seen>) -> usize {
    seen.lock().map_or(0, |seen| seen.bytes)
}

/// Tells when another tab came to the screen.
fn watch_screen(mut reader: Box<dyn Read + Send>, seen: Arc<Mutex<Seen>>) -> Receiver<Instant> {
    let (told, tabs) = channel();
    std::thread::spawn(move || {
        let positive = |count| NonZeroU16::new(count).expect("a size");
        let mut parser = vt100::Parser::new(positive(SIZE.1), positive(SIZE.0), 0);
        let (mut chunk, mut tab) = ([0; 65_536], false);
        while let Ok(count @ 1..) = reader.read(&mut chunk) {
            let at = Instant::now();
            parser.process(&chunk[..count]);
            let screen = parser.screen().contents();
            let now = screen.contains("[2 Incident]");
            if std::mem::replace(&mut tab, now) != now {
                let _ = told.send(at);
            }
            let Ok(mut seen) = seen.lock() else { return };
            seen.bytes += count;
            seen.frames += chunk[..count].windows(8).filter(|part| *part == b"\x1b[?2026h").count();
            seen.screen = screen;
        }
    });
    tabs
}

fn field(pid: u32, name: &str) -> anyhow::Result<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("the field")?;
    Ok(line.trim_start_matches(':').trim().to_owned())
}

/// Clock ticks that the thread of the console has used.
fn console_ticks(pid: u32) -> anyhow::Result<u64> {
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        if name.ends_with("(console") {
            let fields: Vec<u64> =
                rest.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
            return Ok(fields.get(12).unwrap_or(&0) + fields.get(13).unwrap_or(&0));
        }
    }
    anyhow::bail!("the console's thread is not there")
}
