//! The console's loop, on a thread of its own: input first, then news, then at most one frame. With [`super::feed`]
//! and [`super::outside`] the only part of the console that reads clocks and does I/O.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::console::{Console, Dirty};
use super::desk::{Desk, Settings};
use super::errands::Errand;
use super::feed::{Feed, News};
use super::keymap::Keys;
use super::message::{Effect, Msg, Now};
use super::outside::{self, Scratch, Viewer};
use super::probe::{self, Late};
use super::recorder::Recorder;
use super::saved::{self, Saved};
use super::signals::{Heard, Signals, has_shell};
use super::terminal::{self, Alarm, Canvas, Modes};
use super::theme::{Own, Palette, Theme};
use crate::engine::clock;

/// A key is drawn at most this long after the frame before; timers are late by up to a millisecond.
const KEY_FRAME: Duration = Duration::from_millis(7);
/// News taken in between two looks at the keyboard.
const MOST_AT_ONCE: usize = 512;

/// How the console starts.
#[derive(Clone, Debug)]
pub struct Options {
    pub settings: Settings,
    /// `None` asks the terminal for its background.
    pub palette: Option<Palette>,
    /// What a light background means here.
    pub light: Palette,
    pub ascii: bool,
    /// Private files go here.
    pub state_dir: PathBuf,
    pub keys: Keys,
    pub own: Own,
    /// Data alone is drawn at most so many times a second.
    pub fps: u16,
    /// Where the person was the last time.
    pub saved: Option<Saved>,
    /// What became of what was saved, if that is worth a word.
    pub remark: Option<String>,
    /// Takes everything that reaches the console.
    pub record: Option<Arc<File>>,
}

/// Why the console ended.
#[derive(Debug)]
pub enum End {
    Quit,
    /// The process was told to stop.
    Stopped(String),
    /// The terminal was closed.
    Gone,
    /// Some thread panicked.
    Panicked(String),
    /// The terminal does not work.
    Failed(io::Error),
}

/// A console on its thread.
pub struct Running {
    pub news: mpsc::UnboundedSender<News>,
    pub ended: oneshot::Receiver<End>,
}

