//! Tests of help and of the table of keys.

use std::collections::BTreeSet;

use super::*;
use crate::engine::handle::Snapshot;
use crate::tui::example;
use crate::tui::overlays::example::{SIZES, Seat, at};

const SCREENS: [(&str, &str); 4] =
    [("1", "overview"), ("2", "incident"), ("3", "audit"), ("4", "metrics")];

fn opened(size: (u16, u16), ascii: bool, screen: &str, snapshot: Snapshot) -> Seat {
    let mut seat = Seat::new(size, ascii, snapshot);
    seat.press(screen).press("?");
    assert_eq!(seat.console.overlay(), Some("help"));
    seat
}

fn small() -> Seat {
    opened((80, 24), false, "1", example::empty())
}

// ---- the table ------------------------------------------------------------------------------------------

#[test]
fn every_binding_is_listed_exactly_once_in_any_number_of_columns() {
    let seat = small();
    let help = Help::new(&seat.console);
    let listed = help.listed(&seat.console.desk);
    let unique: BTreeSet<_> = listed.iter().map(|binding| binding.name).collect();
    assert_eq!(unique.len(), keymap::ALL.len());
    assert_eq!(listed.len(), keymap::ALL.len());
    for columns in 1..8 {
        let drawn = page::keys_in(columns, &listed);
        assert_eq!(drawn, listed.iter().map(|binding| binding.action).collect::<Vec<_>>());
    }
}

#[test]
fn names_are_unique_and_words_are_there() {
    let mut names = BTreeSet::new();
    for binding in keymap::ALL {
        assert!(names.insert(binding.name), "{} names two actions", binding.name);
        assert!(!binding.name.is_empty() && !binding.hint.is_empty());
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(binding.name.chars().all(is_plain), "{}", binding.name);
    }
}

#[test]
fn no_key_means_two_things_in_one_place() {
    for (_, screen) in SCREENS {
        let title = screen[..1].to_uppercase() + &screen[1..];
        for focus in [Focus::Neither, Focus::List, Focus::Log] {
            let mut taken = BTreeSet::new();
            let here = keymap::ALL.iter().filter(|binding| binding.scope.covers(&title, focus));
            for key in here.flat_map(|binding| binding.keys) {
                assert!(taken.insert(key), "{key} on {title} with {focus:?}");
            }
        }
    }
}

/// Ctrl keys that are conventions of terminals and pagers; each of these has its name in the palette too.
const CONVENTIONS: [Action; 7] = [
    Action::Cancel,
    Action::Suspend,
    Action::Redraw,
    Action::HalfUp,
    Action::HalfDown,
    // esc does it as well.
    Action::ClearMarks,
    // Flow control may own it; `:save` does it.
    Action::SaveScreen,
];

#[test]
fn no_other_action_lives_on_a_ctrl_key_alone() {
    for binding in keymap::ALL {
        let only_ctrl =
            !binding.keys.is_empty() && binding.keys.iter().all(|key| key.starts_with("ctrl-"));
        assert_eq!(only_ctrl, CONVENTIONS.contains(&binding.action), "{}", binding.name);
    }
}

#[test]
fn what_the_footer_hints_at_stands_in_help() {
    for (screen, _) in SCREENS {
        for snapshot in [example::empty(), example::normal()] {
            let mut seat = Seat::new((200, 50), false, snapshot);
            seat.press(screen).wait(5_000);
            let footer = seat.seen().lines().last().unwrap().to_owned();
            let hints: Vec<_> = footer.trim().split("  ").collect();
            assert!(hints.len() > 2, "{footer}");
            for hint in hints {
                let (key, words) = hint.split_once(' ').unwrap();
                let listed = keymap::ALL.iter().any(|binding| {
                    let more = if binding.asks { "…" } else { "" };
                    binding.keys.contains(&key) && format!("{}{more}", binding.hint) == words
                });
                assert!(listed, "{hint}");
            }
        }
    }
}

