//! Keys of a Redis server as faults use them: fill, count and unlink by prefix.

use std::collections::HashSet;

use redis::aio::MultiplexedConnection;

use super::{FaultError, words};
use crate::targets::Server;

/// Size of one value; with its overhead Redis takes about a kilobyte for it.
pub(super) const VALUE_BYTES: usize = 900;
const PIPELINE: u64 = 500;
/// No fault takes more of a server's memory.
pub(super) const MOST_BYTES: u64 = 200 << 20;

/// How full a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fullness {
    pub(super) used: u64,
    /// 0: unlimited.
    pub(super) limit: u64,
    pub(super) policy: String,
    /// Keys that do not expire; ours that beat and caches of others come and go.
    pub(super) lasting_keys: u64,
}

/// Reads how full the server is.
pub(super) async fn fullness(con: &mut MultiplexedConnection) -> Result<Fullness, FaultError> {
    let (memory, keyspace): (String, String) = redis::pipe()
        .cmd("INFO")
        .arg("memory")
        .cmd("INFO")
        .arg("keyspace")
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed("read INFO", e))?;
    let field = |name: &str| {
        let value = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim)
    };
    let bytes = |name: &str| field(name).and_then(|text| text.parse().ok());
    match (bytes("used_memory"), bytes("maxmemory"), field("maxmemory_policy")) {
        (Some(used), Some(limit), Some(policy)) => Ok(Fullness {
            used,
            limit,
            policy: policy.to_owned(),
            lasting_keys: lasting_keys(&keyspace),
        }),
        _ => Err(FaultError::Precondition(
            "INFO memory lacks used_memory, maxmemory or maxmemory_policy".into(),
        )),
    }
}

/// Why this server cannot be filled until it refuses writes, if so.
pub(super) fn can_fill(server: &Server, full: &Fullness) -> Result<(), FaultError> {
    let target = &server.target.id;
    let refused = |why: String| Err(FaultError::Precondition(format!("{target} {why}")));
    if full.policy != "noeviction" {
        return refused(format!("evicts keys ({}), so it would lose data, not fill", full.policy));
    }
    if full.limit == 0 || full.limit > MOST_BYTES {
        return refused(format!(
            "has no maxmemory up to {} MB, where this fault stops",
            megabytes(MOST_BYTES)
        ));
    }
    if full.used >= full.limit {
        return refused("is full already".into());
    }
    Ok(())
}

/// Keys without a TTL over all databases, out of `db0:keys=12,expires=1,…` lines.
fn lasting_keys(keyspace: &str) -> u64 {
    let number = |line: &str, name: &str| -> u64 {
        let found = line.split([':', ',']).find_map(|part| part.trim().strip_prefix(name));
        found.and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    keyspace
        .lines()
        .filter(|line| line.starts_with("db"))
        .map(|line| number(line, "keys=").saturating_sub(number(line, "expires=")))
        .sum()
}

/// What filling came to.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) keys: u64,
    /// The server's words, when it refused the next key.
    pub(super) refused: Option<String>,
}

/// Sets `<prefix><n>` for `n` in `range`, one pipeline, stopping at the first refusal.
async fn set_some(
    con: &mut MultiplexedConnection,
    prefix: &str,
    range: std::ops::Range<u64>,
    value: &[u8],
) -> Result<Filled, FaultError> {
    let mut pipe = redis::pipe();
    let wanted = range.end - range.start;
    for n in range {
        pipe.cmd("SET").arg(format!("{prefix}{n}")).arg(value).ignore();
    }
    let error = match pipe.query_async::<()>(con).await {
        Ok(()) => return Ok(Filled { keys: wanted, refused: None }),
        Err(error) => error,
    };
    let doing = format!("set keys under {prefix}");
    let Some(answers) = error.clone().into_server_errors() else {
        return Err(FaultError::failed(doing, error));
    };
    match answers.first() {
        Some((index, first)) if first.code() == "OOM" => {
            let words = format!("OOM {}", first.details().unwrap_or_default());
            Ok(Filled { keys: *index as u64, refused: Some(words.trim().to_owned()) })
        }
        _ => Err(FaultError::failed(doing, error)),
    }
}

