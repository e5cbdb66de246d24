//! Worlds to draw in tests: empty, normal, and the worst that can be; always the same moment.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::desk::{Desk, Settings};
use super::message::{Link, Now};
use super::theme::{Palette, Theme};
use crate::domain::finding::{FindingKind, Severity};
use crate::domain::health::Health;
use crate::domain::ids::IncidentId;
use crate::domain::incident::{Incident, Status};
use crate::domain::injection::InjectionState;
use crate::domain::readings::Readings;
use crate::domain::sample::{Answer, Origin, Sample, reading};
use crate::domain::target::{Engine, Profile, Target, Thresholds};
use crate::engine::handle::{Snapshot, StoreView, TargetView};
use crate::report::example;

/// Two and a half minutes after the example incident opened.
pub(crate) fn now() -> Now {
    Now { at: example::at(150_000), ms: 150_000 }
}

/// `now`, so many milliseconds later.
pub(crate) fn later(ms: u64) -> Now {
    let base = now();
    let by = TimeDelta::milliseconds(i64::try_from(ms).unwrap());
    Now { at: base.at + by, ms: base.ms + ms }
}

/// A desk of this size that knows nothing.
pub(crate) fn desk(size: (u16, u16), ascii: bool) -> Desk {
    let settings =
        Settings { lab: Some("lab".into()), operator: "ops1".into(), ..Settings::default() };
    let mut desk = Desk::new(now(), size, Theme::new(Palette::Dark, ascii), settings);
    desk.link = Link::Here;
    desk
}

/// Puts a snapshot on a desk.
pub(crate) fn with(mut desk: Desk, snapshot: Snapshot) -> Desk {
    desk.past.note(&snapshot);
    desk.snapshot = Arc::new(snapshot);
    desk.newest = Arc::clone(&desk.snapshot);
    desk.selected = desk.snapshot.incidents.last().map(|incident| incident.id);
    desk
}

/// Two servers, nothing wrong.
pub(crate) fn empty() -> Snapshot {
    Snapshot {
        at: now().at,
        seq: 1,
        targets: vec![
            Arc::new(postgres("postgres-test", "ok", 100, 2.0)),
            Arc::new(redis("redis-test", "ok", 88, 5.8)),
        ],
        incidents: Vec::new(),
        injections: Vec::new(),
        store: StoreView {
            url: "postgres://simctl:***@127.0.0.1:5434/simctl".into(),
            reachable: true,
            journaled: 0,
        },
    }
}

/// A full Redis with a proposal that waits, a few other incidents, one injection.
pub(crate) fn normal() -> Snapshot {
    let mut snapshot = empty();
    snapshot.seq = 120;
    snapshot.targets = vec![
        Arc::new(postgres("postgres-test", "DEGRADED", 30, 14.0)),
        Arc::new(redis("redis-test", "DEGRADED", 0, 49.9)),
    ];
    let (mut waiting, _) = example::waiting();
    waiting.resolved_at = None;
    waiting.health_at_end = None;
    let of = |number, target: &str, finding, severity, status, minutes| {
        Arc::new(incident(number, target, finding, severity, status, minutes))
    };
    use {FindingKind as F, Severity as S, Status as T};
    snapshot.incidents = vec![
        of(36, "postgres-test", F::ConnectionPressure, S::High, T::Resolved, 91),
        of(37, "redis-test", F::ServerHung, S::Medium, T::Resolved, 62),
        of(38, "postgres-test", F::ClientsRefused, S::Critical, T::Failed, 23),
        of(39, "redis-cache", F::ServerHung, S::Medium, T::Triage, 1),
        of(40, "postgres-test", F::ConnectionPressure, S::High, T::Investigating, 11),
        Arc::new(waiting),
    ];
    snapshot.injections = vec![example::injection(InjectionState::Active {
        took_at: example::at(0),
        symptom: "writes are refused".into(),
    })];
    for injection in &mut snapshot.injections {
        injection.deadline = example::at(465_000);
    }
    snapshot
}

/// Forty incidents, ten targets, names and texts that a hostile server could have.
pub(crate) fn worst() -> Snapshot {
    let mut snapshot = normal();
    for number in 0..8u8 {
        let name = format!("größer-漢字-{number}-with-a-name-that-does-not-end");
        let mut view = redis(&name, "inconclusive", 0, 49.9);
        view.health = Health::Inconclusive;
        view.fresh = None;
        snapshot.targets.push(Arc::new(view));
    }
    for number in 100..134 {
        let mut one = incident(
            number,
            "e\u{301}moji-🙂-target",
            FindingKind::ProbeFailing,
            Severity::Low,
            Status::Failed,
            4_000,
        );
        one.message = "\u{1b}[2J\u{1b}]52;c;AAAA\u{7} \u{202e}evil\r\nsecond line ".repeat(20);
        snapshot.incidents.push(Arc::new(one));
    }
    snapshot
}

