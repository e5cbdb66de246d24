//! What keys do, and above all what they do not.

use crossterm::event::{KeyModifiers, MouseButton};
use proptest::prelude::*;

use super::testing::{Stage, key};
use super::*;
use crate::domain::effect::{Accepted, Command, Refused};
use crate::domain::policy::Demand as Ruled;
use crate::domain::proposal::Risk;
use crate::engine::handle::Snapshot;
use crate::report::example as story;
use crate::tui::example;

const SIZE: (u16, u16) = (120, 35);

/// The normal world with a proposal of this risk.
fn world(risk: Risk) -> Snapshot {
    let mut snapshot = example::normal();
    let (mut waiting, _) = story::waiting();
    let proposal = waiting.executions[0].proposal.as_mut().unwrap();
    proposal.risk = risk;
    proposal.ruling.demand = Ruled::Approval;
    *snapshot.incidents.last_mut().unwrap() = std::sync::Arc::new(waiting);
    snapshot
}

fn stage(risk: Risk) -> Stage {
    Stage::new(SIZE, world(risk))
}

fn approval(orders: &[Command]) -> Option<&Command> {
    orders.iter().find(|order| matches!(order, Command::Approve { .. }))
}

fn open(risk: Risk) -> Stage {
    let mut stage = stage(risk);
    stage.press("A").press("a");
    assert_eq!(stage.console.overlay(), Some("approve"));
    stage
}

#[test]
fn low_risk_takes_a_y_after_the_guard() {
    let mut stage = open(Risk::Low);
    stage.press("y");
    assert_eq!(approval(&stage.orders()), None, "within 400 ms nothing counts");
    stage.wait(400).press("y");
    let orders = stage.orders();
    let Some(Command::Approve { incident, fingerprint, typed, seen }) = approval(&orders) else {
        panic!("{orders:?}")
    };
    assert_eq!((*incident, fingerprint.as_str()), (42, "7f3a9c00aa11bb22"));
    assert_eq!(*typed, None);
    let seen = seen.as_ref().unwrap();
    assert_eq!((seen.open_ms, seen.columns, seen.rows), (600, 120, 35));
    stage.press("y").press("y");
    assert_eq!(stage.orders().len(), 1, "it is sent once");
}

#[test]
fn medium_risk_wants_the_targets_name_exactly() {
    let mut stage = open(Risk::Medium);
    stage.wait(800).write("Redis-test").press("enter");
    assert_eq!(approval(&stage.orders()), None);
    assert!(stage.screen().contains("`Redis-test` is not redis-test"), "{}", stage.screen());
    for _ in 0..10 {
        stage.press("backspace");
    }
    stage.write("redis-te").press("enter");
    assert!(stage.screen().contains("`st` is missing"), "{}", stage.screen());
    stage.write("st").press("enter");
    let orders = stage.orders();
    let Some(Command::Approve { typed, .. }) = approval(&orders) else { panic!("{orders:?}") };
    assert_eq!(typed.as_deref(), Some("redis-test"));
}

#[test]
fn high_risk_counts_down_after_the_name() {
    let mut stage = open(Risk::Destructive);
    stage.wait(800).write("redis-test").press("enter").press("enter").wait(2_700).press("enter");
    assert_eq!(approval(&stage.orders()), None, "the countdown still runs");
    stage.wait(200).press("enter");
    assert!(approval(&stage.orders()).is_some());
}

#[test]
fn a_held_key_and_typing_ahead_approve_nothing() {
    let mut stage = stage(Risk::Low);
    stage.press("A");
    for _ in 0..200 {
        stage.wait(33).at_once(key("a"));
    }
    for _ in 0..200 {
        stage.wait(33).repeat("y");
    }
    assert!(stage.orders().is_empty());
    // A held key first repeats late: the dialog must not take the first repetition for a word.
    let mut stage = open(Risk::Medium);
    stage.wait(660);
    for _ in 0..50 {
        stage.wait(33).at_once(key("a"));
    }
    assert!(stage.screen().contains("Type redis-test to approve: ▏"), "{}", stage.screen());
    // Everything typed ahead while the dialog opens is gone.
    let mut stage = self::stage(Risk::Low);
    stage.press("A");
    for name in ["a", "y", "y", "enter", "y"] {
        stage.wait(50).at_once(key(name));
    }
    stage.wait(2_000);
    assert!(stage.orders().is_empty());
}

