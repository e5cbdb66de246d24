//! What a flush took. The server forgets how many keys it had, so the probe remembers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::info::Info;

/// Fewer keys gone are no loss of data that anybody would call one.
const LEAST_KEYS: u64 = 100;
/// After this long, whoever could say that it was meant has had the time to.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The memory of one probe.
#[derive(Debug, Default)]
pub(super) struct Flushes(Mutex<Option<Seen>>);

/// One life of the server as it was last seen.
#[derive(Clone, Debug)]
struct Seen {
    run: String,
    keys: u64,
    /// How often everything was removed at once since the start.
    flushes: u64,
    lost: Option<Lost>,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    /// Keys there were before.
    before: u64,
    at: Instant,
}

impl Flushes {
    /// Keys that a flush took and that did not come back, and how long ago that was: none, once half of them have.
    /// Keys that go by any other way (expiry, eviction, deletion) never count. `None` when the server does not tell.
    pub(super) fn lost(&self, info: &Info, commands: &Info) -> Option<(u64, Duration)> {
        let run = info.text("run_id")?.to_owned();
        let now = Seen { run, keys: info.keys()?, flushes: flushes(commands)?, lost: None };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        let now = now.after(seen.as_ref(), at);
        let nothing = (0, Duration::ZERO);
        let lost = now.lost.map_or(nothing, |l| (l.before.saturating_sub(now.keys), at - l.at));
        *seen = Some(now);
        Some(lost)
    }
}

impl Seen {
    fn after(mut self, before: Option<&Self>, at: Instant) -> Self {
        let Some(before) = before.filter(|before| before.run == self.run) else { return self };
        let had = before.lost.map_or(0, |lost| lost.before).max(before.keys);
        let is_flush = self.flushes > before.flushes && before.keys >= self.keys + LEAST_KEYS;
        self.lost = if is_flush { Some(Lost { before: had, at }) } else { before.lost };
        let keys = self.keys;
        self.lost = self.lost.filter(|lost| keys < lost.before / 2 && at - lost.at < REMEMBERED);
        self
    }
}

/// `FLUSHALL` and `FLUSHDB` since the start; a server that counts commands and has none of them has had none.
fn flushes(commands: &Info) -> Option<u64> {
    let calls = |name: &str| commands.calls(name).unwrap_or(0);
    commands.calls("info").map(|_| calls("flushall") + calls("flushdb"))
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn info(text: &str) -> Info {
        Info::parse(&Value::BulkString(text.as_bytes().to_vec()))
    }

    /// (run, keys, flushes) one after the other; what is lost after the last.
    fn lost(story: &[(&str, u64, u64)]) -> Option<u64> {
        let memory = Flushes::default();
        let mut last = None;
        for (run, keys, flushes) in story {
            let general =
                info(&format!("run_id:{run}\r\nused_memory:1\r\ndb0:keys={keys},expires=0\r\n"));
            let commands = info(&format!(
                "cmdstat_info:calls=9,usec=1\r\ncmdstat_flushall:calls={flushes},usec=1\r\n"
            ));
            last = memory.lost(&general, &commands).map(|(keys, _)| keys);
        }
        last
    }

    #[test]
    fn only_a_flush_takes_keys_and_until_half_are_back() {
        let cases = [
            ("flushed", vec![("a", 500, 0), ("a", 0, 1)], 500),
            ("flushed, and a little written since", vec![("a", 500, 0), ("a", 3, 1)], 497),
            ("still, a while later", vec![("a", 500, 0), ("a", 0, 1), ("a", 9, 1)], 491),
            ("flushed twice", vec![("a", 500, 0), ("a", 0, 1), ("a", 150, 1), ("a", 0, 2)], 500),
            ("half are back", vec![("a", 500, 0), ("a", 0, 1), ("a", 250, 1)], 0),
            (
                "and go again otherwise",
                vec![("a", 500, 0), ("a", 0, 1), ("a", 250, 1), ("a", 0, 1)],
                0,
            ),
            ("expired, evicted or deleted", vec![("a", 500, 0), ("a", 0, 0)], 0),
            ("an empty server is flushed", vec![("a", 3, 0), ("a", 0, 1)], 0),
            ("flushed long ago", vec![("a", 500, 7), ("a", 0, 7)], 0),
            ("restarted", vec![("a", 500, 0), ("b", 0, 1)], 0),
            ("seen once", vec![("a", 0, 1)], 0),
        ];
        for (story, seen, expected) in cases {
            assert_eq!(lost(&seen), Some(expected), "{story}");
        }
    }

    #[test]
    fn a_server_that_counts_no_commands_is_not_judged() {
        let general = info("run_id:a\r\nused_memory:1\r\n");
        assert_eq!(Flushes::default().lost(&general, &info("")), None);
    }
}
