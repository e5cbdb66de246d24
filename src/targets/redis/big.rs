//! The largest keys: what they are, and how long.

use redis::{Pipeline, Value};

use super::line::Line;
use crate::diagnose::facts::BigKey;
use crate::domain::sample::Answer;
use crate::domain::words::{bytes, count};
use crate::targets::Limit;

/// Smaller keys are not worth a name.
const LEAST_BYTES: u64 = 262_144;
/// So many are described.
const MOST: usize = 5;

/// The largest of these, the largest first.
pub(super) fn largest(mut sized: Vec<(Vec<u8>, u64)>) -> Vec<(Vec<u8>, u64)> {
    sized.retain(|(_, size)| *size >= LEAST_BYTES);
    sized.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sized.dedup();
    sized.truncate(MOST);
    sized
}

/// Type and length of each. One that is gone by now, or whose name is no text, is left out.
pub(super) async fn describe(
    line: &mut Line,
    sized: Vec<(Vec<u8>, u64)>,
    limit: Limit,
) -> Result<Vec<BigKey>, Answer> {
    if sized.is_empty() {
        return Ok(Vec::new());
    }
    let mut types = Pipeline::new();
    for (name, _) in &sized {
        types.cmd("TYPE").arg(name);
    }
    let mut keys = Vec::with_capacity(sized.len());
    for ((name, bytes), kind) in sized.into_iter().zip(line.ask(&types, limit).await) {
        let kind: String = redis::from_redis_value(kind?).unwrap_or_default();
        if let (Ok(name), Some(_)) = (String::from_utf8(name), length_of(&kind)) {
            keys.push(BigKey { name, kind, bytes, length: 0 });
        }
    }
    measure(line, keys, limit).await
}

/// The same keys as they are now.
pub(super) async fn measure(
    line: &mut Line,
    keys: Vec<BigKey>,
    limit: Limit,
) -> Result<Vec<BigKey>, Answer> {
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut questions = Pipeline::new();
    for key in &keys {
        questions.cmd(length_of(&key.kind).unwrap_or("STRLEN")).arg(&key.name);
        questions.cmd("MEMORY").arg("USAGE").arg(&key.name);
    }
    let replies = line.ask(&questions, limit).await;
    let mut now = Vec::with_capacity(keys.len());
    for (key, pair) in keys.into_iter().zip(replies.chunks_exact(2)) {
        // Another type by now is another key; a size of nothing is no key.
        if let [Ok(Value::Int(length)), Ok(Value::Int(size))] = pair {
            let whole = |number: &i64| u64::try_from(*number).unwrap_or_default();
            now.push(BigKey { bytes: whole(size), length: whole(length), ..key });
        }
    }
    Ok(now)
}

fn length_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "STRLEN",
        "list" => "LLEN",
        "set" => "SCARD",
        "zset" => "ZCARD",
        "hash" => "HLEN",
        "stream" => "XLEN",
        _ => return None,
    })
}

/// The largest in words.
pub(super) fn words(keys: &[BigKey]) -> String {
    let said: Vec<_> = keys
        .iter()
        .map(|key| {
            format!(
                "`{}` is a {} of {}, length {}",
                key.name.escape_debug(),
                key.kind,
                bytes(key.bytes),
                count(key.length)
            )
        })
        .collect();
    match said.as_slice() {
        [] => "no large key".to_owned(),
        all => format!("the largest: {}", all.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_keys_are_named_the_largest_first_and_each_once() {
        let key = |name: &str, size| (name.as_bytes().to_vec(), size);
        let given = vec![key("a", 300_000), key("b", 9), key("c", 900_000), key("a", 300_000)];
        assert_eq!(largest(given), [key("c", 900_000), key("a", 300_000)]);
        let many = (0..9).map(|n| key(&format!("k{n}"), 1_000_000 + n)).collect();
        assert_eq!(largest(many).len(), MOST);
    }
}
