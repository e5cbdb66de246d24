//! Tests of the picker: what is sent, and above all what is not.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::effect::{Accepted, Refused};
use crate::domain::ids::TargetId;
use crate::domain::injection::InjectionState;
use crate::domain::target::Profile;
use crate::engine::handle::Snapshot;
use crate::report::example::injection;
use crate::tui::example;
use crate::tui::message::Link;
use crate::tui::overlays::example::{SIZES, Seat, at, code};

/// Past every guard.
const SETTLED: u64 = 1_500;

fn opened(size: (u16, u16), ascii: bool, snapshot: Snapshot) -> Seat {
    let mut seat = Seat::new(size, ascii, snapshot);
    seat.press("i").wait(SETTLED);
    assert_eq!(seat.console.overlay(), Some("inject"));
    seat
}

fn calm() -> Seat {
    opened((80, 24), false, example::empty())
}

fn busy() -> Snapshot {
    let mut snapshot = example::empty();
    snapshot.injections = vec![injection(InjectionState::Starting)];
    snapshot
}

fn with_others() -> Snapshot {
    let mut snapshot = example::empty();
    for name in ["pg-replica", "redis-cache"] {
        let mut view = example::redis(name, "ok", 100, 1.0);
        view.target.profile = Profile::Production;
        view.target.lab = None;
        snapshot.targets.push(Arc::new(view));
    }
    snapshot
}

fn refused(seat: &mut Seat) {
    seat.typed("redis-test").press("enter");
    let (order, _) = seat.orders()[0];
    let reason = "INC-0041 is open on redis-test; a drill starts from a healthy target".to_owned();
    seat.tell(Msg::Replied { order, result: Err(Refused { reason }) });
    // What the footer says of it goes with the next key.
    seat.wait(5_000).press("up");
}

// ---- what is sent ---------------------------------------------------------------------------------------

#[test]
fn the_exact_name_and_enter_send_one_order_with_what_the_fields_hold() {
    let mut seat = calm();
    seat.press("down").wait(SETTLED).press("shift-tab").press("shift-tab");
    // The deadline.
    seat.press("ctrl-u").typed("60").press("enter").wait(SETTLED);
    seat.typed("redis-test").press("enter").press("enter");
    let orders = seat.orders();
    let [(_, command)] = orders.as_slice() else { panic!("{orders:?}") };
    let wanted = Command::Inject {
        fault: FaultId::of("maxmemory-lowered"),
        target: Some("redis-test".into()),
        params: BTreeMap::from([("megabytes".to_owned(), Value::from(5))]),
        beside: false,
        ttl_s: Some(60),
    };
    assert_eq!(*command, wanted);
    assert_eq!(seat.console.overlay(), Some("inject"), "it waits for the engine");
}

#[test]
fn a_filter_narrows_the_list_and_is_not_taken_for_the_name() {
    let mut seat = opened((120, 30), false, example::empty());
    seat.typed("/exh");
    let seen = seat.seen();
    assert!(seen.contains("/exh▏   1 way shown") && seen.contains("exhaust"), "{seen}");
    assert!(!seen.contains("leak-oom"), "{seen}");
    seat.press("enter").wait(SETTLED).typed("postgres-test").press("enter");
    let orders = seat.orders();
    let [(_, Command::Inject { fault, target, .. })] = orders.as_slice() else {
        panic!("{orders:?}")
    };
    assert_eq!(
        (fault.as_str(), target.as_ref().map(TargetId::as_str)),
        ("exhaust", Some("postgres-test"))
    );
}

#[test]
fn a_filter_that_fits_nothing_says_so_and_sends_nothing() {
    let mut seat = calm();
    seat.typed("/nonsense").press("enter").wait(SETTLED).press("enter");
    assert!(seat.seen().contains("no fault has `nonsense` in its words"), "{}", seat.seen());
    assert!(seat.orders().is_empty());
    seat.press("/").press("ctrl-u");
    assert!(seat.seen().contains("leak-oom"), "{}", seat.seen());
}

