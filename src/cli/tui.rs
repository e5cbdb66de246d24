//! `tui`: the console, over the engine that runs already or one of its own.

use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::sync::{mpsc, watch};

use super::context::Context;
use super::host::{self, Host, Surroundings};
use super::http::Http;
use super::signals::Signals;
use super::{Done, NO, bad_input};
use crate::api::client::Client;
use crate::api::{remote, socket};
use crate::config::{Config, dirs};
use crate::domain::ids::incident_name;
use crate::engine::clock;
use crate::engine::handle::{Handle, Snapshot};
use crate::engine::tasks::Tasks;
use crate::lab;
use crate::ports::store::Store;
use crate::targets::Server;
use crate::telemetry;
use crate::tui::desk::Settings;
use crate::tui::errands::{Clerk, Reach};
use crate::tui::feed::{Connected, News};
use crate::tui::message::{Link, Msg};
use crate::tui::outside;
use crate::tui::overlays::help;
use crate::tui::recorder;
use crate::tui::runner::{self, End, Options};
use crate::tui::saved;
use crate::tui::settings::Preferences;
use crate::tui::terminal::{self, Alarm};
use crate::tui::theme::Palette;

mod preferences;
mod replay;

/// A panic anywhere ends the program with this, as one in the main thread would.
const PANICKED: u8 = 101;

