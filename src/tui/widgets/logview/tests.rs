//! The log pane at its sizes, and a view that stands still.

use std::sync::Arc;

use chrono::TimeDelta;
use proptest::prelude::*;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::*;
use crate::domain::event::Sealed;
use crate::domain::execution::{Phase, PhaseLine};
use crate::domain::health::Health;
use crate::report::example;
use crate::tui::log::MOST_ENTRIES;
use crate::tui::log::tests::{answer, phase, ring, story, thought};
use crate::tui::theme::Palette;
use crate::tui::widgets::pane::Pane;
use crate::tui::widgets::testing::{is_inside, seen};
use crate::tui::widgets::window::Move;

const NOW_MS: i64 = 60_000;

fn theme(ascii: bool) -> Theme {
    Theme::new(Palette::Dark, ascii)
}

fn view(width: u16, height: u16) -> Viewport {
    Viewport { width, height, theme: theme(false) }
}

fn pane(state: &LogState, ring: &Ring, (width, height): (u16, u16), ascii: bool) -> Buffer {
    let theme = theme(ascii);
    let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
    let area = buf.area;
    let title = title(state, ring, &theme);
    let inner = Pane::new("INC-0042").focused(true).right(title).draw(area, &mut buf, &theme);
    draw(state, ring, inner, &mut buf, &theme, (example::at(NOW_MS), true));
    buf
}

fn bare(state: &LogState, ring: &Ring, view: &Viewport) -> Buffer {
    let mut buf = Buffer::empty(Rect::new(0, 0, view.width, view.height));
    let area = buf.area;
    draw(state, ring, area, &mut buf, &view.theme, (example::at(NOW_MS), true));
    buf
}

fn rows(state: &LogState, ring: &Ring, view: &Viewport) -> Vec<String> {
    seen(&bare(state, ring, view)).split('\n').map(str::to_owned).collect()
}

/// What an incident's log is made of.
fn usual() -> Ring {
    let command = |seq, text: &str| {
        let line = PhaseLine { command: Some(text.into()), ..PhaseLine::say(Phase::Command, text) };
        phase(seq, line)
    };
    let many: String = (1..=50).map(|n| format!("client {n}\n")).collect();
    let proof = PhaseLine {
        health: Some(Health::Score(88)),
        ..PhaseLine::say(Phase::Verification, "PASS  5 checks over 5 rounds, held 10.0 s")
    };
    ring([
        thought(
            1,
            "Writes are refused, reads answer. maxmemory is the recorded 50 MB, so it was not lowered; used memory rose 31 MB in 40 s.",
        ),
        command(2, "redis-cli INFO keyspace   [read-only]"),
        answer(3, 0, "db0:keys=46201,expires=0\n", ""),
        command(4, "redis-cli CLIENT LIST"),
        answer(5, 0, &many, ""),
        answer(6, 137, "", "Killed\n"),
        answer(7, 1, "half\ndone\n", "ERR one\nERR two"),
        phase(8, PhaseLine::say(Phase::Operator, "ops1 approved 7f3a9c")),
        phase(9, PhaseLine::say(Phase::Verifying, "a fresh client reads and writes")),
        phase(10, proof),
        phase(11, PhaseLine::say(Phase::Verification, "FAIL  writes: OOM")),
        phase(12, PhaseLine::say(Phase::Complete, "resolved in 12.0 s, health 0 → 88")),
    ])
}

/// What a server may send to harm a terminal.
fn hostile() -> Ring {
    ring([
        thought(1, "\u{1b}]52;c;ZWNobw==\u{7}\u{1b}c\u{1b}[2J\r\nover\rwritten"),
        thought(2, "gnp\u{202e}exe.txt \u{200b}\u{feff}\u{9b}31m"),
        answer(3, 0, &"x".repeat(90_000), "\u{1b}[8mhidden\u{0}\n"),
        thought(4, "漢字のデータベース🦀🇩🇪 e\u{301}\u{301} ｶﾞ"),
        thought(5, &"\u{1100}".repeat(200)),
        thought(6, &format!("e{}", "\u{301}".repeat(12))),
    ])
}

