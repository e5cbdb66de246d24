//! Records arrive in pages and one by one; nothing that arrives moves what a person looks at.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::event::{Event, EventBody, Head, RawEvent, Sealed};
use crate::domain::ids::IncidentId;
use crate::engine::handle::Snapshot;
use crate::report::example as told;
use crate::tui::chrome;
use crate::tui::example::{self, drawn};

/// A chain of records and a desk in front of them.
struct Bench {
    desk: Desk,
    screen: AuditScreen,
    log: Vec<Arc<Sealed>>,
    /// Effects that are no questions to the log.
    effects: Vec<Effect>,
    asked: u32,
}

impl Bench {
    fn new(size: (u16, u16), ascii: bool, events: Vec<Event>) -> Self {
        let desk = example::with(example::desk(size, ascii), example::normal());
        let mut bench = Self {
            desk,
            screen: AuditScreen::default(),
            log: Vec::new(),
            effects: Vec::new(),
            asked: 0,
        };
        for event in events {
            bench.append(event);
        }
        bench
    }

    fn entered(size: (u16, u16), events: Vec<Event>) -> Self {
        let mut bench = Self::new(size, false, events);
        bench.enter();
        bench
    }

    fn enter(&mut self) {
        let wish = self.screen.enter(&mut self.desk);
        self.serve(wish);
    }

    fn append(&mut self, event: Event) -> Arc<Sealed> {
        let head = self.log.last().map_or_else(Head::genesis, |sealed| sealed.head());
        let sealed = Arc::new(event.seal(&head));
        self.log.push(Arc::clone(&sealed));
        sealed
    }

    /// Appends a record and tells the screen.
    fn happens(&mut self, event: Event) {
        let sealed = self.append(event);
        self.tell(&sealed);
    }

    fn tell(&mut self, sealed: &Arc<Sealed>) {
        let wish = self.screen.told(&Msg::Event(Arc::clone(sealed)), &mut self.desk);
        self.serve(wish);
    }

    fn act(&mut self, action: Action) -> Option<&'static str> {
        let wish = self.screen.act(action, &mut self.desk);
        let go = wish.go;
        self.serve(wish);
        go
    }

    fn page(&self, before: Option<u64>, limit: u32) -> Vec<RawEvent> {
        let earlier = self.log.iter().rev();
        let earlier = earlier.filter(|s| before.is_none_or(|before| s.event.seq < before));
        earlier.take(limit as usize).map(|sealed| sealed.raw()).collect()
    }

    /// Answers questions until there are none.
    fn serve(&mut self, wish: Wish) {
        let mut open: VecDeque<Effect> = wish.effects.into();
        while let Some(effect) = open.pop_front() {
            let (question, answer) = match effect {
                Effect::Ask { question, what: Question::Audit { before, limit } } => {
                    self.asked += 1;
                    (question, Answer::Audit { before, events: self.page(before, limit) })
                }
                Effect::Ask { question, what: Question::Incidents(filter) } => {
                    (question, Answer::Incidents { filter, lines: Vec::new() })
                }
                other => {
                    self.effects.push(other);
                    continue;
                }
            };
            open.extend(self.answer(question, Ok(answer)).effects);
        }
    }

    fn answer(&mut self, question: u64, result: Result<Answer, String>) -> Wish {
        self.screen.told(&Msg::Answered { question, result }, &mut self.desk)
    }

    fn filter(&mut self, text: &str) {
        self.act(Action::Filter);
        let clears = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
        self.screen.typed(&clears, &mut self.desk);
        for c in text.chars() {
            self.screen.typed(&KeyEvent::from(KeyCode::Char(c)), &mut self.desk);
        }
        let wish = self.screen.typed(&KeyEvent::from(KeyCode::Enter), &mut self.desk);
        self.serve(wish);
    }

    fn drawn(&self) -> String {
        let (desk, screen) = (&self.desk, &self.screen);
        drawn(desk.size, |area, buf| {
            screen.draw(desk, chrome::parts(area)[1], buf);
            if desk.theme.glyphs.is_ascii {
                chrome::to_ascii(buf);
            }
        })
    }

    fn actions(&self) -> Vec<&str> {
        let entries = self.screen.shown.iter().map(|seq| self.screen.book.get(*seq).unwrap());
        entries.map(|entry| entry.deed.action.as_str()).collect()
    }
}

