//! What reaches the console besides keys: events, snapshots, the link, and answers to its errands.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, watch};

use super::message::{Link, Msg};
use crate::api::remote;
use crate::domain::event::Sealed;
use crate::engine::handle::Handle;

/// What the rest of the process tells the console.
pub enum News {
    Msg(Msg),
    /// There is an engine now.
    Connected(Box<Connected>),
    /// Bytes for the terminal that draw nothing.
    Send(Vec<u8>),
}

/// An engine, here or in another process.
pub struct Connected {
    pub handle: Handle,
    /// Listens since before the snapshot was made that the handle shows first.
    pub events: broadcast::Receiver<Arc<Sealed>>,
    /// Whether it is still there, when it is in another process.
    pub remote: Option<watch::Receiver<remote::Link>>,
}

/// All sources in one order: events before the snapshot that shows them, answers after it.
pub struct Feed {
    news: mpsc::UnboundedReceiver<News>,
    engine: Option<Box<Connected>>,
    /// The engine is gone for good: its channels say nothing any more.
    is_over: bool,
}

impl Feed {
    /// A feed that knows of no engine yet.
    pub fn new(news: mpsc::UnboundedReceiver<News>) -> Self {
        Self { news, engine: None, is_over: false }
    }

    /// Takes the engine that [`News::Connected`] brought; what is to be told of it.
    pub fn connect(&mut self, mut engine: Box<Connected>) -> [Msg; 2] {
        let link = if engine.remote.is_some() { Link::Attached } else { Link::Here };
        let first = Msg::Snapshot(Arc::clone(&engine.handle.snapshots.borrow_and_update()));
        self.engine = Some(engine);
        [Msg::Link(link), first]
    }

    /// What a person should know before this process stands still, if anything.
    pub fn stands_still(&self) -> Option<&'static str> {
        let is_here = self.engine.as_ref().is_some_and(|engine| engine.remote.is_none());
        is_here.then_some("simctl: nothing is watched while it is suspended; `fg` goes on")
    }

    /// Waits for the next one; `None` when nobody is left who could tell anything.
    pub async fn next(&mut self) -> Option<News> {
        if let Some(news) = self.try_next() {
            return Some(news);
        }
        let Some(engine) = self.engine.as_mut().filter(|_| !self.is_over) else {
            return self.news.recv().await;
        };
        let Connected { handle, events, remote } = &mut **engine;
        let news = tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(sealed) => Some(Msg::Event(sealed)),
                Err(RecvError::Lagged(missed)) => Some(Msg::Missed(missed)),
                Err(RecvError::Closed) => None,
            },
            changed = handle.snapshots.changed() => match changed {
                Ok(()) => Some(Msg::Snapshot(Arc::clone(&handle.snapshots.borrow_and_update()))),
                Err(_) => None,
            },
            link = next_link(remote) => Some(Msg::Link(link)),
            news = self.news.recv() => return news,
        };
        if news.is_none() {
            self.is_over = true;
            return self.news.recv().await;
        }
        news.map(News::Msg)
    }

    /// The next one that is there already.
    pub fn try_next(&mut self) -> Option<News> {
        if !self.is_over
            && let Some(engine) = self.engine.as_mut()
            && let Some(msg) = engine.try_next()
        {
            return Some(News::Msg(msg));
        }
        self.news.try_recv().ok()
    }
}

impl Connected {
    fn try_next(&mut self) -> Option<Msg> {
        match self.events.try_recv() {
            Ok(sealed) => return Some(Msg::Event(sealed)),
            Err(TryRecvError::Lagged(missed)) => return Some(Msg::Missed(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => {}
        }
        if self.handle.snapshots.has_changed().unwrap_or(false) {
            let newest = Arc::clone(&self.handle.snapshots.borrow_and_update());
            return Some(Msg::Snapshot(newest));
        }
        let remote = self.remote.as_mut()?;
        let changed = remote.has_changed().unwrap_or(false);
        changed.then(|| Msg::Link(link_of(&remote.borrow_and_update())))
    }
}

async fn next_link(remote: &mut Option<watch::Receiver<remote::Link>>) -> Link {
    let Some(remote) = remote else { return pending().await };
    match remote.changed().await {
        Ok(()) => link_of(&remote.borrow_and_update()),
        Err(_) => pending().await,
    }
}

fn link_of(link: &remote::Link) -> Link {
    match link {
        remote::Link::Live => Link::Attached,
        remote::Link::Lost { since, reason } => {
            Link::Lost { since: *since, reason: reason.clone() }
        }
    }
}