#[test]
fn the_pane_at_its_sizes() {
    let state = LogState::default();
    insta::assert_snapshot!("log__80x40", seen(&pane(&state, &usual(), (80, 40), false)));
    insta::assert_snapshot!("log__80x40_ascii", seen(&pane(&state, &usual(), (80, 40), true)));
    insta::assert_snapshot!("log__120x40", seen(&pane(&state, &usual(), (120, 40), false)));
    insta::assert_snapshot!("log__40x24", seen(&pane(&state, &usual(), (40, 24), false)));
    insta::assert_snapshot!("log__24x12", seen(&pane(&state, &usual(), (24, 12), false)));
    let whole = LogState::unwrapped();
    insta::assert_snapshot!("log__80x24_unwrapped", seen(&pane(&whole, &usual(), (80, 24), false)));
}

#[test]
fn hostile_text_is_inert() {
    let state = LogState::default();
    for (name, ascii) in [("hostile__80x60", false), ("hostile__80x60_ascii", true)] {
        let buf = pane(&state, &hostile(), (80, 60), ascii);
        assert!(is_inside(&buf));
        let text = seen(&buf);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        assert!(!ascii || text.is_ascii());
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn a_terminal_keeps_its_columns_whatever_stands_in_them() {
    let state = LogState::default();
    let buf = pane(&state, &hostile(), (80, 60), false);
    let mut bytes = Vec::new();
    let empty = Buffer::empty(buf.area);
    CrosstermBackend::new(&mut bytes).draw(empty.diff(&buf).into_iter()).unwrap();
    let size = |cells: u16| std::num::NonZero::new(cells).unwrap();
    let mut terminal = vt100::Parser::new(size(60), size(80), 0);
    terminal.process(&bytes);
    for row in 1..59 {
        let right = terminal.screen().cell(row, 79).unwrap().contents();
        assert_eq!(right, "│", "row {row}");
    }
    assert!(terminal.screen().contents().contains("漢字のデータベース🦀"));
}

#[test]
fn every_kind_of_event_is_drawn() {
    let story = seen(&pane(&LogState::default(), &story(), (100, 30), false));
    insta::assert_snapshot!("story__100x30", story);
}

#[test]
fn moving_up_pauses_at_once_and_counts_what_is_new() {
    let (view, theme) = (view(80, 6), theme(false));
    let mut ring = ring((1..=30).map(|seq| thought(seq, &format!("line {seq}"))));
    let mut state = LogState::default();
    assert_eq!(title(&state, &ring, &theme), "FOLLOW ▼");
    state.go(Move::Up, &ring, &view);
    assert!(!state.is_following());
    assert_eq!(title(&state, &ring, &theme), "PAUSED, f follows");
    for seq in 31..=67 {
        ring.push(&thought(seq, "new"));
    }
    assert_eq!(title(&state, &ring, &theme), "PAUSED ▼37 new, f follows");
    assert!(rows(&state, &ring, &view)[5].ends_with("line 30"), "the view stands");
    for _ in 0..99 {
        state.go(Move::Down, &ring, &view);
    }
    assert!(!state.is_following(), "reaching the bottom does not follow");
    assert!(rows(&state, &ring, &view)[5].ends_with("new"));
    state.go(Move::Bottom, &ring, &view);
    assert!(state.is_following());
}

#[test]
fn the_three_ways_back_follow() {
    let ring = usual();
    let view = view(80, 6);
    let ways: [fn(&mut LogState, &Ring, &Viewport); 2] = [
        |state, ring, view| state.toggle_follow(ring, view),
        |state, ring, view| state.go(Move::Bottom, ring, view),
    ];
    for way in ways {
        let mut state = LogState::default();
        state.go(Move::PageUp, &ring, &view);
        assert!(!state.is_following());
        way(&mut state, &ring, &view);
        assert!(state.is_following());
    }
}

#[test]
fn a_paused_view_stands_though_all_of_it_left_the_ring() {
    let view = view(80, 6);
    let mut ring = ring((1..=100).map(|seq| thought(seq, &format!("line {seq}"))));
    let mut state = LogState::default();
    state.go(Move::PageUp, &ring, &view);
    let before = rows(&state, &ring, &view);
    for seq in 101..=(MOST_ENTRIES as u64 * 2 + 300) {
        ring.push(&thought(seq, "new"));
    }
    assert_eq!(rows(&state, &ring, &view), before);
    assert_eq!(state.new_lines(&ring), MOST_ENTRIES as u64 * 2 + 200);
    assert!(ring.by_seq(90).is_none(), "the ring has other lines now");
    assert!(state.selected_text(&ring).unwrap().starts_with("line "), "it can still be copied");
    for _ in 0..3 {
        state.go(Move::Down, &ring, &view);
    }
    let below = rows(&state, &ring, &view).join("\n");
    assert!(below.contains("lines skipped here, o reads them from the store"), "{below}");
}

#[test]
fn what_left_the_ring_is_counted_at_the_top() {
    let view = view(80, 4);
    let ring = ring((1..=MOST_ENTRIES as u64 + 12_413).map(|seq| thought(seq, "x")));
    let mut state = LogState::default();
    state.go(Move::Top, &ring, &view);
    assert!(rows(&state, &ring, &view)[0].ends_with("12,413 older lines, o opens them"));
}

#[test]
fn a_gap_is_told_where_it_is() {
    let mut ring = ring([thought(1, "x")]);
    ring.gap(312);
    ring.push(&thought(400, "y"));
    let rows = rows(&LogState::default(), &ring, &view(80, 3));
    assert!(rows[1].ends_with("312 lines skipped here, o reads them from the store"), "{rows:?}");
}

#[test]
fn long_output_is_folded_until_asked_for() {
    let ring = usual();
    let view = view(80, 60);
    let mut state = LogState::default();
    let folded = rows(&state, &ring, &view).join("\n");
    assert!(folded.contains("client 8\n") && !folded.contains("client 9\n"));
    assert!(folded.contains("… 42 more lines (enter, o)"));
    state.jump_to(5, &ring, &view);
    assert!(state.toggle_unfolded(&ring, &view));
    assert!(rows(&state, &ring, &view).join("\n").contains("client 50"));
    state.toggle_unfolded(&ring, &view);
    assert!(!rows(&state, &ring, &view).join("\n").contains("client 50"));
}

#[test]
fn an_entry_draws_at_most_its_rows() {
    let ring = ring([thought(1, &"x".repeat(90_000))]);
    let rows = rows(&LogState::default(), &ring, &view(80, 40));
    let drawn = rows.iter().filter(|row| !row.is_empty()).count();
    assert_eq!(drawn, 21);
    // 20 rows of 56 columns are shown.
    assert!(rows[20].ends_with("… 88,880 more characters (o)"), "{}", rows[20]);
}

#[test]
fn a_wide_text_scrolls_sideways_and_stays_there() {
    let view = view(60, 3);
    let mut ring = ring([thought(1, &format!("{}END", "0123456789".repeat(9)))]);
    let mut state = LogState::unwrapped();
    let text = |state: &LogState, ring: &Ring| rows(state, ring, &view)[0].clone();
    assert!(text(&state, &ring).ends_with("01234…"), "{}", text(&state, &ring));
    assert!(state.sideways(85));
    assert!(text(&state, &ring).ends_with("   56789END"), "{}", text(&state, &ring));
    ring.push(&thought(2, "new"));
    assert_eq!(state.side(), 85);
    assert!(!LogState::default().sideways(1), "a wrapped log has no sides");
}

#[test]
fn a_search_counts_jumps_and_reverses_what_it_found() {
    let view = view(80, 5);
    let mut ring =
        ring((1..=40).map(|seq| thought(seq, if seq % 10 == 0 { "an OOM here" } else { "fine" })));
    let mut state = LogState::default();
    state.go(Move::Top, &ring, &view);
    state.start_search("oom", &ring, &view);
    assert_eq!(title(&state, &ring, &theme(false)), "1/4  PAUSED, f follows");
    assert_eq!(state.cursor(&ring), Some(10));
    assert!(state.next_match(true, &ring, &view) && state.next_match(true, &ring, &view));
    assert_eq!(state.cursor(&ring), Some(30));
    ring.push(&thought(50, "OOM again"));
    state.learn(&ring);
    assert_eq!(state.search().unwrap().count(), "3/5");
    assert!(state.next_match(false, &ring, &view));
    assert_eq!(state.cursor(&ring), Some(20));
    let buf = bare(&state, &ring, &view);
    let reversed: String = buf
        .area
        .positions()
        .filter(|at| at.x >= 24 && buf[*at].modifier.contains(Modifier::REVERSED))
        .map(|at| buf[at].symbol().to_owned())
        .collect();
    assert_eq!(reversed, "OOM");
    assert!(state.clear_search() && !state.clear_search());
}

#[test]
fn a_search_is_smart_about_case_and_says_what_is_wrong() {
    let ring = ring([thought(1, "OOM"), thought(2, "oom 17 (x)")]);
    let count = |typed: &str| Search::new(typed, &ring).count();
    assert_eq!(count("oom"), "0/2");
    assert_eq!(count("OOM"), "0/1");
    assert_eq!(count("(x)"), "0/1", "plain text is no expression");
    assert_eq!(count("/o+m \\d{2}/"), "0/1");
    assert_eq!(count("/x*/"), "0/2");
    assert_eq!(count(""), "0/0");
    assert!(count("/(/").starts_with("not a regular expression: "), "{}", count("/(/"));
    assert!(Search::new("/(/", &ring).error().is_some());
    let huge = count("/\\w{900}{900}/");
    assert!(huge.starts_with("not a regular expression"), "{huge}");
}

#[test]
fn phases_are_jumped_to() {
    let ring = usual();
    let view = view(80, 8);
    let mut state = LogState::default();
    let mut stops = Vec::new();
    for _ in 0..6 {
        state.next_phase(false, &ring, &view);
        stops.push(state.cursor(&ring).unwrap());
    }
    assert_eq!(stops, [10, 9, 8, 5, 4, 3]);
    state.next_phase(true, &ring, &view);
    state.next_phase(true, &ring, &view);
    assert_eq!(state.cursor(&ring), Some(5));
}

#[test]
fn lines_are_marked_alone_and_in_ranges() {
    let ring = usual();
    let view = view(80, 30);
    let mut state = LogState::default();
    assert_eq!(state.marked_text(&ring), None);
    state.jump_to(2, &ring, &view);
    assert!(state.toggle_mark(&ring, &view));
    state.jump_to(4, &ring, &view);
    state.mark_range(&ring, &view);
    assert_eq!(state.marks().iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
    let text = state.marked_text(&ring).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "2026-01-31T14:00:02.000Z command redis-cli INFO keyspace   [read-only]"
    );
    assert!(rows(&state, &ring, &view).iter().any(|row| row.starts_with("14:00:02●$ command")));
    assert!(state.clear_marks() && !state.clear_marks());
}

#[test]
fn a_line_is_copied_as_it_was_stored() {
    let text = format!("{} end", "a long line that is wrapped on the screen".repeat(9));
    let ring = ring([thought(1, &text)]);
    assert_eq!(LogState::default().selected_text(&ring), Some(text));
    assert_eq!(LogState::default().selected_text(&Ring::default()), None);
}

#[test]
fn times_are_told_in_three_ways() {
    let ring = ring([thought(1, "x"), thought(3, "y")]);
    let mut state = LogState::default();
    let mut starts = Vec::new();
    for _ in 0..3 {
        starts.push(rows(&state, &ring, &view(80, 2))[1][..8].to_owned());
        state.next_times();
    }
    assert_eq!(starts, ["14:00:03", "   00:57", "  +2.000"]);
    assert_eq!(state.times(), Times::Clock);
}

#[test]
fn what_runs_counts_seconds() {
    let ring = ring([phase(1, PhaseLine::say(Phase::Executing, "action 1/1  unlink_keys"))]);
    let state = LogState::default();
    assert!(rows(&state, &ring, &view(80, 1))[0].ends_with("unlink_keys   59 s"));
}

#[test]
fn an_empty_log_says_so_and_takes_any_key() {
    let (ring, view) = (Ring::default(), view(40, 3));
    let mut state = LogState::default();
    all_keys(&mut state, &ring, &view);
    assert_eq!(rows(&state, &ring, &view)[0], "nothing logged yet");
}

fn all_keys(state: &mut LogState, ring: &Ring, view: &Viewport) {
    for key in 0..KEYS {
        press(state, key, ring, view);
    }
}

const KEYS: u8 = 20;

fn press(state: &mut LogState, key: u8, ring: &Ring, view: &Viewport) {
    match key % KEYS {
        at @ 0..8 => state.go(Move::ALL[usize::from(at)], ring, view),
        8 => state.toggle_follow(ring, view),
        9 => drop(state.toggle_mark(ring, view).then_some(())),
        10 => state.next_phase(true, ring, view),
        11 => state.next_phase(false, ring, view),
        12 => state.start_search("e", ring, view),
        13 => drop(state.next_match(false, ring, view).then_some(())),
        14 => drop(state.toggle_unfolded(ring, view).then_some(())),
        15 => state.toggle_wrap(ring, view),
        16 => state.mark_range(ring, view),
        17 => state.scroll(-3, ring, view),
        18 => state.scroll(2, ring, view),
        _ => drop(state.sideways(7).then_some(())),
    }
}

fn any_line(seq: u64, kind: u8) -> Arc<Sealed> {
    match kind % 6 {
        0 => thought(seq, &format!("line {seq} 漢字🦀e\u{301}\u{202e}")),
        1 => thought(seq, &"words and more words ".repeat(40)),
        2 => answer(seq, 0, &"out\n".repeat(30), "err"),
        3 => answer(seq, 1, "", &"\u{1b}[31m\n".repeat(12)),
        4 => thought(seq, ""),
        _ => thought(seq, &"x".repeat(3_000)),
    }
}

fn filled(kinds: &[u8]) -> Ring {
    ring(kinds.iter().enumerate().map(|(index, kind)| any_line(index as u64 + 1, *kind)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_size_and_any_keys_draw_inside(
        kinds in prop::collection::vec(any::<u8>(), 0..20),
        keys in prop::collection::vec(0u8..KEYS, 0..12),
        (width, height) in (0u16..130, 0u16..20),
        ascii in any::<bool>(),
    ) {
        let ring = filled(&kinds);
        let view = Viewport { width, height, theme: theme(ascii) };
        let mut state = LogState::default();
        for key in keys {
            press(&mut state, key, &ring, &view);
            let buf = bare(&state, &ring, &view);
            prop_assert!(is_inside(&buf));
            prop_assert!(!ascii || seen(&buf).is_ascii());
        }
    }

    #[test]
    fn a_paused_view_shows_the_same_rows_after_any_lines(
        kinds in prop::collection::vec(any::<u8>(), 1..20),
        more in prop::collection::vec(any::<u8>(), 0..20),
        keys in prop::collection::vec(0u8..KEYS, 0..8),
        height in 1u16..12,
        flood in any::<bool>(),
    ) {
        let mut ring = filled(&kinds);
        let view = view(70, height);
        let mut state = LogState::default();
        for key in keys {
            press(&mut state, key, &ring, &view);
        }
        state.pause(&ring, &view);
        // Below the last line there is room for new ones.
        let before = rows(&state, &ring, &view);
        let full = before.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
        let start = kinds.len() as u64 + 1;
        for (index, kind) in more.iter().enumerate() {
            ring.push(&any_line(start + index as u64, *kind));
        }
        if flood {
            for seq in 0..MOST_ENTRIES as u64 {
                ring.push(&thought(start + 100 + seq, "flood"));
            }
        }
        let after = rows(&state, &ring, &view);
        prop_assert_eq!(&after[..full], &before[..full]);
    }

    #[test]
    fn every_line_can_be_reached_by_single_steps(kinds in prop::collection::vec(any::<u8>(), 1..12), height in 1u16..9) {
        let ring = filled(&kinds);
        let view = view(70, height);
        let mut state = LogState::default();
        let mut seen = std::collections::BTreeSet::new();
        for by in [Move::Up, Move::Down] {
            seen.insert(state.cursor(&ring).unwrap());
            for _ in 0..kinds.len() * 24 {
                state.go(by, &ring, &view);
                seen.insert(state.cursor(&ring).unwrap());
            }
            prop_assert_eq!(seen.len(), kinds.len(), "{:?}", by);
            seen.clear();
        }
    }
}

#[test]
fn an_age_never_moves_the_text() {
    let ring = ring([thought(1, "x")]);
    let mut state = LogState::default();
    let column = |state: &LogState| rows(state, &ring, &view(80, 1))[0].find('x');
    let clock = column(&state);
    state.next_times();
    // The glyph before the text takes three bytes in all of them.
    assert_eq!(column(&state), clock);
    assert!(TimeDelta::zero() < TimeDelta::milliseconds(NOW_MS));
}
