//! Sessions of PostgreSQL as actions signal them. Who may never be signalled is written once; a session is named by
//! (pid, backend_start), because a pid alone comes again; signalled is not gone until it was seen to be.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::channel::sql::Vars;
use super::channel::{Call, Channel, succeeded};
use super::checks::{announced, count, progress};
use super::postgres::look;
use super::{ActionError, Report, failed};
use crate::domain::execution::Output;
use crate::targets::Server;

pub(super) mod proof;
pub(super) mod statements;

pub(super) const LOOK_DEADLINE: Duration = Duration::from_secs(15);
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// A signalled session is gone within this, or it is said not to be.
const GONE_DEADLINE: Duration = Duration::from_secs(5);
const GONE_POLL: Duration = Duration::from_millis(50);
/// How a list of sessions is written.
pub(super) const LIST: &str = "a list of {\"pid\": 1, \"backend_start\": \"…\"}";

/// One session, by what names it for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) pid: i32,
    pub(super) backend_start: DateTime<Utc>,
}

/// A session that may be signalled, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Candidate {
    #[serde(flatten)]
    pub(super) session: Session,
    user: String,
    app: String,
    client: String,
    state: String,
    state_age_s: f64,
    has_written: bool,
}

/// What the server answers when it is asked for candidates.
#[derive(Debug, Deserialize)]
pub(super) struct Candidates {
    pub(super) sessions: Vec<Candidate>,
    pub(super) server_start: DateTime<Utc>,
    /// By the server's clock, which is also that of `backend_start`.
    pub(super) now: DateTime<Utc>,
}

impl Candidates {
    /// These, or why there is nobody.
    pub(super) fn some(self) -> Result<Self, ActionError> {
        if self.sessions.is_empty() {
            return Err(ActionError::Precondition(
                "no session that may be ended matches: they are gone, busy or protected".into(),
            ));
        }
        Ok(self)
    }

    /// How many would lose work that they have not committed.
    pub(super) fn written(&self) -> u64 {
        self.sessions.iter().filter(|session| session.has_written).count() as u64
    }

    /// One line for each of them, and how many of those asked for are not among them.
    pub(super) fn notes(&self, asked: Option<usize>) -> Vec<String> {
        let mut notes: Vec<String> = self.sessions.iter().map(describe).collect();
        let spared = asked.unwrap_or_default().saturating_sub(self.sessions.len());
        if spared > 0 {
            notes.push(format!(
                "{} gone, busy or protected by now",
                count(spared as u64, "session")
            ));
        }
        notes
    }
}

/// Runs a statement that answers one JSON object for each session it signalled, and waits until these are gone.
pub(super) async fn end(
    server: &Server,
    action: &'static str,
    call: &Call,
    report: Report<'_>,
) -> Result<Output, ActionError> {
    let channel = Channel::new(server, action);
    report(announced(channel.spell(call)));
    let mut output = channel.perform(call, CALL_DEADLINE).await?;
    if !succeeded(&output) {
        return Ok(output);
    }
    let signalled = signalled(&output.stdout)?;
    report(progress(format!("{} signalled", count(signalled.len() as u64, "session"))));
    let left = wait_until_gone(server, action, &signalled).await?;
    if left.is_empty() {
        report(progress("all of them are gone"));
    } else {
        output.exit_code = Some(1);
        let _ = writeln!(
            output.stderr,
            "signalled, and still there after {}: {}",
            humantime::format_duration(GONE_DEADLINE),
            pids(&left)
        );
    }
    Ok(output)
}

/// The sessions that the statement says it signalled, one JSON object a line.
pub(super) fn signalled(stdout: &str) -> Result<Vec<Session>, ActionError> {
    stdout
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(line)
                .map_err(|e| failed(format!("read psql's answer `{line}`"), e))
        })
        .collect()
}

/// Looks until they are gone, or the deadline. Returns who is left.
async fn wait_until_gone(
    server: &Server,
    action: &'static str,
    signalled: &[Session],
) -> Result<Vec<Session>, ActionError> {
    let vars: Vars = vec![("sessions", json!(signalled).to_string())];
    let deadline = tokio::time::Instant::now() + GONE_DEADLINE;
    loop {
        let left: Vec<Session> = look(server, action, statements::STILL_THERE, &vars).await?;
        if left.is_empty() || tokio::time::Instant::now() >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(GONE_POLL).await;
    }
}

/// Their pids, for a sentence.
pub(super) fn pids(sessions: &[Session]) -> String {
    let pids: Vec<_> = sessions.iter().map(|session| session.pid.to_string()).collect();
    pids.join(", ")
}

fn describe(candidate: &Candidate) -> String {
    let work = if candidate.has_written { ", HAS WRITTEN" } else { "" };
    format!(
        "pid {} {} ({}) from {}, {} for {:.0} s{work}",
        candidate.session.pid,
        candidate.user,
        if candidate.app.is_empty() { "no application name" } else { &candidate.app },
        candidate.client,
        candidate.state,
        candidate.state_age_s
    )
}
