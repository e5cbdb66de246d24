//! Tests of texts to read, reports and messages.

use super::*;
use crate::tui::example;
use crate::tui::message::Question;
use crate::tui::overlays::example::{SIZES, Seat, at};
use crate::tui::screens::Wish;

fn long() -> String {
    let line = |at: usize| match at % 7 {
        3 => format!("line {at} {}", "is longer than the others and wraps ".repeat(4)),
        _ => format!("line {at}"),
    };
    (1..=60).map(line).collect::<Vec<_>>().join("\n")
}

fn opened(size: (u16, u16), ascii: bool, text: &str) -> Seat {
    let mut seat = Seat::new(size, ascii, example::normal());
    let Wish { open, .. } = Wish::open(Text::new("A text", text).file("a.txt"));
    seat.console.overlays.extend(open);
    seat
}

fn first_line(seat: &mut Seat) -> String {
    seat.seen().lines().nth(2).unwrap().trim_matches(['│', ' ', '█']).to_owned()
}

#[test]
fn it_scrolls_by_rows_and_pages_to_both_ends() {
    let short: Vec<_> = (1..=60).map(|at| format!("line {at}")).collect();
    let mut seat = opened((80, 24), false, &short.join("\n"));
    for (key, first) in [
        ("j", "line 2"),
        ("k", "line 1"),
        ("k", "line 1"),
        ("space", "line 20"),
        ("pgup", "line 1"),
        ("down", "line 2"),
        ("g", "line 1"),
    ] {
        seat.press(key);
        assert_eq!(first_line(&mut seat), first, "after {key}");
    }
    seat.press("G");
    assert!(seat.seen().contains("│line 60 "), "{}", seat.seen());
    seat.press("j");
    assert!(seat.seen().lines().nth(21).unwrap().contains("line 60"), "the end stays below");
}

#[test]
fn a_resize_keeps_the_line_in_view() {
    let mut seat = opened((80, 24), false, &long());
    for _ in 0..30 {
        seat.press("j");
    }
    let before = first_line(&mut seat);
    let number = before.split(' ').nth(1).unwrap().to_owned();
    for size in [(60, 16), (200, 50), (40, 8), (80, 24)] {
        seat.tell(Msg::Resize(size.0, size.1));
        assert!(seat.seen().contains(&format!("line {number}")), "{size:?} {}", seat.seen());
    }
    assert_eq!(first_line(&mut seat), before);
}

#[test]
fn search_goes_round_and_esc_leaves_it_before_the_text() {
    let mut seat = opened((80, 24), false, &long());
    seat.press("/").typed("LINE 5");
    assert!(seat.seen().lines().last().unwrap().contains("LINE 5"));
    seat.press("enter");
    assert!(seat.seen().contains("LINE 5` is not in it"), "a capital letter makes case count");
    seat.press("/").typed("line 5").press("enter");
    assert!(seat.seen().contains("1/11 line 5"), "{}", seat.seen());
    seat.press("n").press("n");
    assert!(seat.seen().contains("3/11 line 5"));
    seat.press("N").press("N").press("N");
    assert!(seat.seen().contains("11/11 line 5"));
    seat.press("esc");
    assert_eq!(seat.console.overlay(), Some("text"));
    seat.press("esc");
    assert_eq!(seat.console.overlay(), None);
}

#[test]
fn it_leaves_the_terminal_whole() {
    let mut seat = opened((40, 8), false, "one\ntwo");
    seat.press("y").press("o").press("e").press("O");
    let (name, text) = ("a.txt".to_owned(), "one\ntwo".to_owned());
    let wanted = [
        Effect::Copy { text: text.clone(), what: "2 lines".into() },
        Effect::Page { name: name.clone(), text: text.clone() },
        Effect::Export { name: name.clone(), text: text.clone() },
        Effect::Edit { name, text },
    ];
    assert_eq!(seat.effects, wanted);
}

#[test]
fn the_report_of_the_incident_in_hand_is_read_and_exported_as_markdown() {
    let mut seat = Seat::new((80, 24), false, example::normal());
    seat.press("P");
    assert_eq!(seat.console.overlay(), Some("text"));
    let [Effect::Ask { question, what: Question::Report(number) }] = seat.effects.as_slice() else {
        panic!("{:?}", seat.effects)
    };
    let (question, incident) = (*question, *number);
    let said = |markdown: &str| Ok(Answer::Report { incident, markdown: markdown.into() });
    seat.tell(Msg::Answered { question: question + 1, result: said("# another") });
    assert!(seat.seen().contains("reading it from the store"));
    seat.tell(Msg::Answered { question, result: said("# The report") });
    assert!(seat.seen().contains("# The report"));
    seat.press("e");
    let Some(Effect::Export { name, text }) = seat.effects.last() else { panic!("no export") };
    assert_eq!((name.as_str(), text.as_str()), ("INC-0042.md", "# The report"));

    let mut seat = Seat::new((80, 24), false, example::normal());
    seat.press("P");
    seat.tell(Msg::Answered { question, result: Err("the store is away; try again".into()) });
    assert!(seat.seen().contains("│the store is away; try again"), "{}", seat.seen());
}

#[test]
fn messages_stand_newest_last() {
    let mut seat = Seat::new((80, 24), false, example::normal());
    for number in 1..=120 {
        seat.console.desk.say(format!("message {number}"));
    }
    seat.wait(5_000).press(":").typed("messages").press("enter");
    let seen = seat.seen();
    assert!(seen.contains("the last 100, newest last"), "{seen}");
    assert!(seen.contains("message 120") && !seen.contains("message 21 "), "{seen}");
    seat.press("g");
    assert!(seat.seen().contains("14:02:30  message 21 "));
}

#[test]
fn hostile_text_is_inert_and_nothing_panics_at_any_size() {
    let hostile = "\u{1b}[2J\u{1b}]52;c;AAAA\u{7}\u{202e}evil\r\n".to_owned() + &"x".repeat(30_000);
    for columns in (40..210).step_by(80) {
        for rows in (8..60).step_by(17) {
            let mut seat = opened((columns, rows), rows % 2 == 0, &hostile);
            for key in ["G", "pgup", "k", "g", "j", "ctrl-d"] {
                seat.press(key);
                let seen = seat.seen();
                let has_control = seen.chars().any(|c| c.is_control() && c != '\n');
                assert!(!has_control && !seen.contains('\u{202e}'));
            }
        }
    }
}

#[test]
fn drawings() {
    let report = crate::report::example::incident().message + "\n\n" + &long();
    for (size, ascii) in SIZES.map(|size| (size, false)).into_iter().chain([((80, 24), true)]) {
        let mut seat = opened(size, ascii, &report);
        let suffix = if ascii { "_ascii" } else { "" };
        seat.press("j");
        insta::assert_snapshot!(format!("text_{}{suffix}", at(size)), seat.seen());
    }
}
