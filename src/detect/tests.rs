//! Every detector over short stories of samples, and the bounds in time that the product promises.

use super::testing::{at, event, letter, present, redis, samples, target, window, with};
use super::*;
use crate::domain::finding::Severity;
use crate::domain::sample::{RuntimeEventKind, reading};
use crate::domain::target::{Engine, Profile};

fn verdict(kind: FindingKind, window: &Window, now: DateTime<Utc>) -> Verdict {
    let detector = ALL.iter().find(|detector| detector.kind == kind).unwrap();
    (detector.judge)(window, now)
}

/// Down, hung, refused, writes, failing: one letter each.
fn letters(window: &Window, now: DateTime<Utc>) -> String {
    ALL[..5].iter().map(|detector| letter(&(detector.judge)(window, now))).collect()
}

#[test]
fn there_is_one_detector_for_each_kind() {
    let kinds: Vec<_> = ALL.iter().map(|detector| detector.kind).collect();
    assert_eq!(kinds, FindingKind::ALL);
}

#[test]
fn stories_of_what_clients_feel() {
    // (what it is, samples, now in ms, verdicts on down hung refused writes failing)
    let table = [
        ("nothing was measured", "", 0, "IIIII"),
        ("one good sample", "h0.", 0, "IIIII"),
        ("healthy", "h0. f50. h250. f1050.", 1_100, "AAAAA"),
        ("held alone says nothing about new clients", "h0. h250.", 300, "AAIAA"),
        ("a monitor does not write", "h0r h250r h500r", 500, "AAIIA"),
        ("healthy, but long ago", "h0. f50. h250. f1050.", 6_100, "IIIII"),
        ("a blink is no finding", "h0. f0. f1000. h1000G", 1_000, "IIIII"),
        ("one blink, then good", "h0. f0. f900. h1000G h1100.", 1_100, "IIAAA"),
        ("one blink, then good twice", "h0. f0. f900. h1000G h1100. h1350.", 1_350, "AAAAA"),
        ("dead: the closed socket and one confirmation", "h0. f10. h250G h350G", 350, "PIIII"),
        ("dead: one of each within a second", "h0. f0. h250G f1000G", 1_000, "PIIII"),
        ("two blinks that are too far apart", "h0. f0. h100G f1200. h1300G", 1_300, "IIIII"),
        ("a gap is not a row", "h0G h9000G", 9_000, "IIIII"),
        ("gone, then silent, is still an absence", "h0G h100H", 1_100, "IPIII"),
        ("frozen: silence over both", "h0. f0. h1250H", 1_250, "IPIII"),
        ("frozen: both waited", "h0. f0. h1250H f2000H", 2_000, "IPIII"),
        ("only the held one hangs", "h0. f0. f1000. h1250H", 1_250, "IIIII"),
        ("only the held one hangs, twice", "h0. f1000. h1250H f2000. h2350H", 2_350, "IIIII"),
        ("a lone connection hangs once", "h1250H", 1_250, "IIIII"),
        ("refused: two new clients", "h0. f0F h250. f100F", 300, "AAPAA"),
        ("refused: one so far", "h0. h250. f300F", 300, "AAIAA"),
        ("refused: the monitor too", "h0F h100F f50F", 100, "AAPII"),
        ("refused: the monitor alone", "h0F h100F f150.", 150, "AAIII"),
        ("let in again, once", "h0. f0F f100F h1000. f1100.", 1_100, "AAIAA"),
        ("let in again, twice", "h0. f0F f100F h1000. f1100. f2100.", 2_100, "AAAAA"),
        ("writes refused over the held one", "h0. f0. f1000. h1250W h1350W", 1_350, "AAAPA"),
        ("writes refused once", "h0. f0. f1000. h1250W", 1_250, "AAAIA"),
        ("writes refused, one of each", "h0. f0. f1000W h1250W", 1_250, "AAAPA"),
        ("writes hang, reads work", "h0r f0. f1000w f2000w h2000r", 2_000, "AAAPA"),
        ("writes work again, once", "h0W h100W h350.", 350, "AAIIA"),
        ("writes work again, twice", "h0W h100W h350. h600.", 600, "AAIAA"),
        ("another error", "h0. f0E f100E h250.", 250, "AAAAP"),
        ("another error, once", "h0. h250. f300E", 300, "AAIAI"),
        ("another error over the held one", "h0. f0. h250E h350E f1000.", 1_000, "AAAAP"),
        ("new connections dropped, old one fine", "h0. f0G f100G h250.", 250, "IIIIP"),
        ("dropped twice before the old one is asked", "h0. f10G f20G", 20, "IIIII"),
        ("dropped, and the old one says nothing either", "h0. f10G f1010G", 1_010, "PIIII"),
        ("dropped, and the old one is gone", "h0. f10G f20G h30G", 30, "PIIII"),
        ("new connections hang, old one fine", "h0. f0H f1100H h1250.", 1_250, "IIIIP"),
        ("loading", "h0. f0. h250S h500S", 500, "IIIII"),
        ("loading after it was dead", "h0G h100G h350S", 350, "IIIII"),
        ("in recovery for the newcomer only", "h0. f0S h250. f1000S h1250.", 1_250, "IIIII"),
        ("up again, once", "h0G h100G h350S h600.", 600, "IIIII"),
        ("up again, twice", "h0G f0G h100G h350S h600. f650.", 650, "AAIAA"),
    ];
    let wrong: Vec<_> = table
        .into_iter()
        .map(|(what, story, now, expected)| {
            (what, story, expected, letters(&redis(samples(story)), at(now)))
        })
        .filter(|(_, _, expected, got)| expected != got)
        .collect();
    assert!(wrong.is_empty(), "(what, samples, expected, got): {wrong:#?}");
}

