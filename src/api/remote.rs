//! Attaching to the running engine from another process: a handle that behaves like the engine's own.
//!
//! One task follows the live stream and the events, on a connection each, and makes them anew when they break;
//! one forwards commands. What a reader of the engine's own handle may rely on holds here too: an event comes
//! before the snapshot that shows it, and the answer to a command after that.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{Client, ClientError, Live};
use crate::domain::effect::{Accepted, Ordered, Refused};
use crate::domain::event::Sealed;
use crate::engine::clock::now;
use crate::engine::handle::{EVENTS_KEPT, Handle, Request, Snapshot};
use crate::engine::tasks::Tasks;

/// Between two attempts to find an engine: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// An engine shows itself twice a second; after this it is asked whether it is there at all.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the whole snapshot may take to come.
const HELLO: Duration = Duration::from_secs(5);
/// How long a snapshot waits for its events, and the answer to a command for its snapshot.
const TOGETHER: Duration = Duration::from_millis(250);
/// What arrives within this after an engine went away still counts.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Whether the engine is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    Live,
    /// Snapshots and events stand still; an engine is being looked for.
    Lost {
        since: DateTime<Utc>,
        reason: String,
    },
}

/// An engine in another process.
#[derive(Debug)]
pub struct Remote {
    pub handle: Handle,
    pub link: watch::Receiver<Link>,
    /// Listens since before the first event, for those who must not miss any.
    pub events: broadcast::Receiver<Arc<Sealed>>,
}

/// Attaches to the engine behind `client` until `tasks` stops. Events begin after the first snapshot.
pub async fn attach(client: Client, tasks: &mut Tasks) -> Result<Remote, ClientError> {
    attach_after(client, None, tasks).await
}

/// As [`attach`]; events begin after the one with the number `after`.
pub async fn attach_after(
    client: Client,
    after: Option<u64>,
    tasks: &mut Tasks,
) -> Result<Remote, ClientError> {
    let (first, live) = client.live().await?;
    let told = watch::Sender::new(after.unwrap_or(first.seq));
    let (snapshots_in, snapshots) = watch::channel(Arc::new(first));
    let (events, listener) = broadcast::channel(EVENTS_KEPT);
    let (requests_in, requests) = mpsc::channel(64);
    let (link_in, link) = watch::channel(Link::Live);
    let orders =
        Orders { client: client.clone(), snapshots: snapshots.clone(), link: link.clone() };
    let feed =
        Feed { client, snapshots: snapshots_in, events: events.clone(), told, link: link_in };
    tasks.spawn("attached engine", feed.run(live));
    tasks.spawn("orders to the attached engine", orders.forward(requests));
    let handle = Handle { snapshots, events, requests: requests_in };
    Ok(Remote { handle, link, events: listener })
}

/// What comes from the engine.
struct Feed {
    client: Client,
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<Arc<Sealed>>,
    /// The number of the last event that was passed on.
    told: watch::Sender<u64>,
    link: watch::Sender<Link>,
}

/// How a connection ended.
enum Ended {
    /// Nothing came for a while; the engine may be there all the same.
    Silent,
    Gone(String),
}

impl Feed {
    async fn run(self, mut live: Live) {
        loop {
            let ended = self.session(live).await;
            live = self.again(ended).await;
        }
    }

    /// Follows one engine until it goes away.
    async fn session(&self, live: Live) -> Ended {
        let gone = CancellationToken::new();
        let changes = async {
            let ended = self.follow_changes(live).await;
            gone.cancel();
            ended
        };
        tokio::join!(changes, self.follow_events(&gone)).0
    }

    async fn follow_changes(&self, mut live: Live) -> Ended {
        loop {
            match timeout(SILENCE, live.next()).await {
                Ok(Some(Ok(delta))) => {
                    let next = delta.apply(&self.snapshots.borrow());
                    self.after_its_events(next.seq).await;
                    self.snapshots.send_replace(Arc::new(next));
                }
                Ok(Some(Err(error))) => return Ended::Gone(sentence(error)),
                Ok(None) => return Ended::Gone("the engine has stopped".into()),
                Err(_) => return Ended::Silent,
            }
        }
    }

    /// Events may be late, as when they are read from a store that is away; a snapshot does not wait for ever.
    async fn after_its_events(&self, seq: u64) {
        let mut told = self.told.subscribe();
        let _ = timeout(TOGETHER, told.wait_for(|told| *told >= seq)).await;
    }

