//! How far a long job is, on standard error: one line that renews itself on a terminal, JSON lines with `--json`, and
//! now and then a plain line where neither is.

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::context::Context;
use crate::cli::print::{clean, json_text, to_stderr};
use crate::cli::signals::Signals;
use crate::database::backup::progress::{Progress, Teller};
use crate::domain::words::bytes;

const RENEW: Duration = Duration::from_millis(200);
const REMARK: Duration = Duration::from_secs(5);
/// Of a line that renews itself: longer ones would wrap and stay.
const WIDEST: usize = 78;

/// Shows progress the way this command prints.
pub(super) fn teller(context: &Context) -> Teller {
    let (json, on_terminal) = (context.print.json, io::stderr().is_terminal());
    let last: Mutex<Option<(&'static str, Instant)>> = Mutex::new(None);
    Teller::new(move |progress| {
        let every = if json || on_terminal { RENEW } else { REMARK };
        let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due =
            last.is_none_or(|(phase, at)| phase != progress.phase || at.elapsed() >= every);
        if is_due {
            *last = Some((progress.phase, Instant::now()));
            show(&progress, json, on_terminal);
        }
    })
}

fn show(progress: &Progress, json: bool, on_terminal: bool) {
    if json {
        let line = json_text(&serde_json::json!({ "progress": progress }));
        to_stderr(&line.unwrap_or_default());
    } else if on_terminal {
        let line: String = clean(&sentence(progress)).chars().take(WIDEST).collect();
        // Nobody is there to be told when that fails.
        let _ = write!(io::stderr().lock(), "\r\x1b[2K{line}");
    } else {
        to_stderr(&sentence(progress));
    }
}

/// `dump: 120.0 MB of 1.0 GB, 3 of 40, public.orders`
fn sentence(progress: &Progress) -> String {
    let of = |done: String, of: Option<String>| {
        of.map_or_else(|| done.clone(), |of| format!("{done} of {of}"))
    };
    let sized = progress.bytes.map(|done| of(bytes(done), progress.of_bytes.map(bytes)));
    let counted =
        progress.done.map(|done| of(done.to_string(), progress.of.map(|of| of.to_string())));
    let parts: Vec<String> = [sized, counted, progress.at.clone()].into_iter().flatten().collect();
    if parts.is_empty() {
        progress.phase.to_owned()
    } else {
        format!("{}: {}", progress.phase, parts.join(", "))
    }
}

/// Takes the line that renews itself away, before anything else is printed.
pub(super) fn clear(context: &Context) {
    if !context.print.json && io::stderr().is_terminal() {
        let _ = write!(io::stderr().lock(), "\r\x1b[2K");
    }
}

/// Runs a job that ends in order when a signal says so: it is given the switch and time to tidy up.
pub(super) async fn in_order<T>(
    context: &Context,
    stop: &CancellationToken,
    job: impl Future<Output = T>,
) -> anyhow::Result<T> {
    let mut signals = Signals::listen()?;
    let mut job = pin!(job);
    let done = tokio::select! {
        done = &mut job => done,
        () = signals.heard() => {
            clear(context);
            to_stderr("stopping, and tidying up");
            stop.cancel();
            tokio::select! {
                done = &mut job => done,
                () = signals.heard() => bail!("told to stop twice; `simctl db restore --resume` and the next backup tidy up"),
            }
        }
    };
    clear(context);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_with_the_figures_that_are_known() {
        assert_eq!(sentence(&Progress::of("globals")), "globals");
        let sized = Progress::sized("dump", 120 << 20, Some(1 << 30));
        assert_eq!(sentence(&sized), "dump: 120.0 MB of 1.0 GB");
        assert_eq!(
            sentence(&Progress::counted("hash", 3, 40, "public.o")),
            "hash: 3 of 40, public.o"
        );
    }
}
