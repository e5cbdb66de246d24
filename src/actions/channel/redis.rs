//! Redis commands through redis-cli inside the container, or over a connection of our own. Several commands are
//! fed to one redis-cli on its stdin, quoted so that any byte survives. A server that turns new clients away turns
//! redis-cli away too: then the commands go over the connection that stayed.
//!
//! With arguments `redis-cli -e` exits 1 when the server answers an error. With commands on stdin it exits 0 even
//! when there is no server, so there the replies are counted and read.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use redis::{Pipeline, Value};

use super::{run_inside, since, within};
use crate::actions::ActionError;
use crate::domain::execution::Output;
use crate::ports::runtime::Operation;
use crate::targets::Place;
use crate::targets::redis::{Entered, RedisLink};

/// Longer command lines are cut where people read them.
const SHOWN_CHARS: usize = 160;
/// So many commands are shown of a long list.
const SHOWN_COMMANDS: usize = 3;
/// Commands per pipeline on a direct connection.
const PIPELINED: usize = 200;

/// How orders go to a server that lets nobody in.
const KEPT: &str = "over the kept connection";
/// What a server says to a client that it does not let in.
const TURNED_AWAY: [&str; 3] = ["NOAUTH ", "WRONGPASS ", "max number of clients reached"];

/// One Redis command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::actions) struct Words(pub(in crate::actions) Vec<Vec<u8>>);

impl Words {
    /// A command of plain text.
    pub(in crate::actions) fn of<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        Self(words.into_iter().map(|word| word.as_ref().as_bytes().to_vec()).collect())
    }

    /// As an argv, when all of it is text.
    fn as_argv(&self) -> Option<Vec<String>> {
        self.0.iter().map(|word| String::from_utf8(word.clone()).ok()).collect()
    }

    /// As a line that redis-cli reads back byte for byte.
    fn as_line(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|word| quoted(word)).collect();
        words.join(" ")
    }
}

/// A word in redis-cli's notation: bare when it is plain, else in double quotes with escapes.
fn quoted(word: &[u8]) -> Cow<'_, str> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-:./@,+=%".contains(b);
    if let Ok(text) = std::str::from_utf8(word)
        && !word.is_empty()
        && word.iter().all(plain)
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(word.len() + 8);
    text.push('"');
    for &byte in word {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    Cow::Owned(text)
}

/// How redis-cli is called: its argv, and what is fed to it.
struct Invocation {
    argv: Vec<String>,
    stdin: Option<String>,
    /// Replies to expect on stdout before those of the commands.
    preamble: usize,
}

fn invocation(place: &Place, link: &RedisLink, commands: &[Words]) -> Invocation {
    let mut argv = place.unit.client.clone();
    argv.extend(["-e", "--no-raw"].map(String::from));
    if link.database != 0 {
        argv.extend(["-n".to_owned(), link.database.to_string()]);
    }
    if let ([only], None) = (commands, &link.password)
        && let Some(words) = only.as_argv()
    {
        argv.extend(words);
        return Invocation { argv, stdin: None, preamble: 0 };
    }
    let mut lines = String::new();
    // The password goes in by stdin: an argv is seen by everybody on the machine.
    if let Some(password) = &link.password {
        let user = link.user.iter().map(|user| user.as_bytes().to_vec());
        let words = std::iter::once(b"AUTH".to_vec()).chain(user);
        let login = Words(words.chain([password.reveal().as_bytes().to_vec()]).collect());
        lines.push_str(&login.as_line());
        lines.push('\n');
    }
    for command in commands {
        lines.push_str(&command.as_line());
        lines.push('\n');
    }
    Invocation { argv, stdin: Some(lines), preamble: usize::from(link.password.is_some()) }
}

/// What will run, as of the last look at the server.
pub(super) fn spell(place: Option<&Place>, link: &RedisLink, commands: &[Words]) -> String {
    match place {
        _ if link.kept.turned_away().is_some() => listed(&format!("{KEPT}:"), commands),
        Some(place) => spell_exec(place, link, commands),
        None => spell_direct(link, commands),
    }
}

fn spell_exec(place: &Place, link: &RedisLink, commands: &[Words]) -> String {
    let call = invocation(place, link, commands);
    let spelled = place.runtime.spell(&place.unit, Operation::Exec(&call.argv));
    if call.stdin.is_none() {
        spelled
    } else {
        format!("{spelled} <<'END'\n{}END", shown(commands))
    }
}