    /// Passes events on, each once, until the engine is gone and has nothing more to say.
    async fn follow_events(&self, gone: &CancellationToken) {
        self.agree_on_the_log().await;
        let mut pause = PAUSES.0;
        loop {
            let before = *self.told.borrow();
            self.pass_events_on(gone).await;
            pause = if *self.told.borrow() > before { PAUSES.0 } else { longer(pause) };
            tokio::select! {
                () = gone.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Another engine may keep another log, where our number is still to come or is another event's.
    async fn agree_on_the_log(&self) {
        let (mut snapshots, told) = (self.snapshots.subscribe(), *self.told.borrow());
        // An event is passed on a moment before the snapshot that has it.
        let has_ours = snapshots.wait_for(|snapshot| snapshot.seq >= told);
        if timeout(LAST_WORDS, has_ours).await.is_err() {
            self.told.send_replace(self.snapshots.borrow().seq);
        }
    }

    /// Ends when the stream does: the engine cannot give more now, or is gone.
    async fn pass_events_on(&self, gone: &CancellationToken) {
        let after = *self.told.borrow();
        let long_gone = async {
            gone.cancelled().await;
            sleep(LAST_WORDS).await;
        };
        let pass = async {
            let Ok(mut stream) = self.client.events(Some(after)).await else { return };
            while let Some(item) = stream.next().await {
                match item {
                    Ok(sealed) => self.pass_on(sealed),
                    Err(error) => {
                        tracing::debug!(reason = sentence(error), "the events are asked for anew");
                        return;
                    }
                }
            }
        };
        tokio::select! {
            () = pass => {}
            () = long_gone => {}
        }
    }

    fn pass_on(&self, sealed: Arc<Sealed>) {
        let seq = sealed.event.seq;
        // Nobody listening is fine.
        let _ = self.events.send(sealed);
        self.told.send_replace(seq);
    }

    /// Returns when an engine is there again.
    async fn again(&self, ended: Ended) -> Live {
        let reason = match ended {
            Ended::Gone(reason) => reason,
            Ended::Silent => match self.connect().await {
                Ok(live) => return live,
                Err(_) => format!("the engine has been silent for {} s", SILENCE.as_secs()),
            },
        };
        let since = now();
        self.link.send_replace(Link::Lost { since, reason });
        let mut pause = PAUSES.0;
        loop {
            sleep(pause).await;
            pause = longer(pause);
            match self.connect().await {
                Ok(live) => {
                    self.link.send_replace(Link::Live);
                    return live;
                }
                // That nobody is there is known; an engine that cannot be understood is news.
                Err(error) if error.is_unsent() => {}
                Err(error) => {
                    self.link.send_replace(Link::Lost { since, reason: sentence(error) });
                }
            }
        }
    }

    async fn connect(&self) -> Result<Live, ClientError> {
        let hello = timeout(HELLO, self.client.live()).await;
        let (whole, live) = hello.unwrap_or(Err(ClientError::Silent(HELLO)))?;
        if whole.store.url != self.snapshots.borrow().store.url {
            self.told.send_replace(whole.seq);
        }
        self.snapshots.send_replace(Arc::new(whole));
        Ok(live)
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSES.1)
}

fn sentence(error: ClientError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// What goes to the engine, one command after the other, as it would take them itself.
struct Orders {
    client: Client,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    link: watch::Receiver<Link>,
}

impl Orders {
    async fn forward(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(Request { ordered, reply }) = requests.recv().await {
            let answer = self.order(&ordered).await;
            let _ = reply.send(answer);
        }
    }

    async fn order(&mut self, ordered: &Ordered) -> Result<Accepted, Refused> {
        if let Link::Lost { reason, .. } = &*self.link.borrow() {
            return Err(nobody(reason));
        }
        let went_away = async {
            let _ = self.link.wait_for(|link| *link != Link::Live).await;
            sleep(LAST_WORDS).await;
        };
        let answer = tokio::select! {
            biased;
            answer = self.client.order_seen(ordered) => answer,
            () = went_away => return Err(unanswered("the engine went away before it answered")),
        };
        let (accepted, seq) = answer.map_err(refusal)?;
        let shows_it = |snapshot: &Arc<Snapshot>| seq.is_none_or(|seq| snapshot.seq >= seq);
        let _ = timeout(2 * TOGETHER, self.snapshots.wait_for(shows_it)).await;
        Ok(accepted)
    }
}

fn refusal(error: ClientError) -> Refused {
    match error {
        ClientError::Refused(refused) => refused,
        error if error.is_unsent() => nobody("nobody answers"),
        error => unanswered(&sentence(error)),
    }
}

fn nobody(why: &str) -> Refused {
    Refused::because(format!(
        "the command was not given: {why}; start `simctl run` or `simctl tui`, then give it again"
    ))
}

fn unanswered(why: &str) -> Refused {
    Refused::because(format!(
        "{why}; the command may have been recorded: look at the incident before you give it again"
    ))
}
