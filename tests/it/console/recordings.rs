//! The console remembers where the person was, records what reached it, and shows that again.

use super::tty::{NOBODY, Place};

#[test]
fn what_was_recorded_is_played_without_an_engine() {
    let place = Place::with(NOBODY);
    let mut tty = place.console(&["--record", "all.jsonl"]);
    tty.wait_for("nobody");
    tty.key("/");
    tty.type_slowly("sev:low");
    tty.wait_for("sev:low");
    tty.key("enter");
    tty.key("q");
    assert_eq!(tty.ends(), 0);

    let mut again = place.console(&["--record", "all.jsonl"]);
    assert_eq!(again.ends(), 1, "a recording is never overwritten");
    again.wait_for("name a file that is not there yet");

    let mut replay = place.tty(
        &[env!("CARGO_BIN_EXE_simctl"), "--config", "simctl.toml", "tui", "--replay", "all.jsonl"],
        (120, 25),
    );
    replay.wait_for("replay 0:0");
    assert!(!place.state_dir().join("control.sock").exists(), "there is no engine");
    replay.key(" ");
    replay.wait_for("stopped");
    for key in ["/", "9", "9", "9", "enter"] {
        replay.key(key);
    }
    replay.wait_for("over");
    replay.wait_for("filter:sev:low");
    replay.key("q");
    assert_eq!(replay.ends(), 0);
    replay.assert_restored();
}

#[test]
fn the_next_console_opens_where_the_last_one_was_left() {
    let place = Place::with(NOBODY);
    let mut tty = place.console(&[]);
    tty.wait_for("nobody");
    tty.key("3");
    tty.wait_for("[3 Aud");
    tty.key("q");
    assert_eq!(tty.ends(), 0);

    let mut next = place.console(&[]);
    next.wait_for("[3 Aud");
    next.wait_for("started");
    next.key("q");
    assert_eq!(next.ends(), 0);

    let mut fresh = place.console(&["--fresh"]);
    fresh.wait_for("nobody");
    assert!(fresh.screen().contains("[1 Ove"), "{}", fresh.screen());
    fresh.key("q");
    assert_eq!(fresh.ends(), 0);

    std::fs::write(place.state_dir().join("tui.json"), "{").expect("break it");
    let mut broken = place.console(&[]);
    broken.wait_for("the saved view is broken");
    broken.key("q");
    assert_eq!(broken.ends(), 0);
    assert!(place.state_dir().join("tui.json.broken").exists());
}

#[test]
fn a_mistake_in_the_file_is_told_before_the_screen_opens() {
    let place = Place::with(NOBODY);
    let folder = place.path().join(".config/simctl");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("tui.toml"), "[keys]\nstop = [\"s\"]\n").expect("write it");
    let mut tty = place.console(&[]);
    assert_eq!(tty.ends(), 2);
    tty.wait_for("tui.toml:2: `keys.stop`:");
    assert!(!String::from_utf8_lossy(&tty.bytes()).contains("\x1b[?1049h"), "it never opened");
    assert!(!place.state_dir().exists(), "nothing was started");
}

#[test]
fn a_panic_leaves_a_recording_and_says_how_to_see_it() {
    let place = Place::with(NOBODY).env("SIMCTL_TEST_PANIC", "task");
    let mut tty = place.console(&[]);
    assert_eq!(tty.ends(), 101);
    tty.assert_restored();
    tty.wait_for("shows what led to it");
    let left = std::fs::read_dir(place.state_dir()).expect("it is there");
    let names = left.map(|one| one.expect("an entry").file_name().display().to_string());
    assert_eq!(names.filter(|name| name.starts_with("panic-")).count(), 1);
}
