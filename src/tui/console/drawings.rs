//! The whole console drawn at the usual sizes: what a person sees on each screen, in each world.

use std::sync::Arc;

use super::testing::Stage;
use crate::domain::event::{EventBody, Head};
use crate::domain::execution::{Output, Phase, PhaseLine};
use crate::domain::ids::ExecutionId;
use crate::engine::handle::Snapshot;
use crate::report::example as story;
use crate::tui::desk::Desk;
use crate::tui::example;
use crate::tui::inspected::example as answers;
use crate::tui::message::{Answer, Link, Msg};

const SIZES: [(u16, u16); 5] = [(80, 24), (120, 35), (200, 50), (60, 16), (40, 8)];

type World = (&'static str, fn() -> Snapshot);
const WORLDS: [World; 3] =
    [("empty", example::empty), ("normal", example::normal), ("worst", example::worst)];

/// A console that has heard the example's log.
fn stage(size: (u16, u16), ascii: bool, snapshot: Snapshot) -> Stage {
    let mut stage = Stage::plain(size, ascii, snapshot);
    for sealed in log() {
        stage.tell(Msg::Event(sealed));
    }
    stage
}

/// What the agent said about the incident that waits.
fn log() -> Vec<Arc<crate::domain::event::Sealed>> {
    let execution = ExecutionId(uuid::Uuid::from_u128(4));
    let say = |phase, text: &str| EventBody::Phase { execution, line: PhaseLine::say(phase, text) };
    let output = Output {
        exit_code: Some(0),
        stdout: "used_memory_human:49.91M\nmaxmemory_human:50.00M".into(),
        stderr: "warning: \u{1b}[31mred\u{1b}[0m".into(),
        duration_ms: 15,
    };
    let answer = PhaseLine { output: Some(output), ..PhaseLine::say(Phase::Result, "") };
    let bodies = [
        (
            350,
            "detector",
            EventBody::IncidentOpened {
                incident: Box::new(story::waiting().0),
                finding: story::finding(),
            },
        ),
        (
            500,
            "agent",
            say(
                Phase::Thinking,
                "Writes are refused, reads answer; maxmemory is the recorded 50 MB, so it was not lowered.",
            ),
        ),
        (600, "agent", say(Phase::Command, "redis-cli INFO memory   [read-only]")),
        (615, "agent", EventBody::Phase { execution, line: answer }),
        (
            800,
            "agent",
            say(
                Phase::Thinking,
                "Cause leak-oom, confirmed: 91 % of the bytes lie under leak:* and none of those keys has a TTL.",
            ),
        ),
        (900, "agent", EventBody::Proposed { execution, proposal: Box::new(story::proposal()) }),
        (
            901,
            "agent",
            say(
                Phase::Command,
                "PROPOSAL 7f3a9c  1 action (unlink_keys), risk medium, waits for the operator",
            ),
        ),
    ];
    let mut head = Head::genesis();
    let sealed = bodies.map(|(ms, actor, body)| {
        let sealed = story::event(ms, actor, body).seal(&head);
        head = sealed.head();
        Arc::new(sealed)
    });
    sealed.into()
}

/// Draws at every size, and at the smallest comfortable one in ASCII.
fn draw(name: &str, make: impl Fn((u16, u16), bool) -> Stage) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let all = SIZES.map(|size| (size, false)).into_iter().chain([((80, 24), true)]);
    for (size, ascii) in all {
        let stage = make(size, ascii);
        let text = stage.screen();
        assert!(!ascii || text.is_ascii(), "{text}");
        let plain = if ascii { "_ascii" } else { "" };
        let (columns, rows) = size;
        settings.bind(|| insta::assert_snapshot!(format!("{name}_{columns}x{rows}{plain}"), text));
    }
}

#[test]
fn the_overview_in_every_world() {
    for (world, snapshot) in WORLDS {
        draw(&format!("overview__{world}"), |size, ascii| {
            let mut stage = stage(size, ascii, snapshot());
            if world == "normal" {
                stage.press("A");
            }
            stage
        });
    }
}