#[test]
fn pasting_approves_nothing_with_brackets_or_without() {
    let mut stage = open(Risk::Medium);
    stage.wait(800).tell(Msg::Paste("redis-test\n".into())).press("enter");
    assert!(stage.orders().is_empty());
    assert!(stage.screen().contains("type redis-test first"), "{}", stage.screen());
    for c in "redis-test".chars() {
        stage.wait(1).at_once(key(&c.to_string()));
    }
    stage.at_once(key("enter")).press("enter");
    assert!(stage.orders().is_empty());
    // Outside of a dialog a paste is no keys either.
    let mut stage = self::stage(Risk::Low);
    stage.tell(Msg::Paste("aaay\ny\niC".into())).wait(2_000);
    assert_eq!(stage.console.overlay(), None);
    assert!(stage.orders().is_empty());
}

#[test]
fn what_changes_underneath_switches_approving_off_and_never_swaps_the_proposal() {
    let mut stage = open(Risk::Medium);
    stage.wait(800).write("redis-test");
    let mut changed = world(Risk::Medium);
    let (mut other, _) = story::waiting();
    other.executions[0].proposal.as_mut().unwrap().fingerprint =
        crate::domain::ids::Fingerprint("bbbbbb00".into());
    *changed.incidents.last_mut().unwrap() = std::sync::Arc::new(other);
    stage.tell(Msg::Snapshot(std::sync::Arc::new(changed))).wait(800).press("enter");
    assert!(stage.orders().is_empty());
    let screen = stage.screen();
    assert!(screen.contains("superseded by bbbbbb"), "{screen}");
    assert!(screen.contains("UNLINK leak:1"), "the content stays\n{screen}");
    stage.press("esc");
    assert_eq!(stage.console.overlay(), None);
}

#[test]
fn an_engine_that_is_lost_and_a_proposal_that_expired_cannot_be_approved() {
    let mut stage = open(Risk::Medium);
    let lost = Link::Lost { since: example::now().at, reason: "gone".into() };
    stage.wait(800).write("redis-test").tell(Msg::Link(lost)).wait(800).press("enter");
    assert!(stage.orders().is_empty());
    let mut stage = open(Risk::Medium);
    stage.wait(800).write("redis-test").wait(200_000).tell(Msg::Tick).wait(800).press("enter");
    assert!(stage.orders().is_empty());
    assert!(stage.screen().contains("expired "), "{}", stage.screen());
}

#[test]
fn the_answer_closes_the_dialog_and_a_refusal_stands_in_it() {
    let mut stage = open(Risk::Medium);
    stage.wait(800).write("redis-test").press("enter");
    let Some(Effect::Order { order, .. }) = stage.effects.last().cloned() else { panic!() };
    let refused = Refused::because("an action for INC-0041 still runs on redis-test");
    stage.tell(Msg::Replied { order, result: Err(refused) });
    assert!(stage.screen().contains("an action for INC-0041 still runs on redis-test"));
    let mut stage = open(Risk::Medium);
    stage.wait(800).write("redis-test").press("enter");
    let Some(Effect::Order { order, .. }) = stage.effects.last().cloned() else { panic!() };
    stage.tell(Msg::Replied { order, result: Ok(Accepted::default()) });
    assert_eq!(stage.console.overlay(), None);
    let mut stage = open(Risk::Medium);
    stage.wait(800).write("redis-test").press("enter");
    let Some(Effect::Order { order, .. }) = stage.effects.last().cloned() else { panic!() };
    stage.tell(Msg::Unanswered { order }).press("enter").press("enter");
    assert!(stage.screen().contains("may have been recorded, see Audit (3); it is not sent again"));
    assert_eq!(stage.orders().len(), 1);
}

