//! PostgreSQL's own programs: found where the server is, run as argv with both streams in our hands. Inside the
//! server's container when it has one, else from this machine, at least as new as the server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::super::{Code, Failure, Outcome};
use crate::ports::runtime::{RuntimeKind, Streams};
use crate::runtime::process::binaries;
use crate::targets::Place;
use crate::targets::postgres::{Login, PostgresLink};

/// Lines of complaint that are kept of one program.
const MOST_COMPLAINTS: usize = 12;
/// Of one line.
const LONGEST: usize = 1_000;
const CHUNK: usize = 1 << 16;
/// Where systems keep the certificates they trust, for a library that has no place of its own.
const TRUSTED: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The programs for one server and one login.
#[derive(Clone)]
pub(crate) struct Tools {
    link: PostgresLink,
    login: Login,
    /// What they call themselves to the server, so that their sessions can be found.
    pub(crate) session: String,
    place: Option<Place>,
    major: i32,
}

/// One run of a program.
pub(crate) struct Call<'a> {
    pub(crate) program: &'static str,
    pub(crate) args: Vec<String>,
    /// Is fed to it.
    pub(crate) input: Option<&'a Path>,
    /// Takes what it prints.
    pub(crate) output: &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    /// Is told each line that it says on the way.
    pub(crate) on_line: &'a (dyn Fn(&str) + Send + Sync),
}

impl Tools {
    pub(crate) fn new(
        link: &PostgresLink,
        login: Login,
        place: Option<&Place>,
        major: i32,
    ) -> Self {
        let inside = place.filter(|place| place.runtime.kind() == RuntimeKind::Docker).cloned();
        let session = "simctl/programs".to_owned();
        Self { link: link.clone(), login, session, place: inside, major }
    }

    pub(crate) fn calling_itself(self, session: String) -> Self {
        Self { session, ..self }
    }

    /// Whether they run where our files are, so that they can read and write them by themselves.
    pub(crate) fn are_local(&self) -> bool {
        self.place.is_none()
    }

    /// `--dbname` for any name: a bare one with `=` or `://` in it would be read as an address.
    pub(crate) fn dbname(database: &str) -> String {
        let escaped = database.replace('\\', "\\\\").replace('\'', "\\'");
        format!("--dbname=dbname='{escaped}'")
    }

    /// What a program calls itself, refused when it is older than the server.
    pub(crate) async fn version(&self, program: &'static str) -> Outcome<String> {
        let mut said = Vec::new();
        let mut keep = |bytes: &[u8]| {
            said.extend_from_slice(bytes);
            Ok(())
        };
        let args = vec!["--version".to_owned()];
        self.run(Call { program, args, input: None, output: &mut keep, on_line: &|_| {} }).await?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match major_of(&said) {
            Some(major) if major >= self.major => Ok(said),
            _ => Err(Failure::new(
                Code::Unavailable,
                format!("`{said}` is older than the server, a PostgreSQL {}", self.major),
                format!("install the client programs of PostgreSQL {} or newer", self.major),
            )),
        }
    }

    /// Runs it to its end; whatever it complains about is the failure's message. Ends with us: dropping the future
    /// ends a program on this machine.
    pub(crate) async fn run(&self, call: Call<'_>) -> Outcome<()> {
        let program = call.program;
        let complaints = Complaints::default();
        let on_line = call.on_line;
        let hear = |line: &str| {
            on_line(line);
            complaints.hear(line);
        };
        let mut lines = Lines::new(&hear);
        let code = match &self.place {
            Some(place) => self.inside(place, call, &mut lines).await?,
            None => self.local(call, &mut lines).await?,
        };
        lines.end();
        if code == Some(0) { Ok(()) } else { Err(complaints.failure(program, code)) }
    }

    async fn inside(
        &self,
        place: &Place,
        call: Call<'_>,
        lines: &mut Lines<'_>,
    ) -> Outcome<Option<i64>> {
        let mut argv = vec![call.program.to_owned()];
        argv.extend(call.args);
        let mut errors = |bytes: &[u8]| {
            lines.push(bytes);
            Ok(())
        };
        let streams = Streams { input: call.input, output: call.output, errors: &mut errors };
        let ran =
            place.runtime.converse(&place.unit, &argv, &self.environment(true), streams).await;
        ran.map_err(|error| {
            let text = format!("{:#}", anyhow::Error::from(error));
            Failure::new(Code::Unavailable, text, "look at the container: `simctl status`")
        })
    }