fn spell_direct(link: &RedisLink, commands: &[Words]) -> String {
    let scheme = if link.tls.is_some() { "rediss" } else { "redis" };
    listed(&format!("{scheme}://{}:{}/{}", link.host, link.port, link.database), commands)
}

fn listed(at: &str, commands: &[Words]) -> String {
    match commands {
        [only] => format!("{at} {}", abridged(&only.as_line())),
        many => format!("{at} <<'END'\n{}END", shown(many)),
    }
}

fn shown(commands: &[Words]) -> String {
    let mut text = String::new();
    for command in commands.iter().take(SHOWN_COMMANDS) {
        text.push_str(&abridged(&command.as_line()));
        text.push('\n');
    }
    if let Some(more) = commands.len().checked_sub(SHOWN_COMMANDS).filter(|more| *more > 0) {
        let _ = writeln!(text, "… {more} more like these");
    }
    text
}

fn abridged(line: &str) -> String {
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{}… ({} bytes)", &line[..cut], line.len()),
        None => line.to_owned(),
    }
}

/// Sends the commands the way that [`spell`] told.
pub(super) async fn perform(
    place: Option<&Place>,
    link: &RedisLink,
    action: &'static str,
    commands: &[Words],
    deadline: Duration,
) -> Result<Output, ActionError> {
    if let Some(place) = place
        && link.kept.turned_away().is_none()
    {
        let output = exec(place, link, commands, deadline).await?;
        return match turned_away(&output) {
            // Nothing of it ran, so it is not sent twice.
            Some(told) => {
                instead(link, action, commands, deadline, told).await.unwrap_or(Ok(output))
            }
            None => Ok(output),
        };
    }
    let entering = async { link.enter(action).await.map_err(|e| failing(link, e)) };
    let entered = within(deadline, sending(link), entering).await?;
    send(link, &entered, commands, deadline).await
}

/// What the server told a redis-cli that it did not let in, before any of the commands.
fn turned_away(output: &Output) -> Option<String> {
    let said = if output.stdout.trim().is_empty() { &output.stderr } else { &output.stdout };
    let first = said.lines().map(str::trim).find(|line| !line.is_empty())?;
    let turned = TURNED_AWAY.iter().any(|words| first.contains(words));
    turned.then(|| first.trim_start_matches("(error) ").to_owned())
}

/// Over the kept connection, unasked: `None` when that is not the way in either.
async fn instead(
    link: &RedisLink,
    action: &'static str,
    commands: &[Words],
    deadline: Duration,
    told: String,
) -> Option<Result<Output, ActionError>> {
    let entered = link.enter(action).await.ok()?;
    let way = if entered.is_kept() { KEPT } else { "over a connection of its own" };
    let mut sent = send(link, &entered, commands, deadline).await;
    if let Ok(output) = &mut sent {
        output.stderr.insert_str(0, &format!("redis-cli was turned away ({told}): sent {way}\n"));
    }
    Some(sent)
}

async fn exec(
    place: &Place,
    link: &RedisLink,
    commands: &[Words],
    deadline: Duration,
) -> Result<Output, ActionError> {
    let call = invocation(place, link, commands);
    let stdin = call.stdin.as_ref().map(String::as_bytes);
    let output = run_inside(place, &call.argv, stdin, deadline).await?;
    if call.stdin.is_none() {
        return Ok(output);
    }
    Ok(read_replies(output, call.preamble, commands.len()))
}

/// Gives the output of a redis-cli that read its stdin the exit code it should have had.
fn read_replies(mut output: Output, preamble: usize, expected: usize) -> Output {
    let mut lines = output.stdout.lines();
    let mut problem = None;
    for line in lines.by_ref().take(preamble) {
        if line != "OK" {
            problem = Some(line.to_owned());
        }
    }
    let replies: Vec<&str> = lines.collect();
    if problem.is_none() {
        problem = replies.iter().find(|line| line.starts_with("(error) ")).map(|l| (*l).to_owned());
    }
    if problem.is_none() && replies.len() != expected {
        problem = Some(format!("{} of {expected} commands were answered", replies.len()));
    }
    let mut stdout = replies.join("\n");
    if !stdout.is_empty() {
        stdout.push('\n');
    }
    output.stdout = stdout;
    if let Some(problem) = problem {
        if output.exit_code.is_none_or(|code| code == 0) {
            output.exit_code = Some(1);
        }
        let _ = writeln!(output.stderr, "{problem}");
    }
    output
}

fn sending(link: &RedisLink) -> String {
    format!("send a command to {}", link.name)
}

fn failing(link: &RedisLink, source: impl Into<anyhow::Error>) -> ActionError {
    ActionError::Failed { doing: sending(link), source: source.into() }
}

