//! Every way out leaves the terminal as it was; every way in shows something at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::fake;
use super::tty::{NOBODY, Place, Tty};
use crate::crash::bench::said;

/// A console over its own engine, with its target on the screen.
fn open(place: &Place) -> Tty {
    let tty = place.console(&[]);
    tty.wait_for("nobody");
    assert!(tty.is_full_screen());
    tty
}

#[test]
fn quitting_restores_the_terminal_and_stops_the_engine() {
    let place = Place::with(NOBODY);
    let mut tty = open(&place);
    let socket = place.state_dir().join("control.sock");
    assert!(socket.exists(), "others can reach the engine");
    tty.key("q");
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();
    tty.wait_for("still open: INC-0001");
    assert!(!socket.exists(), "the engine ended with the console");
}

#[test]
fn ctrl_c_once_stays_and_twice_quits() {
    let place = Place::with(NOBODY);
    let mut tty = open(&place);
    tty.key("ctrl-c");
    tty.wait_for("ctrl-c again within 1 s quits");
    tty.key("ctrl-c");
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();
}

#[test]
fn letters_go_into_an_open_prompt_and_ctrl_c_ends_only_that() {
    let place = Place::with(NOBODY);
    let mut tty = open(&place);
    tty.wait_for("INC-0001");
    tty.key("/");
    tty.type_slowly("quiz");
    tty.wait_for("quiz");
    tty.wait_for("No incident passes this filter");
    tty.key("ctrl-c");
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(tty.is_full_screen(), "one ctrl-c does not quit");
    tty.signal(Signal::TERM);
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();
}

#[test]
fn signals_end_it_in_order() {
    for (signal, name) in
        [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT"), (Signal::QUIT, "SIGQUIT")]
    {
        let place = Place::with(NOBODY);
        let mut tty = open(&place);
        tty.signal(signal);
        assert_eq!(tty.ends(), 0, "{name}");
        tty.assert_restored();
        tty.wait_for(&format!("stopped by {name}"));
    }
}

#[test]
fn a_hang_up_sent_by_hand_restores_and_a_real_one_just_ends() {
    let place = Place::with(NOBODY);
    let mut tty = open(&place);
    tty.signal(Signal::HUP);
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();

    let mut tty = open(&place);
    tty.hang_up();
    assert_eq!(tty.ends(), 1);
    let trail = said(
        std::process::Command::new(env!("CARGO_BIN_EXE_simctl"))
            .args(["--config", "simctl.toml", "audit", "verify"])
            .current_dir(place.path())
            .env("SIMCTL_STATE_DIR", place.state_dir()),
    );
    assert_eq!(trail.code, 0, "the engine was stopped in order: {trail:?}");
    assert!(!place.state_dir().join("control.sock").exists());
}

#[test]
fn a_panic_anywhere_restores_the_terminal_and_says_where_the_log_is() {
    let place = Place::with(NOBODY).env("SIMCTL_TEST_PANIC", "task");
    let mut tty = place.console(&[]);
    assert_eq!(tty.ends(), 101);
    tty.assert_restored();
    tty.wait_for("a part of simctl failed");
    tty.wait_for("a task fell over, as the test wanted");
    tty.wait_for("the log is in");
    let log = std::fs::read_dir(place.state_dir().join("log")).unwrap().next().unwrap().unwrap();
    let log = std::fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("a task fell over"), "{log}");
}

#[test]
fn what_cannot_be_set_up_is_said_on_the_screen_until_q() {
    let place = Place::with("[lab]\nenabled = false\n");
    let mut tty = place.console(&[]);
    tty.wait_for("there is nothing to watch");
    tty.wait_for("simctl up");
    assert!(tty.is_full_screen());
    tty.key("q");
    assert_eq!(tty.ends(), 1);
    tty.assert_restored();
    tty.wait_for("there is nothing to watch");
}

#[test]
fn the_first_frame_and_q_wait_for_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().unwrap().port();
    let store = format!("postgres://u@127.0.0.1:{port}/records");
    let place = Place::with(&NOBODY.replace("sqlite:records.db", &store));
    let mut tty = place.console(&[]);
    tty.wait_for("starting");
    // What is typed while the terminal is asked about itself is thrown away.
    tty.wait_until_quiet(Duration::from_millis(300));
    let began = Instant::now();
    tty.key("q");
    assert_eq!(tty.ends(), 0);
    assert!(began.elapsed() < Duration::from_secs(2), "it waited for the store");
    tty.assert_restored();
}

#[test]
fn ctrl_z_and_fg_ten_times() {
    let place = Place::with(NOBODY);
    let mut tty = place.tty(&["bash", "--noprofile", "--norc", "-i"], (80, 24));
    tty.wait_for("prompt> ");
    let at_prompt = tty.settings();
    let binary = env!("CARGO_BIN_EXE_simctl");
    tty.send(format!("clear; {binary} --config simctl.toml tui\r").as_bytes());
    tty.wait("the console", |tty| tty.is_full_screen() && tty.screen().contains("nobody"));
    for round in 1..=10 {
        tty.key("ctrl-z");
        tty.wait("the shell", |tty| !tty.is_full_screen() && tty.screen().contains("Stopped"));
        tty.wait("the shell's settings", |tty| tty.settings() == at_prompt);
        tty.send(b"clear\r");
        tty.wait("a clear screen", |tty| !tty.screen().contains("Stopped"));
        let length = tty.bytes().len();
        tty.send(b"fg\r");
        tty.wait(&format!("the whole frame again, round {round}"), |tty| {
            let since = String::from_utf8_lossy(&tty.bytes()[length..]).into_owned();
            let frame = since.split_once("\x1b[2J").map_or("", |(_, frame)| frame);
            frame.contains("nobody") && frame.contains("quit") && frame.contains("\x1b[?2026l")
        });
        assert!(tty.is_full_screen());
    }
    tty.key("q");
    tty.wait_for("still open: INC-0001");
    tty.wait("the shell's settings", |tty| tty.settings() == at_prompt);
    assert!(!tty.is_full_screen());
}

