//! Plays a recording through the same console, without an engine: what it asks of the world is left undone.

mod show;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::console::Console;
use super::recorder::Recording;
pub use show::{End, show};

/// How many times faster than it was, in hundredths.
const SPEEDS: [u64; 9] = [25, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
const AS_IT_WAS: usize = 2;

/// What follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Stay,
    Quit,
}

/// A recording being played.
pub struct Player {
    recording: Recording,
    console: Console,
    /// The message that comes next.
    next: usize,
    /// Microseconds since the recording's start.
    at_us: u64,
    speed: usize,
    is_stopped: bool,
    /// A time being typed.
    typed: Option<String>,
    /// What was wrong with the last key.
    remark: Option<String>,
}

impl Player {
    /// At the start, playing.
    pub fn new(recording: Recording) -> Self {
        let console = recording.start.console();
        Self {
            recording,
            console,
            next: 0,
            at_us: 0,
            speed: AS_IT_WAS,
            is_stopped: false,
            typed: None,
            remark: None,
        }
    }

    /// At the end, stopped.
    pub fn at_end(recording: Recording) -> Self {
        let mut player = Self::new(recording);
        player.jump(u64::MAX);
        player.is_stopped = true;
        player
    }

    /// The console as it stands.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// A key by its name.
    pub fn key(&mut self, name: &str) -> Then {
        self.remark = None;
        if self.typed.is_some() {
            self.type_time(name);
            return Then::Stay;
        }
        match name {
            "q" | "ctrl-c" => return Then::Quit,
            "space" => self.is_stopped = !self.is_stopped,
            "." => self.step(),
            "+" | "=" => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
            "-" => self.speed = self.speed.saturating_sub(1),
            "/" => self.typed = Some(String::new()),
            "home" => self.jump(0),
            "end" => self.jump(u64::MAX),
            _ => {
                self.remark =
                    Some("space stops, . steps, + - speed, / jumps to a time, q quits".into());
            }
        }
        Then::Stay
    }

    fn type_time(&mut self, name: &str) {
        let Some(typed) = &mut self.typed else { return };
        match name {
            "enter" => {
                match time(typed) {
                    Some(ms) => self.jump(ms),
                    None => self.remark = Some(format!("`{typed}` is no time; write 90 or 1:30")),
                }
                self.typed = None;
            }
            "esc" | "ctrl-c" => self.typed = None,
            "backspace" => drop(typed.pop()),
            key if key.chars().count() == 1 && typed.len() < 12 => typed.push_str(key),
            _ => {}
        }
    }

    /// So much time passes in front of the screen; whether it shows something else now.
    pub fn pass(&mut self, us: u64) -> bool {
        if self.is_stopped || self.is_over() {
            return false;
        }
        let before = self.next;
        self.at_us = self.at_us.saturating_add(us.saturating_mul(SPEEDS[self.speed]) / 100);
        self.catch_up();
        self.next != before
    }

    /// How long until the next message is due, in microseconds; never, while nothing plays.
    pub fn due_us(&self) -> Option<u64> {
        let (now, _) = self.recording.messages.get(self.next).filter(|_| !self.is_stopped)?;
        let left = self.since_start(now.ms) * 1_000;
        Some(left.saturating_sub(self.at_us) * 100 / SPEEDS[self.speed])
    }

    /// Takes the next message, however far away, and stops.
    fn step(&mut self) {
        self.is_stopped = true;
        if let Some((now, _)) = self.recording.messages.get(self.next) {
            self.at_us = self.at_us.max(self.since_start(now.ms) * 1_000);
            self.take();
        }
    }

    /// Goes to a time in milliseconds, back too.
    fn jump(&mut self, ms: u64) {
        let ms = ms.min(self.length_ms());
        if ms * 1_000 < self.at_us {
            self.console = self.recording.start.console();
            self.next = 0;
        }
        self.at_us = ms * 1_000;
        self.catch_up();
    }

    fn catch_up(&mut self) {
        while let Some((now, _)) = self.recording.messages.get(self.next)
            && self.since_start(now.ms) * 1_000 <= self.at_us
        {
            self.take();
        }
    }

    fn take(&mut self) {
        if let Some((now, msg)) = self.recording.messages.get(self.next) {
            self.console.update(msg.clone(), *now);
            self.next += 1;
        }
    }

    fn is_over(&self) -> bool {
        self.next >= self.recording.messages.len()
    }

    fn since_start(&self, ms: u64) -> u64 {
        ms.saturating_sub(self.recording.start.ms)
    }

    fn length_ms(&self) -> u64 {
        self.since_start(self.recording.end().ms)
    }

    // ---- drawing ----------------------------------------------------------------------------------------

    /// The recorded screen, as far as it fits, and a line about the recording below.
    pub fn draw(&self, area: Rect, buf: &mut Buffer) {
        let rows = area.height.saturating_sub(1);
        let screen = self.screen();
        for y in 0..rows.min(screen.area.height) {
            for x in 0..area.width.min(screen.area.width) {
                buf[(area.x + x, area.y + y)] = screen[(x, y)].clone();
            }
        }
        if area.height > 0 {
            let style = Style::new().add_modifier(Modifier::REVERSED);
            let width = usize::from(area.width);
            let line = format!("{:<width$}", self.line(area));
            buf.set_stringn(area.x, area.y + rows, line, width, style);
        }
    }

    /// The recorded screen at the size it had.
    pub fn screen(&self) -> Buffer {
        let (columns, rows) = self.console.desk.size;
        let area = Rect::new(0, 0, columns, rows);
        let mut buf = Buffer::empty(area);
        self.console.draw(area, &mut buf);
        buf
    }

    fn line(&self, area: Rect) -> String {
        if let Some(typed) = &self.typed {
            return format!(" to which time? {typed}_   90 or 1:30, enter goes, esc does not");
        }
        if let Some(remark) = &self.remark {
            return format!(" {remark}");
        }
        let state = match () {
            () if self.is_over() => "over",
            () if self.is_stopped => "stopped",
            () => "playing",
        };
        let (at, length) = (minutes(self.at_us / 1_000), minutes(self.length_ms()));
        let (next, all) = (self.next, self.recording.messages.len());
        let (columns, rows) = self.console.desk.size;
        let is_cut = columns > area.width || rows > area.height.saturating_sub(1);
        let cut = if is_cut { format!("  cut from {columns}x{rows}") } else { String::new() };
        let speed = speed(SPEEDS[self.speed]);
        format!(
            " replay {at} of {length}  {next}/{all}  {speed}  {state}{cut}  \
             space stop  . step  + - speed  / time  q quit"
        )
    }
}

fn speed(hundredths: u64) -> String {
    match hundredths % 100 {
        0 => format!("{}x", hundredths / 100),
        rest => format!("{}.{rest:02}x", hundredths / 100),
    }
}

fn minutes(ms: u64) -> String {
    format!("{}:{:02}.{}", ms / 60_000, ms / 1_000 % 60, ms / 100 % 10)
}

/// `90`, `90.5` or `1:30` as milliseconds.
fn time(text: &str) -> Option<u64> {
    let (minutes, seconds) = match text.split_once(':') {
        Some((minutes, seconds)) => (minutes.parse::<u32>().ok()?, seconds),
        None => (0, text),
    };
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let whole: u32 = whole.parse().ok()?;
    let part: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    Some((u64::from(minutes) * 60 + u64::from(whole)) * 1_000 + part)
}

#[cfg(test)]
mod tests;
