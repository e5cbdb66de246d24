//! Tests of the palette.

use super::*;
use crate::tui::example;
use crate::tui::message::Effect;
use crate::tui::overlays::example::{SIZES, Seat, at};

fn opened(size: (u16, u16), ascii: bool) -> Seat {
    let mut seat = Seat::new(size, ascii, example::normal());
    seat.press(":");
    assert_eq!(seat.console.overlay(), Some("palette"));
    seat
}

fn said(line: &str) -> Seat {
    let mut seat = opened((80, 24), false);
    seat.typed(line).press("enter");
    seat
}

#[test]
fn every_action_is_said_by_its_name() {
    let seat = opened((80, 24), false);
    for binding in keymap::ALL {
        assert_eq!(
            commands::read(binding.name, &seat.console.desk),
            Ok(Said::Run(binding.action)),
            "{}",
            binding.name
        );
        assert!(!commands::about(binding.name).is_empty());
        assert_eq!(commands::names().filter(|name| *name == binding.name).count(), 1);
    }
}

#[test]
fn a_few_letters_run_the_marked_line() {
    let mut seat = said("audit");
    assert_eq!((seat.console.overlay(), seat.console.current), (None, 2));
    seat.press(":").typed("mes").press("enter");
    assert_eq!(seat.console.overlay(), Some("text"));
    // Tab marks the next one: the shorter name comes first.
    let mut seat = opened((80, 24), false);
    seat.typed("me");
    assert!(seat.seen().contains("▸ metrics"), "{}", seat.seen());
    seat.press("tab").press("enter");
    assert_eq!(seat.console.overlay(), Some("text"));
}

#[test]
fn nothing_typed_runs_nothing() {
    let seat = said("");
    assert_eq!(seat.console.overlay(), None);
    assert!(seat.effects.is_empty());
}

#[test]
fn pasted_text_is_text_until_enter_is_pressed() {
    let mut seat = opened((80, 24), false);
    seat.tell(Msg::Paste("clear\n".into()));
    assert!(seat.orders().is_empty());
    assert!(seat.seen().contains(":clear▏"), "{}", seat.seen());
    seat.press("enter");
    assert_eq!(seat.orders().len(), 1);
}

#[test]
fn a_held_key_that_opened_it_is_not_typed() {
    let mut seat = opened((80, 24), false);
    seat.press(":").press(":").typed("audit").press("enter");
    assert_eq!(seat.console.current, 2);
}

#[test]
fn what_is_off_says_why_and_what_is_wrong_is_a_sentence() {
    for (line, sentence) in [
        ("check-chain", "works on Audit"),
        ("write", "changes are allowed already"),
        ("zzz", "there is no command `zzz`; ? lists them all"),
        ("zzz 1", "there is no command `zzz`; ? lists them all"),
        ("zoom in", "zoom takes no word behind it"),
        ("inc", "inc wants a number, as in `inc 42`"),
        ("inc forty", "`forty` is no incident's number; write `inc 42`"),
        ("target", "target wants a name: postgres-test, redis-test"),
        ("target nowhere-zz", "nowhere-zz is not watched; watched are: postgres-test, redis-test"),
        ("theme green9", "there is no theme `green9`; there are dark, light, light256, mono"),
        ("inc 1 2", "`2` is too much; inc takes one word at most"),
    ] {
        let mut seat = said(line);
        assert_eq!(seat.console.overlay(), Some("palette"), "{line}");
        assert!(seat.seen().contains(sentence), "{line}: {}", seat.seen());
        assert!(seat.effects.is_empty(), "{line}");
    }
}

#[test]
fn what_was_said_comes_back_newest_first() {
    let mut seat = said("theme mono");
    seat.press(":").typed("audit").press("enter").press(":").press("up");
    assert!(seat.seen().contains(":audit▏"));
    seat.press("up");
    assert!(seat.seen().contains(":theme mono▏"));
    seat.press("up").press("down");
    assert!(seat.seen().contains(":audit▏"));
    seat.press("down");
    assert!(seat.seen().contains(":▏"));
    assert_eq!(seat.console.desk.commands, ["theme mono", "audit"]);
}

#[test]
fn an_incident_is_gone_to_or_read_from_the_store() {
    for line in ["inc 38", "inc INC-0038", "inc inc-38"] {
        let seat = said(line);
        assert_eq!((seat.console.overlay(), seat.console.current), (None, 1), "{line}");
        assert_eq!(seat.console.desk.selected().unwrap().number, 38);
    }
    let asked = |number| {
        let seat = said(&format!("inc {number}"));
        let [Effect::Ask { question, what }] = seat.effects.as_slice() else {
            panic!("{:?}", seat.effects)
        };
        assert_eq!(*what, Question::Incident(number));
        let question = *question;
        (seat, question)
    };
    let (mut seat, question) = asked(7);
    assert!(seat.seen().contains("reading incident 7"));
    let old = crate::domain::incident::Incident {
        number: 7,
        id: crate::domain::ids::IncidentId(uuid::Uuid::from_u128(777)),
        ..crate::report::example::incident()
    };
    let answer = Ok(Answer::Incident(Some(Box::new(old))));
    seat.tell(Msg::Answered { question, result: answer });
    assert_eq!((seat.console.overlay(), seat.console.current), (None, 1));
    assert_eq!(seat.console.desk.selected().unwrap().number, 7);

    let (mut seat, question) = asked(9);
    seat.tell(Msg::Answered { question, result: Ok(Answer::Incident(None)) });
    assert!(seat.seen().contains("there is no incident 9"), "{}", seat.seen());
    assert_eq!(seat.console.current, 0);
}

#[test]
fn commands_that_need_no_screen_do_what_they_say() {
    let seat = said("theme light256");
    assert_eq!(seat.console.desk.theme.palette.as_str(), "light256");
    let mut seat = said("info");
    let seen = seat.seen();
    assert!(seen.contains("operator   ops1") && seen.contains("target     redis-test"), "{seen}");
    let seat = said("target redis-test");
    assert_eq!(seat.console.desk.selected().unwrap().target.as_str(), "redis-test");
    assert_eq!(said("save").effects, [Effect::SaveScreen]);
    assert_eq!(said("quit").effects, [Effect::Quit]);
}

#[test]
fn drawings() {
    for (name, line) in [("open", ""), ("typed", "re"), ("word", "target r"), ("error", "inc x")] {
        for (size, ascii) in SIZES.map(|size| (size, false)).into_iter().chain([((80, 24), true)]) {
            let mut seat = opened(size, ascii);
            seat.typed(line);
            if name == "error" {
                seat.press("enter");
            }
            let suffix = if ascii { "_ascii" } else { "" };
            let seen = seat.seen();
            assert!(!ascii || seen.is_ascii(), "{seen}");
            insta::assert_snapshot!(format!("palette_{name}_{}{suffix}", at(size)), seen);
        }
    }
}