#[test]
fn the_table_for_the_documentation_has_every_command_once() {
    let text = markdown();
    for binding in keymap::ALL {
        assert_eq!(
            text.matches(&format!("| `:{}` |", binding.name)).count(),
            1,
            "{}",
            binding.name
        );
    }
    for line in text.lines().filter(|line| line.starts_with("| `") || line.starts_with("|  |")) {
        assert_eq!(line.matches(" | ").count(), 3, "{line}");
    }
    insta::assert_snapshot!("keys_markdown", text);
}

// ---- what keys do ---------------------------------------------------------------------------------------

#[test]
fn a_key_runs_what_it_means_and_enter_runs_the_selected_one() {
    let mut seat = small();
    seat.press("i");
    assert_eq!(seat.console.overlay(), Some("inject"));
    let mut seat = small();
    seat.press("3");
    assert_eq!((seat.console.overlay(), seat.console.current), (None, 2));
    let mut seat = small();
    seat.press("/").typed("past messages").press("enter").press("enter");
    assert_eq!(seat.console.overlay(), Some("text"));
}

#[test]
fn the_key_that_opened_a_dialog_from_here_is_dead_in_it() {
    let mut seat = small();
    seat.press("i").wait(500);
    for _ in 0..40 {
        seat.press("i");
    }
    assert!(seat.seen().contains("Type redis-test to inject: ▏"), "{}", seat.seen());
}

#[test]
fn a_key_that_is_off_says_why_and_help_stays() {
    let mut seat = small();
    seat.press("C");
    assert_eq!(seat.console.overlay(), Some("help"));
    assert!(seat.seen().contains("nothing is injected"));
    assert!(seat.orders().is_empty());
    let mut seat = small();
    seat.press("v");
    assert!(seat.seen().lines().last().unwrap().contains("works on Audit"), "{}", seat.seen());
}

#[test]
fn esc_leaves_the_filter_first_and_the_opening_key_closes() {
    let mut seat = small();
    seat.press("/").typed("theme");
    let seen = seat.seen();
    assert!(seen.contains("next theme") && !seen.contains("row down"), "{seen}");
    seat.press("esc").press("g");
    assert!(seat.seen().contains("row down"));
    seat.press("esc");
    assert_eq!(seat.console.overlay(), None);
    let mut seat = small();
    seat.press("?");
    assert_eq!(seat.console.overlay(), None);
}

#[test]
fn every_key_can_be_scrolled_to() {
    for size in SIZES {
        let mut seat = opened(size, false, "1", example::empty());
        seat.press("g");
        let help = Help::new(&seat.console);
        for binding in help.listed(&seat.console.desk) {
            let seen = seat.seen();
            let keys = keys_of(binding, &seat.console.desk);
            let start: String = keys.chars().take(6).collect();
            assert!(seen.contains(&start), "{} at {size:?}: {seen}", binding.name);
            seat.press("j");
        }
    }
}

// ---- drawings -------------------------------------------------------------------------------------------

#[test]
fn drawings() {
    for (size, ascii) in SIZES.map(|size| (size, false)).into_iter().chain([((80, 24), true)]) {
        let mut seat = opened(size, ascii, "1", example::normal());
        let suffix = if ascii { "_ascii" } else { "" };
        let seen = seat.seen();
        assert!(!ascii || seen.is_ascii(), "{seen}");
        insta::assert_snapshot!(format!("help_{}{suffix}", at(size)), seen);
    }
    let mut seat = small();
    seat.console.desk.settings.read_only = true;
    seat.press("G");
    insta::assert_snapshot!("help_end_read_only_80x24", seat.seen());
}

/// What works and what does not, on the console's own screens; each drawing is the end of help, which says why.
#[test]
fn drawings_on_every_screen() {
    let screens = Seat::real((80, 24), false, example::normal()).console.screens.len();
    assert!(screens > 0);
    for number in 0..screens {
        for size in SIZES {
            let mut seat = Seat::real(size, false, example::normal());
            seat.press(&(number + 1).to_string()).press("?").press("G");
            let title = seat.console.screen().unwrap().title().to_lowercase();
            insta::assert_snapshot!(format!("help_on_{title}_{}", at(size)), seat.seen());
        }
    }
}
