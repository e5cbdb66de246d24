//! What keys and answers do on the database screen.

use crate::domain::effect::{Accepted, Command, Refused};
use crate::inspect::Grade;
use crate::tui::console::testing::Stage;
use crate::tui::example;
use crate::tui::inspected::example as seen;
use crate::tui::message::{Answer, Effect, Msg, Question};

/// On the screen, with the size of a comfortable terminal.
fn stage() -> Stage {
    let mut stage = Stage::new((100, 24), example::empty());
    stage.press("5");
    stage
}

/// The questions asked so far: number, target, word.
fn asked(stage: &Stage) -> Vec<(u64, String, String)> {
    let asked = stage.effects.iter().filter_map(|effect| match effect {
        Effect::Ask { question, what: Question::Inspect { target, verb } } => {
            Some((*question, target.to_string(), verb.clone()))
        }
        _ => None,
    });
    asked.collect()
}

/// Answers the newest question.
fn answer(stage: &mut Stage, seen: crate::tui::inspected::Inspected) {
    let (question, target, verb) = asked(stage).pop().expect("something was asked");
    let target = target.as_str().into();
    let result = Ok(Answer::Inspected { target, verb, seen: Box::new(seen) });
    stage.tell(Msg::Answered { question, result });
}

/// At the question about sessions, answered, with the answer in focus.
fn with_sessions() -> Stage {
    let mut stage = stage();
    stage.press("j");
    answer(&mut stage, seen::sessions());
    stage.press("enter");
    stage
}

#[test]
fn only_what_is_looked_at_is_asked_and_nothing_from_elsewhere() {
    let mut stage = stage();
    let first = [(asked(&stage)[0].0, "postgres-test".into(), "health".into())];
    assert_eq!(asked(&stage), first, "the first question about the first PostgreSQL");
    stage.wait(9_000).tell(Msg::Tick);
    assert_eq!(asked(&stage).len(), 1, "one at a time");
    answer(&mut stage, seen::sessions());
    stage.wait(4_000).tell(Msg::Tick);
    assert_eq!(asked(&stage).len(), 1, "still fresh");
    stage.wait(2_000).tell(Msg::Tick);
    assert_eq!(asked(&stage).len(), 2, "and again");
    answer(&mut stage, seen::sessions());
    stage.press("1").wait(60_000).tell(Msg::Tick);
    assert_eq!(asked(&stage).len(), 2, "nobody looks");
    assert!(stage.console.screen().is_none_or(|screen| screen.title() != "Database"));
}

#[test]
fn another_target_has_its_own_questions() {
    let mut stage = stage();
    stage.press("}");
    let last = asked(&stage).pop().unwrap();
    assert_eq!((last.1.as_str(), last.2.as_str()), ("redis-test", "memory"));
    stage.press("{");
    assert_eq!(asked(&stage).pop().unwrap().1, "postgres-test");
}

#[test]
fn a_key_proposes_for_the_row_in_hand_and_changes_nothing_itself() {
    let mut stage = with_sessions();
    stage.press("j").press("K");
    let [Command::Propose { target, action, args, .. }] = &stage.orders()[..] else {
        panic!("{:?}", stage.orders())
    };
    assert_eq!((target.as_str(), action.as_str()), ("postgres-test", "terminate_query"));
    assert_eq!(args["session"]["pid"], 22);
}

#[test]
fn what_does_not_fit_a_row_says_why() {
    let mut stage = with_sessions();
    stage.press("v");
    assert!(stage.orders().is_empty());
    assert!(stage.screen().contains("vacuum_table does not fit this row"), "{}", stage.screen());
    stage.console.desk.settings.read_only = true;
    stage.press("K");
    assert!(stage.orders().is_empty());
    assert!(stage.screen().contains("read-only"), "{}", stage.screen());
}

