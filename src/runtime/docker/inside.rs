//! A signal to a process in a container other than its first, which is the only one that the engine reaches: sent by a
//! program in there.

use std::time::Duration;

use super::DockerRuntime;
use crate::ports::runtime::{ExecLimits, Runtime, RuntimeError, Signal, Unit};

const LIMITS: ExecLimits = ExecLimits { deadline: Duration::from_secs(5), output_bytes: 4_096 };
/// What an image may have; each takes the signal and the number of the process. Debian's images bring no `kill`.
const WAYS: [&[&str]; 2] = [&["kill", "-s"], &["perl", "-e", "kill shift, shift or die $!"]];
/// What a program that is not there comes to.
const NOT_RUN: [Option<i64>; 2] = [Some(126), Some(127)];

fn argv(way: &[&str], pid: i32, signal: Signal) -> Vec<String> {
    let words = way.iter().map(|word| (*word).to_owned());
    words.chain([signal.as_str().to_owned(), pid.to_string()]).collect()
}

/// The command, in the words of the first way.
pub(super) fn words(pid: i32, signal: Signal) -> Vec<String> {
    argv(WAYS[0], pid, signal)
}

pub(super) async fn signal(
    docker: &DockerRuntime,
    unit: &Unit,
    pid: i32,
    signal: Signal,
) -> Result<(), RuntimeError> {
    let mut said = String::new();
    for way in WAYS {
        let output = docker.exec(unit, &argv(way, pid, signal), None, LIMITS).await?;
        if output.exit_code == Some(0) {
            return Ok(());
        }
        said = output.stderr.trim().to_owned();
        if !NOT_RUN.contains(&output.exit_code) {
            break;
        }
    }
    Err(RuntimeError::Failed {
        verb: "signal a process of",
        unit: unit.name.clone(),
        source: anyhow::anyhow!(said),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_ends_with_the_signal_and_the_process() {
        assert_eq!(words(42, Signal::Continue), ["kill", "-s", "CONT", "42"]);
        for way in WAYS {
            assert!(argv(way, 42, Signal::Stop).ends_with(&["STOP".into(), "42".into()]));
        }
    }
}