#[test]
fn the_incident_in_every_world() {
    for (world, snapshot) in WORLDS {
        draw(&format!("incident__{world}"), |size, ascii| {
            let mut stage = stage(size, ascii, snapshot());
            stage.press("A").press("2");
            if let Some(incident) = stage.console.desk.selected {
                let lines =
                    vec!["INC-0031 2026-01-31 10:02 redis-test fixed by unlink_keys, 1m52s".into()];
                let answer = Answer::Similar { incident, lines };
                stage.tell(Msg::Answered { question: 0, result: Ok(answer) });
            }
            stage
        });
    }
}

#[test]
fn the_facts_fill_the_screen_where_there_is_one_pane() {
    draw("incident__facts", |size, ascii| {
        let mut stage = stage(size, ascii, example::normal());
        stage.press("A").press("2").press("tab");
        stage
    });
}

#[test]
fn a_paused_log_counts_what_is_new() {
    draw("incident__paused", |size, ascii| {
        let mut stage = stage(size, ascii, example::normal());
        stage.press("A").press("2").press("k").press("k");
        stage
    });
}

#[test]
fn the_approval_dialog_while_the_name_is_typed() {
    draw("approve__typed", |size, ascii| {
        let mut stage = stage(size, ascii, example::normal());
        stage.press("A").press("2").press("a").wait(800).write("redis-te");
        stage
    });
}

#[test]
fn the_approval_dialog_after_the_engine_is_lost() {
    draw("approve__lost", |size, ascii| {
        let mut stage = stage(size, ascii, example::normal());
        stage.press("A").press("a").wait(800);
        let lost = Link::Lost { since: example::now().at, reason: "the engine has stopped".into() };
        stage.tell(Msg::Link(lost)).wait(4_000);
        stage
    });
}

#[test]
fn the_database_in_every_world() {
    type Make = fn() -> crate::tui::inspected::Inspected;
    let answers: [(&str, Option<Make>); 3] =
        [("empty", None), ("normal", Some(answers::sessions)), ("worst", Some(answers::worst))];
    for ((world, answer), (_, snapshot)) in answers.into_iter().zip(WORLDS) {
        draw(&format!("database__{world}"), |size, ascii| {
            let mut stage = Stage::plain(size, ascii, snapshot());
            stage.press("5").press("j");
            if let Some(answer) = answer {
                let question = stage.console.desk.numbered();
                let (target, verb) = ("postgres-test".into(), "performance".into());
                let seen = Box::new(answer());
                let answer = Answer::Inspected { target, verb, seen };
                stage
                    .tell(Msg::Answered { question, result: Ok(answer) })
                    .press("enter")
                    .press("j");
            }
            stage
        });
    }
}

#[test]
fn what_can_be_done_about_a_row() {
    draw("database__remedies", |size, ascii| {
        let mut stage = Stage::plain(size, ascii, example::empty());
        stage.press("5").press("j");
        let question = stage.console.desk.numbered();
        let (target, verb) = ("postgres-test".into(), "performance".into());
        let seen = Box::new(answers::sessions());
        let answer = Answer::Inspected { target, verb, seen };
        stage.tell(Msg::Answered { question, result: Ok(answer) }).press("enter").press("enter");
        stage
    });
}

#[test]
fn the_question_why_not() {
    draw("reject__typed", |size, ascii| {
        let mut stage = stage(size, ascii, example::normal());
        stage.press("A").press("r").wait(800).write("too broad, kill by address");
        stage
    });
}

#[test]
fn a_first_start_shows_what_is_being_set_up() {
    draw("overview__setting_up", |size, ascii| {
        let desk: Desk = example::desk(size, ascii);
        let mut stage = Stage { console: super::Console::new(desk), ms: 0, effects: Vec::new() };
        stage.tell(Msg::Link(Link::Starting));
        for line in [
            "no lab yet: creating one",
            "building a redis base from packages (no registry answered)",
            "making the image of redis-test",
            "starting redis-test on 127.0.0.1:6380",
        ] {
            stage.tell(Msg::Progress(line.into()));
        }
        stage
    });
}
