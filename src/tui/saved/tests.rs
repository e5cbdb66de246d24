//! What survives quitting, and what does not.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::tui::console::testing::Stage;
use crate::tui::example;

const SIZE: (u16, u16) = (120, 35);

fn left() -> Stage {
    let mut stage = Stage::new(SIZE, example::normal());
    stage.press("s").press("s").press("S").press("/").write("sev:crit").press("enter");
    stage.press("space");
    stage
}

#[test]
fn screen_filter_sort_and_zoom_come_back() {
    let mut stage = left();
    stage.press("2").press("z");
    let saved = stage.console.save();
    let mut next = Stage::new(SIZE, example::empty());
    next.console.restore(&saved);
    next.tell(crate::tui::message::Msg::Snapshot(std::sync::Arc::new(example::normal())));
    assert_eq!(next.console.screen().unwrap().title(), "Incident");
    assert!(next.console.desk.zoomed);
    assert_eq!(next.console.save(), saved);
    next.press("1");
    stage.press("1");
    let ids = |stage: &Stage| {
        let screen = stage.screen();
        let names =
            screen.lines().filter_map(|line| Some(line.split_once("INC-")?.1[..4].to_owned()));
        names.take(2).collect::<Vec<_>>()
    };
    assert!(stage.screen().contains("sev:crit"), "{}", stage.screen());
    assert!(next.screen().contains("sev:crit"), "{}", next.screen());
    assert_eq!(ids(&next), ids(&stage), "in the same order");
    assert_eq!(ids(&next), ["0038", "0042"]);
}

#[test]
fn marks_dialogs_typed_text_and_permission_do_not() {
    let mut stage = Stage::new(SIZE, example::normal());
    let bare = stage.console.save();
    stage.press("space");
    assert_eq!(stage.console.save(), bare, "a mark");
    stage.press("/").write("half a fil");
    assert!(stage.screen().contains("half a fil"), "{}", stage.screen());
    let typing = serde_json::to_string(&stage.console.save()).unwrap();
    assert!(!typing.contains("half a fil"), "{typing}");
    stage.press("esc").press("a");
    assert!(stage.console.overlay().is_some());
    assert_eq!(stage.console.save().screen, bare.screen);
    let fields = serde_json::to_value(stage.console.save()).unwrap();
    let names: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["screen", "screens", "zoomed"]);
}

#[test]
fn a_state_of_another_version_is_taken_as_far_as_it_goes() {
    let mut stage = Stage::new(SIZE, example::normal());
    let text = r#"{"screen": "Holodeck", "new": 1, "screens": {"Overview": {"sort": "colour"}}}"#;
    stage.console.restore(&serde_json::from_str(text).unwrap());
    assert_eq!(stage.console.screen().unwrap().title(), "Overview");
}

#[test]
fn it_is_written_whole_and_private_and_read_back() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(load(temp.path()), (None, None), "the first time there is nothing");
    let saved = left().console.save();
    store(temp.path(), &Saved::default()).unwrap();
    store(temp.path(), &saved).unwrap();
    assert_eq!(load(temp.path()), (Some(saved), None));
    let names: Vec<_> =
        std::fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["tui.json"], "nothing is left beside it");
    let mode = std::fs::metadata(temp.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_broken_file_is_set_aside_and_told() {
    let temp = tempfile::tempdir().unwrap();
    for text in ["{", "[1]", "{\"zoomed\": \"very\"}", "\u{0}"] {
        std::fs::write(temp.path().join(FILE), text).unwrap();
        let (saved, said) = load(temp.path());
        assert_eq!(saved, None, "{text}");
        let said = said.unwrap();
        assert!(said.contains("set aside as") && said.contains("tui.json.broken"), "{said}");
        assert!(!temp.path().join(FILE).exists());
        assert_eq!(std::fs::read_to_string(temp.path().join("tui.json.broken")).unwrap(), text);
    }
}
