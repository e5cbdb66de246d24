//! What a command prints, kept up to a bound; beyond it only counted, and the cut is said in the text.

use std::time::Duration;

use crate::domain::execution::Output;

/// The two streams of one command.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
}

/// One stream. Chunks may cut characters, so text is made at the end only.
#[derive(Debug)]
pub(super) struct Stream {
    kept: Vec<u8>,
    room: usize,
    cut: usize,
}

impl Stream {
    fn new(room: usize) -> Self {
        Self { kept: Vec::new(), room, cut: 0 }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let fits = chunk.len().min(self.room - self.kept.len());
        self.kept.extend_from_slice(&chunk[..fits]);
        self.cut += chunk.len() - fits;
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        match self.cut {
            0 => text.into_owned(),
            cut => format!("{text}\n[cut here: {cut} more bytes]"),
        }
    }
}

impl Capture {
    /// Keeps at most `bytes` of each stream.
    pub(super) fn new(bytes: usize) -> Self {
        Self { stdout: Stream::new(bytes), stderr: Stream::new(bytes) }
    }

    pub(super) fn finish(&self, exit_code: Option<i64>, took: Duration) -> Output {
        Output {
            exit_code,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_cut_by_chunks_are_whole_again() {
        let mut capture = Capture::new(100);
        let text = "größe".as_bytes();
        capture.stdout.push(&text[..3]);
        capture.stdout.push(&text[3..]);
        capture.stderr.push(b"warning");
        let output = capture.finish(Some(3), Duration::from_millis(12));
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("größe", "warning"));
        assert_eq!((output.exit_code, output.duration_ms), (Some(3), 12));
    }

    #[test]
    fn what_is_too_much_is_counted_and_said() {
        let mut capture = Capture::new(4);
        capture.stdout.push(b"abc");
        capture.stdout.push(b"defg");
        capture.stdout.push(b"h");
        let output = capture.finish(None, Duration::ZERO);
        assert_eq!(output.stdout, "abcd\n[cut here: 4 more bytes]");
    }
}
