//! The keys of the player, and that every stored recording ends in its stored screen.

use super::*;
use crate::tui::example;
use crate::tui::message::Msg;
use crate::tui::recorder::tests::Recorded;

/// A person looks, filters, and opens the approval; 100 ms between keys.
fn story() -> Recorded {
    let mut recorded = Recorded::new((80, 24), false);
    recorded.stage.wait(1_000);
    recorded.tell(Msg::Snapshot(std::sync::Arc::new(example::normal())));
    for key in ["/", "s", "e", "v", ":", "c", "r", "i", "t", "enter", "g", "a"] {
        recorded.press(key);
    }
    recorded
}

fn player() -> Player {
    Player::new(Recording::parse(&story().recorder.text().0).unwrap())
}

fn shown(player: &Player, size: (u16, u16)) -> String {
    example::drawn(size, |area, buf| player.draw(area, buf))
}

fn last_line(player: &Player) -> String {
    shown(player, (120, 25)).lines().last().unwrap().trim().to_owned()
}

#[test]
fn it_plays_as_fast_as_it_was_and_stops_where_it_is_told() {
    let mut player = player();
    assert_eq!(player.due_us(), Some(1_000_000));
    assert!(!player.pass(999_999), "nothing is due yet");
    assert!(player.pass(1), "the snapshot");
    assert_eq!(player.due_us(), Some(100_000));
    player.key("+");
    assert_eq!(player.due_us(), Some(50_000), "twice as fast");
    player.pass(50_000);
    player.key("space");
    assert_eq!((player.due_us(), player.pass(60_000_000)), (None, false), "it stands still");
    assert!(last_line(&player).starts_with("replay 0:01.1 of 0:02.2  2/13  2x  stopped"));
    player.key("space");
    player.pass(60_000_000);
    assert!(last_line(&player).contains("13/13  2x  over"), "{}", last_line(&player));
}

#[test]
fn it_steps_and_jumps_back_and_forth() {
    let mut player = player();
    player.key(".");
    player.key(".");
    assert!(last_line(&player).starts_with("replay 0:01.1 of 0:02.2  2/13  1x  stopped"));
    assert!(shown(&player, (80, 25)).contains("filter"), "a filter is being typed");
    for key in ["/", "1", ".", "0", "5", "enter"] {
        player.key(key);
    }
    assert!(
        last_line(&player).starts_with("replay 0:01.0 of 0:02.2  1/13"),
        "{}",
        last_line(&player)
    );
    for key in ["/", "0", ":", "0", "2", ".", "1", "enter"] {
        player.key(key);
    }
    assert!(last_line(&player).contains("12/13"), "{}", last_line(&player));
    player.key("end");
    let there = shown(&player, (80, 25));
    player.key("home");
    assert_ne!(shown(&player, (80, 25)), there);
    player.key("end");
    assert_eq!(shown(&player, (80, 25)), there, "going back and forth changes nothing");
    for key in ["/", "x", "enter"] {
        player.key(key);
    }
    assert_eq!(last_line(&player), "`x` is no time; write 90 or 1:30");
}

#[test]
fn keys_of_the_player_never_reach_the_console() {
    let mut player = Player::at_end(Recording::parse(&story().recorder.text().0).unwrap());
    let before = example::text_of(&player.screen());
    for key in ["y", "enter", "r", "esc", "a", "1", "x"] {
        assert_eq!(player.key(key), Then::Stay);
    }
    assert_eq!(example::text_of(&player.screen()), before);
    assert_eq!(player.key("q"), Then::Quit);
}

#[test]
fn a_smaller_terminal_shows_what_fits() {
    let player = Player::at_end(Recording::parse(&story().recorder.text().0).unwrap());
    let text = shown(&player, (100, 12));
    assert!(text.contains("cut from 80x24"), "{text}");
    for size in [(1, 1), (0, 0), (200, 60), (80, 1)] {
        shown(&player, size);
    }
}

#[test]
fn times_are_read_as_people_write_them() {
    for (text, ms) in [("90", 90_000), ("1:30", 90_000), ("0:00.5", 500), ("2.25", 2_250), ("0", 0)]
    {
        assert_eq!(time(text), Some(ms), "{text}");
    }
    for text in ["", ":", "-1", "1:2:3", "x", "1.x"] {
        assert_eq!(time(text), None, "{text}");
    }
}

const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings");

#[test]
fn every_stored_recording_ends_in_its_stored_screen() {
    let mut names = 0;
    for entry in std::fs::read_dir(STORED).unwrap() {
        let path = entry.unwrap().path();
        let player = Player::at_end(Recording::read(&path).unwrap());
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        insta::assert_snapshot!(format!("stored__{name}"), example::text_of(&player.screen()));
        names += 1;
    }
    assert!(names > 0);
}