#[test]
fn enter_lists_what_fits_and_a_held_key_chooses_nothing() {
    let mut stage = with_sessions();
    stage.press("enter");
    assert_eq!(stage.console.overlay(), Some("remedies"));
    stage.press("enter");
    assert!(stage.orders().is_empty(), "too soon");
    stage.wait(500).press("j").press("enter");
    let [Command::Propose { action, .. }] = &stage.orders()[..] else { panic!("one order") };
    assert_eq!(*action, "terminate_query");
    assert_eq!(stage.console.overlay(), None);
}

#[test]
fn a_new_answer_moves_nothing() {
    let mut stage = with_sessions();
    stage.press("j");
    stage.wait(6_000).tell(Msg::Tick);
    let mut other = seen::sessions();
    seen::reverse(&mut other);
    answer(&mut stage, other);
    stage.press("K");
    let [Command::Propose { args, .. }] = &stage.orders()[..] else { panic!("one order") };
    assert_eq!(args["session"]["pid"], 22, "the same session, wherever it stands now");
}

#[test]
fn a_filter_and_an_order_change_what_is_listed_only() {
    let mut stage = with_sessions();
    stage.press("/").write("report").press("enter");
    let screen = stage.screen();
    assert!(screen.contains("/report") && screen.contains("33"), "{screen}");
    assert!(!screen.contains("orders-web"), "{screen}");
    stage.press("esc");
    assert!(stage.screen().contains("orders-web"));
    // By pid, then downwards.
    stage.press("s").press("S");
    let screen = stage.screen();
    let place = |text: &str| screen.find(text).unwrap_or_else(|| panic!("{text}: {screen}"));
    assert!(place("orders-web") < place("report"), "{screen}");
}

#[test]
fn the_incident_of_a_request_is_taken_in_hand() {
    let mut stage = with_sessions();
    stage.press("K");
    let order = stage.console.desk.numbered();
    let accepted =
        Accepted { message: "INC-0042 waits".into(), incident: Some(42), injection: None };
    stage.tell(Msg::Replied { order, result: Ok(accepted) });
    assert_eq!(stage.console.desk.selected, None, "it is not known yet");
    stage.tell(Msg::Snapshot(std::sync::Arc::new(example::normal())));
    let selected = stage.console.desk.selected().map(|incident| incident.number);
    assert_eq!(selected, Some(42));
    stage.press("a");
    assert_eq!(stage.console.overlay(), Some("approve"));
}

#[test]
fn a_refusal_is_said_and_nothing_is_taken_in_hand() {
    let mut stage = with_sessions();
    stage.press("K");
    let order = stage.console.desk.numbered();
    let refused = Refused::because("terminate_query on postgres-test: pid 11 is gone");
    stage.tell(Msg::Replied { order, result: Err(refused) });
    assert!(stage.screen().contains("pid 11 is gone"));
    assert_eq!(stage.console.desk.selected, None);
}

#[test]
fn what_cannot_be_asked_says_so_and_is_tried_again() {
    let mut stage = stage();
    let (question, ..) = asked(&stage)[0];
    let result = Err("the configuration of this console does not know postgres-test".to_owned());
    stage.tell(Msg::Answered { question, result });
    assert!(stage.wait(4_000).screen().contains("does not know postgres-test"));
    stage.wait(11_000).tell(Msg::Tick);
    assert_eq!(asked(&stage).len(), 2);
}

#[test]
fn the_parts_of_an_answer_follow_each_other_and_end_with_the_findings() {
    let mut stage = with_sessions();
    assert!(stage.screen().contains("Sessions that are not idle 1/3"), "{}", stage.screen());
    stage.press("]");
    let screen = stage.screen();
    assert!(screen.contains("timed out") && screen.contains("ask again"), "{screen}");
    stage.press("]");
    assert!(stage.screen().contains("Findings 3/3"), "{}", stage.screen());
    assert!(stage.screen().contains(Grade::Warn.as_str()));
    stage.press("]");
    assert!(stage.screen().contains("1/3"), "around");
}