#[test]
fn the_runtime_stands_for_the_second_sample_only_where_the_server_itself_is_in_question() {
    use RuntimeEventKind::{Died, HealthChanged, Paused, Started, Unpaused};
    // (samples, events, now, verdicts)
    let table: [(_, &[_], _, _); 9] = [
        ("h0. f0. h250G", &[(230, Died)], 250, "PIIII"),
        ("h0. f0. h250G", &[(230, Died), (240, HealthChanged)], 250, "PIIII"),
        ("h0. f0. h250.", &[(230, Died)], 250, "AAIAA"),
        ("h0. f0. h250G", &[(230, Died), (240, Started)], 250, "IIIII"),
        ("h0. f0. f1100. h1250H", &[(100, Paused)], 1_250, "IPIII"),
        ("h0. f0. f1100. h1250H", &[(100, Paused), (900, Unpaused)], 1_250, "IIIII"),
        ("h0. f0. f1000. h1100W", &[(1_090, Died)], 1_100, "AAAIA"),
        ("h9000. f9000. h9250G", &[(230, Died)], 9_250, "IIIII"),
        ("h0. f0. h250.", &[(240, Paused)], 250, "AAIAA"),
    ];
    for (story, events, now, expected) in table {
        let mut window = redis(samples(story));
        for (ms, kind) in events {
            window.push_runtime(event(*ms, *kind));
        }
        assert_eq!(letters(&window, at(now)), expected, "{story} {events:?}");
    }
}

#[test]
fn a_frozen_server_is_known_after_one_deadline_whatever_the_phase_of_the_probes() {
    // Frozen at 0. Held is asked every 250 ms, fresh every 1000 ms; both answered until then.
    for (held_phase, fresh_phase) in [(1, 1), (125, 500), (249, 999), (250, 1), (10, 1_000)] {
        let story =
            format!("f{}. h{}. h{}H", fresh_phase - 1_000, held_phase - 250, held_phase + 1_000);
        let now = at(held_phase + 1_000);
        let verdict = verdict(FindingKind::ServerHung, &redis(samples(&story)), now);
        assert_eq!(letter(&verdict), 'P', "{story}");
    }
}

