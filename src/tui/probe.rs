//! What the terminal says about itself: its background and whether it reports key releases. One question, asked
//! before anybody reads keys, with at most a tenth of a second for the answer.

use std::os::fd::AsFd;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::time::Instant;

use super::terminal;

/// The longest a terminal may take.
const PATIENCE: Duration = Duration::from_millis(100);
/// Background colour, keyboard flags; every terminal answers the last one, which ends the answer.
const BACKGROUND: &str = "\x1b]11;?\x1b\\";
const REST: &str = "\x1b[?u\x1b[c";

/// What the terminal said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether its background is light, when it told.
    pub is_light: Option<bool>,
    pub releases: bool,
    /// It said all it was going to say; otherwise the rest may still come, and must not be read as keys.
    pub is_whole: bool,
}

/// Asks the terminal, which must be ours and in raw mode.
pub fn ask(about_background: bool) -> Answer {
    let question = if about_background { format!("{BACKGROUND}{REST}") } else { REST.into() };
    if terminal::send(question.as_bytes()).is_err() {
        return Answer::default();
    }
    let mut bytes = Vec::new();
    let until = Instant::now() + PATIENCE;
    while !is_whole(&bytes) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !read_within(left, &mut bytes) {
            break;
        }
    }
    terminal::flush_input();
    understand(&bytes)
}

fn read_within(left: Duration, bytes: &mut Vec<u8>) -> bool {
    let input = rustix::stdio::stdin();
    let mut ready = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
        tv_nsec: left.subsec_nanos().into(),
    };
    if !matches!(rustix::event::poll(&mut ready, Some(&left)), Ok(1..)) {
        return false;
    }
    let mut chunk = [0; 256];
    match rustix::io::read(input, &mut chunk) {
        Ok(count @ 1..) => {
            bytes.extend(&chunk[..count]);
            true
        }
        _ => false,
    }
}

/// Whether the answer to the last question is in it: `ESC [ ? … c`.
fn is_whole(bytes: &[u8]) -> bool {
    control_sequences(bytes).any(|sequence| sequence.ends_with('c'))
}

/// What stands after each `ESC [ ?`, up to and with its final letter.
fn control_sequences(bytes: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let parts: Vec<String> = text
        .split("\x1b[?")
        .skip(1)
        .filter_map(|part| {
            let end = part.find(|c: char| c.is_ascii_alphabetic())?;
            Some(part[..=end].to_owned())
        })
        .collect();
    parts.into_iter()
}

/// Reads an answer.
fn understand(bytes: &[u8]) -> Answer {
    Answer {
        is_light: background(&String::from_utf8_lossy(bytes)),
        releases: control_sequences(bytes).any(|sequence| sequence.ends_with('u')),
        is_whole: is_whole(bytes),
    }
}

/// From `rgb:ffff/ffff/ffff`, with one to four digits each: whether it is nearer to white.
fn background(text: &str) -> Option<bool> {
    let colour = text.split_once("]11;rgb:")?.1;
    let colour = colour.split(['\x1b', '\x07']).next()?;
    let parts: Vec<f64> = colour
        .split('/')
        .map(|part| {
            let value = u32::from_str_radix(part, 16).ok()?;
            let most = 16_u32.checked_pow(u32::try_from(part.len()).ok()?)?.checked_sub(1)?;
            Some(f64::from(value) / f64::from(most))
        })
        .collect::<Option<_>>()?;
    let [red, green, blue] = parts.as_slice() else { return None };
    Some(0.299 * red + 0.587 * green + 0.114 * blue > 0.5)
}

/// Swallows an answer that comes after nobody waits for it any more, as the keys it would be read as.
#[derive(Debug)]
pub struct Late {
    /// Whether an answer may still come; a slow line has no bound.
    is_owed: bool,
    /// Keys of the answer that may still follow, while one is being swallowed, and when the last one came.
    left: u8,
    last_ms: u64,
}

impl Late {
    /// An answer is at most this long.
    const LONGEST: u8 = 40;
    /// An answer comes in one piece; a person's next key does not come this soon.
    const APART_MS: u64 = 500;

    /// After a question whose answer was or was not whole.
    pub fn new(answer: Answer) -> Self {
        Self { is_owed: !answer.is_whole, left: 0, last_ms: 0 }
    }

    /// Whether this key is part of a late answer.
    pub fn swallows(&mut self, key: &KeyEvent, now_ms: u64) -> bool {
        let with = |modifier| key.modifiers.contains(modifier);
        if self.is_owed && key.code == KeyCode::Char(']') && with(KeyModifiers::ALT) {
            (self.left, self.last_ms) = (Self::LONGEST, now_ms);
            return true;
        }
        if self.left == 0 || now_ms > self.last_ms + Self::APART_MS {
            self.left = 0;
            return false;
        }
        let is_end = (key.code == KeyCode::Char('\\') && with(KeyModifiers::ALT))
            || (key.code == KeyCode::Char('g') && with(KeyModifiers::CONTROL));
        self.left = if is_end { 0 } else { self.left - 1 };
        self.last_ms = now_ms;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_background_and_releases() {
        let all = b"\x1b]11;rgb:fdfd/f6f6/e3e3\x1b\\\x1b[?0u\x1b[?62;22c";
        let expected = Answer { is_light: Some(true), releases: true, is_whole: true };
        assert_eq!(understand(all), expected);
        let dark = b"\x1b]11;rgb:00/2b/36\x07\x1b[?62c";
        let expected = Answer { is_light: Some(false), releases: false, is_whole: true };
        assert_eq!(understand(dark), expected);
        assert_eq!(understand(b"\x1b]11;rgb:zz/0"), Answer::default());
        assert_eq!(understand(b"\x1b[?0u\x1b[?6"), Answer { releases: true, ..Answer::default() });
    }

    #[test]
    fn a_late_answer_is_no_keys() {
        let mut late = Late::new(Answer::default());
        let key = |c, modifiers| KeyEvent::new(KeyCode::Char(c), modifiers);
        let plain = |c| key(c, KeyModifiers::NONE);
        assert!(!late.swallows(&plain('r'), 110), "an ordinary key goes through");
        assert!(late.swallows(&key(']', KeyModifiers::ALT), 120));
        for c in "11;rgb:ffff/ffff/ffff".chars() {
            assert!(late.swallows(&plain(c), 120));
        }
        assert!(late.swallows(&key('\\', KeyModifiers::ALT), 120));
        assert!(!late.swallows(&plain('r'), 130), "it ends with its last byte");
        assert!(late.swallows(&key(']', KeyModifiers::ALT), 9_000), "however late");
        assert!(late.swallows(&plain('1'), 9_001));
        assert!(!late.swallows(&plain('r'), 9_900), "a person's key is not part of it");
        let whole = Answer { is_whole: true, ..Answer::default() };
        assert!(!Late::new(whole).swallows(&key(']', KeyModifiers::ALT), 120));
    }
}
