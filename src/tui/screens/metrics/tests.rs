//! The figures are asked for when somebody looks, and stay when the store does not answer.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::event::Head;
use crate::domain::health::Health;
use crate::metrics::{over, testing};
use crate::ports::store::IncidentTimes;
use crate::report::example as told;
use crate::tui::chrome;
use crate::tui::example::{self, drawn};

fn question(wish: &Wish) -> Option<u64> {
    wish.effects.iter().find_map(|effect| match effect {
        Effect::Ask { question, what: Question::Metrics { .. } } => Some(*question),
        _ => None,
    })
}

fn answer(times: &[IncidentTimes], screen: &MetricsScreen, desk: &Desk) -> Answer {
    let (since, now) = (screen.range.since(desk.now.at), desk.now.at);
    Answer::Metrics { since, metrics: Box::new(over(times, since, now)) }
}

fn tell(screen: &mut MetricsScreen, desk: &mut Desk, question: u64, answer: Answer) -> Wish {
    screen.told(&Msg::Answered { question, result: Ok(answer) }, desk)
}

/// A screen that was entered and answered.
fn entered(size: (u16, u16), ascii: bool, times: &[IncidentTimes]) -> (MetricsScreen, Desk) {
    let mut desk = example::desk(size, ascii);
    let mut screen = MetricsScreen::default();
    let asked = question(&screen.enter(&mut desk)).expect("the figures are asked for");
    let answer = answer(times, &screen, &desk);
    tell(&mut screen, &mut desk, asked, answer);
    (screen, desk)
}

fn seen(screen: &MetricsScreen, desk: &Desk) -> String {
    drawn(desk.size, |area, buf| {
        screen.draw(desk, chrome::parts(area)[1], buf);
        if desk.theme.glyphs.is_ascii {
            chrome::to_ascii(buf);
        }
    })
}

fn day() -> Vec<IncidentTimes> {
    testing::day(example::now().at)
}

/// Hostile names, huge numbers, more groups than rows, every duration from none to years.
fn worst() -> Vec<IncidentTimes> {
    let mut all: Vec<IncidentTimes> = (0..8).flat_map(|_| day()).collect();
    for (index, times) in all.iter_mut().enumerate() {
        times.number = 9_999_990 + index as u64;
        times.target = format!("größer-漢字-{}-\u{1b}[2J\u{202e}🙂-that-does-not-end", index % 60);
        times.cause = Some(format!("a-cause-with-a-very-long-name,\"{}\"\r\n", index % 90));
        if index % 5 == 0 {
            times.opened_at -= TimeDelta::days(900 * i64::try_from(index).unwrap());
        }
    }
    all
}

const SIZES: [(u16, u16); 5] = [(80, 24), (120, 35), (200, 50), (60, 16), (40, 8)];

