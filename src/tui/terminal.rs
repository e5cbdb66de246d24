//! The terminal: entered, drawn on and left in one place. Everything that was switched on is switched off once,
//! whichever way out is taken and whichever thread takes it.

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crossterm::Command;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, EnableMouseCapture, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
    PushKeyboardEnhancementFlags,
};
use crossterm::style::{ContentStyle, ResetColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::{Backend, ClearType, CrosstermBackend, IntoCrossterm};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use rustix::event::{PollFd, PollFlags};
use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::Notify;
use unicode_width::UnicodeWidthStr;

/// What the terminal can do beyond the ordinary, and what is wanted of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// It reports when keys are released.
    pub releases: bool,
    pub mouse: bool,
}

/// What of the terminal is ours now.
#[derive(Debug, Default)]
struct Held {
    /// The modes we switched on; `None` while the terminal is somebody else's.
    modes: Option<Modes>,
    /// It was closed: nothing may be written.
    is_gone: bool,
}

/// Whoever writes holds this, so that no frame follows the bytes that restore.
static HELD: Mutex<Held> = Mutex::new(Held { modes: None, is_gone: false });

fn held() -> MutexGuard<'static, Held> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the terminal ours: raw mode, alternate screen, and what `modes` asks for.
pub fn enter(modes: Modes) -> io::Result<()> {
    let mut held = held();
    enable_raw_mode()?;
    held.modes = Some(modes);
    let mut bytes = sequence(&[&EnterAlternateScreen, &EnableBracketedPaste, &EnableFocusChange]);
    bytes += &sequence(&[&Hide, &ResetColor]);
    bytes += &switched_on(modes);
    write_all(bytes.as_bytes())
}

/// Switches further modes on or off.
pub fn switch(to: Modes) -> io::Result<()> {
    let mut held = held();
    let Some(now) = held.modes.replace(to) else {
        held.modes = None;
        return Ok(());
    };
    let mut bytes = String::new();
    if now.mouse != to.mouse {
        bytes += &if to.mouse {
            sequence(&[&EnableMouseCapture])
        } else {
            sequence(&[&DisableMouseCapture])
        };
    }
    if !now.releases && to.releases {
        bytes += &sequence(&[&RELEASES]);
    }
    write_all(bytes.as_bytes())
}

/// Gives the terminal back. Does nothing when it is given back already; errors have nowhere to go.
pub fn restore() {
    let mut held = held();
    let Some(modes) = held.modes.take() else { return };
    if held.is_gone {
        return;
    }
    let mut bytes = String::new();
    if modes.releases {
        bytes += &sequence(&[&PopKeyboardEnhancementFlags]);
    }
    if modes.mouse {
        bytes += &sequence(&[&DisableMouseCapture]);
    }
    bytes += &sequence(&[&DisableFocusChange, &DisableBracketedPaste, &EndSynchronizedUpdate]);
    bytes += &sequence(&[&LeaveAlternateScreen, &Show, &ResetColor]);
    bytes += "\x1b[0m";
    let _ = write_all(bytes.as_bytes());
    let _ = disable_raw_mode();
}

/// The terminal was closed: from now on nothing is written to it.
pub fn is_gone() {
    held().is_gone = true;
}

/// Whether it is still there.
pub fn answers() -> bool {
    rustix::termios::tcgetattr(rustix::stdio::stdin()).is_ok()
}

/// Throws away what was typed and not read.
pub fn flush_input() {
    let _ = tcflush(rustix::stdio::stdin(), QueueSelector::IFlush);
}

/// Columns and rows.
pub fn size() -> (u16, u16) {
    crossterm::terminal::size().unwrap_or((80, 24))
}

/// Writes bytes that draw nothing (a bell, a copy), when the terminal is ours.
pub fn send(bytes: &[u8]) -> io::Result<()> {
    let held = held();
    if held.modes.is_none() || held.is_gone { Ok(()) } else { write_all(bytes) }
}

/// Says a line on the terminal that was given back.
pub fn remark(line: &str) {
    let held = held();
    if held.modes.is_none() && !held.is_gone {
        let _ = write_all(format!("{line}\n").as_bytes());
    }
}

const RELEASES: PushKeyboardEnhancementFlags = PushKeyboardEnhancementFlags(
    KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES
        .union(KeyboardEnhancementFlags::REPORT_EVENT_TYPES)
        .union(KeyboardEnhancementFlags::REPORT_ALTERNATE_KEYS),
);

fn switched_on(modes: Modes) -> String {
    let mut bytes = String::new();
    if modes.releases {
        bytes += &sequence(&[&RELEASES]);
    }
    if modes.mouse {
        bytes += &sequence(&[&EnableMouseCapture]);
    }
    bytes
}

/// A command of the terminal as bytes, whatever its type.
trait Ansi {
    fn ansi(&self, bytes: &mut String);
}

