//! The table of incidents, at every width.

use std::cell::RefCell;

use proptest::prelude::*;
use ratatui::style::Modifier;

use super::*;
use crate::tui::theme::Palette;
use crate::tui::widgets::pane::Pane;
use crate::tui::widgets::testing::{is_inside, seen};

const fn column(title: &str, width: u16, drop_below: u16, priority: u8) -> Column<'_> {
    Column { title, width: Width::Columns(width), align: Align::Left, drop_below, priority }
}

const INCIDENTS: [Column<'static>; 8] = [
    column("ID", 8, 0, Column::KEEP),
    column("SEV", 4, 0, Column::KEEP),
    column("STATE", 9, 0, Column::KEEP),
    column("TARGET", 13, 45, 3),
    column("CAUSE", 15, 61, 2),
    column("PHASE", 14, 76, 1),
    column("AGE", 5, 0, 4),
    Column { width: Width::Rest, ..column("SUMMARY", 0, 100, 0) },
];

const ROWS: [[&str; 8]; 3] = [
    [
        "INC-0042",
        "crit",
        "APPROVE?",
        "redis-test",
        "leak-oom",
        "$ command",
        "02:14",
        "writes refused",
    ],
    ["INC-0038", "crit", "FAILED", "postgres-test", "idle-leak", "✗ error", "23:47", "slots full"],
    [
        "INC-0041",
        "high",
        "fixing",
        "漢字のデータベース",
        "idle-in-txn",
        "▶ executing",
        "04:51",
        "🦀\u{202e}",
    ],
];

fn cells(index: usize) -> Vec<Cell<'static>> {
    ROWS[index % ROWS.len()].into_iter().map(Cell::from).collect()
}

fn table(focused: bool) -> VTable<'static> {
    VTable { columns: &INCIDENTS, sort: Some(Sort { column: 6, descending: true }), focused }
}

fn drawn(width: u16, height: u16, shown: Shown) -> Buffer {
    let mut buf = Buffer::empty(Rect::new(0, 0, width, height));
    let theme = Theme::new(Palette::Dark, false);
    let inner =
        Pane::new("Incidents").focused(true).draw(Rect::new(0, 0, width, height), &mut buf, &theme);
    table(true).draw(inner, &mut buf, &theme, shown, |index| index == 1, cells);
    buf
}

#[test]
fn the_table_stands_as_drawn() {
    let shown = Shown { len: 3, offset: 0, selected: Some(0) };
    insta::assert_snapshot!("wide", seen(&drawn(130, 6, shown)));
    insta::assert_snapshot!("standard", seen(&drawn(80, 6, shown)));
    insta::assert_snapshot!("narrow", seen(&drawn(60, 6, shown)));
}

#[test]
fn columns_go_whole_and_in_order() {
    let titles = |width: u16| {
        let kept = table(true).kept(width);
        kept.into_iter().map(|index| INCIDENTS[index].title).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(titles(100), "ID SEV STATE TARGET CAUSE PHASE AGE SUMMARY");
    assert_eq!(titles(99), "ID SEV STATE TARGET CAUSE PHASE AGE");
    assert_eq!(titles(76), "ID SEV STATE TARGET CAUSE PHASE AGE");
    assert_eq!(titles(75), "ID SEV STATE TARGET CAUSE AGE");
    assert_eq!(titles(60), "ID SEV STATE TARGET AGE");
    assert_eq!(titles(44), "ID SEV STATE AGE");
    assert_eq!(titles(25), "ID SEV STATE");
    assert_eq!(titles(0), "ID SEV STATE");
}

#[test]
fn only_visible_rows_are_built() {
    let asked = RefCell::new(Vec::new());
    let mut buf = Buffer::empty(Rect::new(0, 0, 80, 5));
    let shown = Shown { len: 1_000_000, offset: 500_000, selected: None };
    let area = buf.area;
    table(true).draw(
        area,
        &mut buf,
        &Theme::default(),
        shown,
        |_| false,
        |index| {
            asked.borrow_mut().push(index);
            cells(index)
        },
    );
    assert_eq!(*asked.borrow(), [500_000, 500_001, 500_002, 500_003]);
}

#[test]
fn the_selected_row_is_reversed_to_its_end_and_marks_stay_seen() {
    let buf = drawn(60, 6, Shown { len: 3, offset: 0, selected: Some(1) });
    assert!((1..59).all(|x| buf[(x, 3)].modifier.contains(Modifier::REVERSED)));
    assert!((1..59).all(|x| !buf[(x, 2)].modifier.contains(Modifier::REVERSED)));
    assert_eq!((buf[(1, 3)].symbol(), buf[(2, 3)].symbol()), ("▸", "●"));
}

#[test]
fn without_the_focus_only_the_cursor_shows_the_selection() {
    let mut buf = Buffer::empty(Rect::new(0, 0, 60, 4));
    let shown = Shown { len: 3, offset: 0, selected: Some(1) };
    let area = buf.area;
    table(false).draw(area, &mut buf, &Theme::default(), shown, |_| false, cells);
    assert_eq!(buf[(0, 2)].symbol(), "▸");
    assert!(!buf[(5, 2)].modifier.contains(Modifier::REVERSED));
}

proptest! {
    #[test]
    fn any_size_draws_inside_and_never_cuts_an_id(width in 0u16..140, height in 0u16..12, offset in 0usize..9, selected in prop::option::of(0usize..9)) {
        let buf = drawn(width, height, Shown { len: 5, offset, selected });
        prop_assert!(is_inside(&buf));
        if width >= 27 && height >= 4 && offset < 5 {
            let rows = seen(&buf);
            let row = rows.lines().nth(2).unwrap();
            prop_assert!(row.contains(ROWS[offset % 3][0]) && row.contains(ROWS[offset % 3][2]), "{}", row);
        }
    }
}