#[test]
fn a_finding_carries_the_error_as_it_was_and_the_time_of_the_first_bad_sample() {
    let mut story = samples("h0. f0. h250W h350W h600W f1000W");
    story[4] = with(
        story[4].clone(),
        &[(reading::USED_MEMORY_BYTES, 52_324_000.0), (reading::MAXMEMORY_BYTES, 52_428_800.0)],
    );
    let finding = present(verdict(FindingKind::WritesRefused, &redis(story), at(1_000)));
    assert_eq!(
        finding.sentence,
        "writes are refused: OOM command not allowed when used memory > 'maxmemory'. \
         (used 49.9 of 50.0 MB)"
    );
    assert_eq!(finding.error_lines, ["OOM command not allowed when used memory > 'maxmemory'."]);
    assert_eq!(finding.since, at(250));
    assert_eq!(finding.severity, Severity::Critical);
}

#[test]
fn sentences_say_what_is_wrong_in_each_case() {
    let table = [
        (FindingKind::ServerDown, "h0G h100G", "the server is down: no server: connection refused"),
        (
            FindingKind::ServerHung,
            "h0H f500H",
            "the server is there and does not answer: no answer within 1000 ms",
        ),
        (
            FindingKind::ClientsRefused,
            "f0F f100F",
            "new clients are refused: 53300: FATAL: too many clients",
        ),
        (
            FindingKind::WritesRefused,
            "f0w f1100w",
            "writes hang while reads work: no answer within 1000 ms",
        ),
        (
            FindingKind::ProbeFailing,
            "f0E f100E",
            "a client gets an error: NOAUTH Authentication required.",
        ),
        (
            FindingKind::ProbeFailing,
            "f0G f100G h200.",
            "new connections fail while an old one still works: no server: connection refused",
        ),
    ];
    for (kind, story, expected) in table {
        let finding = present(verdict(kind, &redis(samples(story)), at(1_200)));
        assert_eq!(finding.sentence, expected);
        assert!(!finding.error_lines.is_empty(), "{kind:?}");
    }
    let mut died = redis(samples("h0G"));
    died.push_runtime(event(0, RuntimeEventKind::Died));
    let finding = present(verdict(FindingKind::ServerDown, &died, at(10)));
    assert!(finding.sentence.ends_with("(the runtime said so)"), "{}", finding.sentence);
}

const MIB: f64 = 1024.0 * 1024.0;

/// A held Redis sample every 250 ms with these used bytes in MB, of 50.
fn memory(used: &[f64], max_mib: f64, refuses: f64) -> Window {
    let story = used.iter().enumerate().map(|(nth, used)| {
        with(
            samples(&format!("h{}.", nth * 250)).remove(0),
            &[
                (reading::USED_MEMORY_BYTES, used * MIB),
                (reading::MAXMEMORY_BYTES, max_mib * MIB),
                (reading::REFUSES_WHEN_FULL, refuses),
            ],
        )
    });
    redis(story.collect::<Vec<_>>())
}

fn ramp(from: f64, step: f64, count: usize) -> Vec<f64> {
    (0..count).map(|nth| from + step * nth as f64).collect()
}