/// Starts the console; its first frame is drawn before anything else happens. What takes time it hands to
/// whoever holds the other end of `errands`.
pub fn start(
    options: Options,
    errands: mpsc::UnboundedSender<Errand>,
    alarm: &'static Alarm,
) -> io::Result<Running> {
    let (news, arriving) = mpsc::unbounded_channel();
    let (told, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("console".into()).spawn(move || {
        let end = runtime.block_on(async {
            match Runner::open(options, Feed::new(arriving), errands, alarm) {
                Ok(runner) => Box::pin(runner.run()).await,
                Err(error) => End::Failed(error),
            }
        });
        terminal::restore();
        // Whoever started it may be gone.
        let _ = told.send(end);
    })?;
    Ok(Running { news, ended })
}

/// What one turn of the loop woke up for.
enum Turn {
    Panicked(String),
    Heard(Heard),
    Input(Option<io::Result<Event>>),
    News(Option<News>),
    /// A frame or a tick is due.
    Time,
}

/// What follows from an effect.
enum Then {
    Nothing,
    Tell(Vec<Msg>),
    End(End),
}

struct Runner {
    console: Console,
    canvas: Canvas,
    modes: Modes,
    /// `None` while another program has the terminal.
    input: Option<EventStream>,
    late: Late,
    signals: Signals,
    feed: Feed,
    errands: mpsc::UnboundedSender<Errand>,
    alarm: &'static Alarm,
    state_dir: PathBuf,
    recorder: Recorder,
    data_frame: Duration,
    began: Instant,
    /// The newest size that the console was not told yet.
    resized: Option<(u16, u16)>,
    last_frame: Option<Instant>,
    dirty: Dirty,
    tick_at: Option<Instant>,
}

impl Runner {
    fn open(
        options: Options,
        feed: Feed,
        errands: mpsc::UnboundedSender<Errand>,
        alarm: &'static Alarm,
    ) -> io::Result<Self> {
        let signals = Signals::listen()?;
        let modes = Modes { mouse: options.settings.mouse, releases: false };
        terminal::enter(modes)?;
        let size = terminal::size();
        let began = Instant::now();
        let mut theme = Theme::new(options.palette.unwrap_or_default(), options.ascii);
        theme.own = options.own;
        let now = Now { at: clock::now(), ms: 0 };
        let mut desk = Desk::new(now, size, theme, options.settings);
        desk.keys = options.keys;
        let mut console = Console::new(desk);
        if let Some(saved) = &options.saved {
            console.restore(saved);
        }
        let recorder = Recorder::new(&console, now, &options.state_dir);
        let mut runner = Self {
            recorder,
            data_frame: Duration::from_secs(1) / u32::from(options.fps.max(1)),
            console,
            canvas: Canvas::new(size),
            modes,
            input: None,
            late: Late::new(probe::Answer { is_whole: true, ..probe::Answer::default() }),
            signals,
            feed,
            errands,
            alarm,
            state_dir: options.state_dir,
            began,
            resized: None,
            last_frame: None,
            dirty: Dirty::Urgent,
            tick_at: None,
        };
        runner.draw()?;
        runner.learn_about_terminal(options.palette.is_none(), options.light)?;
        runner.record(options.record.as_deref(), options.remark)?;
        runner.input = Some(EventStream::new());
        Ok(runner)
    }

    fn learn_about_terminal(&mut self, about_background: bool, light: Palette) -> io::Result<()> {
        let answer = probe::ask(about_background);
        self.late = Late::new(answer);
        self.modes.releases = answer.releases;
        terminal::switch(self.modes)?;
        if answer.is_light == Some(true) {
            self.console.desk.theme.palette = light;
            self.dirty = Dirty::Urgent;
        }
        Ok(())
    }

    /// Starts the recording anew, now that the terminal's background is known.
    fn record(&mut self, stream: Option<&File>, remark: Option<String>) -> io::Result<()> {
        let now = self.now();
        self.recorder = Recorder::new(&self.console, now, &self.state_dir);
        if let Some(file) = stream {
            self.recorder.stream_to(file.try_clone()?)?;
        }
        if let Some(remark) = remark {
            self.update(Msg::Done(Err(remark)));
        }
        Ok(())
    }

    /// Every message goes through here, so that the recording has them all.
    fn update(&mut self, msg: Msg) -> Vec<Effect> {
        let now = self.now();
        let failed = self.recorder.note(&msg, now, &self.console);
        let mut effects = self.console.update(msg, now);
        if let Some(reason) = failed {
            effects.extend(self.update(Msg::Done(Err(reason))));
        }
        effects
    }

    fn now(&self) -> Now {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { at: clock::now(), ms }
    }

    async fn run(mut self) -> End {
        loop {
            let turn = self.wake().await;
            let ended = match turn {
                Turn::Panicked(words) => Some(End::Panicked(words)),
                Turn::Heard(heard) => self.hear(heard).await,
                Turn::Input(input) => self.take_input(input).await,
                Turn::News(news) => self.take_news(news).await,
                Turn::Time => None,
            };
            let ended = match ended {
                None => self.keep_time().await,
                ended => ended,
            };
            if let Some(end) = ended {
                return self.close(end);
            }
        }
    }

    /// The terminal is given back here, before anybody hears of the end.
    fn close(&mut self, end: End) -> End {
        self.input = None;
        if matches!(end, End::Gone) {
            terminal::is_gone();
        }
        terminal::restore();
        match &end {
            End::Quit | End::Stopped(_) | End::Gone => {
                if let Err(error) = saved::store(&self.state_dir, &self.console.save()) {
                    tracing::warn!(%error, "where the person was is not saved");
                }
            }
            End::Panicked(_) => self.recorder.leave(),
            End::Failed(_) => {}
        }
        end
    }

    async fn wake(&mut self) -> Turn {
        let due = [self.frame_due(), self.tick_at].into_iter().flatten().min();
        tokio::select! {
            biased;
            words = self.alarm.rung() => Turn::Panicked(words),
            heard = self.signals.next() => Turn::Heard(heard),
            input = next_input(&mut self.input) => Turn::Input(input),
            news = self.feed.next() => Turn::News(news),
            () = until(due) => Turn::Time,
        }
    }

    // ---- what arrives -----------------------------------------------------------------------------------

    async fn hear(&mut self, heard: Heard) -> Option<End> {
        match heard {
            Heard::Stop(name) | Heard::Interrupt(name) => {
                self.tell(Msg::Stop(name.into())).await;
                Some(End::Stopped(name.into()))
            }
            Heard::Hangup => Some(hung_up()),
            Heard::Suspend => {
                let then = self.suspend().await;
                self.follow(then).await
            }
            Heard::Continue => {
                self.step_aside();
                let then = self.come_back();
                self.follow(then).await
            }
        }
    }

    async fn take_input(&mut self, input: Option<io::Result<Event>>) -> Option<End> {
        let msg = match input {
            Some(Ok(Event::Key(key))) => {
                if self.late.swallows(&key, self.now().ms) {
                    return None;
                }
                Msg::Key(key)
            }
            Some(Ok(Event::Paste(text))) => Msg::Paste(text),
            Some(Ok(Event::Mouse(mouse))) => Msg::Mouse(mouse),
            Some(Ok(Event::Resize(columns, rows))) => {
                self.resized = Some((columns, rows));
                self.dirty = Dirty::Urgent;
                return None;
            }
            Some(Ok(Event::FocusGained)) => Msg::Focus(true),
            Some(Ok(Event::FocusLost)) => Msg::Focus(false),
            Some(Err(error)) => return Some(ended_by(error)),
            None => return Some(End::Gone),
        };
        if let Some(end) = self.tell_size().await {
            return Some(end);
        }
        self.tell(msg).await
    }

    async fn take_news(&mut self, news: Option<News>) -> Option<End> {
        let Some(mut news) = news else { return Some(End::Stopped("the program ends".into())) };
        for _ in 0..MOST_AT_ONCE {
            let ended = match news {
                News::Msg(msg) => self.tell(msg).await,
                News::Connected(engine) => {
                    let then = Then::Tell(self.feed.connect(engine).into());
                    self.follow(then).await
                }
                News::Send(bytes) => terminal::send(&bytes).err().map(ended_by),
            };
            if ended.is_some() {
                return ended;
            }
            match self.feed.try_next() {
                Some(next) => news = next,
                None => break,
            }
        }
        None
    }

    /// Tells the console the newest size; those between are nothing to it.
    async fn tell_size(&mut self) -> Option<End> {
        let (columns, rows) = self.resized.take()?;
        self.tell(Msg::Resize(columns, rows)).await
    }

    /// Gives the console a message and does what it asks for.
    async fn tell(&mut self, msg: Msg) -> Option<End> {
        self.follow(Then::Tell(vec![msg])).await
    }

    async fn follow(&mut self, then: Then) -> Option<End> {
        let mut effects = VecDeque::new();
        let mut then = then;
        loop {
            match then {
                Then::Nothing => {}
                Then::End(end) => return Some(end),
                Then::Tell(messages) => {
                    for msg in messages {
                        effects.extend(self.update(msg));
                    }
                    self.dirty = self.dirty.max(self.console.take_dirty());
                }
            }
            let effect = effects.pop_front()?;
            then = self.perform(effect).await;
        }
    }

    // ---- what is asked for ------------------------------------------------------------------------------

    async fn perform(&mut self, effect: Effect) -> Then {
        match effect {
            Effect::Order { order, command } => self.hand_in(Errand::Order { order, command }),
            Effect::Ask { question, what } => self.hand_in(Errand::Ask { question, what }),
            Effect::Copy { text, what } => self.hand_in(Errand::Copy { text, what }),
            Effect::Export { name, text } => self.hand_in(Errand::Export(vec![(name, text)])),
            Effect::SaveScreen => {
                let name = format!("screen-{}", clock::now().format("%Y%m%d-%H%M%S"));
                let shown = self.canvas.shown();
                let text = (format!("{name}.txt"), terminal::as_text(shown));
                let ansi = (format!("{name}.ansi"), terminal::as_ansi(shown));
                self.hand_in(Errand::Export(vec![text, ansi]))
            }
            Effect::Record { file } => Then::Tell(vec![Msg::Done(self.recorder.write(&file))]),
            Effect::Page { name, text } => self.visit(Viewer::Pager, &name, &text).await,
            Effect::Edit { name, text } => self.visit(Viewer::Editor, &name, &text).await,
            Effect::Suspend => self.suspend().await,
            Effect::Redraw => {
                self.canvas.forget();
                self.dirty = Dirty::Urgent;
                Then::Nothing
            }
            Effect::Bell => sent(terminal::send(b"\x07")),
            Effect::Notify(text) => sent(terminal::send(&outside::notification(&text))),
            Effect::Mouse(mouse) => {
                self.modes.mouse = mouse;
                sent(terminal::switch(self.modes))
            }
            Effect::Quit => Then::End(End::Quit),
        }
    }

    fn hand_in(&self, errand: Errand) -> Then {
        match self.errands.send(errand) {
            Ok(()) => Then::Nothing,
            Err(_) => Then::Tell(vec![Msg::Done(Err("simctl is about to end".into()))]),
        }
    }

    /// Stops the job, as ctrl-z does with other programs.
    async fn suspend(&mut self) -> Then {
        if !has_shell() {
            let reason = "there is no shell here that could wake simctl up again".to_owned();
            return Then::Tell(vec![Msg::Done(Err(reason))]);
        }
        self.step_aside();
        if let Some(remark) = self.feed.stands_still() {
            terminal::remark(remark);
        }
        if let Err(error) = self.signals.stop_here().await {
            tracing::error!(%error, "could not stop");
        }
        self.come_back()
    }

    /// Shows text in another program, which has the terminal meanwhile.
    async fn visit(&mut self, viewer: Viewer, name: &str, text: &str) -> Then {
        let refused = |reason: String| Then::Tell(vec![Msg::Done(Err(reason))]);
        let scratch = match Scratch::write(&self.state_dir, name, text) {
            Ok(scratch) => scratch,
            Err(error) => return refused(format!("{name} was not written: {error}")),
        };
        let words = viewer.words(&outside::env);
        self.step_aside();
        let ended = match outside::open(&words, &scratch.path) {
            Ok(mut child) => self.attend(&mut child).await,
            Err(error) => Ok(Err(error)),
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(end) => return Then::End(end),
        };
        self.signals.forget_interrupts().await;
        let mut then = self.come_back();
        let (program, variable) = (words.join(" "), viewer.variable());
        let remark = match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("`{program}` ended with {status}")),
            Err(error) => {
                Some(format!("set ${variable}: `{program}` could not be started ({error})"))
            }
        };
        if let (Then::Tell(messages), Some(remark)) = (&mut then, remark) {
            messages.push(Msg::Done(Err(remark)));
        }
        then
    }

    /// Waits for another program. Its keyboard signals reach us too and are not for us.
    async fn attend(
        &mut self,
        child: &mut tokio::process::Child,
    ) -> Result<io::Result<ExitStatus>, End> {
        let end = loop {
            tokio::select! {
                biased;
                words = self.alarm.rung() => break End::Panicked(words),
                heard = self.signals.next() => match heard {
                    Heard::Stop(name) => break End::Stopped(name.into()),
                    Heard::Hangup => break hung_up(),
                    Heard::Suspend if has_shell() => {
                        let _ = self.signals.stop_here().await;
                    }
                    Heard::Suspend | Heard::Continue | Heard::Interrupt(_) => {}
                },
                ended = child.wait() => return Ok(ended),
            }
        };
        let _ = child.kill().await;
        Err(end)
    }

    /// Gives the terminal to somebody else. The event stream goes first: one that exists reads on.
    fn step_aside(&mut self) {
        self.input = None;
        terminal::restore();
    }

    /// Takes the terminal back and trusts nothing of what is on it.
    fn come_back(&mut self) -> Then {
        if let Err(error) = terminal::enter(self.modes) {
            return Then::End(ended_by(error));
        }
        terminal::flush_input();
        self.input = Some(EventStream::new());
        self.canvas.forget();
        self.dirty = Dirty::Urgent;
        let (columns, rows) = terminal::size();
        self.resized = None;
        Then::Tell(vec![Msg::Resize(columns, rows), Msg::Resumed])
    }

    // ---- time -------------------------------------------------------------------------------------------

    fn frame_due(&self) -> Option<Instant> {
        let pause = match self.dirty {
            Dirty::Clean => return None,
            Dirty::Data => self.data_frame,
            Dirty::Urgent => KEY_FRAME,
        };
        Some(self.last_frame.map_or(self.began, |last| last + pause))
    }

    /// Ticks and draws as far as that is due.
    async fn keep_time(&mut self) -> Option<End> {
        if self.tick_at.is_some_and(|at| Instant::now() >= at) {
            self.tick_at = None;
            if let Some(end) = self.tell(Msg::Tick).await {
                return Some(end);
            }
        }
        if self.frame_due().is_some_and(|due| Instant::now() >= due) {
            if let Some(end) = self.tell_size().await {
                return Some(end);
            }
            if let Err(error) = self.draw() {
                return Some(ended_by(error));
            }
        }
        if !self.console.wants_ticks() {
            self.tick_at = None;
        } else if self.tick_at.is_none() {
            let into = u64::from(clock::now().timestamp_subsec_millis()) % 1_000;
            self.tick_at = Some(Instant::now() + Duration::from_millis(1_000 - into));
        }
        None
    }

    fn draw(&mut self) -> io::Result<()> {
        self.dirty = Dirty::Clean;
        self.console.take_dirty();
        self.canvas.resize(self.console.desk.size);
        let console = &self.console;
        let bytes = self.canvas.frame(|area, buf| console.draw(area, buf));
        let drawn = terminal::send(&bytes);
        self.last_frame = Some(Instant::now());
        drawn
    }
}

/// A hang-up that somebody sent by hand leaves a terminal to restore.
fn hung_up() -> End {
    if terminal::answers() { End::Stopped("SIGHUP".into()) } else { End::Gone }
}

fn sent(result: io::Result<()>) -> Then {
    result.map_or_else(|error| Then::End(ended_by(error)), |()| Then::Nothing)
}

/// A terminal that was closed answers like this; anything else is its failure.
fn ended_by(error: io::Error) -> End {
    use rustix::io::Errno;
    let closed = [Errno::IO, Errno::NXIO, Errno::PIPE, Errno::BADF].map(Errno::raw_os_error);
    match error.raw_os_error() {
        Some(number) if closed.contains(&number) => End::Gone,
        _ => End::Failed(error),
    }
}

async fn next_input(input: &mut Option<EventStream>) -> Option<io::Result<Event>> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
