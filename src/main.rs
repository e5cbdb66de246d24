//! simctl.

use std::process::ExitCode;

use simctl::faults::watchdog;

fn main() -> ExitCode {
    if watchdog::is_called() {
        return watchdog::main();
    }
    ExitCode::SUCCESS
}