fn note(n: i64, text: &str) -> Event {
    let mut event = told::event(n, "ops1", EventBody::IncidentNoted { text: text.into() });
    event.at = example::now().at + TimeDelta::milliseconds(n);
    event
}

fn notes(count: i64) -> Vec<Event> {
    (0..count).map(|n| note(n - 100_000, &format!("note {n}"))).collect()
}

/// Texts, names and numbers that nobody would choose.
fn worst() -> Vec<Event> {
    let hostile = "\u{1b}[2J\u{1b}]52;c;AAAA\u{7} \u{202e}evil\r\nsecond 漢字 ".repeat(40);
    let mut events = told::events();
    for n in 0..600 {
        let mut event = note(n - 90_000, &hostile);
        event.actor = "an-operator-with-a-very-long-name-größer-漢字".into();
        event.target = Some("e\u{301}moji-🙂-target-that-does-not-end".into());
        event.incident = Some(IncidentId(uuid::Uuid::from_u128(u128::try_from(n).unwrap())));
        events.push(event);
    }
    events
}

const SIZES: [(u16, u16); 5] = [(80, 24), (120, 35), (200, 50), (60, 16), (40, 8)];

fn snapshots(world: &str, snapshot: fn() -> Snapshot, make: fn() -> Vec<Event>) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    let _bound = settings.bind_to_scope();
    for (size, ascii) in SIZES.map(|size| (size, false)).into_iter().chain([(SIZES[0], true)]) {
        let mut bench = Bench::new(size, ascii, make());
        bench.desk = example::with(bench.desk, snapshot());
        bench.enter();
        let suffix = if ascii { "_ascii" } else { "" };
        let name = format!("audit__{world}_{}x{}{suffix}", size.0, size.1);
        let text = bench.drawn();
        assert!(!ascii || text.is_ascii(), "{text}");
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn an_empty_log_says_what_to_do() {
    snapshots("empty", example::empty, Vec::new);
}

#[test]
fn deeds_stand_in_columns() {
    snapshots("normal", example::normal, told::events);
}

#[test]
fn hostile_records_stay_inside() {
    snapshots("worst", example::worst, worst);
}

#[test]
fn a_record_unfolds_when_it_has_the_focus() {
    let mut bench = Bench::entered((80, 24), told::events());
    bench.filter("kind:result");
    bench.act(Action::Open);
    let mut text = bench.drawn();
    bench.act(Action::Last);
    text.push_str(&bench.drawn());
    for expected in ["46201", "stderr", "\\x1b[31mred", "exit 0  1.35 s", "UNLINK leak:1"] {
        assert!(text.contains(expected), "{expected} is missing from\n{text}");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    bench.desk.size = (120, 35);
    settings.bind(|| insta::assert_snapshot!("audit__unfolded_120x35", bench.drawn()));
    assert_eq!(bench.screen.focus(&bench.desk), Focus::Log);
    assert_eq!(bench.act(Action::Open), Some("Incident"));
    assert_eq!(bench.desk.selected, Some(IncidentId(uuid::Uuid::from_u128(1))));
    bench.act(Action::Back);
    assert_eq!(bench.screen.focus(&bench.desk), Focus::List);
}

#[test]
fn chatter_is_folded_until_somebody_asks() {
    let mut bench = Bench::entered((120, 35), told::events());
    let folded = bench.actions().join(" ");
    assert_eq!(
        folded,
        "stopped note store store revert fail resolve undo undo stop verify result \
         execute approve refuse \
         propose escalate open inject started"
    );
    bench.act(Action::Right);
    assert_eq!(bench.screen.shown.len(), told::events().len());
    bench.act(Action::Left);
    assert_eq!(bench.actions().join(" "), folded);
    bench.filter("kind:phase");
    assert_eq!(bench.actions(), ["phase", "phase"]);
    bench.act(Action::Back);
    assert_eq!(bench.actions().join(" "), folded);
}

#[test]
fn a_decision_says_how_long_it_waited() {
    let mut bench = Bench::entered((120, 35), told::events());
    bench.filter("kind:approve");
    assert!(bench.drawn().contains("typed redis-test, waited 4.10 s"), "{}", bench.drawn());
}

#[test]
fn a_filter_that_is_wrong_keeps_the_one_before() {
    let mut bench = Bench::entered((80, 24), told::events());
    bench.filter("kind:note");
    bench.filter("kind:open inc:x");
    assert_eq!(bench.screen.filter.text, "kind:note");
    assert!(bench.desk.message_now().is_some_and(|message| message.text.contains("inc:42")));
    bench.act(Action::Filter);
    bench.screen.typed(&KeyEvent::from(KeyCode::Backspace), &mut bench.desk);
    assert_eq!(bench.screen.prompt(), Some(("filter", "kind:not")));
    bench.screen.pasted("e actor:zed", &mut bench.desk);
    assert!(bench.screen.shown.is_empty());
    bench.screen.typed(&KeyEvent::from(KeyCode::Esc), &mut bench.desk);
    assert_eq!(bench.screen.filter.text, "kind:note");
    assert_eq!(bench.actions(), ["note"]);
}

#[test]
fn ten_thousand_new_records_move_neither_selection_nor_view() {
    let mut bench = Bench::entered((80, 24), notes(500));
    for _ in 0..3 {
        bench.act(Action::PageDown);
    }
    bench.act(Action::Mark);
    let (selected, text) = (bench.screen.selected, bench.drawn());
    for n in 0..10_000 {
        bench.happens(note(n, "while you look"));
    }
    assert_eq!(bench.screen.selected, selected);
    // Only the count in the title and the scroll bar move.
    let rows = |text: &str| {
        let rows = text.lines().skip(2);
        rows.map(|row| row.trim_end_matches(['│', '█']).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rows(&bench.drawn()), rows(&text));
    assert_eq!(bench.screen.shown.len(), 10_000 + 200);
    bench.act(Action::First);
    assert!(bench.drawn().contains("while you look"));
    assert!(bench.screen.marks.contains(&selected.unwrap()));
}

#[test]
fn memory_is_bounded_and_older_records_are_read_again() {
    let mut bench = Bench::entered((80, 24), notes(300));
    for n in 0..41_000 {
        bench.happens(note(n, "x"));
    }
    assert!(bench.screen.book.len() <= 40_000, "{}", bench.screen.book.len());
    assert_eq!(bench.screen.shown.len(), bench.screen.book.len());
    assert!(bench.screen.selected.is_some_and(|seq| bench.screen.shown.contains(&seq)));
    let asked = bench.asked;
    bench.act(Action::Last);
    assert!(bench.asked > asked, "what was forgotten is asked for");
}

#[test]
fn older_pages_are_read_before_they_are_needed() {
    let mut bench = Bench::entered((80, 24), notes(1_000));
    assert_eq!(bench.screen.shown.len(), 200);
    assert!(bench.drawn().contains("200+ entries"), "{}", bench.drawn());
    bench.act(Action::Down);
    assert_eq!(bench.asked, 1, "the end is far");
    bench.act(Action::Last);
    assert_eq!(bench.screen.shown.len(), 400);
    for _ in 0..6 {
        bench.act(Action::Last);
    }
    assert_eq!(bench.screen.shown.len(), 1_000);
    assert!(bench.drawn().contains("  1000 entries"), "{}", bench.drawn());
}

#[test]
fn a_filter_that_matches_nothing_does_not_walk_the_whole_store() {
    let mut bench = Bench::entered((80, 24), notes(5_000));
    bench.filter("nowhere");
    assert_eq!(bench.asked, 1 + LOOKS);
    assert!(bench.drawn().contains("Nothing matches in the last"), "{}", bench.drawn());
    bench.act(Action::Last);
    assert_eq!(bench.asked, 1 + 2 * LOOKS);
}

#[test]
fn the_range_ends_the_reading() {
    let mut events = notes(1_000);
    for event in &mut events[..700] {
        event.at -= TimeDelta::days(3);
    }
    let mut bench = Bench::entered((80, 24), events);
    bench.act(Action::Last);
    bench.act(Action::Last);
    assert_eq!(bench.screen.shown.len(), 300);
    let asked = bench.asked;
    bench.act(Action::Last);
    assert_eq!(bench.asked, asked, "all of today is here");
    bench.act(Action::NextPhase);
    assert_eq!(bench.screen.shown.len(), 300, "24 h");
    bench.act(Action::NextPhase);
    assert!(bench.screen.shown.len() > 300, "7 d");
    assert!(bench.drawn().contains(" 01-31 14:0"), "times have their date");
    bench.act(Action::NextPhase);
    bench.act(Action::NextPhase);
    assert!(bench.desk.message_now().unwrap().text.contains("all is the last"));
}

#[test]
fn missed_records_are_read_from_the_store() {
    let mut bench = Bench::entered((80, 24), notes(50));
    for n in 0..450 {
        bench.append(note(n, "missed"));
    }
    bench.happens(note(500, "seen"));
    let seqs: Vec<u64> = bench.screen.shown.iter().copied().collect();
    assert_eq!(seqs, (1..=501).rev().collect::<Vec<_>>(), "without a hole");
    for n in 0..5_000 {
        bench.append(note(n, "far too many"));
    }
    bench.happens(note(6_000, "seen again"));
    let seqs: Vec<u64> = bench.screen.shown.iter().copied().collect();
    assert_eq!(seqs[0], 5_502);
    assert!(seqs.windows(2).all(|pair| pair[0] == pair[1] + 1), "without a hole");
}

#[test]
fn an_error_of_the_store_stands_beside_what_was_known() {
    let mut bench = Bench::new((80, 24), false, notes(300));
    let fails = |bench: &mut Bench, wish: Wish| {
        let Some(Effect::Ask { question, .. }) = wish.effects.first() else {
            panic!("nothing was asked")
        };
        let more = bench.answer(*question, Err("reach the store at postgres://x: refused".into()));
        assert!(more.effects.is_empty(), "nothing asks again by itself");
    };
    let wish = bench.screen.enter(&mut bench.desk);
    fails(&mut bench, wish);
    assert!(bench.drawn().contains("cannot be read: reach the store"), "{}", bench.drawn());
    bench.act(Action::Down);
    assert_eq!(bench.screen.shown.len(), 200, "a movement asks again");
    let wish = bench.screen.act(Action::Last, &mut bench.desk);
    fails(&mut bench, wish);
    assert_eq!(bench.screen.shown.len(), 200);
    assert!(bench.drawn().contains("store: reach the store"), "{}", bench.drawn());
}

#[test]
fn the_chain_is_checked_on_demand_and_an_edited_record_shows_at_once() {
    let mut bench = Bench::entered((120, 35), told::events());
    assert!(bench.screen.check(Action::CheckChain, &bench.desk).is_ok());
    bench.act(Action::CheckChain);
    let Some(Effect::Ask { question, what: Question::VerifyChain }) = bench.effects.pop() else {
        panic!("the chain was not asked about")
    };
    assert!(bench.screen.check(Action::CheckChain, &bench.desk).is_err());
    let chain =
        |ok, sentence: &str| Ok(Answer::Chain(Chain { ok, events: 30, sentence: sentence.into() }));
    bench.answer(question, chain(true, "30 records, all as they were written"));
    assert!(bench.drawn().contains("chain ok #30"), "{}", bench.drawn());
    bench.act(Action::CheckChain);
    let Some(Effect::Ask { question, .. }) = bench.effects.pop() else { panic!("not asked") };
    bench.answer(question, chain(false, "record 5: edited"));
    assert!(bench.drawn().contains("chain BROKEN record 5"), "{}", bench.drawn());

    let mut page = bench.page(None, 200);
    page[0].actor = "somebody-else".into();
    bench.screen = AuditScreen::default();
    let wish = bench.screen.enter(&mut bench.desk);
    let Some(Effect::Ask { question, .. }) = wish.effects.first() else { panic!("not asked") };
    bench.answer(*question, Ok(Answer::Audit { before: None, events: page }));
    assert!(bench.drawn().contains("EDITED"), "{}", bench.drawn());
}

#[test]
fn records_leave_as_text_and_as_json() {
    let mut bench = Bench::entered((80, 24), told::events());
    bench.filter("kind:approve");
    bench.act(Action::Copy);
    bench.act(Action::Export);
    bench.act(Action::Pager);
    let copied = "2026-01-31 14:00:05 ops1 approve redis-test INC-0042 7f3a9c typed redis-test, \
                  waited 4.10 s";
    let [
        Effect::Copy { text, .. },
        Effect::Export { name, text: json },
        Effect::Export { text: plain, .. },
        Effect::Page { text: whole, .. },
    ] = &bench.effects[..]
    else {
        panic!("{:?}", bench.effects)
    };
    assert_eq!(text, copied);
    assert_eq!(*plain, format!("{copied}\n"));
    assert!(name.ends_with(".jsonl"));
    let value: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(value["hash"], serde_json::json!(bench.log[14].hash));
    assert!(whole.contains("\"kind\": \"decided\""), "{whole}");
}

#[test]
fn the_report_of_a_record_is_paged() {
    let mut bench = Bench::entered((80, 24), told::events());
    bench.filter("kind:started");
    assert!(bench.screen.check(Action::Report, &bench.desk).is_err(), "no incident");
    bench.filter("kind:verify");
    assert_eq!(bench.screen.check(Action::Report, &bench.desk), Ok(()));
    bench.act(Action::Report);
    let Some(Effect::Ask { question, what: Question::Report(42) }) = bench.effects.pop() else {
        panic!("no report was asked for")
    };
    let markdown = "# INC-0042".to_owned();
    let wish = bench.answer(question, Ok(Answer::Report { incident: 42, markdown }));
    assert!(matches!(&wish.effects[..], [Effect::Page { text, .. }] if text == "# INC-0042"));
}

#[test]
fn filter_and_range_survive_a_restart_and_nonsense_does_not() {
    let mut bench = Bench::entered((80, 24), told::events());
    bench.filter("kind:note !x");
    bench.act(Action::NextPhase);
    let mut again = AuditScreen::default();
    again.restore(&bench.screen.save());
    assert_eq!((again.filter.text.as_str(), again.range), ("kind:note !x", Range::Day));
    again.restore(&serde_json::json!({ "filter": "inc:x", "range": 7 }));
    assert_eq!(again.range, Range::Today);
}

#[test]
fn nothing_is_asked_before_somebody_comes() {
    let mut bench = Bench::new((80, 24), false, Vec::new());
    bench.happens(note(0, "x"));
    assert_eq!((bench.asked, bench.screen.book.len()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn no_size_panics(width in 1u16..=210, height in 1u16..=60, detail: bool, zoomed: bool, ascii: bool) {
        let mut bench = Bench::new((width, height), ascii, told::events());
        bench.enter();
        bench.desk.zoomed = zoomed;
        if detail {
            bench.act(Action::Open);
        }
        for action in [Action::PageDown, Action::HalfUp, Action::Last, Action::Up] {
            bench.act(action);
            bench.drawn();
        }
    }
}
