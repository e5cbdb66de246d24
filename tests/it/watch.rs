//! `simctl watch` beside real engines: what it tells, in which words, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::crash::bench::{Home, eventually, kill};

/// Nobody answers there, so the engine opens an incident at once.
const CONFIG: &str = "[lab]\nenabled = false\n[[target]]\nname = \"nobody\"\n\
    url = \"redis://127.0.0.1:9\"\n[store]\nurl = \"sqlite:records.db\"\n";

const PATIENCE: Duration = Duration::from_secs(30);

/// A running program and every line it said. Dropped, it is killed.
struct Told {
    child: Child,
    out: Lines,
    err: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

fn collect(from: impl std::io::Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    lines
}

impl Told {
    fn by(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let out = collect(child.stdout.take().expect("piped"));
        let err = collect(child.stderr.take().expect("piped"));
        Self { child, out, err }
    }

    fn lines(&self) -> Vec<String> {
        self.out.lock().unwrap().clone()
    }

    fn said(&self) -> Vec<String> {
        self.err.lock().unwrap().clone()
    }

    /// Waits until it told a line with this in it.
    fn tells(&self, part: &str) -> String {
        self.soon(part, || self.lines().into_iter().find(|line| line.contains(part)))
    }

    /// Waits until it said this so many times on standard error.
    fn says(&self, part: &str, times: usize) {
        let count = || self.said().iter().filter(|line| line.contains(part)).count();
        self.soon(part, || (count() >= times).then_some(()));
    }

    fn soon<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            let (told, said) = (self.lines(), self.said());
            assert!(Instant::now() < until, "no `{what}` in {told:#?}, and it said {said:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and returns its exit code.
    fn end(&mut self, signal: Signal) -> i32 {
        kill(self.child.id(), signal);
        self.ended()
    }

    fn ended(&mut self) -> i32 {
        let ended =
            eventually("the program ends", || self.child.try_wait().expect("it can be asked"));
        ended.code().expect("no signal ended it")
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn engine(home: &Home) -> Told {
    Told::by(home.command(&["run", "--plain"]))
}

fn watch(home: &Home, more: &[&str]) -> Told {
    Told::by(home.command(&[&["watch"], more].concat()))
}

/// A line that tells a target's state, which no event stands for.
fn is_state(line: &str) -> bool {
    line.split(' ').skip(3).collect::<Vec<_>>().as_slice() == ["health", "0"]
}

#[test]
fn a_watch_started_first_tells_two_engines_as_one_story() {
    let home = Home::with(CONFIG);
    let mut watching = watch(&home, &["--plain"]);
    watching.says("no engine is running; waiting for one", 1);
    let mut first = engine(&home);
    watching.says("attached to the running engine, which watches nobody", 1);
    watching.tells(" nobody DOWN health 0");
    home.ok(&["incidents", "note", "1", "\u{1b}]52;c;aGk=\u{7}two\nlines\u{202e}\u{9b}31m"]);
    let noted = watching.tells("ops1 noted: ");
    assert!(noted.ends_with("\\x1b]52;c;aGk=\\x07two | lines\\u{202e}\\x9b31m"), "{noted}");
    assert_eq!(first.end(Signal::TERM), 0);
    watching.tells("engine stopped: told to stop");
    watching.says("waiting for an engine", 1);
    let mut second = engine(&home);
    watching.says("attached to the running engine", 2);
    home.ok(&["incidents", "note", "1", "after the restart"]);
    watching.tells("noted: after the restart");
    second.tells("noted: after the restart");
    assert_eq!(watching.end(Signal::TERM), 0);

    let lines = watching.lines();
    for line in &lines {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(lines.iter().filter(|other| *other == line).count(), 1, "told twice: {line}");
    }
    let told = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !is_state(line)).cloned().collect()
    };
    let mut by_engines = told(&first.lines());
    by_engines.extend(second.lines());
    let ours = told(&lines);
    let begin = by_engines.iter().position(|line| *line == ours[0]).expect("the same words");
    let end = begin + ours.len();
    assert_eq!(ours, by_engines[begin..end], "`run --plain` tells the same lines");

    // The same story out of the store, and one engine after the other.
    let again = watch(&home, &["--since", "1h"]);
    again.tells("noted: after the restart");
    assert_eq!(told(&again.lines())[begin..end], ours);
    assert_eq!(second.end(Signal::TERM), 0);
}

#[test]
fn history_is_told_as_json_without_a_gap_and_one_incident_alone() {
    let home = Home::with(CONFIG);
    let mut running = engine(&home);
    running.tells(" opened ");
    home.ok(&["incidents", "note", "1", "this one"]);
    running.tells("noted: this one");

    let mut json = watch(&home, &["--json", "--since", "1h"]);
    json.tells("this one");
    assert_eq!(json.end(Signal::INT), 0);
    let seqs: Vec<u64> = json.lines().iter().map(|line| seq(line)).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());

    let mut one = watch(&home, &["--incident", "INC-0001", "--since", "1h"]);
    one.tells("noted: this one");
    one.tells(" nobody DOWN health 0");
    assert!(one.lines().iter().all(|line| line.contains("INC-0001") || is_state(line)));
    assert_eq!(one.end(Signal::TERM), 0);

    let none = home.run(&["watch", "--incident", "99"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("there is no incident INC-0099; the newest are INC-0001"));
    assert_eq!(running.end(Signal::TERM), 0);
}

fn seq(line: &str) -> u64 {
    let sealed: Value = serde_json::from_str(line).expect("every line is JSON");
    sealed["event"]["seq"].as_u64().expect("a number")
}

#[test]
fn a_reader_that_goes_away_or_stops_reading_ends_a_watch_quietly() {
    let home = Home::with(CONFIG);
    let mut running = engine(&home);
    running.tells(" opened ");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = home.command(&["watch", "--since", "1h"]);
    let output = command.stdout(writer).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("simctl:"), "{said}");

    // A full pipe that nobody reads.
    let long = "x".repeat(30_000);
    for _ in 0..6 {
        home.ok(&["incidents", "note", "1", &long]);
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = home.command(&["watch", "--since", "1h"]);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(command);
    let mut stuck = Told { child, out: Lines::default(), err: Lines::default() };
    eventually("the pipe is full", || {
        (rustix::io::ioctl_fionread(&reader).expect("a pipe") > 60_000).then_some(())
    });
    assert_eq!(stuck.end(Signal::TERM), 0);
    assert_eq!(running.end(Signal::TERM), 0);
}
