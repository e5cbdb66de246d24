//! What the rings keep, in which order, within which limits.

use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::event::Event;
use crate::domain::execution::{Output, Phase, PhaseLine};
use crate::domain::ids::ExecutionId;
use crate::report::example;

pub(crate) fn incident(n: u128) -> IncidentId {
    IncidentId(Uuid::from_u128(n))
}

pub(crate) fn sealed(event: Event) -> Arc<Sealed> {
    Arc::new(Sealed { event, prev_hash: String::new(), hash: String::new() })
}

/// A line of incident 1; line `seq` comes `seq` seconds in.
pub(crate) fn phase(seq: u64, line: PhaseLine) -> Arc<Sealed> {
    let execution = ExecutionId(Uuid::nil());
    let millis = i64::try_from(seq).unwrap() * 1_000;
    let mut event = example::event(millis, "agent", EventBody::Phase { execution, line });
    event.seq = seq;
    event.incident = Some(incident(1));
    sealed(event)
}

pub(crate) fn thought(seq: u64, text: &str) -> Arc<Sealed> {
    phase(seq, PhaseLine::say(Phase::Thinking, text))
}

pub(crate) fn answer(seq: u64, exit_code: i64, stdout: &str, stderr: &str) -> Arc<Sealed> {
    let output = Output {
        exit_code: Some(exit_code),
        stdout: stdout.into(),
        stderr: stderr.into(),
        duration_ms: 1_352,
    };
    phase(seq, PhaseLine { output: Some(output), ..PhaseLine::say(Phase::Result, "") })
}

pub(crate) fn ring(lines: impl IntoIterator<Item = Arc<Sealed>>) -> Ring {
    let mut ring = Ring::default();
    for line in lines {
        ring.push(&line);
    }
    ring
}

/// All kinds of events of one incident, in order.
pub(crate) fn story() -> Ring {
    let all = example::events().into_iter().enumerate().map(|(index, mut event)| {
        event.seq = index as u64 + 1;
        sealed(event)
    });
    ring(all)
}

fn seqs(ring: &Ring) -> Vec<u64> {
    ring.iter().map(|entry| entry.seq).collect()
}

#[test]
fn every_kind_of_event_is_told_once() {
    let told: Vec<String> = story()
        .iter()
        .map(|entry| format!("{:<12} {}", entry.phase.as_str(), entry.text().replace('\n', " | ")))
        .collect();
    insta::assert_snapshot!(told.join("\n").replace('\u{1b}', "<ESC>").replace('\u{7}', "<BEL>"));
}

#[test]
fn lines_are_sorted_and_known_once() {
    let mut ring = ring([5, 3, 9, 3, 4, 9].map(|seq| thought(seq, "x")));
    assert_eq!(seqs(&ring), [3, 4, 5, 9]);
    assert!(!ring.push(&thought(4, "again")));
    assert_eq!(ring.since(4).map(|entry| entry.seq).collect::<Vec<_>>(), [5, 9]);
    assert_eq!((ring.position(5), ring.position(6)), (2, 3));
    assert_eq!(ring.by_seq(9).unwrap().text(), "x");
    assert!(ring.by_seq(6).is_none());
}

#[test]
fn the_oldest_lines_leave_and_are_counted() {
    let most = MOST_ENTRIES as u64;
    let mut ring = ring((1..=most + 5).map(|seq| thought(seq, "x")));
    assert_eq!((ring.len(), ring.dropped(), ring.range()), (MOST_ENTRIES, 5, Some((6, most + 5))));
    assert!(!ring.push(&thought(3, "from the store")), "what left does not come back");
    assert_eq!(ring.dropped(), 5);
}

#[test]
fn large_lines_leave_by_their_bytes() {
    let big = "x".repeat(1 << 20);
    let ring = ring((1..=9).map(|seq| thought(seq, &big)));
    assert_eq!((ring.len(), ring.dropped()), (3, 6));
    assert!(ring.bytes() <= MOST_BYTES);
    let huge = self::ring([thought(1, &"x".repeat(MOST_BYTES * 2))]);
    assert_eq!(huge.len(), 1, "the newest line stays whatever it takes");
}

#[test]
fn a_gap_stays_where_it_was_until_it_is_filled() {
    let mut ring = ring([thought(1, "x")]);
    ring.gap(3);
    ring.push(&thought(9, "y"));
    assert_eq!(ring.get(0).unwrap().missed_after, 3);
    ring.push(&thought(4, "late"));
    assert_eq!(ring.get(0).unwrap().missed_after, 2);
    let mut empty = Ring::default();
    empty.gap(7);
    assert_eq!(empty.dropped(), 7, "before everything else");
}