#[test]
fn a_fault_the_server_cannot_have_is_shown_with_the_reason_and_not_sent() {
    let mut snapshot = example::empty();
    let (at, mut view) = (1, (*snapshot.targets[1]).clone());
    let reason = ("leak-oom".to_owned(), "redis-test evicts keys".to_owned());
    view.cannot = Arc::new(BTreeMap::from([reason]));
    snapshot.targets[at] = Arc::new(view);
    let mut seat = opened((120, 30), false, snapshot);
    assert!(seat.seen().contains("not possible here: redis-test evicts keys"), "{}", seat.seen());
    seat.typed("redis-test").press("enter");
    assert!(seat.orders().is_empty());
    seat.press("down").wait(SETTLED).typed("redis-test").press("enter");
    assert_eq!(seat.orders().len(), 1);
}

#[test]
fn what_is_not_exactly_the_name_sends_nothing_and_says_what_is_missing() {
    for (typed, said) in [
        ("", "type redis-test first"),
        ("redis-", "`test` is missing"),
        ("Redis-test", "`Redis-test` is not redis-test"),
        ("redis-test2", "`redis-test2` is not redis-test"),
        ("postgres-test", "`postgres-test` is not redis-test"),
    ] {
        let mut seat = calm();
        seat.typed(typed).press("enter");
        assert!(seat.orders().is_empty(), "{typed}");
        assert!(seat.seen().contains(said), "{typed}: {}", seat.seen());
    }
}

#[test]
fn what_was_typed_for_one_fault_or_server_does_not_count_for_another() {
    let mut seat = calm();
    seat.typed("redis-test").press("down").press("enter").wait(SETTLED).press("enter");
    assert!(seat.orders().is_empty());
    // The name of the first letters, then a parameter changes: it has to be typed again.
    seat.typed("redis-test").press("shift-tab").press("backspace").wait(SETTLED);
    seat.typed("4").wait(SETTLED).press("enter").wait(SETTLED).press("enter");
    assert!(seat.orders().is_empty());
    seat.typed("redis-test").press("enter");
    assert_eq!(seat.orders().len(), 1);
}

#[test]
fn the_key_that_opens_it_and_what_was_typed_ahead_go_nowhere() {
    let mut seat = Seat::new((80, 24), false, example::empty());
    seat.press("i").typed("redis-t").press("enter");
    assert!(seat.seen().contains("Type redis-test to inject: ▏"), "{}", seat.seen());
    // A held i: nothing of it is taken, however long.
    let mut seat = Seat::new((80, 24), false, example::empty());
    seat.press("i");
    for _ in 0..100 {
        seat.press("i");
    }
    assert!(seat.seen().contains("Type redis-test to inject: ▏"), "{}", seat.seen());
}

#[test]
fn a_paste_is_refused() {
    let mut seat = calm();
    seat.tell(Msg::Paste("redis-test\n".into()));
    seat.press("enter");
    assert!(seat.orders().is_empty());
    let mut seat = calm();
    seat.tell(Msg::Paste("redis-test\n".into()));
    assert!(seat.seen().contains("type it; pasted text is refused"));
    // Without bracketed paste it comes as keys, all at once.
    for c in "redis-test".chars() {
        seat.event(code(&c.to_string()), KeyModifiers::NONE, KeyEventKind::Press);
    }
    seat.event(KeyCode::Enter, KeyModifiers::NONE, KeyEventKind::Press);
    assert!(seat.orders().is_empty());
}

#[test]
fn a_wrong_value_is_named_beside_its_field_and_nothing_is_sent() {
    let mut seat = calm();
    seat.press("down").wait(SETTLED).press("shift-tab").press("ctrl-u").typed("99");
    seat.press("enter").wait(SETTLED).typed("redis-test").press("enter");
    assert!(seat.orders().is_empty());
    assert!(seat.seen().contains("megabytes: 99 is no whole number"), "{}", seat.seen());
}

