//! Pager, editor and files: the terminal is lent and taken back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use super::tty::{NOBODY, Place};

/// A program in the place that does what the script says.
fn script(place: &Path, name: &str, text: &str) -> String {
    let path = place.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("write the script");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("make it run");
    path.display().to_string()
}

#[test]
fn the_pager_gets_a_private_file_and_a_usable_terminal() {
    let place = Place::with(NOBODY);
    let look = "stty -a | tr ';' '\\n' > settings; stat -c '%a %n' \"$3\" > file; cat \"$3\"; \
        echo paging \"$1 $2\"; read line";
    let pager = script(place.path(), "pager", look);
    let place = place.env("PAGER", format!("{pager} -x 'two words'"));
    let mut tty = place.console(&[]);
    tty.wait_for("report written");
    tty.key("o");
    tty.wait("the pager", |tty| !tty.is_full_screen());
    tty.wait_for("paging -x two words");
    assert!(tty.screen().contains("report written"), "the text is there: {}", tty.screen());
    // Ctrl-c is the pager's own business.
    tty.signal(Signal::INT);
    tty.send(b"\r");
    tty.wait("the console", |tty| tty.is_full_screen() && tty.screen().contains("nobody"));
    let settings = std::fs::read_to_string(place.path().join("settings")).unwrap();
    assert!(settings.contains(" icanon") && !settings.contains("-icanon"), "{settings}");
    let file = std::fs::read_to_string(place.path().join("file")).unwrap();
    let (mode, path) = file.trim().split_once(' ').expect("mode and name");
    assert_eq!(mode, "600");
    tty.wait("the file is gone", |_| !Path::new(path).exists());
    tty.key("q");
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();
}

#[test]
fn a_pager_that_is_not_there_is_named_with_what_to_set() {
    let place = Place::with(NOBODY).env("PAGER", "no-such-pager");
    let mut tty = place.console(&[]);
    tty.wait_for("nobody");
    tty.key("o");
    tty.wait_for("set $PAGER");
    assert!(tty.is_full_screen());
    tty.key("q");
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();
}

#[test]
fn sigterm_ends_the_editor_too() {
    let place = Place::with(NOBODY);
    let editor = script(place.path(), "editor", "echo editing; exec sleep 600");
    let place = place.env("EDITOR", editor);
    let mut tty = place.console(&[]);
    tty.wait_for("nobody");
    tty.key("O");
    tty.wait_for("editing");
    tty.signal(Signal::TERM);
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();
    let scratch = std::fs::read_dir(place.state_dir().join("scratch")).unwrap().count();
    assert_eq!(scratch, 0, "what it edited is gone");
}

#[test]
fn files_are_private_and_their_path_is_told() {
    let place = Place::with(NOBODY);
    let mut tty = place.console(&["--ascii"]);
    tty.wait_for("nobody");
    tty.key("ctrl-s");
    tty.wait_for("written to");
    let exports = place.state_dir().join("exports");
    let files: Vec<_> =
        std::fs::read_dir(&exports).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for path in &files {
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("simctl") && text.contains("nobody"), "{text}");
        let is_plain = path.extension().is_some_and(|end| end == "txt");
        assert_eq!(text.contains('\x1b'), !is_plain, "{}", path.display());
    }
    tty.key("q");
    assert_eq!(tty.ends(), 0);
}