impl<C: Command> Ansi for C {
    fn ansi(&self, bytes: &mut String) {
        // Writing into a string cannot fail.
        let _ = self.write_ansi(bytes);
    }
}

fn sequence(commands: &[&dyn Ansi]) -> String {
    let mut bytes = String::new();
    for command in commands {
        command.ansi(&mut bytes);
    }
    bytes
}

/// Straight to the terminal: standard output's buffer would cut a frame at its last line break.
fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    let out = rustix::stdio::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(out, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut ready = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::OUT)];
                let _ = rustix::event::poll(&mut ready, None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

// ---- frames ---------------------------------------------------------------------------------------------

/// What stands on the terminal, so that a frame writes only what changed.
#[derive(Debug)]
pub struct Canvas {
    shown: Buffer,
    next: Buffer,
    /// Nothing on the terminal can be relied on.
    is_blank: bool,
}

impl Canvas {
    /// For a terminal of this size.
    pub fn new(size: (u16, u16)) -> Self {
        let area = area(size);
        Self { shown: Buffer::empty(area), next: Buffer::empty(area), is_blank: true }
    }

    /// The next frame draws everything.
    pub fn forget(&mut self) {
        self.is_blank = true;
    }

    /// Takes another size; that alone clears the screen.
    pub fn resize(&mut self, size: (u16, u16)) {
        if self.next.area != area(size) {
            *self = Self::new(size);
        }
    }

    /// What is shown.
    pub fn shown(&self) -> &Buffer {
        &self.shown
    }

    /// Draws a frame; the bytes that bring it to the terminal, none when nothing changed.
    pub fn frame(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> Vec<u8> {
        self.next.reset();
        draw(self.next.area, &mut self.next);
        if self.is_blank {
            self.shown.reset();
        }
        let changed = self.shown.diff(&self.next);
        let mut bytes = Vec::new();
        if !changed.is_empty() || self.is_blank {
            bytes.extend(sequence(&[&BeginSynchronizedUpdate]).as_bytes());
            let mut backend = CrosstermBackend::new(&mut bytes);
            if self.is_blank {
                let _ = backend.clear_region(ClearType::All);
            }
            let _ = backend.draw(changed.into_iter());
            bytes.extend(sequence(&[&EndSynchronizedUpdate]).as_bytes());
        }
        self.is_blank = false;
        std::mem::swap(&mut self.shown, &mut self.next);
        bytes
    }
}

fn area((width, height): (u16, u16)) -> Rect {
    Rect::new(0, 0, width, height)
}

/// A frame for a file, with its colours as escape sequences.
pub fn as_ansi(shown: &Buffer) -> String {
    let mut text = String::new();
    for line in lines(shown) {
        for run in line.chunk_by(|a, b| a.style() == b.style()) {
            let style: ContentStyle = run[0].style().into_crossterm();
            let run: String = run.iter().map(|cell| cell.symbol()).collect();
            let _ = write!(text, "{}", style.apply(run));
        }
        text.push('\n');
    }
    text
}

/// A frame for a file, without them.
pub fn as_text(shown: &Buffer) -> String {
    let mut text = String::new();
    for line in lines(shown) {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end_matches(' '));
        text.push('\n');
    }
    text
}

/// The cells that are seen, line by line: what a wide character covers is not.
fn lines(shown: &Buffer) -> impl Iterator<Item = Vec<&Cell>> {
    (shown.area.top()..shown.area.bottom()).map(|y| {
        let mut cells = Vec::new();
        let mut x = shown.area.left();
        while x < shown.area.right() {
            let cell = &shown[(x, y)];
            x += u16::try_from(cell.symbol().width().max(1)).unwrap_or(1);
            cells.push(cell);
        }
        cells
    })
}

// ---- panics ---------------------------------------------------------------------------------------------

/// The first panic of any thread, and who waits for one.
#[derive(Debug, Default)]
pub struct Alarm {
    words: OnceLock<String>,
    rung: Notify,
}

static ALARM: Alarm = Alarm { words: OnceLock::new(), rung: Notify::const_new() };

impl Alarm {
    /// Returns the words of the first panic, once there is one.
    pub async fn rung(&self) -> String {
        loop {
            let rung = self.rung.notified();
            if let Some(words) = self.words.get() {
                return words.clone();
            }
            rung.await;
        }
    }

    /// The words of the first panic, if there was one.
    pub fn words(&self) -> Option<&str> {
        self.words.get().map(String::as_str)
    }
}

/// From now on a panic in any thread gives the terminal back, is logged and rings the alarm.
pub fn watch_for_panics() -> &'static Alarm {
    std::panic::set_hook(Box::new(|panic| {
        restore();
        let words = panic.to_string();
        tracing::error!(panic = words, "panicked");
        let _ = ALARM.words.set(words);
        ALARM.rung.notify_waiters();
    }));
    &ALARM
}