#[test]
fn a_server_that_is_broken_already_takes_no_second_fault() {
    let mut seat = opened((80, 24), false, busy());
    seat.typed("redis-test").press("enter");
    assert!(seat.orders().is_empty());
    let name = injection(InjectionState::Starting).name();
    assert!(seat.seen().contains(&format!("{name} leak-oom runs here until")), "{}", seat.seen());
    // Once it is gone the name can be typed.
    let mut snapshot = example::empty();
    snapshot.seq = 2;
    seat.tell(Msg::Snapshot(Arc::new(snapshot)));
    seat.wait(SETTLED).typed("redis-test").press("enter");
    assert_eq!(seat.orders().len(), 1);
}

#[test]
fn losing_the_engine_or_the_right_to_change_clears_what_was_typed() {
    let mut seat = calm();
    seat.typed("redis-test");
    let lost = Link::Lost { since: example::now().at, reason: "gone".into() };
    seat.tell(Msg::Link(lost));
    seat.wait(SETTLED).press("enter");
    assert!(seat.orders().is_empty());
    seat.tell(Msg::Link(Link::Here));
    seat.wait(SETTLED).press("enter");
    assert!(seat.orders().is_empty(), "the name is gone");
}

#[test]
fn accepted_closes_refused_says_why_and_silence_stays() {
    let mut seat = calm();
    seat.typed("redis-test").press("enter");
    let (order, _) = seat.orders()[0];
    seat.tell(Msg::Replied { order: order + 9, result: Ok(Accepted::default()) });
    assert_eq!(seat.console.overlay(), Some("inject"), "another order's answer");
    seat.tell(Msg::Replied { order, result: Ok(Accepted::default()) });
    assert_eq!(seat.console.overlay(), None);

    let mut seat = calm();
    refused(&mut seat);
    let seen = seat.seen();
    assert!(seen.contains("INC-0041 is open on redis-test;"), "{seen}");
    assert!(seen.contains("Type redis-test to inject: ▏"), "what was typed is gone: {seen}");

    let mut seat = calm();
    seat.typed("redis-test").press("enter");
    let (order, _) = seat.orders()[0];
    seat.tell(Msg::Unanswered { order });
    seat.wait(SETTLED).press("enter").typed("redis-test").press("enter");
    assert_eq!(seat.orders().len(), 1, "never sent again by itself");
    assert!(seat.seen().contains("may have been recorded"));
}

#[test]
fn a_dry_run_tells_the_calls_and_sends_nothing() {
    let mut seat = calm();
    seat.press("tab").press("tab").press("enter");
    assert_eq!(seat.console.overlay(), Some("text"));
    let seen = seat.seen();
    assert!(seen.contains("leak-oom on redis-test; nothing was done"), "{seen}");
    assert!(seen.contains("--ttl 120 --dry-run"), "{seen}");
    seat.press("esc");
    assert_eq!(seat.console.overlay(), Some("inject"));
    assert!(seat.orders().is_empty());
}