#[test]
fn memory_is_a_trouble_when_full_or_filling_and_only_where_full_means_refused() {
    let flat_after_ramp = [ramp(26.0, 0.5, 12), vec![31.5; 12]].concat();
    let table = [
        ("idle", memory(&[1.0, 1.0], 50.0, 1.0), 'A'),
        ("just below", memory(&[44.9, 44.9], 50.0, 1.0), 'A'),
        ("at the threshold", memory(&[45.0, 45.0], 50.0, 1.0), 'P'),
        ("once", memory(&[44.0, 45.1], 50.0, 1.0), 'I'),
        ("no longer, once", memory(&[45.1, 45.1, 40.0], 50.0, 1.0), 'I'),
        ("no longer", memory(&[45.1, 40.0, 40.0], 50.0, 1.0), 'A'),
        ("a limit below the use", memory(&[22.0, 22.0], 10.0, 1.0), 'P'),
        ("a cache that evicts", memory(&[49.9, 49.9], 50.0, 0.0), 'A'),
        ("no limit", memory(&[4_000.0, 4_000.0], 0.0, 1.0), 'A'),
        ("one sample", memory(&[49.0], 50.0, 1.0), 'I'),
        ("filling within the minute", memory(&ramp(26.0, 0.2, 12), 50.0, 1.0), 'P'),
        ("filling slowly", memory(&ramp(26.0, 0.05, 12), 50.0, 1.0), 'A'),
        ("a burst from empty", memory(&ramp(1.0, 1.0, 20), 50.0, 1.0), 'A'),
        ("growth too short to be a slope", memory(&ramp(30.0, 1.0, 8), 50.0, 1.0), 'A'),
        ("growth that stopped", memory(&flat_after_ramp, 50.0, 1.0), 'A'),
        ("shrinking", memory(&ramp(44.0, -0.5, 20), 50.0, 1.0), 'A'),
        ("a saw-tooth", memory(&[30.0, 33.0].repeat(10), 50.0, 1.0), 'A'),
    ];
    for (what, window, expected) in table {
        let now = window.last_readings().unwrap().at;
        let verdict = verdict(FindingKind::MemoryPressure, &window, now);
        assert_eq!(letter(&verdict), expected, "{what}: {verdict:?}");
    }
}

#[test]
fn the_severity_of_memory_comes_from_the_reading() {
    let table = [
        (
            45.0,
            50.0,
            Severity::High,
            "memory is 90 % full (45.0 of 50.0 MB); when full, writes are refused",
        ),
        (
            50.0,
            50.0,
            Severity::Critical,
            "memory is 100 % full (50.0 of 50.0 MB); when full, writes are refused",
        ),
    ];
    for (used, max, severity, sentence) in table {
        let window = memory(&[used, used, used], max, 1.0);
        let finding = present(verdict(FindingKind::MemoryPressure, &window, at(500)));
        assert_eq!((finding.severity, finding.sentence.as_str()), (severity, sentence));
        assert_eq!(finding.since, at(0));
    }
    for (percent, severity) in
        [(25.0, Severity::Low), (35.0, Severity::Low), (65.0, Severity::Medium)]
    {
        let mut window = memory(&[percent, percent], 100.0, 1.0);
        window.target.thresholds.memory_percent = 20.0;
        let finding = present(verdict(FindingKind::MemoryPressure, &window, at(250)));
        assert_eq!(finding.severity, severity, "{percent}");
    }
}

#[test]
fn pressure_is_not_judged_while_the_server_is_away_or_the_readings_are_old() {
    let full = memory(&[49.0, 49.0, 49.0], 50.0, 1.0);
    assert_eq!(letter(&verdict(FindingKind::MemoryPressure, &full, at(5_600))), 'I');
    for story in ["h600G", "f600H", "h600S"] {
        let mut window = full.clone();
        window.push(samples(story).remove(0));
        assert_eq!(letter(&verdict(FindingKind::MemoryPressure, &window, at(700))), 'I', "{story}");
    }
}

/// A held PostgreSQL sample per pair of (sessions, idle), of 20 slots with 3 reserved and 2 our own.
fn slots(profile: Profile, leaked: f64, every_ms: usize, counts: &[(f64, f64)]) -> Window {
    let story = counts.iter().enumerate().map(|(nth, (sessions, idle))| {
        with(
            samples(&format!("h{}r", nth * every_ms)).remove(0),
            &[
                (reading::SESSIONS, *sessions),
                (reading::IDLE_SESSIONS, *idle),
                (reading::LEAKED_IDLE_SESSIONS, leaked),
                (reading::OWN_SESSIONS, 2.0),
                (reading::MAX_CONNECTIONS, 20.0),
                (reading::RESERVED_CONNECTIONS, 3.0),
            ],
        )
    });
    window(target(Engine::Postgres, profile), story.collect::<Vec<_>>())
}