/// Open the console: watch, decide, inject, look back
///
/// Attaches to the engine that runs already, else starts one, and the lab first where there is nothing else to
/// watch. Quitting stops an engine that was started here; injections keep their deadlines.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl tui\n  simctl tui --read-only\n  simctl tui --theme light --ascii\n  \
    simctl tui --print-config > ~/.config/simctl/tui.toml\n  simctl tui --replay panic.jsonl"
)]
pub(super) struct Tui {
    /// Only watch; nothing can be changed from this console
    #[arg(long)]
    read_only: bool,
    /// Colours for a dark or a light background [default: auto, which asks the terminal]
    #[arg(long, value_name = "NAME", value_enum)]
    theme: Option<Theme>,
    /// Draw with ASCII characters only [default: where the locale is not UTF-8]
    #[arg(long)]
    ascii: bool,
    /// Whether to use colours; auto follows NO_COLOR and the terminal
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Colour::Auto)]
    color: Colour,
    /// Forget where you were the last time
    #[arg(long)]
    fresh: bool,
    /// Record everything that reaches the console into a new file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Play a recording; nothing is watched or changed
    #[arg(long, value_name = "FILE", group = "instead", conflicts_with = "record")]
    replay: Option<PathBuf>,
    /// Print the console's configuration in force as a file, and end
    #[arg(long, group = "instead")]
    print_config: bool,
    /// Check the console's configuration file, and end; exit code 2 when something is wrong
    #[arg(long, group = "instead")]
    check_config: bool,
    /// Print every key as a Markdown table, and end
    #[arg(long, group = "instead")]
    keys: bool,
    #[command(flatten)]
    pub(super) http: Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Theme {
    Auto,
    Dark,
    Light,
    Light256,
    Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

pub(super) async fn run(context: Context, args: &Tui) -> Done {
    if args.print_config || args.check_config {
        return preferences::tell(&context.print, args);
    }
    if args.keys {
        context.print.line(help::markdown().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    must_be_terminal()?;
    if let Some(file) = &args.replay {
        return replay::run(&context, file).await;
    }
    let chosen = preferences::chosen(args)?;
    let record = preferences::recording(args)?;
    let state_dir = context.config().state_dir.clone();
    dirs::ensure_private(&state_dir)?;
    let _log = telemetry::start(&state_dir)?;
    let alarm = terminal::watch_for_panics();
    let (errands_in, errands) = mpsc::unbounded_channel();
    let console =
        runner::start(options(context.config(), args, chosen, record), errands_in, alarm)?;
    let news = console.news.clone();
    let said = news.clone();
    let context = context.saying(Arc::new(move |line| {
        let _ = said.send(News::Msg(Msg::Progress(line)));
    }));
    let clerk = Clerk {
        errands,
        news: news.clone(),
        operator: context.config().operator.clone(),
        state_dir: state_dir.clone(),
    };
    let (reach, known) = watch::channel(None);
    let mut tasks = Tasks::default();
    tasks.spawn("errands", clerk.work(known));
    let visit = Visit { context: &context, news, reach, alarm };
    let outcome = Box::pin(visit.stay(console)).await;
    tasks.stop().await;
    last_words(&context, outcome)
}

fn must_be_terminal() -> anyhow::Result<()> {
    let is_dumb = outside::env("TERM").is_none_or(|term| term == "dumb");
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !is_dumb {
        return Ok(());
    }
    Err(bad_input("the console needs a terminal; `simctl watch --plain` tells the same in lines"))
}

// ---- looks ----------------------------------------------------------------------------------------------

fn options(config: &Config, args: &Tui, chosen: Preferences, record: Option<Arc<File>>) -> Options {
    let has_colours = has_colours(args.color);
    match args.color {
        Colour::Always => crossterm::style::force_color_output(true),
        Colour::Never => crossterm::style::force_color_output(false),
        Colour::Auto => {}
    }
    let palette = if has_colours { chosen.palette } else { Some(Palette::Mono) };
    let many = |name: &str| {
        outside::env(name).is_some_and(|value| value.contains("256") || value == "truecolor")
    };
    let light = if many("TERM") || many("COLORTERM") { Palette::Light256 } else { Palette::Light };
    let settings = Settings {
        read_only: chosen.read_only,
        lab: config.lab.enabled.then(|| config.lab.id.clone()),
        operator: config.operator.clone(),
        bell: chosen.bell,
        mouse: chosen.mouse,
        compact: chosen.compact,
        always_type: chosen.typed_confirm,
        inject_ttl_s: config.inject_ttl.as_secs(),
        config_file: chosen.file.map_or("none".into(), |file| file.display().to_string()),
    };
    let state_dir = config.state_dir.clone();
    let (saved, remark) = if args.fresh { (None, None) } else { saved::load(&state_dir) };
    Options {
        settings,
        palette,
        light,
        ascii: chosen.ascii.unwrap_or_else(|| !is_utf8(&outside::env)),
        state_dir,
        keys: chosen.keys,
        own: chosen.own,
        fps: chosen.fps,
        saved,
        remark,
        record,
    }
}

fn has_colours(wanted: Colour) -> bool {
    match wanted {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let term = outside::env("TERM").unwrap_or_default();
            let plain = ["vt52", "vt100", "vt102", "vt220", "xterm-mono"];
            outside::env("NO_COLOR").is_none() && !plain.contains(&term.as_str())
        }
    }
}

/// Whether the locale says that text is UTF-8.
fn is_utf8(env: outside::Env<'_>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env(name));
    let locale = locale.unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

// ---- the engine -----------------------------------------------------------------------------------------

/// How a console came to its end.
struct Outcome {
    end: End,
    /// Why there was no engine, or why it ended before the console.
    failure: Option<String>,
    /// What still runs, as lines.
    left: Vec<String>,
}

/// The engine a console shows.
enum Engine {
    Here(Box<Host>),
    Attached { handle: Handle, tasks: Tasks },
}

/// One console from its start to its end.
struct Visit<'a> {
    context: &'a Context,
    news: mpsc::UnboundedSender<News>,
    reach: watch::Sender<Option<Reach>>,
    alarm: &'static Alarm,
}

impl Visit<'_> {
    async fn stay(self, mut console: runner::Running) -> Outcome {
        let set_up = tokio::select! {
            biased;
            end = self.end_of(&mut console) => return Outcome { end, failure: None, left: Vec::new() },
            set_up = Box::pin(self.set_up()) => set_up,
        };
        match set_up {
            Ok(Engine::Here(host)) => self.over_own(console, *host).await,
            Ok(Engine::Attached { handle, tasks }) => {
                let end = self.end_of(&mut console).await;
                let mut left = injections(&handle.snapshots.borrow());
                left.insert(0, "the engine goes on in another process".into());
                tasks.stop().await;
                Outcome { end, failure: None, left }
            }
            Err(error) => {
                let failure = format!("{error:#}");
                tracing::error!(failure, "the engine did not start");
                self.tell(Msg::Progress(failure.clone()));
                self.tell(Msg::Progress("q quits".into()));
                self.tell(Msg::Done(Err(failure.clone())));
                let end = self.end_of(&mut console).await;
                Outcome { end, failure: Some(failure), left: Vec::new() }
            }
        }
    }

    fn tell(&self, msg: Msg) {
        // A console that is gone needs no news.
        let _ = self.news.send(News::Msg(msg));
    }

    async fn end_of(&self, console: &mut runner::Running) -> End {
        match (&mut console.ended).await {
            Ok(end) => end,
            Err(_) => End::Panicked(self.alarm.words().unwrap_or("the console failed").to_owned()),
        }
    }

    async fn over_own(&self, mut console: runner::Running, mut host: Host) -> Outcome {
        let mut failure = None;
        let end = tokio::select! {
            end = self.end_of(&mut console) => end,
            reason = host.ended() => {
                self.tell(Msg::Link(Link::Lost { since: clock::now(), reason: reason.clone() }));
                failure = Some(format!("the engine ended: {reason}"));
                self.end_of(&mut console).await
            }
        };
        let snapshot = Arc::clone(&host.handle().snapshots.borrow());
        let mut left = injections(&snapshot);
        left.extend(executions(&snapshot));
        let reason = match &end {
            End::Quit => "the console was quit",
            End::Stopped(_) => "told to stop",
            End::Gone => "the terminal was closed",
            End::Panicked(_) | End::Failed(_) => "the console failed",
        };
        if !stopped_in_order(host, reason).await {
            left.push("told to stop twice; the next start tidies up".into());
        }
        Outcome { end, failure, left }
    }

    async fn set_up(&self) -> anyhow::Result<Engine> {
        if let Some(client) = self.context.running().await? {
            return self.attach(client).await;
        }
        let config = self.context.config();
        let socket = socket::bind(&config.state_dir).await?;
        let network = host::listen(self.context).await?;
        let lab = self.lab().await?;
        let servers = self.context.servers(lab.as_ref()).await;
        let around = Surroundings::of(self.context, lab.as_ref()).await?;
        let mut host = Host::start(self.context, around).await?;
        host.serve(socket, network);
        let handle = host.handle().clone();
        let events = handle.events.subscribe();
        self.connect(handle.clone(), Ok(Arc::clone(&host.store)), servers);
        let connected = Connected { handle, events, remote: None };
        let _ = self.news.send(News::Connected(Box::new(connected)));
        #[cfg(debug_assertions)]
        hooks::arm(&mut host.tasks);
        Ok(Engine::Here(Box::new(host)))
    }

    /// The lab as it is; made first where there is nothing else to watch.
    async fn lab(&self) -> anyhow::Result<Option<lab::Lab>> {
        let config = self.context.config();
        let found = self.context.lab().await?;
        if found.is_some() || !config.lab.enabled || !config.targets.is_empty() {
            return Ok(found);
        }
        self.context.say("there is no lab yet; making one");
        lab::up(config, &|line| self.context.say(line)).await.map(Some)
    }

    async fn attach(&self, client: Client) -> anyhow::Result<Engine> {
        if self.context.config().http.listen.is_some() {
            self.context.say("--listen is for the engine that runs already; start that with it");
        }
        let mut tasks = Tasks::default();
        let remote::Remote { handle, link, events } = remote::attach(client, &mut tasks).await?;
        let connected = Connected { handle: handle.clone(), events, remote: Some(link) };
        let _ = self.news.send(News::Connected(Box::new(connected)));
        let store = self.records(&handle).await;
        // The engine tells of the targets; they are asked from here, by this console's own configuration.
        let lab = self.context.lab().await.ok().flatten();
        let servers = self.context.servers(lab.as_ref()).await;
        self.connect(handle.clone(), store, servers);
        Ok(Engine::Attached { handle, tasks })
    }

    /// The attached engine's store, opened from here; another one would answer about other incidents.
    async fn records(&self, handle: &Handle) -> Result<Arc<dyn Store>, String> {
        let store = self.context.store().await.map_err(|error| format!("{error:#}"))?;
        let theirs = handle.snapshots.borrow().store.url.clone();
        if store.url() == theirs {
            return Ok(store);
        }
        Err(format!("the engine records in {theirs}; name it with --store to read records here"))
    }

    fn connect(&self, handle: Handle, store: Result<Arc<dyn Store>, String>, servers: Vec<Server>) {
        let servers = servers.into();
        self.reach.send_replace(Some(Reach { handle, store, servers }));
    }
}

/// Stops an engine; `false` when a second signal cut that short.
async fn stopped_in_order(host: Host, reason: &str) -> bool {
    let Ok(mut signals) = Signals::listen() else {
        host.stop(reason).await;
        return true;
    };
    tokio::select! {
        () = host.stop(reason) => true,
        () = signals.heard() => false,
    }
}

// ---- the end --------------------------------------------------------------------------------------------

fn injections(snapshot: &Snapshot) -> Vec<String> {
    let live = snapshot.injections.iter().filter(|injection| injection.state.is_live());
    live.map(|injection| {
        format!(
            "{} ({} on {}) is still injected; it is reverted at {} UTC, or now by `simctl clear`",
            injection.name(),
            injection.fault,
            injection.target,
            injection.deadline.format("%H:%M:%S")
        )
    })
    .collect()
}

fn executions(snapshot: &Snapshot) -> Vec<String> {
    let open = snapshot.incidents.iter().filter(|incident| incident.is_open());
    let names: Vec<_> = open.map(|incident| incident_name(incident.number)).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!("still open: {}; the next engine goes on with them", names.join(", "))]
}

