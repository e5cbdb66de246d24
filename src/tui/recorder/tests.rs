//! That a recording shows again what a person saw, stays within its limits, and tells no secret.

use std::os::unix::fs::PermissionsExt;

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use proptest::prelude::*;

use super::*;
use crate::domain::effect::{Accepted, Refused};
use crate::tui::console::testing::{Stage, key};
use crate::tui::example;
use crate::tui::message::Link;
use crate::tui::replay::Player;

/// A stage with a recorder beside it.
pub(crate) struct Recorded {
    pub(crate) stage: Stage,
    pub(crate) recorder: Recorder,
}

impl Recorded {
    pub(crate) fn new(size: (u16, u16), ascii: bool) -> Self {
        let stage = Stage::plain(size, ascii, example::empty());
        let recorder = Recorder::new(&stage.console, example::now(), Path::new("/nowhere"));
        Self { stage, recorder }
    }

    pub(crate) fn tell(&mut self, msg: Msg) {
        let now = example::later(self.stage.ms);
        assert_eq!(self.recorder.note(&msg, now, &self.stage.console), None);
        self.stage.tell(msg);
    }

    pub(crate) fn press(&mut self, name: &str) {
        self.stage.wait(100);
        self.tell(Msg::Key(key(name)));
    }

    pub(crate) fn player(&self) -> Player {
        Player::at_end(Recording::parse(&self.recorder.text().0).unwrap())
    }

    fn seen(&self) -> ratatui::buffer::Buffer {
        let (columns, rows) = self.stage.console.desk.size;
        let area = ratatui::layout::Rect::new(0, 0, columns, rows);
        let mut buf = ratatui::buffer::Buffer::empty(area);
        self.stage.console.draw(area, &mut buf);
        buf
    }
}

fn snapshot(number: usize) -> Msg {
    let mut snapshot = match number {
        0 => example::empty(),
        1 => example::normal(),
        _ => example::worst(),
    };
    snapshot.seq += number as u64;
    Msg::Snapshot(Arc::new(snapshot))
}

/// Everything that can reach the console, told to it after some time.
fn message() -> impl Strategy<Value = (u64, Msg)> {
    let names: Vec<_> = crate::tui::keymap::Keys::default()
        .iter()
        .map(|(key, _)| key.to_owned())
        .chain(["y", "enter", "backspace", "R", "é"].map(str::to_owned))
        .collect();
    let keys = proptest::sample::select(names).prop_map(|name| Msg::Key(key(&name)));
    let odd = (0u8..5).prop_map(|n| {
        let mut event = KeyEvent::new(KeyCode::Char('j'), KeyModifiers::ALT);
        match n {
            0 => event.modifiers = KeyModifiers::SHIFT,
            1 => event.kind = KeyEventKind::Repeat,
            2 => event = KeyEvent { kind: KeyEventKind::Release, ..key("a") },
            3 => event.code = KeyCode::CapsLock,
            _ => {}
        }
        Msg::Key(event)
    });
    let rest = (0u8..11).prop_map(|n| match n {
        0 => Msg::Paste("redis-test".into()),
        1 => Msg::Focus(n % 2 == 0),
        2 => Msg::Resumed,
        3 => Msg::Tick,
        4 => Msg::Progress("starting redis-test".into()),
        5 => Msg::Link(Link::Lost { since: example::now().at, reason: "it is gone".into() }),
        6 => Msg::Link(Link::Attached),
        7 => Msg::Missed(7),
        8 => Msg::Replied { order: 1, result: Err(Refused::because("superseded")) },
        9 => Msg::Replied {
            order: 2,
            result: Ok(Accepted { message: "done".into(), ..Accepted::default() }),
        },
        _ => Msg::Done(Ok("copied 1 line (OSC 52)".into())),
    });
    let sizes = proptest::sample::select(vec![(80, 24), (120, 35), (200, 50), (60, 16), (39, 7)]);
    let msg = prop_oneof![
        8 => keys,
        1 => odd,
        2 => rest,
        1 => sizes.prop_map(|(columns, rows)| Msg::Resize(columns, rows)),
        2 => (0usize..3).prop_map(snapshot),
    ];
    (prop_oneof![Just(0u64), Just(90), Just(450), Just(800), Just(5_000)], msg)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_recorded_shows_the_same_screen(messages in proptest::collection::vec(message(), 1..40)) {
        let mut recorded = Recorded::new((120, 35), false);
        for (ms, msg) in messages {
            recorded.stage.wait(ms);
            recorded.tell(msg);
        }
        let player = recorded.player();
        prop_assert_eq!(example::text_of(&player.screen()), example::text_of(&recorded.seen()));
        prop_assert_eq!(player.screen(), recorded.seen());
    }
}

