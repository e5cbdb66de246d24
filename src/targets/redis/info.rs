//! The reply of INFO, and what of it is a reading.

use std::ops::Range;

use redis::Value;

use crate::domain::readings::Readings;
use crate::domain::sample::reading;

/// The fields of one INFO reply: where each name and its value stand in the text. Most are never looked at.
#[derive(Debug, Default)]
pub(crate) struct Info {
    text: String,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Info {
    /// Reads the reply; one that is no text is an empty INFO.
    pub(crate) fn parse(reply: &Value) -> Self {
        let text = match reply {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
            _ => String::new(),
        };
        let mut fields = Vec::with_capacity(256);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if let Some((name, value)) = line.split_once(':') {
                let middle = start + name.len();
                fields.push((start..middle, middle + 1..middle + 1 + value.trim_end().len()));
            }
            start += line.len();
        }
        Self { text, fields }
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.fields().find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let part = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        self.fields.iter().map(move |(name, value)| (part(name), part(value)))
    }

    pub(crate) fn whole(&self, field: &str) -> Option<u64> {
        self.text(field)?.parse().ok()
    }

    /// Keys in all databases; `None` when the keyspace was not given.
    pub(crate) fn keys(&self) -> Option<u64> {
        // The section has a line per database that is not empty, so an empty server has none.
        self.text("used_memory")?;
        Some(self.inner_sums("db", "keys"))
    }

    /// Keys in all databases that have a time to live.
    pub(crate) fn expiring(&self) -> u64 {
        self.inner_sums("db", "expires")
    }

    /// How often this error was given out; `None` on a server that does not count them.
    pub(crate) fn errors(&self, code: &str) -> Option<u64> {
        self.text("total_error_replies")?;
        let counted = self.text(&format!("errorstat_{code}"));
        Some(counted.and_then(|value| inner(value, "count")).unwrap_or(0))
    }

    /// How often this command was called, out of the command statistics; `None` when it was not.
    pub(crate) fn calls(&self, command: &str) -> Option<u64> {
        inner(self.text(&format!("cmdstat_{command}"))?, "calls")
    }

    fn inner_sums(&self, prefix: &str, name: &str) -> u64 {
        let numbered = |field: &str| {
            field
                .strip_prefix(prefix)
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        self.fields()
            .filter(|(field, _)| numbered(field))
            .filter_map(|(_, value)| inner(value, name))
            .sum()
    }

    /// Everything in here that a detector or a person may want, by the names of `domain::sample`.
    pub(crate) fn readings(&self) -> Readings {
        const PLAIN: [(&str, &str); 12] = [
            (reading::USED_MEMORY_BYTES, "used_memory"),
            (reading::MAXMEMORY_BYTES, "maxmemory"),
            (reading::DATASET_BYTES, "used_memory_dataset"),
            (reading::OVERHEAD_BYTES, "used_memory_overhead"),
            (reading::CLIENT_MEMORY_BYTES, "mem_clients_normal"),
            (reading::CLIENTS, "connected_clients"),
            (reading::MAXCLIENTS, "maxclients"),
            (reading::REJECTED_CONNECTIONS_TOTAL, "rejected_connections"),
            (reading::EVICTED_KEYS_TOTAL, "evicted_keys"),
            (reading::HITS_TOTAL, "keyspace_hits"),
            (reading::MISSES_TOTAL, "keyspace_misses"),
            (reading::COMMANDS_PER_SECOND, "instantaneous_ops_per_sec"),
        ];
        let plain = PLAIN.iter().map(|(name, field)| (*name, self.whole(field)));
        let refuses = self.text("maxmemory_policy").map(|policy| u64::from(policy == "noeviction"));
        let derived = [
            (reading::REFUSES_WHEN_FULL, refuses),
            (reading::KEYS, self.keys()),
            (reading::OOM_ERRORS_TOTAL, self.errors("OOM")),
            (reading::UPTIME_SECONDS, self.whole("uptime_in_seconds")),
        ];
        plain.chain(derived).filter_map(|(name, value)| Some((name, value? as f64))).collect()
    }
}

/// `name` within a value like `keys=3,expires=1`.
fn inner(value: &str, name: &str) -> Option<u64> {
    let parts = value.split(',').filter_map(|part| part.split_once('='));
    parts.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Info {
        Info::parse(&Value::BulkString(text.as_bytes().to_vec()))
    }

    #[test]
    fn keys_are_summed_over_databases_and_nothing_else_that_starts_with_db() {
        let given = info(
            "used_memory:1\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb12:keys=4,expires=0\r\n\
                          dbx:keys=9\r\ndb:keys=9\r\n",
        );
        assert_eq!(given.keys(), Some(7));
        assert_eq!(given.expiring(), 1);
        assert_eq!(info("used_memory:1\r\n").keys(), Some(0), "an empty server");
        assert_eq!(info("").keys(), None, "no answer is not an empty server");
    }

    #[test]
    fn errors_are_zero_only_on_a_server_that_counts_them() {
        let given =
            info("total_error_replies:5\r\nerrorstat_OOM:count=4\r\nerrorstat_ERR:count=1\r\n");
        assert_eq!(given.errors("OOM"), Some(4));
        assert_eq!(given.errors("MISCONF"), Some(0));
        assert_eq!(info("used_memory:1\r\n").errors("OOM"), None);
    }

    #[test]
    fn what_was_not_given_is_absent_from_the_readings() {
        let given = info("used_memory:1048576\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n")
            .readings();
        assert_eq!(given.get(reading::USED_MEMORY_BYTES), Some(1_048_576.0));
        assert_eq!(given.get(reading::REFUSES_WHEN_FULL), Some(0.0));
        assert_eq!(given.get(reading::CLIENTS), None);
        assert_eq!(given.get(reading::OOM_ERRORS_TOTAL), None);
        assert!(info("garbage").readings().is_empty());
    }
}