#[test]
fn approving_waits_until_every_command_was_on_the_screen() {
    let mut snapshot = world(Risk::Low);
    let (mut waiting, _) = story::waiting();
    let proposal = waiting.executions[0].proposal.as_mut().unwrap();
    proposal.risk = Risk::Low;
    proposal.ruling.demand = Ruled::Approval;
    proposal.draft.steps[0].preview.commands =
        (0..40).map(|n| format!("redis-cli UNLINK leak:{n}")).collect();
    *snapshot.incidents.last_mut().unwrap() = std::sync::Arc::new(waiting);
    let mut stage = Stage::new((80, 24), snapshot);
    stage.press("A").press("a").wait(800).press("y");
    assert!(stage.orders().is_empty());
    assert!(
        stage.screen().contains("of 40 command lines not seen yet, pgdn"),
        "{}",
        stage.screen()
    );
    for _ in 0..10 {
        stage.press("pgdn");
    }
    assert!(!stage.screen().contains("not seen yet"), "{}", stage.screen());
    stage.press("y");
    assert_eq!(stage.orders().len(), 1);
}

#[test]
fn a_dialog_keeps_its_incident_whatever_is_selected_or_sorted() {
    let mut stage = open(Risk::Medium);
    let mut changed = world(Risk::Medium);
    let fresh = example::incident(
        43,
        "redis-test",
        crate::domain::finding::FindingKind::ServerDown,
        crate::domain::finding::Severity::Critical,
        crate::domain::incident::Status::Triage,
        0,
    );
    stage.console.desk.selected = Some(fresh.id);
    changed.incidents.insert(0, std::sync::Arc::new(fresh));
    changed.seq += 1;
    stage.tell(Msg::Snapshot(std::sync::Arc::new(changed)));
    stage.wait(800).write("redis-test").press("enter");
    let orders = stage.orders();
    let Some(Command::Approve { incident, .. }) = approval(&orders) else { panic!("{orders:?}") };
    assert_eq!(*incident, 42);
}

#[test]
fn a_new_proposal_rings_and_moves_nothing() {
    let mut stage = Stage::new(SIZE, example::empty());
    stage.effects.clear();
    let selected = stage.console.desk.selected;
    let mut snapshot = world(Risk::Medium);
    snapshot.seq = 500;
    stage.tell(Msg::Snapshot(std::sync::Arc::new(snapshot)));
    assert!(stage.effects.contains(&Effect::Bell));
    assert_eq!(stage.console.overlay(), None);
    assert_eq!(selected, None);
    assert!(stage.screen().contains("1 APPROVE?"));
}

#[test]
fn rejecting_asks_why_and_may_be_empty() {
    let mut stage = stage(Risk::Medium);
    stage.press("A").press("r").wait(800).write("too broad").press("enter");
    assert_eq!(
        stage.orders(),
        [Command::Reject {
            incident: 42,
            fingerprint: Some("7f3a9c00aa11bb22".into()),
            reason: "too broad".into()
        }]
    );
    let mut stage = self::stage(Risk::Medium);
    stage.press("A").press("r").press("enter");
    assert!(stage.orders().is_empty(), "not within the guard");
    stage.wait(800).press("enter");
    assert_eq!(stage.orders().len(), 1);
}

#[test]
fn read_only_changes_nothing_and_says_why() {
    let mut stage = stage(Risk::Low);
    stage.console.desk.settings.read_only = true;
    stage.press("A");
    for name in ["a", "r", "i", "C", "u", "x", "X", "R", "!", "c", "d"] {
        stage.press(name);
        assert_eq!(stage.console.overlay(), None, "{name}");
    }
    assert!(stage.orders().is_empty());
    assert!(stage.screen().contains("read-only"), "{}", stage.screen());
}

#[test]
fn esc_never_quits_and_one_ctrl_c_never_does() {
    let mut stage = stage(Risk::Medium);
    for _ in 0..10 {
        stage.press("esc");
    }
    stage.press("ctrl-c").wait(1_000).press("ctrl-c");
    assert!(!stage.effects.contains(&Effect::Quit));
    stage.press("ctrl-c");
    assert!(stage.effects.contains(&Effect::Quit));
}

#[test]
fn the_wheel_moves_in_the_list_and_presses_nothing_in_a_dialog() {
    let wheel =
        |kind| Msg::Mouse(MouseEvent { kind, column: 5, row: 5, modifiers: KeyModifiers::NONE });
    let mut stage = stage(Risk::Low);
    stage.press("g");
    let first = stage.console.desk.selected;
    stage.tell(wheel(MouseEventKind::ScrollDown));
    assert_ne!(stage.console.desk.selected, first);
    stage.tell(wheel(MouseEventKind::ScrollUp));
    assert_eq!(stage.console.desk.selected, first);
    stage.press("a").wait(2_000);
    for kind in [MouseEventKind::Down(MouseButton::Left), MouseEventKind::Up(MouseButton::Left)] {
        stage.tell(wheel(kind)).wait(500);
    }
    assert!(stage.orders().is_empty());
}