#[test]
fn a_record_that_cannot_be_read_says_so() {
    let raw = RawEvent {
        seq: 4,
        at: example::at(0),
        kind: "from_the_future".into(),
        incident: Some(incident(1).0),
        target: None,
        actor: "agent".into(),
        body: serde_json::json!({"kind": "from_the_future"}),
        prev_hash: String::new(),
        hash: String::new(),
    };
    let mut book = LogBook::default();
    assert!(book.push_raw(&raw) && book.push_raw(&thought(2, "known").raw()));
    assert!(!book.push_raw(&raw), "once");
    let text: Vec<_> = book.get(incident(1)).unwrap().iter().map(Entry::text).collect();
    assert_eq!(text[0], "known");
    assert!(text[1].starts_with("record 4 (from_the_future) cannot be read: "), "{}", text[1]);
}

#[test]
fn phases_add_up_from_the_events_in_any_order() {
    let events: Vec<_> = example::events()
        .into_iter()
        .enumerate()
        .map(|(index, mut event)| {
            event.seq = index as u64 + 1;
            sealed(event)
        })
        .collect();
    let mut backwards = Ring::default();
    for event in events.iter().rev() {
        backwards.push(event);
    }
    assert_eq!(backwards.phases(), story().phases());
    let took = |index: usize| story().phases()[index].elapsed(example::at(99_000));
    // Opened at 0.35 s, proposed at 0.9 s, approved at 5 s, executed from 5.05 s, proven at 16.9 s, resolved at 17.1 s.
    let told = [Some(TimeDelta::milliseconds(550)), Some(TimeDelta::milliseconds(4_100))];
    assert_eq!([took(0), took(1)], told);
    assert_eq!(took(2), Some(TimeDelta::milliseconds(11_850)));
    assert_eq!(took(3), None, "there was no verifying in this story");
    assert_eq!(took(4), Some(TimeDelta::milliseconds(16_750)));
}

#[test]
fn what_goes_on_grows_with_the_clock() {
    let mut events = example::events();
    events.truncate(6);
    let mut ring = Ring::default();
    for (index, mut event) in events.into_iter().enumerate() {
        event.seq = index as u64 + 1;
        ring.push(&sealed(event));
    }
    let whole = ring.phases()[4];
    let later = |seconds| whole.elapsed(whole.began.unwrap() + TimeDelta::seconds(seconds));
    assert_eq!(later(60), Some(TimeDelta::seconds(60)));
    assert_eq!(later(-5), Some(TimeDelta::zero()), "a clock that went back counts nothing");
}

#[test]
fn only_the_last_announcement_runs() {
    let begins = PhaseLine::say(Phase::Executing, "action 1/1  unlink_keys");
    let mut ring = ring([phase(1, begins)]);
    assert!(ring.counts_seconds());
    ring.push(&answer(2, 0, "", ""));
    assert!(!ring.counts_seconds() && !ring.is_running(ring.get(0).unwrap()));
}

#[test]
fn the_book_forgets_what_nobody_looks_at() {
    let mut book = LogBook::default();
    let line = |n: u128| {
        let mut event = thought(1, "x").event.clone();
        event.incident = Some(incident(n));
        sealed(event)
    };
    for n in 0..MOST_INCIDENTS as u128 {
        book.push(&line(n));
    }
    book.keep([incident(0)]);
    book.push(&line(1));
    book.push(&line(1_000));
    book.push(&line(1_001));
    assert_eq!(book.len(), MOST_INCIDENTS);
    assert!(book.get(incident(0)).is_some(), "it is looked at");
    assert!(book.get(incident(1)).is_some(), "it was used lately");
    assert!(book.get(incident(2)).is_none() && book.get(incident(3)).is_none());
}

#[test]
fn an_event_of_no_incident_is_no_line() {
    let mut book = LogBook::default();
    let mut event = thought(1, "x").event.clone();
    event.incident = None;
    assert!(!book.push(&sealed(event)));
    assert!(book.is_empty());
}

proptest! {
    #[test]
    fn any_order_of_arrival_gives_the_same_log(mut order in prop::collection::vec(1u64..60, 0..80)) {
        let arrived = ring(order.iter().map(|&seq| thought(seq, "x")));
        order.sort_unstable();
        order.dedup();
        prop_assert_eq!(seqs(&arrived), order);
    }
}
