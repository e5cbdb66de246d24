//! What a frame of the console costs: the log pane full or with one huge line, a table of a million rows, and
//! what arrives meanwhile.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use divan::Bencher;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use simctl::domain::event::{Event, EventBody, Sealed};
use simctl::domain::execution::{Output, Phase, PhaseLine};
use simctl::domain::ids::{ExecutionId, IncidentId};
use simctl::tui::log::{LogBook, Ring};
use simctl::tui::text::Align;
use simctl::tui::theme::{Role, Theme};
use simctl::tui::widgets::logview::{LogState, Viewport, draw};
use simctl::tui::widgets::vtable::{Cell, Column, Shown, VTable, Width};
use simctl::tui::widgets::window::Move;
use uuid::Uuid;

const AREA: Rect = Rect { x: 0, y: 0, width: 120, height: 35 };

fn main() {
    divan::main();
}

/// The newest rows of a full log.
#[divan::bench]
fn frame_of_ten_thousand_entries(bencher: Bencher<'_, '_>) {
    frame(bencher, &full(), &LogState::default());
}

/// The same, paused in the middle.
#[divan::bench]
fn frame_of_a_paused_log(bencher: Bencher<'_, '_>) {
    let ring = full();
    let mut state = LogState::default();
    let view = Viewport { width: AREA.width, height: AREA.height, theme: Theme::default() };
    state.jump_to(5_000, &ring, &view);
    frame(bencher, &ring, &state);
}

/// One line of 90,000 characters, told as text or as output; wrapped, or cut.
#[divan::bench(args = ["ascii", "wide", "output", "unwrapped", "unfolded"])]
fn frame_of_a_huge_line(bencher: Bencher<'_, '_>, kind: &str) {
    let text = if kind == "wide" { "漢".repeat(90_000) } else { "words ".repeat(15_000) };
    let line = match kind {
        "output" => output(text),
        _ => PhaseLine::say(Phase::Thinking, text),
    };
    let mut ring = Ring::default();
    ring.push(&sealed(1, line));
    let mut state = if kind == "unwrapped" { LogState::unwrapped() } else { LogState::default() };
    if kind == "unfolded" {
        let view = Viewport { width: AREA.width, height: AREA.height, theme: Theme::default() };
        state.toggle_unfolded(&ring, &view);
    }
    frame(bencher, &ring, &state);
}

/// One step up in a full log.
#[divan::bench]
fn a_step_up(bencher: Bencher<'_, '_>) {
    let ring = full();
    let view = Viewport { width: AREA.width, height: AREA.height, theme: Theme::default() };
    let mut state = LogState::default();
    bencher.bench_local(|| state.go(Move::Up, &ring, &view));
}

/// Taking in a second's worth of a flood.
#[divan::bench]
fn pushing_a_hundred_thousand_lines(bencher: Bencher<'_, '_>) {
    let lines: Vec<_> = (1..=100_000).map(|seq| sealed(seq, thought(seq))).collect();
    bencher.bench_local(|| {
        let mut book = LogBook::default();
        for line in &lines {
            book.push(line);
        }
        book
    });
}

/// Searching a full log from the start.
#[divan::bench]
fn a_search_of_ten_thousand_entries(bencher: Bencher<'_, '_>) {
    let ring = full();
    let view = Viewport { width: AREA.width, height: AREA.height, theme: Theme::default() };
    bencher.bench_local(|| {
        let mut state = LogState::default();
        state.start_search("line 9999", &ring, &view);
        state
    });
}

/// The visible rows of a table.
#[divan::bench(args = [100, 1_000_000])]
fn frame_of_a_table(bencher: Bencher<'_, '_>, len: usize) {
    let column = |title, width, drop_below| Column {
        title,
        width: Width::Columns(width),
        align: Align::Left,
        drop_below,
        priority: 1,
    };
    let columns = [
        Column { priority: Column::KEEP, ..column("ID", 8, 0) },
        column("STATE", 9, 0),
        column("TARGET", 13, 45),
        Column { width: Width::Rest, ..column("SUMMARY", 0, 100) },
    ];
    let table = VTable { columns: &columns, sort: None, focused: true };
    let theme = Theme::default();
    let mut buf = Buffer::empty(AREA);
    bencher.bench_local(|| {
        let shown = Shown { len, offset: len / 2, selected: Some(len / 2 + 3) };
        table.draw(
            AREA,
            &mut buf,
            &theme,
            shown,
            |index| index % 7 == 0,
            |index| {
                vec![
                    Cell::from(format!("INC-{index:04}")),
                    Cell::new("fixing", Role::Warn),
                    Cell::from("redis-test"),
                    Cell::from("writes refused: used_memory 99.8% of maxmemory"),
                ]
            },
        );
    });
}

fn frame(bencher: Bencher<'_, '_>, ring: &Ring, state: &LogState) {
    let theme = Theme::default();
    let mut buf = Buffer::empty(AREA);
    bencher.bench_local(|| draw(state, ring, AREA, &mut buf, &theme, (start(), true)));
}

fn full() -> Ring {
    let mut ring = Ring::default();
    for seq in 1..=10_000 {
        ring.push(&sealed(seq, thought(seq)));
    }
    ring
}

fn thought(seq: u64) -> PhaseLine {
    PhaseLine::say(
        Phase::Thinking,
        format!("line {seq}: 91% of bytes sit under leak:* and none of those keys has a TTL"),
    )
}

fn output(stdout: String) -> PhaseLine {
    let output = Output { exit_code: Some(0), stdout, duration_ms: 18, ..Output::default() };
    PhaseLine { output: Some(output), ..PhaseLine::say(Phase::Result, "") }
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time")
}

fn sealed(seq: u64, line: PhaseLine) -> Arc<Sealed> {
    let event = Event {
        seq,
        at: start() + TimeDelta::milliseconds(i64::try_from(seq).expect("it is small")),
        incident: Some(IncidentId(Uuid::nil())),
        target: None,
        actor: "agent".into(),
        body: EventBody::Phase { execution: ExecutionId(Uuid::nil()), line },
    };
    Arc::new(Sealed { event, prev_hash: String::new(), hash: String::new() })
}
