//! The engine's event stream, narrowed to some units. It comes back by itself after an outage and then
//! asks for what it missed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::time::sleep;

use crate::domain::sample::RuntimeEventKind;
use crate::engine::clock;
use crate::ports::runtime::{Unit, UnitEvent};
use crate::runtime::LAB_LABEL;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The engine's names of the events we want.
const WANTED: [&str; 6] = ["die", "oom", "pause", "unpause", "start", "health_status"];

/// Events of these units, without end.
pub(super) fn listen(docker: Docker, units: &[Unit]) -> BoxStream<'static, UnitEvent> {
    if units.is_empty() {
        return stream::pending().boxed();
    }
    let listener = Listener {
        docker,
        filters: filters(units),
        since: clock::now().timestamp_nanos_opt().unwrap_or_default(),
        open: None,
        wait: FIRST_WAIT,
    };
    stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await;
        Some((event, listener))
    })
    .boxed()
}

struct Listener {
    docker: Docker,
    filters: HashMap<String, Vec<String>>,
    /// Nanoseconds since 1970: right after the last event seen.
    since: i64,
    open: Option<BoxStream<'static, Result<EventMessage, DockerError>>>,
    wait: Duration,
}

impl Listener {
    /// A stream that ends is asked for again; only an engine that stays away is worth a word.
    fn tell_end(&self, error: Option<DockerError>) {
        let reason = error.map_or_else(|| "it ended".to_owned(), |error| super::words(&error));
        if self.wait == FIRST_WAIT * 2 {
            tracing::warn!(
                reason,
                "the Docker engine tells no events; asking again until it does, watching over connections"
            );
        } else {
            tracing::debug!(reason, "the engine's event stream ended");
        }
    }

    async fn next(&mut self) -> UnitEvent {
        loop {
            let (docker, filters, since) = (&self.docker, &self.filters, self.since);
            let open = self.open.get_or_insert_with(|| subscribe(docker, filters, since));
            match open.next().await {
                Some(Ok(message)) => {
                    self.wait = FIRST_WAIT;
                    if let Some(nanos) = message.time_nano {
                        self.since = nanos + 1;
                    }
                    if let Some(event) = read(message) {
                        return event;
                    }
                }
                ended => {
                    self.tell_end(ended.and_then(Result::err));
                    self.open = None;
                    sleep(self.wait).await;
                    self.wait = (self.wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }
}

fn subscribe(
    docker: &Docker,
    filters: &HashMap<String, Vec<String>>,
    since: i64,
) -> BoxStream<'static, Result<EventMessage, DockerError>> {
    let since = format!("{}.{:09}", since / 1_000_000_000, since % 1_000_000_000);
    let options = EventsOptionsBuilder::default().since(&since).filters(filters).build();
    docker.events(Some(options)).boxed()
}

fn filters(units: &[Unit]) -> HashMap<String, Vec<String>> {
    let mut filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), WANTED.map(str::to_owned).to_vec()),
        ("container".to_owned(), units.iter().map(|unit| unit.name.clone()).collect()),
    ]);
    let lab = units[0].lab.as_deref();
    if let Some(id) = lab
        && units.iter().all(|unit| unit.lab.as_deref() == lab)
    {
        filters.insert("label".to_owned(), vec![format!("{LAB_LABEL}={id}")]);
    }
    filters
}

fn read(message: EventMessage) -> Option<UnitEvent> {
    let action = message.action?;
    let attributes = message.actor?.attributes?;
    let (word, rest) = action.split_once(": ").unwrap_or((&action, ""));
    let (kind, detail) = match word {
        "die" => {
            let code = attributes.get("exitCode").map_or("unknown", String::as_str);
            (RuntimeEventKind::Died, format!("exit code {code}"))
        }
        "oom" => (RuntimeEventKind::OutOfMemory, "a process reached the memory limit".into()),
        "pause" => (RuntimeEventKind::Paused, String::new()),
        "unpause" => (RuntimeEventKind::Unpaused, String::new()),
        "start" => (RuntimeEventKind::Started, String::new()),
        "health_status" => (RuntimeEventKind::HealthChanged, rest.to_owned()),
        _ => return None,
    };
    let at = message.time_nano.map_or_else(clock::now, DateTime::<Utc>::from_timestamp_nanos);
    Some(UnitEvent { unit: attributes.get("name")?.clone(), at, kind, detail })
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn message(action: &str) -> EventMessage {
        let attributes = HashMap::from([
            ("name".to_owned(), "redis-test".to_owned()),
            ("exitCode".to_owned(), "137".to_owned()),
        ]);
        EventMessage {
            action: Some(action.to_owned()),
            actor: Some(EventActor { attributes: Some(attributes), ..Default::default() }),
            time_nano: Some(1_700_000_000_123_456_789),
            ..Default::default()
        }
    }

    #[test]
    fn events_are_read_by_their_first_word() {
        let cases = [
            ("die", RuntimeEventKind::Died, "exit code 137"),
            ("oom", RuntimeEventKind::OutOfMemory, "a process reached the memory limit"),
            ("pause", RuntimeEventKind::Paused, ""),
            ("unpause", RuntimeEventKind::Unpaused, ""),
            ("start", RuntimeEventKind::Started, ""),
            ("health_status: unhealthy", RuntimeEventKind::HealthChanged, "unhealthy"),
        ];
        for (action, kind, detail) in cases {
            let event = read(message(action)).unwrap();
            assert_eq!((event.kind, event.detail.as_str()), (kind, detail), "{action}");
            assert_eq!(event.unit, "redis-test");
            assert_eq!(event.at.timestamp_subsec_nanos(), 123_456_789);
        }
        assert_eq!(read(message("exec_create: redis-cli")), None);
    }

    /// An engine that sends one event per connection and hangs up; tells what each asked for.
    async fn fickle_engine(listener: tokio::net::TcpListener) -> Vec<String> {
        let mut asked = Vec::new();
        for action in ["pause", "unpause"] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            asked.push(request.lines().next().unwrap().to_owned());
            let body = serde_json::to_string(&message(action)).unwrap() + "\n";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    }

    #[tokio::test]
    async fn the_stream_comes_back_and_asks_for_what_it_missed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let docker = Docker::connect_with_http(&address, 5, bollard::API_DEFAULT_VERSION).unwrap();
        let unit = Unit { name: "redis-test".into(), lab: None, client: Vec::new() };
        let events = listen(docker, &[unit]).take(2).map(|event| event.kind).collect::<Vec<_>>();
        let (kinds, asked) = futures::join!(events, fickle_engine(listener));
        assert_eq!(kinds, [RuntimeEventKind::Paused, RuntimeEventKind::Unpaused]);
        assert!(asked[1].contains("since=1700000000.123456790"), "{asked:?}");
    }

    #[test]
    fn the_label_narrows_only_when_every_unit_has_it() {
        let unit = |name: &str, lab: Option<&str>| Unit {
            name: name.into(),
            lab: lab.map(str::to_owned),
            client: Vec::new(),
        };
        let labelled = filters(&[unit("a", Some("lab")), unit("b", Some("lab"))]);
        assert_eq!(labelled["label"], ["simctl.lab=lab"]);
        let mixed = filters(&[unit("a", Some("lab")), unit("b", None)]);
        assert_eq!(mixed.get("label"), None);
        assert_eq!(mixed["container"], ["a", "b"]);
    }
}