#[test]
fn without_a_shell_ctrl_z_says_so_and_goes_on() {
    let place = Place::with(NOBODY);
    let mut tty = open(&place);
    tty.key("ctrl-z");
    tty.wait_for("no shell here");
    assert!(tty.is_full_screen());
    tty.key("q");
    assert_eq!(tty.ends(), 0);
}

#[test]
fn a_second_console_attaches_and_leaves_the_engine_alone() {
    let place = Place::with(NOBODY);
    let mut first = open(&place);
    let mut second = open(&place);
    second.key("q");
    assert_eq!(second.ends(), 0);
    second.assert_restored();
    second.wait_for("the engine goes on in another process");
    assert!(place.state_dir().join("control.sock").exists());
    let mut third = open(&place);
    first.key("q");
    assert_eq!(first.ends(), 0);
    third.wait_for("engine lost");
    third.key("q");
    assert_eq!(third.ends(), 0);
}

#[test]
fn no_terminal_is_one_sentence_that_names_the_way_out() {
    let place = Place::with(NOBODY);
    let said = said(
        std::process::Command::new(env!("CARGO_BIN_EXE_simctl"))
            .args(["--config", "simctl.toml", "tui"])
            .current_dir(place.path())
            .stdin(std::process::Stdio::null()),
    );
    assert_eq!(said.code, 2);
    assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    assert!(said.err.contains("simctl watch --plain"), "{}", said.err);
    let place = place.env("TERM", "dumb");
    let mut tty = place.console(&[]);
    assert_eq!(tty.ends(), 2);
    tty.wait_for("simctl watch --plain");
    assert!(!tty.bytes().contains(&0x1b), "a dumb terminal gets no escape sequence");
}

#[test]
fn a_resize_is_drawn_and_an_answer_that_comes_late_is_no_key() {
    let place = Place::with(&fake::watched());
    let mut tty = place.console(&[]);
    tty.wait_for("calm");
    tty.resize(100, 30);
    tty.wait("the wide header", |tty| tty.screen().contains("read-write"));
    tty.wait_until_quiet(Duration::from_secs(2));
    let (before, length) = (tty.screen(), tty.bytes().len());
    tty.send(b"\x1b]11;rgb:ffff/ffff/cccc\x1b\\");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((tty.screen(), tty.bytes().len()), (before, length));
    tty.key("q");
    assert_eq!(tty.ends(), 0);
}

#[test]
fn idle_means_not_one_byte() {
    let place = Place::with("[lab]\nenabled = false\n");
    let tty = place.console(&[]);
    tty.wait_for("there is nothing to watch");
    tty.wait_until_quiet(Duration::from_secs(1));
    let length = tty.bytes().len();
    std::thread::sleep(Duration::from_secs(10));
    let more = String::from_utf8_lossy(&tty.bytes()[length..]).into_owned();
    assert_eq!(more, "", "written while nothing happened");
}

#[test]
fn samples_that_say_the_same_are_hardly_drawn() {
    let place = Place::with(&fake::watched());
    let tty = place.console(&[]);
    tty.wait_for("calm");
    tty.wait_for("ok");
    tty.wait_until_quiet(Duration::from_millis(700));
    let length = tty.bytes().len();
    std::thread::sleep(Duration::from_secs(5));
    let more = String::from_utf8_lossy(&tty.bytes()[length..]).into_owned();
    // Some forty samples came meanwhile; only how long a probe took may have changed.
    let frames = more.matches("\x1b[?2026h").count();
    assert!(frames <= 10, "{frames} frames: {more}");
}

#[test]
fn colours_and_characters_follow_the_environment() {
    let escapes = |tty: &Tty| {
        let text = String::from_utf8_lossy(&tty.bytes()).into_owned();
        let colour = |part: &str| {
            let end = part.find('m').unwrap_or(0);
            part[..end].split(';').any(|n| matches!(n, "38" | "48" | "31" | "32" | "33"))
        };
        text.split("\x1b[").any(colour)
    };
    let place = Place::with(NOBODY).env("NO_COLOR", "1");
    let tty = open(&place);
    assert!(!escapes(&tty), "NO_COLOR");
    drop(tty);
    let tty = place.console(&["--color", "always"]);
    tty.wait_for("nobody");
    assert!(escapes(&tty), "--color always wins");
    drop(tty);
    let place = Place::with(NOBODY).env("LC_ALL", "C");
    let tty = open(&place);
    assert!(escapes(&tty));
    assert!(tty.bytes().is_ascii(), "{}", tty.screen());
}