/// An incident with this number, opened so many minutes ago.
pub(crate) fn incident(
    number: u64,
    target: &str,
    finding: FindingKind,
    severity: Severity,
    status: Status,
    minutes: i64,
) -> Incident {
    let opened_at = now().at - TimeDelta::minutes(minutes);
    let resolved = status == Status::Resolved;
    Incident {
        id: IncidentId(uuid::Uuid::from_u128(1_000 + u128::from(number))),
        number,
        target: target.into(),
        finding,
        severity,
        status,
        message: format!("{} on {target}", finding.as_str()),
        first_bad_at: opened_at,
        opened_at,
        updated_at: opened_at,
        last_seen: opened_at,
        resolved_at: resolved.then(|| opened_at + TimeDelta::seconds(95)),
        diagnosis: resolved.then(example::diagnosis),
        executions: if resolved { example::incident().executions } else { Vec::new() },
        failure_reason: (status == Status::Failed).then(|| "nothing known fits".into()),
        ..example::incident()
    }
}

fn target(name: &str, engine: Engine) -> Target {
    Target {
        id: name.into(),
        engine,
        profile: Profile::Lab,
        lab: Some("lab".into()),
        has_runtime: true,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(10),
    }
}

fn sample(readings: Readings) -> Sample {
    Sample {
        at: now().at,
        origin: Origin::Held,
        took_ms: 0.4,
        connect: Answer::Ok,
        read: Answer::Ok,
        write: Answer::Ok,
        readings,
    }
}

/// A Redis with so many MiB in use of 50.
pub(crate) fn redis(name: &str, state: &str, health: u8, used: f64) -> TargetView {
    let readings = Readings::default()
        .with(reading::USED_MEMORY_BYTES, used * 1_048_576.0)
        .with(reading::MAXMEMORY_BYTES, 50.0 * 1_048_576.0)
        .with(reading::CLIENTS, 212.0)
        .with(reading::MAXCLIENTS, 10_000.0)
        .with(reading::COMMANDS_PER_SECOND, 1_904.0)
        .with(reading::KEYS, 46_201.0);
    view(target(name, Engine::Redis), state, health, sample(readings))
}

/// A PostgreSQL with so many of its 17 usable slots taken.
pub(crate) fn postgres(name: &str, state: &str, health: u8, sessions: f64) -> TargetView {
    let readings = Readings::default()
        .with(reading::SESSIONS, sessions)
        .with(reading::MAX_CONNECTIONS, 20.0)
        .with(reading::RESERVED_CONNECTIONS, 3.0)
        .with(reading::IDLE_SESSIONS, sessions - 1.0)
        .with(reading::IDLE_IN_TRANSACTION, 0.0)
        .with(reading::ACTIVE_SESSIONS, 1.0)
        .with(reading::LOCK_WAITS, 0.0);
    view(target(name, Engine::Postgres), state, health, sample(readings))
}

fn view(target: Target, state: &str, health: u8, sample: Sample) -> TargetView {
    let fresh = Sample { origin: Origin::Fresh, ..sample.clone() };
    TargetView {
        cannot: Arc::default(),
        target,
        health: Health::Score(health),
        state: state.into(),
        held: Some(sample),
        fresh: Some(fresh),
    }
}

/// What a drawing looks like, as text without styles.
pub(crate) fn drawn(
    size: (u16, u16),
    draw: impl FnOnce(ratatui::layout::Rect, &mut ratatui::buffer::Buffer),
) -> String {
    let area = ratatui::layout::Rect::new(0, 0, size.0, size.1);
    let mut buf = ratatui::buffer::Buffer::empty(area);
    draw(area, &mut buf);
    text_of(&buf)
}

/// The characters of a buffer, a line per row.
pub(crate) fn text_of(buf: &ratatui::buffer::Buffer) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut text = String::new();
    for y in buf.area.top()..buf.area.bottom() {
        let mut x = buf.area.left();
        while x < buf.area.right() {
            let symbol = buf[(x, y)].symbol();
            text.push_str(symbol);
            x += u16::try_from(symbol.width().max(1)).unwrap();
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}
