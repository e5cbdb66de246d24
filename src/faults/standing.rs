//! How a server stands seen from outside: what its unit does, and whether its port answers.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::FaultError;
use crate::ports::runtime::{Change, Operation, RuntimeError, RuntimeKind, UnitState, UnitStatus};
use crate::targets::{Link, Place, Server};

/// The command a fault gives to the runtime; in general words where the server is not at hand.
pub(super) fn spelled(server: Option<&Server>, operation: Operation<'_>, verb: &str) -> String {
    let place = server.and_then(|server| server.place.as_ref());
    place.map_or_else(
        || format!("{verb} the container or process it runs in"),
        |place| place.runtime.spell(&place.unit, operation),
    )
}

/// Who says nothing for so long is silent.
const SILENCE: Duration = Duration::from_millis(500);

/// What a client meets at the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    Answers,
    /// Connected, and then nothing within the time.
    Silent,
    Refused(String),
}

/// Sends what every server of its kind answers before any login.
async fn greeted(server: &Server) -> std::io::Result<TcpStream> {
    let (host, port, hello): (&str, u16, &[u8]) = match &server.link {
        Link::Redis(link) => (&link.host, link.port, b"PING\r\n"),
        // SSLRequest; the answer is one letter.
        Link::Postgres(link) => (&link.host, link.port, &[0, 0, 0, 8, 4, 210, 22, 47]),
    };
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(hello).await?;
    Ok(stream)
}

/// What the server says to that, in words; an error in words when it says nothing.
pub(super) async fn first_words(server: &Server, limit: Duration) -> Result<String, String> {
    let mut said = [0; 512];
    let talk = async { greeted(server).await?.read(&mut said).await };
    match timeout(limit, talk).await {
        Err(_) => Err(format!("nothing within {} ms", limit.as_millis())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(0)) => Err("it hung up".into()),
        Ok(Ok(length)) => {
            let text = String::from_utf8_lossy(&said[..length]);
            Ok(text.trim_matches(|c: char| c.is_control() || c.is_whitespace()).to_owned())
        }
    }
}

/// What a client meets that says what every server of its kind answers.
pub(super) async fn contact(server: &Server, limit: Duration) -> Contact {
    let talk = async { greeted(server).await?.read_u8().await };
    match timeout(limit, talk).await {
        Err(_) => Contact::Silent,
        Ok(Ok(_)) => Contact::Answers,
        Ok(Err(error)) => Contact::Refused(error.to_string()),
    }
}

/// What a client and the runtime say of a server that has ended.
pub(super) async fn has_ended(server: &Server) -> Result<String, FaultError> {
    let unit = unit(server).await?;
    if unit.status == UnitStatus::Running {
        return Err(FaultError::Precondition("it still runs".into()));
    }
    let exit = unit.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
    match contact(server, SILENCE).await {
        Contact::Refused(words) => Ok(format!("{words}{exit}")),
        Contact::Answers => Err(FaultError::Precondition("it still answers".into())),
        Contact::Silent => Err(FaultError::Precondition("it hangs instead of refusing".into())),
    }
}

/// What a client says of a server that is there and stands still.
pub(super) async fn is_silent(server: &Server) -> Result<String, FaultError> {
    match contact(server, SILENCE).await {
        Contact::Silent => Ok(format!("no answer within {} ms", SILENCE.as_millis())),
        Contact::Answers => Err(FaultError::Precondition("it still answers".into())),
        Contact::Refused(words) => {
            Err(FaultError::Precondition(format!("it refuses instead of hanging: {words}")))
        }
    }
}

/// How often a client asks, to say that a server is slow.
const ASKED: usize = 5;
/// Asked without a pause, all but the first would come while the server rests.
const ASK_AGAIN: Duration = Duration::from_millis(70);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long a new client waits for its first answer, in the middle of a few.
pub(super) async fn is_slow(server: &Server, least: Duration) -> Result<String, FaultError> {
    let mut waits = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let began = Instant::now();
        match contact(server, LONGEST_WAIT).await {
            Contact::Answers | Contact::Silent => waits.push(began.elapsed()),
            Contact::Refused(words) => return Err(FaultError::Precondition(words)),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    waits.sort();
    let wait = waits[ASKED / 2];
    if wait < least {
        return Err(FaultError::Precondition(format!(
            "a new client is answered within {} ms",
            wait.as_millis()
        )));
    }
    Ok(format!("a new client waits {} ms for its first answer", wait.as_millis()))
}

/// Changes the network or the limits of what the server runs in.
pub(super) async fn adjust(server: &Server, change: Change<'_>) -> Result<(), FaultError> {
    let place = place(server)?;
    let doing = place.runtime.spell(&place.unit, Operation::Adjust(change));
    unless_gone(doing, place.runtime.adjust(&place.unit, change).await)
}

/// Why what the server runs in is none of these, if so.
pub(super) fn runs_in(server: &Server, runtimes: &[RuntimeKind]) -> Result<(), String> {
    let name = &server.target.id;
    let Some(place) = &server.place else {
        return Err(format!("simctl does not know what {name} runs in"));
    };
    let kind = place.runtime.kind();
    if runtimes.contains(&kind) {
        return Ok(());
    }
    let wanted: Vec<&str> = runtimes.iter().map(|kind| kind.as_str()).collect();
    Err(format!("{name} runs as {}; this needs {}", kind.as_str(), wanted.join(" or ")))
}

/// Starts it when it has ended.
pub(super) async fn start_if_ended(server: &Server) -> Result<(), FaultError> {
    if unit(server).await?.status != UnitStatus::Exited {
        return Ok(());
    }
    let place = place(server)?;
    let doing = place.runtime.spell(&place.unit, Operation::Start);
    unless_gone(doing, place.runtime.start(&place.unit).await)
}

/// What the server runs in.
pub(super) fn place(server: &Server) -> Result<&Place, FaultError> {
    server.place.as_ref().ok_or_else(|| {
        FaultError::Precondition(format!(
            "simctl does not know the container or process {} runs in",
            server.target.id
        ))
    })
}

/// A look at what it runs in.
pub(super) async fn unit(server: &Server) -> Result<UnitState, FaultError> {
    let place = place(server)?;
    let looked = place.runtime.inspect(&place.unit).await;
    looked.map_err(|e| FaultError::failed(format!("look at {}", place.unit.name), e))
}

/// An operation on a unit, where "there is no such unit" is fine: what was broken is gone.
pub(super) fn unless_gone(
    doing: impl Into<String>,
    done: Result<(), RuntimeError>,
) -> Result<(), FaultError> {
    match done {
        Ok(()) | Err(RuntimeError::NoSuchUnit { .. }) => Ok(()),
        Err(error) => Err(FaultError::failed(doing, error)),
    }
}

/// Refuses to break what is not running.
pub(super) async fn must_run(server: &Server) -> Result<(), FaultError> {
    let status = unit(server).await?.status;
    if status == UnitStatus::Running {
        return Ok(());
    }
    Err(FaultError::Precondition(format!("{} is {}", server.target.id, word(status))))
}

/// The word people read.
pub(super) fn word(status: UnitStatus) -> &'static str {
    match status {
        UnitStatus::Running => "running",
        UnitStatus::Paused => "paused",
        UnitStatus::Restarting => "restarting",
        UnitStatus::Exited => "exited",
        UnitStatus::Absent => "absent",
    }
}