/// Sets keys `<prefix><n>` of the given size for `n` in `range` until all are there or the server refuses one.
pub(super) async fn fill(
    con: &mut MultiplexedConnection,
    prefix: &str,
    range: std::ops::Range<u64>,
    bytes: usize,
) -> Result<Filled, FaultError> {
    let value = vec![b'x'; bytes];
    let mut next = range.start;
    while next < range.end {
        let end = range.end.min(next + PIPELINE);
        let some = set_some(con, prefix, next..end, &value).await?;
        next += some.keys;
        if some.refused.is_some() {
            return Ok(Filled { keys: next - range.start, refused: some.refused });
        }
    }
    Ok(Filled { keys: next - range.start, refused: None })
}

/// Tries one more key under the prefix: the server's words when it refuses for lack of memory.
pub(super) async fn refusal(
    con: &mut MultiplexedConnection,
    prefix: &str,
) -> Result<Option<String>, FaultError> {
    let value = vec![b'x'; VALUE_BYTES];
    Ok(set_some(con, prefix, u64::MAX - 1..u64::MAX, &value).await?.refused)
}

/// How many keys each prefix has. `SCAN` may return a key twice, so they are told apart.
pub(super) async fn count(
    con: &mut MultiplexedConnection,
    prefixes: &[&str],
) -> Result<Vec<u64>, FaultError> {
    let mut found: Vec<HashSet<Vec<u8>>> = vec![HashSet::new(); prefixes.len()];
    let mut cursor = 0;
    while !prefixes.is_empty() {
        let (next, page) = page(con, cursor, "*").await?;
        for key in page {
            if let Some(i) = prefixes.iter().position(|prefix| key.starts_with(prefix.as_bytes())) {
                found[i].insert(key);
            }
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    Ok(found.iter().map(|keys| keys.len() as u64).collect())
}

/// Every key, each once; `None` when there are more than `most`.
pub(super) async fn all(
    con: &mut MultiplexedConnection,
    most: u64,
) -> Result<Option<Vec<Vec<u8>>>, FaultError> {
    let (mut found, mut cursor) = (HashSet::new(), 0);
    loop {
        let (next, keys) = page(con, cursor, "*").await?;
        found.extend(keys);
        cursor = next;
        if found.len() as u64 > most {
            return Ok(None);
        }
        if cursor == 0 {
            return Ok(Some(found.into_iter().collect()));
        }
    }
}

/// Unlinks every key under the prefix; how many there were. Repeats until a whole pass finds none.
pub(super) async fn unlink(
    con: &mut MultiplexedConnection,
    prefix: &str,
) -> Result<u64, FaultError> {
    let pattern = format!("{prefix}*");
    let mut gone = 0;
    loop {
        let (mut cursor, mut in_this_pass) = (0, 0);
        loop {
            let (next, keys) = page(con, cursor, &pattern).await?;
            if !keys.is_empty() {
                in_this_pass += keys.len() as u64;
                let () =
                    redis::cmd("UNLINK").arg(keys).query_async(con).await.map_err(|e| {
                        FaultError::failed(format!("unlink keys under {prefix}"), e)
                    })?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        gone += in_this_pass;
        if in_this_pass == 0 {
            return Ok(gone);
        }
    }
}

async fn page(
    con: &mut MultiplexedConnection,
    cursor: u64,
    pattern: &str,
) -> Result<(u64, Vec<Vec<u8>>), FaultError> {
    redis::cmd("SCAN")
        .arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(1000)
        .query_async(con)
        .await
        .map_err(|e| FaultError::failed("scan keys", e))
}

/// The first of the candidate prefixes that no key has yet, and the rest of those in order.
pub(super) async fn unused(
    con: &mut MultiplexedConnection,
    candidates: Vec<String>,
) -> Result<Vec<String>, FaultError> {
    let names: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let counts = count(con, &names).await?;
    Ok(candidates.into_iter().zip(counts).filter(|(_, n)| *n == 0).map(|(p, _)| p).collect())
}

/// A prefix for this injection that no key has yet.
pub(super) async fn unused_prefix(
    con: &mut MultiplexedConnection,
    seed: u64,
) -> Result<String, FaultError> {
    let free = unused(con, words::prefixes(seed)).await?;
    free.into_iter().next().ok_or_else(|| {
        FaultError::Precondition("every prefix this fault could use is taken".into())
    })
}

/// `31,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whole megabytes, as Redis counts them.
pub(super) fn megabytes(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn keys_that_expire_do_not_count_as_lasting() {
        let info =
            "# Keyspace\r\ndb0:keys=12,expires=2,avg_ttl=9\r\ndb3:keys=5,expires=0,avg_ttl=0\r\n";
        assert_eq!(lasting_keys(info), 15);
        assert_eq!(lasting_keys("# Keyspace\r\n"), 0);
    }
}
