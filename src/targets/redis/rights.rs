//! A Redis login, by asking the server about every command it has.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Pipeline, Value};

use super::RedisLink;
use crate::actions::Rights;
use crate::domain::sample::Answer;
use crate::targets::Limit;
use crate::targets::dial::Trust;
use crate::targets::rights::{Compared, needed_by};

/// What every login may do whatever its rights are, and what only names or ends its own connection.
const HARMLESS: [&str; 6] = ["auth", "hello", "quit", "reset", "echo", "lolwut"];

impl RedisLink {
    /// Compares the login of this link.
    pub(in crate::targets) async fn compare_rights(
        &self,
        wanted: &Rights,
    ) -> Result<Compared, String> {
        let (login, answers) = self.dry_run_all().await.map_err(|answer| answer.describe())?;
        let mut compared = Compared { login, ..Compared::default() };
        for (name, answer) in answers {
            let allowed = match answer {
                Ok(Value::Okay) => true,
                Ok(Value::SimpleString(text)) => text == "OK",
                // The reason, as a text: no permission.
                Ok(_) => false,
                Err(answer) => return Err(format!("ACL DRYRUN {name}: {}", answer.describe())),
            };
            // A command that is granted whole comes with what it is made of.
            let whole = name.split('|').next().unwrap_or(&name);
            let commands = &wanted.redis_commands;
            match commands.get(name.as_str()).or_else(|| commands.get(whole)) {
                Some(who) if !allowed => compared.missing.push(needed_by(&name, who)),
                None if allowed && !HARMLESS.contains(&name.as_str()) => compared.more.push(name),
                _ => {}
            }
        }
        Ok(compared)
    }

    /// The login, and what the server says of every command it has.
    async fn dry_run_all(&self) -> Result<(String, Vec<(String, Result<Value, Answer>)>), Answer> {
        let limit = Limit::of(self.deadline * 5);
        let mut talk = self.open("rights", &Trust::default(), limit).await?;
        let mut about = Pipeline::new();
        about.cmd("ACL").arg("WHOAMI");
        about.cmd("COMMAND");
        let mut told = talk.ask(&about, limit).await.into_iter();
        let mut next = || told.next().unwrap_or(Ok(Value::Nil));
        let login: String = redis::from_redis_value(next()?).unwrap_or_default();
        let commands = commands_of(&next()?);
        let mut questions = Pipeline::new();
        for (name, words) in &commands {
            let dry_run = questions.cmd("ACL").arg("DRYRUN").arg(&login);
            for part in name.split('|') {
                dry_run.arg(part);
            }
            for _ in name.split('|').count()..*words {
                dry_run.arg("1");
            }
        }
        let answers = talk.ask(&questions, limit).await;
        Ok((login, commands.into_keys().zip(answers).collect()))
    }
}

/// Every command by the name an ACL gives it, and how many words it takes at least, its name included.
fn commands_of(reply: &Value) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    if let Value::Array(commands) = reply {
        for command in commands {
            add(command, &mut found);
        }
    }
    found
}

/// One entry of COMMAND: name, arity, …, and its subcommands as the tenth.
fn add(entry: &Value, found: &mut BTreeMap<String, usize>) {
    let Value::Array(parts) = entry else { return };
    let (Some(name), Some(Value::Int(arity))) = (parts.first(), parts.get(1)) else { return };
    let Ok(name) = String::from_redis_value(name.clone()) else { return };
    match parts.get(9) {
        Some(Value::Array(subcommands)) if !subcommands.is_empty() => {
            for subcommand in subcommands {
                add(subcommand, found);
            }
        }
        _ => {
            let words = usize::try_from(arity.unsigned_abs()).unwrap_or(1);
            found.insert(name, words);
        }
    }
}
