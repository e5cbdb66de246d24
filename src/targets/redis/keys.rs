//! Which keys fill a server: names by their prefix, bytes and lifetimes from a few keys of each.

use std::collections::HashMap;

use redis::{Pipeline, Value};

use super::big;
use super::line::Line;
use super::probe::HEARTBEAT_KEY;
use crate::diagnose::facts::{BigKey, PrefixShare};
use crate::domain::sample::Answer;
use crate::domain::words::bytes;
use crate::targets::Limit;

/// At most this many names are looked at …
const MOST_KEYS: u64 = 100_000;
/// … so many per question, which keeps the server busy for about a millisecond.
const PER_SCAN: u64 = 2_000;
/// Keys of one prefix whose size and lifetime are asked; of a server with few keys, all.
const PER_PREFIX: usize = 50;
const FEW_KEYS: u64 = 2_000;
/// Prefixes that are sized, the most numerous first.
const MOST_PREFIXES: usize = 32;
const SEPARATORS: [char; 5] = [':', '.', '-', '_', '/'];

/// What was seen of the keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) prefixes: Vec<PrefixShare>,
    pub(super) seen: u64,
    pub(super) biggest: Vec<BigKey>,
}

/// What is known of the server before its keys are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) keys: u64,
    pub(super) dataset_bytes: u64,
}

/// Keys that were looked at, and their sizes.
type Weighed = Vec<(Vec<u8>, u64)>;

#[derive(Default)]
struct Family {
    keys: u64,
    /// The first ones seen: SCAN goes by hash, so they are as good as random ones.
    some: Vec<Vec<u8>>,
}

/// Looks at the keys until all or enough were seen, or half of the time is over.
pub(super) async fn sample(line: &mut Line, whole: Whole, limit: Limit) -> Result<Keys, Answer> {
    let per_prefix = if whole.keys <= FEW_KEYS { usize::MAX } else { PER_PREFIX };
    let mut families: HashMap<String, Family> = HashMap::new();
    let mut seen = 0;
    let mut cursor = 0;
    loop {
        let (next, names) = scan(line, cursor, limit).await?;
        seen += count(&mut families, names, per_prefix);
        cursor = next;
        if cursor == 0 || seen >= MOST_KEYS || limit.is_half_over() {
            break;
        }
    }
    let mut families: Vec<_> = families.into_iter().collect();
    families.sort_by(|a, b| b.1.keys.cmp(&a.1.keys).then_with(|| a.0.cmp(&b.0)));
    families.truncate(MOST_PREFIXES);
    let (mut prefixes, mut sized) = (Vec::new(), Weighed::new());
    for (prefix, family) in families {
        prefixes.push(weigh(line, prefix, family, &mut sized, limit).await?);
    }
    prefixes.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    let explained: u64 = prefixes.iter().map(|share| share.bytes).sum();
    // A few big keys among many small ones are missed by samples.
    if explained < whole.dataset_bytes / 2 && seen > 0 {
        search(line, &mut sized, limit).await?;
    }
    let biggest = big::describe(line, big::largest(sized), limit).await?;
    Ok(Keys { prefixes, seen, biggest })
}

/// Asks the size of every key, page by page, until all were asked or the time is over.
async fn search(line: &mut Line, sized: &mut Weighed, limit: Limit) -> Result<(), Answer> {
    let mut cursor = 0;
    loop {
        let (next, names) = scan(line, cursor, limit).await?;
        let mut questions = Pipeline::new();
        for name in &names {
            questions.cmd("MEMORY").arg("USAGE").arg(name);
        }
        let sizes = match names.is_empty() {
            true => Vec::new(),
            false => line.ask(&questions, limit).await,
        };
        for (name, size) in names.into_iter().zip(sizes) {
            if let Value::Int(size) = size? {
                sized.push((name, u64::try_from(size).unwrap_or_default()));
            }
        }
        *sized = big::largest(std::mem::take(sized));
        cursor = next;
        if cursor == 0 || limit.is_nearly_over() {
            return Ok(());
        }
    }
}

async fn scan(line: &mut Line, cursor: u64, limit: Limit) -> Result<(u64, Vec<Vec<u8>>), Answer> {
    let page = line.one(redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(PER_SCAN), limit).await?;
    redis::from_redis_value(page)
        .map_err(|error| crate::targets::dial::failed("CLIENT", error.to_string()))
}