fn growing(from: usize, by: f64, count: usize) -> Vec<(f64, f64)> {
    (0..count).map(|nth| (from as f64 + by * nth as f64).floor()).map(|n| (n, n)).collect()
}

#[test]
fn idle_sessions_on_the_lab_count_by_the_health_score() {
    let table = [
        ("nobody", vec![(0.0, 0.0); 3], 'A'),
        ("ten pooled connections", vec![(10.0, 10.0); 3], 'A'),
        ("pgbench with ten", vec![(10.0, 2.0), (10.0, 9.0), (10.0, 0.0), (10.0, 10.0)], 'A'),
        ("eleven", vec![(11.0, 11.0); 2], 'P'),
        ("twelve, once", vec![(0.0, 0.0), (12.0, 12.0)], 'I'),
        ("twelve for a moment", vec![(12.0, 12.0), (12.0, 3.0)], 'I'),
        ("twelve", vec![(0.0, 0.0), (12.0, 12.0), (12.0, 12.0)], 'P'),
        ("busy, not idle, below the slots", vec![(12.0, 0.0); 2], 'A'),
        ("busy, not idle, nearly all slots", vec![(14.0, 0.0); 2], 'P'),
        ("gone again, once", vec![(12.0, 12.0), (12.0, 12.0), (0.0, 0.0)], 'I'),
        ("gone again", vec![(12.0, 12.0), (0.0, 0.0), (0.0, 0.0)], 'A'),
    ];
    for (what, counts, expected) in table {
        let window = slots(Profile::Lab, 0.0, 250, &counts);
        let verdict = verdict(FindingKind::ConnectionPressure, &window, at(1_000));
        assert_eq!(letter(&verdict), expected, "{what}: {verdict:?}");
    }
}

#[test]
fn idle_sessions_of_a_real_server_count_when_they_are_old_and_still_become_more() {
    let pool = vec![(12.0, 12.0); 60];
    let flicker: Vec<_> = (0..60).map(|nth| (11.0, f64::from(nth % 4) + 7.0)).collect();
    let table = [
        ("a pool in use", 0.0, pool.clone(), 'A'),
        ("a pool that flickers", 4.0, flicker.clone(), 'A'),
        ("a pool that slept all night", 12.0, pool, 'I'),
        ("a pool that flickers over old sessions", 10.0, flicker, 'I'),
        ("a leak", 10.0, growing(10, 0.05, 60), 'P'),
        ("a leak, just seen", 10.0, growing(10, 0.05, 5), 'I'),
        ("nearly all slots", 0.0, vec![(14.0, 4.0); 60], 'P'),
    ];
    for (what, leaked, counts, expected) in table {
        let window = slots(Profile::Production, leaked, 1_000, &counts);
        let now = window.last_readings().unwrap().at;
        let verdict = verdict(FindingKind::ConnectionPressure, &window, now);
        assert_eq!(letter(&verdict), expected, "{what}: {verdict:?}");
    }
    let fifteen = |max: f64| {
        let window = slots(Profile::Production, 0.0, 250, &[(15.0, 15.0); 4]);
        let story =
            window.newest(crate::domain::sample::Origin::Held).cloned().map(|mut sample| {
                sample.readings = sample.readings.with(reading::MAX_CONNECTIONS, max);
                sample
            });
        let mut story: Vec<_> = story.collect();
        story.reverse();
        super::testing::window(target(Engine::Postgres, Profile::Production), story)
    };
    assert_eq!(letter(&verdict(FindingKind::ConnectionPressure, &fifteen(100.0), at(750))), 'A');
}