#[test]
fn a_frozen_view_stands_still_and_a_dialog_thaws_it() {
    let mut stage = stage(Risk::Medium);
    stage.press("A").press("p");
    let mut changed = world(Risk::Medium);
    changed.incidents.clear();
    changed.seq += 1;
    stage.tell(Msg::Snapshot(std::sync::Arc::new(changed)));
    assert!(stage.screen().contains("FROZEN") && stage.screen().contains("INC-0038"));
    stage.tell(Msg::Snapshot(std::sync::Arc::new(world(Risk::Medium)))).press("a");
    assert!(!stage.console.desk.frozen);
}

#[test]
fn the_clock_runs_only_while_something_depends_on_it() {
    let calm = Stage::new(SIZE, example::empty());
    assert!(!calm.console.wants_ticks());
    assert!(stage(Risk::Low).console.wants_ticks(), "an open incident gets older");
    let mut same = Stage::new(SIZE, example::empty());
    same.console.take_dirty();
    let mut again = example::empty();
    again.at += chrono::TimeDelta::seconds(1);
    same.tell(Msg::Snapshot(std::sync::Arc::new(again)));
    assert_eq!(same.console.take_dirty(), Dirty::Clean, "nothing that is shown changed");
}

#[test]
fn a_terminal_that_is_too_small_only_quits() {
    let mut stage = Stage::new((39, 9), world(Risk::Low));
    for name in ["A", "a", "y", "C", "i", "enter"] {
        stage.wait(1_000).press(name);
    }
    assert!(stage.orders().is_empty());
    assert!(stage.screen().starts_with("terminal 39x9 is too small"));
    stage.press("q");
    assert_eq!(stage.effects.last(), Some(&Effect::Quit));
}

/// Every key that does something, and the target's name typed as one step.
fn alphabet() -> Vec<&'static str> {
    let mut keys: Vec<&str> =
        keymap::ALL.iter().flat_map(|binding| binding.keys.iter().copied()).collect();
    keys.extend(["y", "Y", "redis-test", "backspace"]);
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_keys_approve_but_a_then_the_name(
        steps in prop::collection::vec((0usize..200, 0u64..1_500), 1..9),
        risk in prop::sample::select(vec![Risk::Medium, Risk::High, Risk::Destructive]),
    ) {
        let alphabet = alphabet();
        let mut stage = stage(risk);
        stage.press("A");
        let mut held_a = false;
        let mut may = false;
        for (index, gap) in steps {
            let step = alphabet[index % alphabet.len()];
            stage.wait(gap);
            if step == "redis-test" {
                stage.write(step);
                may |= held_a;
            } else {
                stage.press(step);
                held_a |= step == "a";
            }
        }
        if !may {
            let orders = stage.orders();
            prop_assert_eq!(approval(&orders), None);
        }
        let injected = stage.orders().iter().any(|order| matches!(order, Command::Inject { .. }));
        prop_assert!(!injected, "nothing is injected by stray keys");
    }

    #[test]
    fn any_size_draws_every_screen(columns in 1u16..210, rows in 1u16..60, worst in any::<bool>(), ascii in any::<bool>()) {
        let snapshot = if worst { example::worst() } else { example::normal() };
        let mut stage = Stage::plain((columns, rows), ascii, snapshot);
        stage.press("A");
        for screen in 0..stage.console.screens.len() {
            stage.press(&(screen + 1).to_string());
            let text = stage.screen();
            prop_assert!(!ascii || text.is_ascii(), "{}", text);
            if columns >= 40 && rows >= 8 {
                prop_assert!(text.contains("? help  q quit"), "{}", text);
            }
        }
        stage.press("a").wait(800).write("redis");
        let text = stage.screen();
        prop_assert!(!ascii || text.is_ascii(), "{}", text);
        for overlay in ["i", "?", ":"] {
            stage.press("esc").press("esc").press(overlay);
            stage.screen();
        }
    }
}