    async fn local(&self, call: Call<'_>, lines: &mut Lines<'_>) -> Outcome<Option<i64>> {
        let program = find(call.program)?;
        let failed = |error: io::Error| {
            Failure::new(
                Code::Unavailable,
                format!("run {}: {error}", program.display()),
                "look at this machine's disk and processes",
            )
        };
        let input = match call.input {
            Some(path) => Stdio::from(std::fs::File::open(path).map_err(failed)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(&program);
        command.args(&call.args).env_clear().envs(self.environment(false)).current_dir("/");
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut errors = |bytes: &[u8]| {
            lines.push(bytes);
            Ok(())
        };
        tokio::try_join!(drain(stdout, call.output), drain(stderr, &mut errors)).map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        Ok(status.code().map(i64::from))
    }

    /// How they reach the server. The password stands in no argument, where others could read it.
    fn environment(&self, inside: bool) -> Vec<(String, String)> {
        let mut variables = vec![
            ("PGUSER", self.login.user.clone()),
            ("PGAPPNAME", self.session.clone()),
            ("PGCONNECT_TIMEOUT", "10".into()),
            ("LC_MESSAGES", "C".into()),
        ];
        if let Some(password) = &self.login.password {
            variables.push(("PGPASSWORD", password.reveal().to_owned()));
        }
        if !inside {
            variables.push(("PATH", std::env::var("PATH").unwrap_or_default()));
            variables.push(("PGHOST", self.link.host.clone()));
            variables.push(("PGPORT", self.link.port.to_string()));
            variables.extend(self.trust());
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// As strict about certificates as our own connections are.
    fn trust(&self) -> Vec<(&'static str, String)> {
        let Some(tls) = &self.link.tls else { return vec![("PGSSLMODE", "disable".into())] };
        let own = tls.ca_file.clone();
        let known = TRUSTED.into_iter().map(PathBuf::from).find(|path| path.is_file());
        let roots =
            own.or(known).map_or_else(|| "system".into(), |path| path.display().to_string());
        vec![("PGSSLMODE", "verify-full".into()), ("PGSSLROOTCERT", roots)]
    }
}

/// The program on this machine.
fn find(program: &str) -> Outcome<PathBuf> {
    binaries::find(program).ok_or_else(|| {
        Failure::new(
            Code::Unavailable,
            format!("`{program}` cannot be found on this machine"),
            "install the client programs of PostgreSQL (Debian: postgresql-client), or name the target's container",
        )
    })
}

/// Whether there is such a program here; optional checks ask first.
pub(crate) fn is_installed(program: &str) -> bool {
    binaries::find(program).is_some()
}

async fn drain(
    from: Option<impl AsyncRead + Unpin>,
    to: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk).await? {
            0 => return Ok(()),
            read => to(&chunk[..read])?,
        }
    }
}

/// `pg_dump (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)` is 15.
fn major_of(said: &str) -> Option<i32> {
    let version = said.split(") ").nth(1)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Cuts what a program says into lines, whatever the chunks are.
struct Lines<'a> {
    hear: &'a (dyn Fn(&str) + Send + Sync),
    rest: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(hear: &'a (dyn Fn(&str) + Send + Sync)) -> Self {
        Self { hear, rest: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end();
            } else if self.rest.len() < LONGEST {
                self.rest.push(byte);
            }
        }
    }

    fn end(&mut self) {
        if !self.rest.is_empty() {
            (self.hear)(&String::from_utf8_lossy(&self.rest));
            self.rest.clear();
        }
    }
}

/// What a program complained about, apart from what it tells when asked to be talkative.
#[derive(Default)]
struct Complaints(Mutex<Vec<String>>);

impl Complaints {
    fn hear(&self, line: &str) {
        let is_complaint = [": error:", ": detail:", ": hint:", ": warning:", ": fatal:"]
            .iter()
            .any(|mark| line.contains(mark));
        let is_talk = line.starts_with("pg_") && !is_complaint;
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !is_talk && kept.len() < MOST_COMPLAINTS {
            kept.push(line.to_owned());
        }
    }

    fn failure(self, program: &str, code: Option<i64>) -> Failure {
        let lines = self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ended = code
            .map_or_else(|| "was ended by a signal".into(), |code| format!("ended with {code}"));
        let said = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("; ");
        let message = if said.is_empty() {
            format!("{program} {ended}")
        } else {
            format!("{program} {ended}: {said}")
        };
        let (kind, hint) = match said.as_str() {
            said if said.contains("lock timeout") || is_lock_wait(said) => {
                (Code::Conflict, "`simctl pg locks` names who holds the lock")
            }
            said if said.contains("permission denied") => {
                (Code::Refused, "use a login that may read all of the database")
            }
            said if said.contains("No space left") => (Code::Unavailable, "free disk space"),
            said if said.contains("could not connect") || said.contains("connection to server") => {
                (Code::Unavailable, "bring the server up, or correct its address")
            }
            _ => (Code::Invalid, "the program's own words say what it stumbled over"),
        };
        Failure::new(kind, message, hint)
    }
}

/// Older programs put the time limit for a lock on the statement that takes it.
fn is_lock_wait(said: &str) -> bool {
    said.contains("statement timeout") && said.contains("LOCK TABLE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_a_database_stays_a_name() {
        assert_eq!(Tools::dbname("shop"), "--dbname=dbname='shop'");
        assert_eq!(Tools::dbname("a=b 'c' \\d"), "--dbname=dbname='a=b \\'c\\' \\\\d'");
        assert_eq!(Tools::dbname("-x\npostgres://h"), "--dbname=dbname='-x\npostgres://h'");
    }

    #[test]
    fn a_version_is_read_from_what_a_program_says() {
        assert_eq!(major_of("pg_dump (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"), Some(15));
        assert_eq!(major_of("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn what_a_program_complains_about_is_the_message_and_its_talk_is_not() {
        let complaints = Complaints::default();
        let hear = |line: &str| complaints.hear(line);
        let mut lines = Lines::new(&hear);
        lines.push(b"pg_dump: reading schemas\npg_dump: err");
        lines.push(b"or: query failed: ERROR:  canceling statement due to lock timeout\nLINE 1: x");
        lines.end();
        let failure = complaints.failure("pg_dump", Some(1));
        assert_eq!(failure.code, Code::Conflict);
        let expected = "pg_dump ended with 1: pg_dump: error: query failed: ERROR:  canceling statement due to \
                        lock timeout; LINE 1: x";
        assert_eq!(failure.message, expected);
    }
}
