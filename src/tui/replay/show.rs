//! A recording on the terminal: keys in, frames out, nothing else.

use std::io;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::{Player, Then};
use crate::tui::keymap;
use crate::tui::recorder::Recording;
use crate::tui::signals::{Heard, Signals};
use crate::tui::terminal::{self, Alarm, Canvas, Modes};

/// Frames are at least so far apart.
const FRAME: Duration = Duration::from_millis(33);

/// How the showing ended.
#[derive(Debug)]
pub enum End {
    Quit,
    /// By a signal of this name.
    Stopped(&'static str),
    Panicked(String),
}

/// Shows it until the person quits, on a thread of its own: a recording may end in a panic, and does so again here.
pub async fn show(recording: Recording, alarm: &'static Alarm) -> io::Result<End> {
    let (told, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("console".into()).spawn(move || {
        let end = runtime.block_on(on_terminal(recording, alarm));
        terminal::restore();
        let _ = told.send(end);
    })?;
    let failed = || End::Panicked(alarm.words().unwrap_or("the console failed").to_owned());
    ended.await.unwrap_or_else(|_| Ok(failed()))
}

async fn on_terminal(recording: Recording, alarm: &Alarm) -> io::Result<End> {
    let mut signals = Signals::listen()?;
    terminal::enter(Modes::default())?;
    let mut input = EventStream::new();
    let end = play(Player::new(recording), &mut input, &mut signals, alarm).await;
    drop(input);
    end
}

async fn play(
    mut player: Player,
    input: &mut EventStream,
    signals: &mut Signals,
    alarm: &Alarm,
) -> io::Result<End> {
    let mut canvas = Canvas::new(terminal::size());
    let mut passed = Instant::now();
    loop {
        terminal::send(&canvas.frame(|area, buf| player.draw(area, buf)))?;
        let drawn = Instant::now();
        let due = player.due_us().map(|us| (passed + Duration::from_micros(us)).max(drawn + FRAME));
        tokio::select! {
            biased;
            words = alarm.rung() => return Ok(End::Panicked(words)),
            heard = signals.next() => match heard {
                Heard::Stop(name) | Heard::Interrupt(name) => return Ok(End::Stopped(name)),
                Heard::Hangup => return Ok(End::Stopped("SIGHUP")),
                Heard::Suspend => {}
                Heard::Continue => canvas.forget(),
            },
            event = input.next() => match event {
                Some(event) => {
                    if take(&event?, &mut player, &mut canvas) == Then::Quit {
                        return Ok(End::Quit);
                    }
                }
                None => return Ok(End::Quit),
            },
            () = until(due) => {}
        }
        let now = Instant::now();
        let us = u64::try_from((now - passed).as_micros()).unwrap_or(u64::MAX);
        player.pass(us);
        passed = now;
    }
}

fn take(event: &Event, player: &mut Player, canvas: &mut Canvas) -> Then {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            keymap::name_of(key).map_or(Then::Stay, |name| player.key(&name))
        }
        Event::Resize(columns, rows) => {
            canvas.resize((*columns, *rows));
            Then::Stay
        }
        _ => Then::Stay,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
