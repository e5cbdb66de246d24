//! A pseudo-terminal with the built binary on it: keys in, a screen out.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nobody answers there: a target whose samples never change.
pub(crate) const NOBODY: &str = "[lab]\nenabled = false\n[[target]]\nname = \"nobody\"\n\
    url = \"redis://127.0.0.1:9\"\n[store]\nurl = \"sqlite:records.db\"\n";

const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration, a state directory, and whatever a program needs besides.
pub(crate) struct Place {
    dir: TempDir,
    env: Vec<(String, String)>,
}

impl Place {
    pub(crate) fn with(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("simctl.toml"), config).expect("write the configuration");
        Self { dir, env: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    fn program(&self, words: &[&str]) -> CommandBuilder {
        let mut command = CommandBuilder::new(words[0]);
        command.args(&words[1..]);
        command.cwd(self.path());
        command.env_clear();
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        command.env("HOME", self.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("PS1", "prompt> ");
        command.env("SIMCTL_STATE_DIR", self.state_dir());
        command.env("SIMCTL_OPERATOR", "ops1");
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command
    }

    /// `simctl tui` with these arguments on a terminal of 80 columns and 24 rows.
    pub(crate) fn console(&self, args: &[&str]) -> Tty {
        self.console_of((80, 24), args)
    }

    /// The same on another size.
    pub(crate) fn console_of(&self, size: (u16, u16), args: &[&str]) -> Tty {
        let mut words = vec![env!("CARGO_BIN_EXE_simctl"), "--config", "simctl.toml", "tui"];
        words.extend(args);
        self.tty(&words, size)
    }

    /// Any program on a terminal.
    pub(crate) fn tty(&self, words: &[&str], (cols, rows): (u16, u16)) -> Tty {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let before = termios(&*pair.master);
        let child = pair.slave.spawn_command(self.program(words)).expect("the program starts");
        let parser = Arc::new(Mutex::new(vt100::Parser::new(positive(rows), positive(cols), 0)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (shown, kept) = (Arc::clone(&parser), Arc::clone(&bytes));
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let closes = Arc::new(AtomicBool::new(false));
        let is_closing = Arc::clone(&closes);
        let reading = std::thread::spawn(move || {
            let mut chunk = [0; 4_096];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                shown.lock().unwrap().process(&chunk[..count]);
                kept.lock().unwrap().extend(&chunk[..count]);
                if is_closing.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        let writer = pair.master.take_writer().expect("a writer");
        let (master, slave) = (Some(pair.master), Some(pair.slave));
        let reading = Some((reading, closes));
        Tty { parser, bytes, writer: Some(writer), master, slave, reading, child, before }
    }
}

fn positive(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a terminal has a size")
}

fn termios(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("the settings of a terminal"))
}

/// A program on a terminal. Dropped, it is killed.
pub(crate) struct Tty {
    parser: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    writer: Option<Box<dyn Write + Send>>,
    master: Option<Box<dyn MasterPty + Send>>,
    /// Kept open, so that the terminal outlives the program.
    slave: Option<Box<dyn SlavePty + Send>>,
    reading: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
    child: Box<dyn Child + Send + Sync>,
    before: String,
}

impl Tty {
    /// What stands on the screen.
    pub(crate) fn screen(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    /// Every byte so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub(crate) fn is_full_screen(&self) -> bool {
        self.parser.lock().unwrap().screen().alternate_screen()
    }

    pub(crate) fn wait(&self, what: &str, seen: impl FnMut(&Self) -> bool) {
        self.wait_within(PATIENCE, what, seen);
    }

    pub(crate) fn wait_within(
        &self,
        span: Duration,
        what: &str,
        mut seen: impl FnMut(&Self) -> bool,
    ) {
        let until = Instant::now() + span;
        while !seen(self) {
            assert!(Instant::now() < until, "not within {span:?}: {what}\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until this stands on the screen.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait(&format!("`{text}`"), |tty| tty.screen().contains(text));
    }

    /// Waits until nothing was written for so long.
    pub(crate) fn wait_until_quiet(&self, span: Duration) {
        let (mut length, mut since) = (self.bytes().len(), Instant::now());
        self.wait("quiet", |tty| {
            let now = tty.bytes().len();
            if now != length {
                (length, since) = (now, Instant::now());
            }
            since.elapsed() >= span
        });
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let writer = self.writer.as_mut().expect("the terminal is open");
        writer.write_all(bytes).expect("write to the terminal");
    }

    /// Presses a key: a character, or a name such as `enter`, `esc`, `ctrl-c`.
    pub(crate) fn key(&mut self, name: &str) {
        let bytes = match name {
            "enter" => b"\r".to_vec(),
            "esc" => b"\x1b".to_vec(),
            "tab" => b"\t".to_vec(),
            "down" => b"\x1b[B".to_vec(),
            "up" => b"\x1b[A".to_vec(),
            "pgdn" => b"\x1b[6~".to_vec(),
            _ => match name.strip_prefix("ctrl-") {
                Some(letter) => vec![letter.as_bytes()[0] & 0x1f],
                None => name.as_bytes().to_vec(),
            },
        };
        self.send(&bytes);
    }

    /// Types as a person does: faster counts as a paste.
    pub(crate) fn type_slowly(&mut self, text: &str) {
        for c in text.chars() {
            self.key(&c.to_string());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn resize(&mut self, cols: u16, rows: u16) {
        self.parser.lock().unwrap().screen_mut().set_size(positive(rows), positive(cols));
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.as_ref().expect("open").resize(size).expect("resize");
    }

    pub(crate) fn pid(&self) -> Pid {
        let pid = self.child.process_id().expect("it runs");
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signal");
    }

    /// Closes the terminal under the program.
    pub(crate) fn hang_up(&mut self) {
        // The reader has the terminal open too, and looks up when something is drawn.
        let (reading, closes) = self.reading.take().expect("open");
        closes.store(true, Ordering::SeqCst);
        self.resize(90, 24);
        reading.join().expect("the reader ends");
        self.writer = None;
        self.slave = None;
        self.master = None;
    }

    /// Waits for its end; the exit code.
    pub(crate) fn ends(&mut self) -> u32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for the program") {
                return status.exit_code();
            }
            assert!(Instant::now() < until, "it does not end\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The terminal's settings as they are now.
    pub(crate) fn settings(&self) -> String {
        termios(&**self.master.as_ref().expect("open"))
    }

    /// Whether the terminal is as it was before the program: settings, screen, cursor, every mode.
    pub(crate) fn assert_restored(&self) {
        self.wait("the main screen", |tty| !tty.is_full_screen());
        assert_eq!(self.settings(), self.before, "the terminal's settings");
        let modes = modes_left_on(&self.bytes());
        assert!(modes.is_empty(), "left on: {modes:?}");
        assert!(!self.parser.lock().unwrap().screen().hide_cursor(), "the cursor is hidden");
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The private modes and keyboard flags that were switched on and not off again.
fn modes_left_on(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut on = BTreeSet::new();
    let mut pushed = 0_i32;
    for part in text.split("\x1b[").skip(1) {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        let Some(end) = end else { continue };
        let (numbers, letter) = (&part[..end], &part[end..=end]);
        match (numbers.chars().next(), letter) {
            (Some('?'), "h") => on.extend(numbers[1..].split(';').map(str::to_owned)),
            (Some('?'), "l") => {
                for mode in numbers[1..].split(';') {
                    on.remove(mode);
                }
            }
            (Some('>'), "u") => pushed += 1,
            (Some('<'), "u") => pushed -= 1,
            _ => {}
        }
    }
    // The cursor is a mode that is on to begin with.
    on.remove("25");
    if pushed != 0 {
        on.insert(format!("keyboard flags {pushed}"));
    }
    on
}

#[test]
fn a_mode_left_on_is_found() {
    let left = modes_left_on(b"\x1b[?1049h\x1b[?2004;1004h\x1b[>7uxyz\x1b[?1049l\x1b[?2004l");
    assert_eq!(left.into_iter().collect::<Vec<_>>(), ["1004", "keyboard flags 1"]);
    assert!(modes_left_on(b"\x1b[?1049h\x1b[?25l\x1b[1;1Hx\x1b[?25h\x1b[?1049l").is_empty());
}