fn count(families: &mut HashMap<String, Family>, names: Vec<Vec<u8>>, per_prefix: usize) -> u64 {
    let mut seen = 0;
    for name in names {
        if name == HEARTBEAT_KEY.as_bytes() {
            continue;
        }
        seen += 1;
        // A name that is no text cannot be named to anybody either.
        let Ok(text) = std::str::from_utf8(&name) else { continue };
        let family = families.entry(prefix(text).to_owned()).or_default();
        family.keys += 1;
        if family.some.len() < per_prefix {
            family.some.push(name);
        }
    }
    seen
}

/// Up to and including the first separator that has something before it; the whole name without one.
fn prefix(name: &str) -> &str {
    let leading = name.len() - name.trim_start_matches(SEPARATORS).len();
    let rest = name.get(leading..).unwrap_or_default();
    // Every separator is one byte long.
    rest.find(SEPARATORS).and_then(|at| name.get(..=leading + at)).unwrap_or(name)
}

async fn weigh(
    line: &mut Line,
    prefix: String,
    family: Family,
    all: &mut Weighed,
    limit: Limit,
) -> Result<PrefixShare, Answer> {
    let mut questions = Pipeline::new();
    for name in &family.some {
        questions.cmd("MEMORY").arg("USAGE").arg(name);
        questions.cmd("PTTL").arg(name);
    }
    let numbers = line.ask(&questions, limit).await.into_iter().map(|reply| match reply? {
        Value::Int(number) => Ok(Some(number)),
        // The key is gone by now.
        _ => Ok(None),
    });
    let numbers = numbers.collect::<Result<Vec<_>, Answer>>()?;
    let (mut sized, mut bytes, mut eternal) = (0, 0, 0);
    for (name, pair) in family.some.into_iter().zip(numbers.chunks_exact(2)) {
        if let [Some(size), Some(lifetime)] = pair {
            let size = u64::try_from(*size).unwrap_or_default();
            all.push((name, size));
            sized += 1;
            bytes += size;
            eternal += u64::from(*lifetime == -1);
        }
    }
    let each = |sum: u64, factor: u64| (sum * factor).checked_div(sized).unwrap_or_default();
    Ok(PrefixShare {
        prefix,
        keys: family.keys,
        bytes: each(bytes, family.keys),
        without_ttl_percent: u8::try_from(each(eternal, 100)).unwrap_or(100),
    })
}

/// The three heaviest prefixes.
pub(super) fn words(keys: &Keys) -> String {
    let heaviest: Vec<_> = keys
        .prefixes
        .iter()
        .take(3)
        .map(|share| {
            format!(
                "`{}` {} keys, about {}, {} % without TTL",
                share.prefix,
                share.keys,
                bytes(share.bytes),
                share.without_ttl_percent
            )
        })
        .collect();
    let largest = match keys.biggest.as_slice() {
        [] => String::new(),
        big => format!("; {}", big::words(big)),
    };
    match heaviest.as_slice() {
        [] => "no keys".to_owned(),
        _ => format!("{} keys seen: {}{largest}", keys.seen, heaviest.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_the_first_separator_that_has_something_before_it() {
        let table = [
            ("leak:17", "leak:"),
            ("user.session:1", "user."),
            ("a-b", "a-"),
            ("a_b:c", "a_"),
            ("/var/x", "/var/"),
            ("__simctl:hb", "__simctl:"),
            ("plain", "plain"),
            ("trailing:", "trailing:"),
            ("::", "::"),
            ("", ""),
            ("größe:1", "größe:"),
        ];
        for (name, expected) in table {
            assert_eq!(prefix(name), expected, "{name}");
        }
    }

    #[test]
    fn names_are_counted_by_prefix_without_our_own_key() {
        let mut families = HashMap::new();
        let names = ["a:1", "a:2", "b", HEARTBEAT_KEY].map(|name| name.as_bytes().to_vec());
        let seen = count(&mut families, names.into_iter().chain([vec![0xff, b':']]).collect(), 50);
        assert_eq!(seen, 4, "a name that is no text is a key all the same");
        assert_eq!(families.get("a:").map(|family| family.keys), Some(2));
        assert_eq!(families.get("b").map(|family| family.keys), Some(1));
        assert_eq!(families.len(), 2);
    }
}