/// Says what a person should know now that the terminal is theirs again.
fn last_words(context: &Context, outcome: Outcome) -> Done {
    let Outcome { end, failure, left } = outcome;
    let print = context.print;
    if !matches!(end, End::Gone) {
        for line in &left {
            print.progress(&format!("simctl: {line}"));
        }
    }
    let log = context.config().state_dir.join("log");
    match (end, failure) {
        (End::Panicked(words), _) => {
            print.progress(&format!("simctl: a part of simctl failed: {words}"));
            print.progress(&format!("simctl: the log is in {}", log.display()));
            if let Some(path) = recorder::left_by_panic() {
                let path = path.display();
                print.progress(&format!(
                    "simctl: `simctl tui --replay {path}` shows what led to it"
                ));
            }
            Ok(ExitCode::from(PANICKED))
        }
        (End::Gone, _) => Ok(NO),
        (End::Failed(error), _) => {
            let log = log.display();
            Err(anyhow::Error::new(error)
                .context(format!("use the terminal (the log is in {log})")))
        }
        (End::Quit | End::Stopped(_), Some(failure)) => {
            print.progress(&format!("simctl: {failure}"));
            Ok(NO)
        }
        (End::Stopped(signal), None) => {
            print.progress(&format!("simctl: stopped by {signal}"));
            Ok(ExitCode::SUCCESS)
        }
        (End::Quit, None) => Ok(ExitCode::SUCCESS),
    }
}

/// Faults of our own for tests; no release has them.
#[cfg(debug_assertions)]
mod hooks {
    use crate::engine::tasks::Tasks;

    pub(super) fn arm(tasks: &mut Tasks) {
        if std::env::var("SIMCTL_TEST_PANIC").is_ok_and(|value| value == "task") {
            tasks.spawn("test hook", async { panic!("a task fell over, as the test wanted") });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_unicode() {
        let with = |pairs: &'static [(&str, &str)]| {
            is_utf8(&|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned())
            })
        };
        assert!(with(&[("LANG", "en_GB.UTF-8")]));
        assert!(with(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!with(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]), "LC_ALL wins");
        assert!(!with(&[]));
    }
}
