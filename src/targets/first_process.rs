//! The first process of a container, seen from beside it: everything in there lives and stops with it.

use std::time::Duration;

use super::{Place, dial};
use crate::domain::sample::Answer;
use crate::ports::runtime::{ExecLimits, RuntimeKind};

const DEADLINE: Duration = Duration::from_secs(2);

/// How the kernel sees it: `S` waits, `R` runs, `T` is stopped by a signal.
pub async fn state(place: &Place) -> Result<char, Answer> {
    if place.runtime.kind() != RuntimeKind::Docker {
        return Err(dial::failed("RUNTIME", "it is no container"));
    }
    let argv = ["cat", "/proc/1/stat"].map(str::to_owned);
    let limits = ExecLimits { deadline: DEADLINE, output_bytes: 4_096 };
    let ran = place.runtime.exec(&place.unit, &argv, None, limits).await;
    let output = ran.map_err(|error| dial::failed("RUNTIME", error.to_string()))?;
    parse(&output.stdout).ok_or_else(|| dial::failed("PROC", output.stderr.trim()))
}

/// Whether it stands still because of a signal.
pub fn is_stopped(state: char) -> bool {
    matches!(state, 'T' | 't')
}

/// The name in brackets may hold anything, so everything is counted from the last bracket.
fn parse(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_what_follows_the_name() {
        assert_eq!(parse("1 (redis-server) T 0 1 1 0 -1"), Some('T'));
        assert_eq!(parse("1 (a) b (c) S 0 1"), Some('S'));
        assert_eq!(parse("cat: /proc/1/stat: No such file or directory"), None);
        assert!(is_stopped('T') && !is_stopped('S'));
    }
}