async fn send(
    link: &RedisLink,
    entered: &Entered,
    commands: &[Words],
    deadline: Duration,
) -> Result<Output, ActionError> {
    let started = tokio::time::Instant::now();
    let work = async {
        let mut connection = entered.connection.clone();
        connection.set_response_timeout(deadline);
        let mut lines = String::new();
        for part in commands.chunks(PIPELINED) {
            let replies = connection
                .send_packed_commands(&pipeline(part), 0, part.len())
                .await
                .map_err(|e| failing(link, e))?;
            for reply in &replies {
                let _ = writeln!(lines, "{}", as_cli_prints(reply));
            }
        }
        Ok(lines)
    };
    let stdout = within(deadline, sending(link), work).await?;
    let output =
        Output { exit_code: Some(0), stdout, stderr: String::new(), duration_ms: since(started) };
    Ok(read_replies(output, 0, commands.len()))
}

fn pipeline(commands: &[Words]) -> Pipeline {
    let mut pipeline = redis::pipe();
    for Words(words) in commands {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word.as_slice());
        }
        pipeline.add_command(command);
    }
    pipeline
}

/// A reply as `redis-cli --no-raw` prints it.
fn as_cli_prints(reply: &Value) -> String {
    match reply {
        Value::Nil => "(nil)".into(),
        Value::Int(number) => format!("(integer) {number}"),
        Value::BulkString(bytes) => {
            let word = quoted(bytes);
            if word.starts_with('"') { word.into_owned() } else { format!("\"{word}\"") }
        }
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".into(),
        Value::ServerError(error) => {
            format!("(error) {} {}", error.code(), error.details().unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_so_that_redis_cli_reads_the_same_bytes() {
        let cases: [(&[u8], &str); 6] = [
            (b"leak:1", "leak:1"),
            (b"", "\"\""),
            (b"a b", "\"a b\""),
            (b"say \"x\" \\", "\"say \\\"x\\\" \\\\\""),
            (b"\x00\xff\n", "\"\\x00\\xff\\x0a\""),
            ("é*".as_bytes(), "\"\\xc3\\xa9*\""),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn an_error_reply_or_a_missing_one_fails_the_whole() {
        let fed = |stdout: &str| Output {
            exit_code: Some(0),
            stdout: stdout.into(),
            ..Output::default()
        };
        let cases = [
            ("OK\n(integer) 1\n", 0, 2, Some(0)),
            ("OK\n(error) OOM no\n", 0, 2, Some(1)),
            ("", 0, 1, Some(1)),
            ("OK\n(integer) 1\n", 1, 1, Some(0)),
            ("(error) WRONGPASS\n(error) NOAUTH\n", 1, 1, Some(1)),
        ];
        for (stdout, preamble, expected, code) in cases {
            assert_eq!(read_replies(fed(stdout), preamble, expected).exit_code, code, "{stdout:?}");
        }
        assert_eq!(read_replies(fed("OK\n\"(error) x\"\n"), 1, 1).stdout, "\"(error) x\"\n");
    }

    #[test]
    fn only_a_client_that_never_came_in_is_told_from_a_command_that_failed() {
        let said = |stdout: &str, stderr: &str| {
            let (stdout, stderr) = (stdout.to_owned(), stderr.to_owned());
            turned_away(&Output { exit_code: Some(1), stdout, stderr, ..Output::default() })
        };
        let full = "ERR max number of clients reached";
        assert_eq!(said("", full).as_deref(), Some(full));
        assert_eq!(said(&format!("(error) {full}\n"), "").as_deref(), Some(full));
        let locked = "NOAUTH Authentication required.";
        assert_eq!(said("\n", locked).as_deref(), Some(locked));
        for (stdout, stderr) in [
            ("OK\n(error) NOAUTH Authentication required.\n", locked),
            ("(error) NOPERM this user has no permissions", ""),
            ("", "Error: Server closed the connection"),
            ("", ""),
        ] {
            assert_eq!(said(stdout, stderr), None, "{stdout} {stderr}");
        }
    }

    #[test]
    fn long_lists_of_commands_are_abridged_for_people_and_say_so() {
        let many: Vec<_> = (0..10).map(|n| Words::of(["DEL", &format!("k{n}")])).collect();
        assert_eq!(shown(&many), "DEL k0\nDEL k1\nDEL k2\n… 7 more like these\n");
        let long = abridged(&"x".repeat(500));
        assert!(long.ends_with("… (500 bytes)"), "{long}");
    }
}
