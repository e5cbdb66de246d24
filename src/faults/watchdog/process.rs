//! The injector as a program: reads its spec from standard input, detaches, lives through one injection.

use std::ffi::OsStr;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::{Report, Spec, journal, life};
use crate::faults::FaultError;

/// The name it runs under: whoever ends every `simctl` by name must not take down what undoes the fault.
pub(super) const NAME: &str = "lab-watchdog";

const LOOK_FOR_HALT: Duration = Duration::from_millis(250);

/// Whether this program was started as the injector.
pub fn is_called() -> bool {
    let mut args = std::env::args_os();
    let named =
        args.next().is_some_and(|name| Path::new(&name).file_name() == Some(OsStr::new(NAME)));
    named || args.next().is_some_and(|first| first == "watchdog")
}

/// Runs as the injector.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&Report::Failed { reason: error.in_words() });
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), FaultError> {
    detach();
    let spec = read_spec()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| FaultError::failed("start the injector", e))?;
    runtime.block_on(inject(&spec))
}

/// A session of its own, so that the terminal's ctrl-c and hang-up do not reach it, and a name of its own.
fn detach() {
    // Fails only for the leader of a group: somebody started it by hand, and may keep it.
    let _ = rustix::process::setsid();
    // Without a name it is called like its program.
    let _ = std::fs::write("/proc/self/comm", NAME);
}

fn read_spec() -> Result<Spec, FaultError> {
    let doing = "read what to inject from standard input";
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|e| FaultError::failed(doing, e))?;
    serde_json::from_str(&line).map_err(|e| FaultError::failed(doing, e))
}

async fn inject(spec: &Spec) -> Result<(), FaultError> {
    let listen = |kind| signal(kind).map_err(|e| FaultError::failed("listen for signals", e));
    let orders = Orders {
        terminate: listen(SignalKind::terminate())?,
        interrupt: listen(SignalKind::interrupt())?,
        // Taken and not heeded.
        _hangup: listen(SignalKind::hangup())?,
        halt: journal::halt_path(&spec.state_dir, spec.injection.id),
    };
    let server = spec.server.open(&spec.state_dir).await?;
    life::live_through(spec, &server, &|report| say(&report), orders.first()).await;
    Ok(())
}

struct Orders {
    terminate: Signal,
    interrupt: Signal,
    _hangup: Signal,
    halt: PathBuf,
}

impl Orders {
    async fn first(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "order",
            _ = self.interrupt.recv() => "order",
            () = there(&self.halt) => "order",
        }
    }
}

async fn there(path: &Path) {
    while !path.exists() {
        sleep(LOOK_FOR_HALT).await;
    }
}

/// One line. Nobody may be listening any more; that changes nothing.
fn say(report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let mut out = io::stdout().lock();
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}
