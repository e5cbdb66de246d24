//! The commands Redis itself found slow: SLOWLOG, newest first.

use redis::Value;

use super::RedisLink;
use super::connect::CLIENT_NAME_PREFIX;
use super::line::Line;
use crate::diagnose::facts::SlowCommand;
use crate::diagnose::source;
use crate::domain::sample::Answer;
use crate::domain::words;
use crate::targets::Limit;
use crate::targets::notebook::Notebook;

/// The log holds 128 by default; these are enough to see a habit.
const MOST: u32 = 64;
/// No more of an argument is kept.
const ARGUMENT: usize = 60;

impl RedisLink {
    /// The newest slow commands of others. Their cost does not grow with the data.
    pub(in crate::targets) async fn slow_commands(
        &self,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<SlowCommand>> {
        let limit = Limit::of(self.deadline);
        let ask = async {
            let mut line = Line::open(self, "facts", limit).await?;
            let mut questions = redis::pipe();
            questions.cmd("TIME").cmd("SLOWLOG").arg("GET").arg(MOST);
            let mut replies = line.ask(&questions, limit).await.into_iter();
            let mut next = || replies.next().unwrap_or(Err(Answer::NotAsked));
            let (time, log) = (next()?, next()?);
            Ok(parse(&time, &log))
        };
        notebook.ask(source::REDIS_SLOWLOG, self.deadline, ask, |slow| summary(slow)).await
    }
}

pub(crate) fn parse(time: &Value, log: &Value) -> Vec<SlowCommand> {
    let now = items(time).first().and_then(number).unwrap_or_default();
    items(log).iter().filter_map(|entry| read(items(entry), now)).collect()
}

/// Id, time, microseconds, words, the client's address and its name.
fn read(entry: &[Value], now: f64) -> Option<SlowCommand> {
    let [_, at, micros, argv, rest @ ..] = entry else { return None };
    let client: Vec<String> = rest.iter().map(text).collect();
    if client.get(1).is_some_and(|name| name.starts_with(CLIENT_NAME_PREFIX)) {
        return None;
    }
    let named = client.iter().rev().find(|name| !name.is_empty());
    let argv = items(argv);
    Some(SlowCommand {
        age_s: (now - number(at)?).max(0.0),
        took_ms: number(micros)? / 1_000.0,
        command: argv.first().map(text).unwrap_or_default().to_ascii_lowercase(),
        argument: argv.get(1).map(text).unwrap_or_default().chars().take(ARGUMENT).collect(),
        client: named.cloned().unwrap_or_default(),
    })
}

fn items(value: &Value) -> &[Value] {
    if let Value::Array(items) = value { items } else { &[] }
}

fn text(value: &Value) -> String {
    redis::from_redis_value(value.clone()).unwrap_or_default()
}

fn number(value: &Value) -> Option<f64> {
    redis::from_redis_value(value.clone()).ok()
}

fn summary(slow: &[SlowCommand]) -> String {
    let Some(newest) = slow.first() else { return "it is empty".into() };
    let longest = slow.iter().map(|one| one.took_ms).fold(0.0, f64::max);
    format!(
        "{}, the longest {longest:.0} ms; the newest {:.0} s ago: {} {} of {}",
        words::counted(slow.len() as u64, "slow command"),
        newest.age_s,
        newest.command,
        newest.argument,
        newest.client
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(at: i64, micros: i64, name: &str) -> Value {
        let argv = Value::Array(vec![bulk("KEYS"), bulk("visit:*")]);
        let client = [bulk("172.18.0.1:40212"), bulk(name)];
        let head = [Value::Int(7), Value::Int(at), Value::Int(micros), argv];
        Value::Array(head.into_iter().chain(client).collect())
    }

    #[test]
    fn entries_say_who_asked_what_when_and_for_how_long() {
        let time = Value::Array(vec![bulk("1000"), bulk("5")]);
        let log = Value::Array(vec![
            entry(998, 240_500, "report"),
            entry(990, 11_000, "simctl/facts"),
            entry(900, 12_000, ""),
            Value::Array(vec![Value::Int(1)]),
        ]);
        let slow = parse(&time, &log);
        assert_eq!(slow.len(), 2, "neither ours nor what is cut");
        let first = SlowCommand {
            age_s: 2.0,
            took_ms: 240.5,
            command: "keys".into(),
            argument: "visit:*".into(),
            client: "report".into(),
        };
        assert_eq!(slow[0], first);
        assert_eq!(slow[1].client, "172.18.0.1:40212");
        assert_eq!(parse(&Value::Nil, &Value::Nil), []);
    }
}