fn back(msg: &Msg) -> Msg {
    serde_json::from_str(&serde_json::to_string(msg).unwrap()).unwrap()
}

#[test]
fn keys_and_mouse_are_read_back_as_they_were() {
    for kind in [KeyEventKind::Press, KeyEventKind::Repeat, KeyEventKind::Release] {
        for modifiers in
            [KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT, KeyModifiers::all()]
        {
            for code in [
                KeyCode::Char('a'),
                KeyCode::Char('G'),
                KeyCode::F(12),
                KeyCode::BackTab,
                KeyCode::Char('-'),
            ] {
                let event = KeyEvent { kind, ..KeyEvent::new(code, modifiers) };
                let Msg::Key(read) = back(&Msg::Key(event)) else { panic!("a key") };
                assert_eq!(read, event);
            }
        }
    }
    let text = serde_json::to_string(&Msg::Key(key("ctrl-d"))).unwrap();
    assert_eq!(text, r#"{"key":{"name":"ctrl-d"}}"#);
    for kind in
        [MouseEventKind::Down(MouseButton::Left), MouseEventKind::ScrollUp, MouseEventKind::Moved]
    {
        let event = MouseEvent { kind, column: 3, row: 4, modifiers: KeyModifiers::SHIFT };
        let Msg::Mouse(read) = back(&Msg::Mouse(event)) else { panic!("a mouse event") };
        assert_eq!(read, event);
    }
}

#[test]
fn a_snapshot_is_written_by_what_is_new_in_it() {
    let mut recorded = Recorded::new((80, 24), false);
    let first = Arc::new(example::worst());
    recorded.tell(Msg::Snapshot(Arc::clone(&first)));
    let before = recorded.recorder.text().0.len();
    for seq in 0..100 {
        let mut next = (*first).clone();
        next.seq += seq;
        next.incidents.rotate_left(1);
        next.targets.pop();
        recorded.tell(Msg::Snapshot(Arc::new(next)));
    }
    let text = recorded.recorder.text().0;
    assert!(text.len() - before < 100 * 400, "{} bytes", text.len() - before);
    let (_, last) = Recording::parse(&text).unwrap().messages.pop().unwrap();
    let Msg::Snapshot(read) = last else { panic!("a snapshot") };
    let numbers =
        |snapshot: &Snapshot| snapshot.incidents.iter().map(|i| i.number).collect::<Vec<_>>();
    let mut wanted = numbers(&first);
    wanted.rotate_left(1);
    assert_eq!((numbers(&read), read.targets.len()), (wanted, first.targets.len() - 1));
}

#[test]
fn the_ring_is_bounded_and_what_is_left_still_plays() {
    let mut recorded = Recorded::new((80, 24), false);
    recorded.tell(snapshot(1));
    for n in 0..MOST_MESSAGES * 3 {
        recorded.stage.wait(10);
        recorded.tell(if n % 2 == 0 { Msg::Tick } else { Msg::Key(key("j")) });
    }
    let (text, count) = recorded.recorder.text();
    assert!((MOST_MESSAGES * 2 / 5..=MOST_MESSAGES).contains(&count), "{count}");
    let recording = Recording::parse(&text).unwrap();
    assert!(recording.start.ms > example::now().ms, "it starts later");
    // The courses of the last minutes begin anew with each part.
    let bars: Vec<char> = ('▁'..='█').collect();
    let flat = |buf| example::text_of(&buf).replace(bars.as_slice(), "_");
    assert_eq!(flat(recorded.player().screen()), flat(recorded.seen()));
}

#[test]
fn heavy_messages_count_by_their_weight() {
    let mut recorded = Recorded::new((80, 24), false);
    for _ in 0..2_000 {
        recorded.tell(snapshot(2));
    }
    let (_, count) = recorded.recorder.text();
    assert!(count < 200, "{count} worlds of their own are kept");
}

#[test]
fn a_part_begins_between_two_dialogs_where_it_can() {
    let mut recorded = Recorded::new((120, 35), false);
    recorded.tell(snapshot(1));
    recorded.press("/");
    for _ in 0..MOST_MESSAGES / 2 - 100 {
        recorded.tell(Msg::Tick);
    }
    assert!(recorded.recorder.older.is_none(), "a filter is being typed");
    recorded.press("esc");
    recorded.press("j");
    assert!(recorded.recorder.older.is_some());
}

#[test]
fn passwords_are_masked() {
    for (text, masked) in [
        ("postgres://simctl:hunter2@h/d is away", "postgres://simctl:***@h/d is away"),
        ("redis://:hu@nter2@h", "redis://:***@h"),
        ("password=hunter2&x=1", "password=***&x=1"),
        ("PGPASSWORD: hunter2", "PGPASSWORD: ***"),
        ("redis://h:6380/0", "redis://h:6380/0"),
        ("12:04:05 ops1@host: ok", "12:04:05 ops1@host: ok"),
    ] {
        assert_eq!(line::masked(text), masked);
        assert_eq!(line::masked(masked), masked, "masking twice changes nothing");
    }
    let mut recorded = Recorded::new((80, 24), false);
    recorded.tell(Msg::Done(Err("postgres://u:hunter2@h/d is away".into())));
    let mut known = example::normal();
    known.store.url = "postgres://u:hunter2@h/d".into();
    recorded.tell(Msg::Snapshot(Arc::new(known)));
    let text = recorded.recorder.text().0;
    assert!(!text.contains("hunter2") && text.contains("u:***@h/d"));
}

#[test]
fn files_are_new_and_private_and_a_stream_has_everything() {
    let temp = tempfile::tempdir().unwrap();
    let (streamed, kept) = (temp.path().join("all.jsonl"), temp.path().join("last.jsonl"));
    let mut recorded = Recorded::new((80, 24), false);
    recorded.recorder.stream_to(create(&streamed).unwrap()).unwrap();
    recorded.tell(snapshot(1));
    recorded.press("2");
    let kept_name = kept.to_str().unwrap();
    assert_eq!(
        recorded.recorder.write(kept_name),
        Ok(format!("the last 2 messages are recorded in {kept_name}"))
    );
    let (all, last) =
        (std::fs::read_to_string(&streamed).unwrap(), std::fs::read_to_string(&kept).unwrap());
    assert_eq!(all, last);
    for path in [&streamed, &kept] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let refused = recorded.recorder.write(kept_name).unwrap_err();
    assert!(refused.ends_with("; name a file that is not there yet"), "{refused}");
    let nowhere = recorded.recorder.write("/nowhere/at/all").unwrap_err();
    assert!(nowhere.starts_with("/nowhere/at/all was not written: "), "{nowhere}");
}

#[test]
fn a_panic_of_the_console_leaves_what_led_to_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_owned();
    let thread = std::thread::spawn(move || {
        let stage = Stage::new((80, 24), example::empty());
        let mut recorder = Recorder::new(&stage.console, example::now(), &dir);
        recorder.note(&snapshot(1), example::later(10), &stage.console);
        panic!("as the test wanted");
    });
    assert!(thread.join().is_err());
    let left: Vec<_> =
        std::fs::read_dir(temp.path()).unwrap().map(|one| one.unwrap().path()).collect();
    assert_eq!(left.len(), 1);
    assert_eq!(std::fs::metadata(&left[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Recording::read(&left[0]).unwrap().messages.len(), 1);
}

#[test]
fn a_file_that_is_no_recording_is_refused_with_its_line() {
    let mut recorded = Recorded::new((80, 24), false);
    recorded.press("j");
    recorded.press("k");
    let text = recorded.recorder.text().0;
    let refused = |text: &str| Recording::parse(text).unwrap_err();
    assert!(refused("hello").starts_with("1: this is no recording of this version of simctl: "));
    assert!(refused("").starts_with("1: "));
    let newer = text.replace("\"version\":1", "\"version\":2");
    assert!(refused(&newer).ends_with("version 2"), "{}", refused(&newer));
    let broken = text.replace("\"name\":\"k\"", "\"name\":\"kk\"");
    assert!(refused(&broken).starts_with("3: ") && refused(&broken).contains("`kk`"));
    let cut = &text[..text.len() - 4];
    assert_eq!(Recording::parse(cut).unwrap().messages.len(), 1, "the end was cut off by a kill");
}

#[test]
fn the_palette_asks_for_a_file() {
    assert_eq!(order(" a.jsonl "), Ok(Effect::Record { file: "a.jsonl".into() }));
    assert_eq!(order("  ").unwrap_err(), "name a file: :record FILE");
}