/// One thing that may happen to the picker.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Press(&'static str),
    Repeat(&'static str),
    Name(&'static str),
    Burst(&'static str),
    Paste(&'static str),
    Wait(u64),
    Resize,
}

fn doings() -> impl Strategy<Value = Doing> {
    let keys = prop::sample::select(vec![
        "i",
        "y",
        "C",
        "enter",
        "tab",
        "shift-tab",
        "up",
        "down",
        "left",
        "right",
        "backspace",
        "space",
        "1",
        "9",
        "r",
        "pgdn",
        "ctrl-u",
    ]);
    let names = || prop::sample::select(vec!["redis-test", "postgres-test", "redis-tes", "test"]);
    prop_oneof![
        4 => keys.clone().prop_map(Doing::Press),
        2 => keys.prop_map(Doing::Repeat),
        2 => names().prop_map(Doing::Name),
        1 => names().prop_map(Doing::Burst),
        1 => prop::sample::select(vec!["redis-test\n", "postgres-test\ny"]).prop_map(Doing::Paste),
        2 => prop::sample::select(vec![5u64, 300, 450, 2_000]).prop_map(Doing::Wait),
        1 => Just(Doing::Resize),
    ]
}

/// Carries it out; what the engine was ordered meanwhile.
fn carry_out(seat: &mut Seat, doing: Doing) -> usize {
    let before = seat.orders().len();
    match doing {
        Doing::Press(key) => {
            seat.press(key);
        }
        Doing::Repeat(key) => {
            seat.ms += 30;
            seat.event(code(key), KeyModifiers::NONE, KeyEventKind::Repeat);
        }
        Doing::Name(name) => {
            seat.typed(name);
        }
        Doing::Burst(name) => {
            for c in name.chars() {
                seat.event(code(&c.to_string()), KeyModifiers::NONE, KeyEventKind::Press);
            }
        }
        Doing::Paste(text) => seat.tell(Msg::Paste(text.into())),
        Doing::Wait(ms) => {
            seat.wait(ms);
        }
        Doing::Resize => seat.tell(Msg::Resize(80, 24)),
    }
    seat.orders().len() - before
}

proptest! {
    /// Whatever happens, an order leaves on a press of enter alone, with the name of its own server typed, key
    /// by key, since the fault was chosen and the guard had settled.
    #[test]
    fn nothing_is_sent_without_its_name_and_enter(all in prop::collection::vec(doings(), 1..30)) {
        let mut seat = Seat::new((80, 24), false, example::empty());
        seat.press("i");
        // Letters that reached the field by presses, by what a person could see before each key.
        for doing in all {
            if seat.console.overlay() != Some("inject") {
                break;
            }
            let seen = seat.seen();
            let sent = carry_out(&mut seat, doing);
            if sent == 0 {
                continue;
            }
            prop_assert_eq!(sent, 1);
            prop_assert!(matches!(doing, Doing::Press("enter")), "{:?} sent an order", doing);
            let Some((_, Command::Inject { target: Some(target), .. })) = seat.orders().pop() else {
                panic!("something else was ordered");
            };
            let typed = format!("Type {target} to inject: {target}");
            let line = seen.lines().find(|line| line.contains(&typed));
            let rest = line.and_then(|line| line.split_once(&typed)).map(|(_, rest)| rest);
            let is_exact = rest.is_some_and(|rest| rest.starts_with(['▏', ' ', '│']));
            prop_assert!(is_exact, "sent without the name: {}", seen);
        }
    }

    /// Every size draws, and what is to be typed and the buttons are always there.
    #[test]
    fn every_size_keeps_the_prompt(columns in 40u16..210, rows in 8u16..60) {
        let mut seat = opened((columns, rows), false, with_others());
        let seen = seat.seen();
        prop_assert!(seen.contains("Type redis-test to inject:"), "{}", seen);
        prop_assert!(seen.contains("[ Inject ]"), "{}", seen);
    }
}

// ---- drawings -------------------------------------------------------------------------------------------

#[test]
fn drawings() {
    let normal = |seat: &mut Seat| {
        seat.press("up");
    };
    let typed = |seat: &mut Seat| {
        seat.typed("redis-");
    };
    let gone = |seat: &mut Seat| {
        let snapshot = Snapshot { targets: Vec::new(), seq: 9, ..example::empty() };
        seat.tell(Msg::Snapshot(Arc::new(snapshot)));
    };
    type Act = fn(&mut Seat);
    let cases: [(&str, Snapshot, Act); 5] = [
        ("empty", example::empty(), gone),
        ("normal", with_others(), normal),
        ("busy", busy(), normal),
        ("typed", example::empty(), typed),
        ("refused", example::empty(), refused),
    ];
    for (name, snapshot, act) in cases {
        for (size, ascii) in SIZES.map(|size| (size, false)).into_iter().chain([((80, 24), true)]) {
            let mut seat = opened(size, ascii, snapshot.clone());
            act(&mut seat);
            let suffix = if ascii { "_ascii" } else { "" };
            let seen = seat.seen();
            assert!(!ascii || seen.is_ascii(), "{seen}");
            insta::assert_snapshot!(format!("inject_{name}_{}{suffix}", at(size)), seen);
        }
    }
}