#[test]
fn the_severity_of_connections_comes_from_the_used_slots() {
    let table = [
        ((11.0, 11.0), Severity::Medium),
        ((12.0, 12.0), Severity::High),
        ((15.0, 15.0), Severity::Critical),
    ];
    for (counts, severity) in table {
        let window = slots(Profile::Lab, 0.0, 250, &[counts; 3]);
        let finding = present(verdict(FindingKind::ConnectionPressure, &window, at(500)));
        assert_eq!(finding.severity, severity, "{}", finding.sentence);
        assert_eq!(finding.since, at(0));
    }
    let window = slots(Profile::Lab, 0.0, 250, &[(12.0, 12.0); 3]);
    let finding = present(verdict(FindingKind::ConnectionPressure, &window, at(500)));
    assert_eq!(
        finding.sentence,
        "12 idle sessions hold connection slots, health 50 \
         (12 of 15 slots for ordinary roles are used, 12 by idle sessions)"
    );
}

/// A held PostgreSQL sample per value of one reading.
fn readings(every_ms: usize, values: &[&[(&'static str, f64)]]) -> Window {
    let story = values
        .iter()
        .enumerate()
        .map(|(nth, values)| with(samples(&format!("h{}r", nth * every_ms)).remove(0), values));
    window(target(Engine::Postgres, Profile::Lab), story.collect::<Vec<_>>())
}

#[test]
fn only_a_long_wait_for_a_lock_is_a_queue() {
    const WAIT: &str = reading::LONGEST_LOCK_WAIT_SECONDS;
    let table: [(&str, Vec<f64>, char); 7] = [
        ("nobody waits", vec![0.0; 4], 'A'),
        ("many short waits", vec![0.4, 1.2, 0.1, 2.9], 'A'),
        ("long, once", vec![4.9, 5.1], 'I'),
        ("long", vec![4.9, 5.1, 5.4], 'P'),
        ("over, once", vec![5.1, 5.4, 0.0], 'I'),
        ("over", vec![5.1, 5.4, 0.0, 0.0], 'A'),
        ("one look", vec![9.0], 'I'),
    ];
    for (what, waits, expected) in table {
        let waits: Vec<_> =
            waits.iter().map(|wait| [(WAIT, *wait), (reading::LOCK_WAITS, 2.0)]).collect();
        let story: Vec<&[_]> = waits.iter().map(|wait| &wait[..]).collect();
        let window = readings(250, &story);
        let verdict = verdict(FindingKind::LockQueue, &window, at(1_000));
        assert_eq!(letter(&verdict), expected, "{what}: {verdict:?}");
    }
    let blind = readings(250, &[&[(reading::SESSIONS, 3.0)], &[(reading::SESSIONS, 3.0)]]);
    assert_eq!(letter(&verdict(FindingKind::LockQueue, &blind, at(500))), 'A', "not to be seen");
    let long = [(WAIT, 7.0), (reading::LOCK_WAITS, 1.0)];
    let window = readings(250, &[&long, &long, &long]);
    let finding = present(verdict(FindingKind::LockQueue, &window, at(600)));
    assert_eq!(finding.sentence, "1 session waits for a lock, the longest for 7 s");
    assert_eq!((finding.severity, finding.since), (Severity::Medium, at(0)));
}

#[test]
fn dead_rows_count_when_they_are_many_and_stay() {
    let story = |levels: &[(f64, f64, f64)], profile| {
        let read: Vec<_> = levels
            .iter()
            .map(|(dead, live, vacuums)| {
                [
                    (reading::DEAD_ROWS, *dead),
                    (reading::LIVE_ROWS, *live),
                    (reading::VACUUMS, *vacuums),
                ]
            })
            .collect();
        let mut window = readings(1_000, &read.iter().map(|r| &r[..]).collect::<Vec<_>>());
        window.target.profile = profile;
        let now = window.last_readings().unwrap().at;
        letter(&verdict(FindingKind::DeadRows, &window, now))
    };
    let many = (100_000.0, 50_000.0, 0.0);
    let lab = |levels: &[_]| story(levels, Profile::Lab);
    assert_eq!(lab(&[(0.0, 50_000.0, 0.0); 12]), 'A');
    assert_eq!(lab(&[(9_000.0, 10.0, 0.0); 12]), 'A', "a small busy table");
    assert_eq!(lab(&[(40_000.0, 50_000.0, 0.0); 12]), 'A', "fewer than live ones");
    assert_eq!(lab(&[many; 4]), 'I', "just seen");
    assert_eq!(lab(&[many; 12]), 'P');
    assert_eq!(story(&[many; 12], Profile::Production), 'I', "autovacuum may be busy elsewhere");
    assert_eq!(story(&[many; 60], Profile::Production), 'P');
    assert_eq!(lab(&[(100_000.0, 50_000.0, 1.0); 12]), 'I', "a vacuum is at work");
    let falling: Vec<_> =
        (0..12).map(|n| (200_000.0 - 10_000.0 * f64::from(n), 50_000.0, 0.0)).collect();
    assert_eq!(lab(&falling), 'I');
    let growing: Vec<_> =
        (0..12).map(|n| (60_000.0 + 10_000.0 * f64::from(n), 50_000.0, 0.0)).collect();
    assert_eq!(lab(&growing), 'P');
    let gone = [&[many; 12][..], &[(0.0, 50_000.0, 0.0); 2]].concat();
    assert_eq!(lab(&gone), 'A');
}

#[test]
fn what_is_kept_for_nobody_counts_when_it_stays() {
    let story = |kind, name: &'static str, levels: &[f64], profile| {
        let read: Vec<_> = levels.iter().map(|level| [(name, *level)]).collect();
        let mut window = readings(1_000, &read.iter().map(|r| &r[..]).collect::<Vec<_>>());
        window.target.profile = profile;
        let now = window.last_readings().unwrap().at;
        letter(&verdict(kind, &window, now))
    };
    const MIB: f64 = 1_048_576.0;
    let slot = |mib: f64, n, profile| {
        let levels = vec![mib * MIB; n];
        story(FindingKind::WalRetained, reading::SLOT_RETAINED_BYTES, &levels, profile)
    };
    assert_eq!(slot(0.0, 12, Profile::Lab), 'A');
    assert_eq!(slot(15.0, 12, Profile::Lab), 'A', "a consumer that is away for a moment");
    assert_eq!(slot(32.0, 3, Profile::Lab), 'I', "just seen");
    assert_eq!(slot(32.0, 6, Profile::Lab), 'P');
    assert_eq!(slot(32.0, 60, Profile::Production), 'A', "little for a real server");
    assert_eq!(slot(2_000.0, 40, Profile::Production), 'I', "a standby may be restarting");
    assert_eq!(slot(2_000.0, 58, Profile::Production), 'P');
    let archive = |levels: &[f64]| {
        story(FindingKind::WalRetained, reading::ARCHIVE_IS_FAILING, levels, Profile::Lab)
    };
    assert_eq!(archive(&[1.0, 0.0, 1.0, 1.0, 0.0]), 'I', "now and then");
    assert_eq!(archive(&[1.0; 6]), 'P');
    assert_eq!(archive(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]), 'A', "it works again");
    let index = |levels: &[f64]| {
        story(FindingKind::InvalidIndex, reading::INVALID_INDEXES, levels, Profile::Lab)
    };
    assert_eq!(index(&[0.0; 6]), 'A');
    assert_eq!(index(&[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]), 'I', "its build may just have ended");
    assert_eq!(index(&[2.0; 6]), 'P');
    let unseen = readings(1_000, &[&[(reading::SESSIONS, 3.0)], &[(reading::SESSIONS, 3.0)]]);
    for kind in [FindingKind::WalRetained, FindingKind::InvalidIndex] {
        assert_eq!(letter(&verdict(kind, &unseen, at(1_000))), 'A', "not to be seen");
    }
}

#[test]
fn deadlocks_count_when_they_are_many_within_a_while() {
    let story = |counts: &[f64], profile| {
        let read: Vec<_> = counts.iter().map(|n| [(reading::DEADLOCKS_TOTAL, *n)]).collect();
        let mut window = readings(1_000, &read.iter().map(|r| &r[..]).collect::<Vec<_>>());
        window.target.profile = profile;
        let now = window.last_readings().unwrap().at;
        verdict(FindingKind::Deadlocks, &window, now)
    };
    let lab = |counts: &[f64]| letter(&story(counts, Profile::Lab));
    assert_eq!(lab(&[7.0; 20]), 'A', "all of them long ago");
    assert_eq!(lab(&[7.0]), 'I');
    assert_eq!(lab(&[7.0, 7.0, 8.0, 8.0, 9.0]), 'I', "one now and then");
    assert_eq!(lab(&[7.0, 7.0, 8.0, 9.0, 10.0]), 'P');
    assert_eq!(lab(&[9.0, 9.0, 0.0, 0.0]), 'A', "the statistics were reset");
    let over = [&[7.0, 8.0, 9.0, 10.0][..], &[10.0; 20]].concat();
    assert_eq!(lab(&over), 'A', "it is over");
    assert_eq!(letter(&story(&over, Profile::Production)), 'P', "counted over a minute there");
    let finding = present(story(&[7.0, 7.0, 8.0, 9.0, 10.0], Profile::Lab));
    assert_eq!(finding.since, at(1_000));
    assert!(finding.sentence.starts_with("3 deadlocks within 4 s"), "{}", finding.sentence);
    let unseen = readings(1_000, &[&[(reading::SESSIONS, 3.0)], &[(reading::SESSIONS, 3.0)]]);
    assert_eq!(letter(&verdict(FindingKind::Deadlocks, &unseen, at(1_000))), 'A');
}

#[test]
fn pressure_is_a_matter_of_one_engine_only() {
    let postgres = slots(Profile::Lab, 0.0, 250, &[(12.0, 12.0); 3]);
    assert_eq!(letter(&verdict(FindingKind::MemoryPressure, &postgres, at(500))), 'A');
    let redis = memory(&[49.0, 49.0], 50.0, 1.0);
    assert_eq!(letter(&verdict(FindingKind::ConnectionPressure, &redis, at(250))), 'A');
}

#[test]
fn data_vanishes_by_a_flush_only_and_after_two_looks() {
    let now = at(1_000);
    let lost = |ms: i64, keys: &[f64]| {
        let sample = samples(&format!("h{ms}.")).remove(0);
        let lost = keys.iter().map(|keys| (reading::KEYS_LOST_TO_FLUSH, *keys));
        with(sample, &lost.chain([(reading::KEYS, 3.0)]).collect::<Vec<_>>())
    };
    let table = [
        ("nothing lost", vec![lost(500, &[0.0]), lost(750, &[0.0])], 'A'),
        ("lost, one look", vec![lost(500, &[0.0]), lost(750, &[990.0])], 'I'),
        ("lost, two looks", vec![lost(500, &[990.0]), lost(750, &[985.0])], 'P'),
        ("back, one look", vec![lost(500, &[990.0]), lost(750, &[0.0])], 'I'),
        ("not told", vec![lost(500, &[]), lost(750, &[])], 'I'),
    ];
    for (story, samples, expected) in table {
        let found = verdict(FindingKind::DataVanished, &redis(samples), now);
        assert_eq!(letter(&found), expected, "{story}");
    }
    let long_gone = redis([lost(0, &[990.0]), lost(250, &[990.0])]);
    assert_eq!(letter(&verdict(FindingKind::DataVanished, &long_gone, at(9_000))), 'I');
    let mut aged = lost(750, &[985.0]);
    aged.readings = aged.readings.with(reading::FLUSH_AGE_SECONDS, 0.5);
    let finding =
        present(verdict(FindingKind::DataVanished, &redis([lost(500, &[990.0]), aged]), now));
    assert_eq!((finding.since, finding.severity), (at(250), Severity::Critical));
    assert!(finding.sentence.contains("985 keys were removed at once"), "{}", finding.sentence);
}