fn snapshots(world: &str, times: &[IncidentTimes]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    let _bound = settings.bind_to_scope();
    for (size, ascii) in SIZES.map(|size| (size, false)).into_iter().chain([(SIZES[0], true)]) {
        let (screen, desk) = entered(size, ascii, times);
        let suffix = if ascii { "_ascii" } else { "" };
        let name = format!("metrics__{world}_{}x{}{suffix}", size.0, size.1);
        let text = seen(&screen, &desk);
        assert!(!ascii || text.is_ascii(), "{text}");
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn nothing_to_measure_says_what_to_do() {
    snapshots("empty", &[]);
}

#[test]
fn a_day_of_incidents_stands_as_drawn() {
    snapshots("normal", &day());
}

#[test]
fn hostile_names_and_huge_numbers_stay_inside() {
    snapshots("worst", &worst());
}

#[test]
fn groups_change_and_lead_to_their_slowest_incidents() {
    let (mut screen, mut desk) = entered((80, 24), false, &day());
    screen.act(Action::Down, &mut desk);
    let group = screen.group.clone().unwrap();
    assert_eq!(group, screen.groups()[1].name);
    screen.act(Action::Open, &mut desk);
    assert!(seen(&screen, &desk).contains(&format!("Slowest of {group}")));
    screen.act(Action::Down, &mut desk);
    let slow = screen.groups()[1].slowest[1].clone();
    let wish = screen.act(Action::Open, &mut desk);
    assert_eq!((wish.go, desk.selected), (Some("Incident"), Some(slow.id)));
    let asked = Question::Incident(slow.number);
    assert!(matches!(&wish.effects[..], [Effect::Ask { what, .. }] if *what == asked));
    screen.act(Action::Back, &mut desk);
    assert_eq!(screen.pane, Pane::Groups);
    for (title, by) in [("TARGET", By::Target), ("ACTOR", By::Actor), ("CAUSE", By::Cause)] {
        screen.act(Action::Group, &mut desk);
        assert_eq!(screen.by, by);
        assert!(seen(&screen, &desk).contains(title));
    }
    screen.act(Action::Down, &mut desk);
    screen.act(Action::Copy, &mut desk);
    let wish = screen.act(Action::Copy, &mut desk);
    assert!(matches!(&wish.effects[..], [Effect::Copy { text, .. }] if text.contains("MTTR")));
}

#[test]
fn tab_goes_round_and_back() {
    let (mut screen, mut desk) = entered((80, 24), false, &day());
    for expected in [Pane::Slowest, Pane::Chart, Pane::Groups] {
        screen.act(Action::NextPane, &mut desk);
        assert_eq!(screen.pane, expected);
        desk.zoomed = true;
        assert!(seen(&screen, &desk).contains('▸'));
    }
    for expected in [Pane::Chart, Pane::Slowest, Pane::Groups] {
        screen.act(Action::PrevPane, &mut desk);
        assert_eq!(screen.pane, expected);
    }
}

#[test]
fn the_range_asks_anew_and_stops_at_its_ends() {
    let (mut screen, mut desk) = entered((80, 24), false, &day());
    assert_eq!(question(&screen.act(Action::PrevPhase, &mut desk)), None);
    assert!(desk.message_now().unwrap().text.contains("last 24h is the last"));
    for range in [Range::Week, Range::Month, Range::All] {
        let asked = question(&screen.act(Action::NextPhase, &mut desk)).expect("asked");
        assert_eq!(screen.range, range);
        let answer = answer(&day(), &screen, &desk);
        tell(&mut screen, &mut desk, asked, answer);
        assert!(seen(&screen, &desk).contains(range.word()));
    }
    assert_eq!(question(&screen.act(Action::NextPhase, &mut desk)), None);
    let mut again = MetricsScreen::default();
    again.restore(&screen.save());
    assert_eq!(again.range, Range::All);
}

#[test]
fn an_incident_that_ends_refreshes_only_while_somebody_looks() {
    let (mut screen, mut desk) = entered((80, 24), false, &day());
    let body = EventBody::IncidentResolved { health: Health::Score(96), reason: "ok".into() };
    let ended = Msg::Event(Arc::new(told::event(0, "agent", body).seal(&Head::genesis())));
    let body = EventBody::IncidentNoted { text: "x".into() };
    let noted = Msg::Event(Arc::new(told::event(0, "ops1", body).seal(&Head::genesis())));
    assert_eq!(question(&screen.told(&noted, &mut desk)), None);
    assert_eq!(question(&screen.told(&Msg::Tick, &mut desk)), None);
    let asked = question(&screen.told(&ended, &mut desk)).expect("asked");
    assert_eq!(question(&screen.told(&ended, &mut desk)), None, "one at a time");
    let known = answer(&day(), &screen, &desk);
    desk.now = example::later(60_000);
    let next = tell(&mut screen, &mut desk, asked, known.clone());
    let asked = question(&next).expect("the second end is counted too");
    assert_eq!(question(&tell(&mut screen, &mut desk, asked, known)), None);
    assert!(seen(&screen, &desk).contains("as of 14:03:30"), "{}", seen(&screen, &desk));
    screen.leave();
    assert_eq!(question(&screen.told(&ended, &mut desk)), None);
    assert!(!screen.depends_on_time(&desk));
}

#[test]
fn an_error_of_the_store_keeps_what_was_known() {
    let (mut screen, mut desk) = entered((120, 35), false, &day());
    let asked = question(&screen.enter(&mut desk)).expect("asked");
    let result = Err("reach the store: refused".to_owned());
    let wish = screen.told(&Msg::Answered { question: asked, result: result.clone() }, &mut desk);
    assert!(wish.effects.is_empty());
    let text = seen(&screen, &desk);
    assert!(text.contains("leak-oom") && text.contains("refused"), "{text}");

    let mut new = MetricsScreen::default();
    let asked = question(&new.enter(&mut desk)).expect("asked");
    new.told(&Msg::Answered { question: asked, result }, &mut desk);
    assert!(seen(&new, &desk).contains("cannot be read: reach the store: refused"));
    assert!(new.check(Action::Export, &desk).is_err());
}

#[test]
fn the_figures_leave_as_csv() {
    let (mut screen, mut desk) = entered((80, 24), false, &day()[..6]);
    let wish = screen.act(Action::Export, &mut desk);
    let [Effect::Export { name, text }] = &wish.effects[..] else { panic!("no export") };
    assert!(name.ends_with(".csv"));
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("metrics__csv", text));
    let csv = export::csv(&over(&worst(), None, desk.now.at));
    assert!(csv.contains("\"a-cause-with-a-very-long-name,\"\"7\"\"\r\n\""), "{csv}");
    assert!(export::csv(&Metrics::default()).contains("all,mttr,0,0,0,,,,,"));
}

#[test]
fn durations_take_few_columns() {
    for (seconds, text) in [
        (None, "-"),
        (Some(f64::NAN), "-"),
        (Some(-1.0), "0.0s"),
        (Some(0.42), "0.4s"),
        (Some(9.96), "10s"),
        (Some(59.6), "1m00s"),
        (Some(192.0), "3m12s"),
        (Some(3_900.0), "1h05m"),
        (Some(187_200.0), "2d04h"),
        (Some(8_640_000.0), "100d"),
    ] {
        assert_eq!(draw::short(seconds), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn no_size_panics(width in 1u16..=210, height in 1u16..=60, tabs in 0usize..3, zoomed: bool, ascii: bool) {
        for times in [day(), worst(), Vec::new()] {
            let (mut screen, mut desk) = entered((width, height), ascii, &times);
            desk.zoomed = zoomed;
            for _ in 0..tabs {
                screen.act(Action::NextPane, &mut desk);
            }
            screen.act(Action::Last, &mut desk);
            seen(&screen, &desk);
        }
    }
}
