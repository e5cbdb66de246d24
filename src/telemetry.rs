//! Tracing to a file that is rolled daily; never to the terminal, which the console owns.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::Context;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Keeps the log's writer alive; dropping it writes what is still waiting.
#[derive(Debug)]
pub struct Log {
    /// Lines that were dropped because the disk was too slow.
    pub dropped: ErrorCounter,
    _guard: WorkerGuard,
}

/// Logs to `<state_dir>/log/`, at the level of `SIMCTL_LOG` (default `info`), seven files at most.
pub fn start(state_dir: &Path) -> anyhow::Result<Log> {
    let dir = state_dir.join("log");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("create the log directory {}", dir.display()))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("simctl")
        .filename_suffix("jsonl")
        .max_log_files(7)
        .build(&dir)
        .with_context(|| format!("open a log file in {}", dir.display()))?;
    let (writer, guard) = NonBlockingBuilder::default().thread_name("log-writer").finish(file);
    let dropped = writer.error_counter();
    // sqlx logs every statement at debug and slow ones at warn, values included; async-openai logs replies it cannot
    // read, whole.
    let filter = EnvFilter::try_from_env("SIMCTL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,sqlx=error,bollard=warn,async_openai=off"));
    tracing_subscriber::registry()
        .with(filter)
        .with(tracing_subscriber::fmt::layer().json().with_writer(writer))
        .try_init()
        .context("start the log")?;
    Ok(Log { dropped, _guard: guard })
}
