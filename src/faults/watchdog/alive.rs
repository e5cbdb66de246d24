//! Whether a process that was written down still runs: its pid alone may be somebody else's by now.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// One process, and no later one with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    pub started: String,
}

impl Process {
    /// This process.
    pub(super) fn me() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or_default() }
    }

    /// Whether it still runs. One that ended and was not collected yet does not.
    pub fn is_alive(&self) -> bool {
        self.pid > 1 && started(self.pid).is_some_and(|started| started == self.started)
    }

    /// Asks it to undo and end, if it is still this one.
    pub(super) fn terminate(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
        match pid {
            Some(pid) if self.is_alive() => kill_process(pid, Signal::TERM).is_ok(),
            _ => false,
        }
    }
}

/// When the process started, in words that differ from one to the next: the boot, and ticks since then.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, brackets and blanks too.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let ticks = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{}/{ticks}", boot.trim()))
}

#[cfg(not(target_os = "linux"))]
fn started(pid: u32) -> Option<String> {
    let asked = std::process::Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&asked.stdout);
    let (state, started) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_another_life_of_its_pid_is_not() {
        let me = Process::me();
        assert!(me.is_alive());
        assert!(!Process { started: "another boot/1".into(), ..me }.is_alive());
    }

    #[test]
    fn no_signal_ever_goes_to_a_group_or_to_init() {
        for pid in [0, 1, u32::MAX] {
            let process = Process { pid, started: started(pid).unwrap_or_default() };
            assert!(!process.is_alive() && !process.terminate(), "{pid}");
        }
    }

    #[test]
    fn an_ended_child_that_nobody_collected_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = Process { pid: child.id(), started: started(child.id()).unwrap_or_default() };
        for _ in 0..500 {
            if !process.is_alive() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
