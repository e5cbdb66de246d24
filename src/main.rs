//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use simctl::cli::{self, Cli};
use simctl::faults::watchdog;

fn main() -> ExitCode {
    if watchdog::is_called() {
        return watchdog::main();
    }
    // Every TLS client uses the process-wide provider; installing it can only fail when it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return cli::usage(&usage),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("simctl").build() {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(error) => cli::failed(&anyhow::Error::new(error).context("start the async runtime")),
    }
}
