//! What the console wants done that takes time: orders, questions, copies, files. Done beside the engine, never
//! on the console's own thread; whatever comes of it comes back as news.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answers;
use super::feed::News;
use super::inspectors::Inspectors;
use super::message::{Msg, Question};
use super::outside;
use crate::domain::effect::{Command, Ordered};
use crate::engine::clock;
use crate::engine::handle::Handle;
use crate::ports::store::Store;
use crate::targets::Server;

/// After this an order counts as unanswered; a later answer is still told.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an action would do is looked up on a live server first.
const PREVIEW_PATIENCE: Duration = Duration::from_secs(30);
/// Questions that are being answered at once.
const AT_ONCE: usize = 4;
/// Questions that wait; of more, the oldest are dropped.
const WAITING: usize = 16;

/// Something to be done.
#[derive(Debug)]
pub enum Errand {
    Order {
        order: u64,
        command: Box<Command>,
    },
    Ask {
        question: u64,
        what: Question,
    },
    Copy {
        text: String,
        what: String,
    },
    /// Private files in the folder for exports, told as one.
    Export(Vec<(String, String)>),
}

/// How the engine and its records are reached.
#[derive(Clone)]
pub struct Reach {
    pub handle: Handle,
    /// Where questions are answered, or why they cannot be.
    pub store: Result<Arc<dyn Store>, String>,
    /// The servers this console may ask itself, by its own configuration.
    pub servers: Arc<[Server]>,
}

/// Does errands until the console is gone.
pub struct Clerk {
    pub errands: mpsc::UnboundedReceiver<Errand>,
    pub news: mpsc::UnboundedSender<News>,
    pub operator: String,
    pub state_dir: PathBuf,
}

impl Clerk {
    /// Works until nobody hands in errands any more. `reach` is known as soon as there is an engine.
    pub async fn work(mut self, mut reach: tokio::sync::watch::Receiver<Option<Reach>>) {
        let mut running = JoinSet::new();
        let mut questions = Questions::default();
        let inspectors = Inspectors::default();
        loop {
            tokio::select! {
                () = inspectors.close_idle() => {}
                errand = self.errands.recv() => match errand {
                    None => return,
                    Some(Errand::Ask { question, what }) => questions.add(question, what),
                    Some(errand) => {
                        let reach = reach.borrow_and_update().clone();
                        self.start(errand, reach, &mut running);
                    }
                },
                Some(ended) = running.join_next() => {
                    if let Ok(Some(key)) = ended {
                        questions.ended(&key);
                    }
                }
            }
            let reach = reach.borrow().clone();
            while let Some((question, what)) = questions.next() {
                self.ask(question, what, (reach.clone(), &inspectors), &mut running);
            }
        }
    }

    fn start(&self, errand: Errand, reach: Option<Reach>, running: &mut JoinSet<Option<Key>>) {
        let news = self.news.clone();
        match errand {
            Errand::Order { order, command } => {
                let ordered = Ordered { actor: self.operator.clone(), command: *command };
                running.spawn(async move {
                    give(order, ordered, reach, &news).await;
                    None
                });
            }
            Errand::Ask { .. } => {}
            Errand::Copy { text, what } => {
                running.spawn(async move {
                    copy(&text, &what, &news).await;
                    None
                });
            }
            Errand::Export(files) => {
                let dir = self.state_dir.join("exports");
                running.spawn_blocking(move || {
                    let _ = news.send(News::Msg(Msg::Done(export(&dir, &files))));
                    None
                });
            }
        }
    }

    fn ask(
        &self,
        question: u64,
        what: Question,
        (reach, inspectors): (Option<Reach>, &Inspectors),
        running: &mut JoinSet<Option<Key>>,
    ) {
        let (news, state_dir, key) = (self.news.clone(), self.state_dir.clone(), Key::of(&what));
        if let Question::Inspect { target, verb } = what {
            let inspectors = inspectors.clone();
            running.spawn(async move {
                let result = match &reach {
                    Some(Reach { store, servers, .. }) => {
                        let store = store.as_deref().ok();
                        inspectors.ask(servers, store, target, verb).await
                    }
                    None => Err("the targets are not known yet".into()),
                };
                let _ = news.send(News::Msg(Msg::Answered { question, result }));
                Some(key)
            });
            return;
        }
        running.spawn(async move {
            let store = reach.map(|reach| reach.store);
            let store = store.unwrap_or_else(|| Err("the store is not open yet".into()));
            let result = match store {
                Ok(store) => answers::answer(what, &*store, &state_dir, clock::now()).await,
                Err(reason) => Err(reason),
            };
            let _ = news.send(News::Msg(Msg::Answered { question, result }));
            Some(key)
        });
    }
}

async fn give(
    order: u64,
    ordered: Ordered,
    reach: Option<Reach>,
    news: &mpsc::UnboundedSender<News>,
) {
    let told = |msg| {
        let _ = news.send(News::Msg(msg));
    };
    let Some(reach) = reach else {
        let result = Err(crate::domain::effect::Refused::because("the engine is still starting"));
        return told(Msg::Replied { order, result });
    };
    let previews = matches!(ordered.command, Command::Propose { .. });
    let patience = if previews { PREVIEW_PATIENCE } else { PATIENCE };
    let mut answer = pin!(reach.handle.order(ordered));
    let result = match timeout(patience, &mut answer).await {
        Ok(result) => result,
        Err(_) => {
            told(Msg::Unanswered { order });
            answer.await
        }
    };
    told(Msg::Replied { order, result });
}

async fn copy(text: &str, what: &str, news: &mpsc::UnboundedSender<News>) {
    let tools = outside::clipboard_tools(&outside::env);
    if let Some(tool) = outside::copy_by_tool(&tools, text).await {
        let _ = news.send(News::Msg(Msg::Done(Ok(format!("copied {what} ({tool})")))));
        return;
    }
    let told = match outside::copy_by_terminal(text, &outside::env) {
        Some(bytes) => {
            let _ = news.send(News::Send(bytes));
            Ok(format!("copied {what} (OSC 52)"))
        }
        None => Err(format!(
            "{what} is too much for the terminal's clipboard ({} of {} bytes); e exports it",
            text.len(),
            outside::MOST_BY_TERMINAL
        )),
    };
    let _ = news.send(News::Msg(Msg::Done(told)));
}

fn export(dir: &Path, files: &[(String, String)]) -> Result<String, String> {
    let mut paths = Vec::new();
    for (name, text) in files {
        match outside::write_private(dir, name, text) {
            Ok(path) => paths.push(path.display().to_string()),
            Err(error) => return Err(format!("{name} was not written: {error}")),
        }
    }
    Ok(format!("written to {}", paths.join(" and ")))
}

/// What makes two questions the same: the kind, and the incident it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(&'static str, String);

impl Key {
    fn of(question: &Question) -> Self {
        match question {
            Question::Incidents(_) => Self("incidents", String::new()),
            Question::Incident(number) => Self("incident", number.to_string()),
            Question::Log(incident) => Self("log", incident.0.to_string()),
            Question::Audit { .. } => Self("audit", String::new()),
            Question::VerifyChain => Self("chain", String::new()),
            Question::Metrics { .. } => Self("metrics", String::new()),
            Question::History { .. } => Self("history", String::new()),
            Question::Similar(incident) => Self("similar", incident.id.0.to_string()),
            Question::Report(number) => Self("report", number.to_string()),
            Question::Inspect { target, verb } => Self("inspect", format!("{target} {verb}")),
        }
    }
}

/// Questions in turn: never two of the same at once, and of those that wait the newest.
#[derive(Debug, Default)]
struct Questions {
    waiting: VecDeque<(Key, u64, Question)>,
    running: BTreeSet<Key>,
}

impl Questions {
    fn add(&mut self, question: u64, what: Question) {
        let key = Key::of(&what);
        self.waiting.retain(|(known, ..)| *known != key);
        self.waiting.push_back((key, question, what));
        if self.waiting.len() > WAITING {
            self.waiting.pop_front();
        }
    }

    fn ended(&mut self, key: &Key) {
        self.running.remove(key);
    }

    /// The next one that may be asked now.
    fn next(&mut self) -> Option<(u64, Question)> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let free = |(key, ..): &(Key, u64, Question)| !self.running.contains(key);
        let at = self.waiting.iter().position(free)?;
        let (key, question, what) = self.waiting.remove(at)?;
        self.running.insert(key);
        Some((question, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(before: u64) -> Question {
        Question::Audit { before: Some(before), limit: 10 }
    }

    #[test]
    fn of_the_same_question_one_runs_and_the_newest_waits() {
        let mut questions = Questions::default();
        questions.add(1, page(100));
        assert_eq!(questions.next(), Some((1, page(100))));
        questions.add(2, page(90));
        questions.add(3, page(80));
        questions.add(4, Question::VerifyChain);
        assert_eq!(questions.next(), Some((4, Question::VerifyChain)), "another one need not wait");
        assert_eq!(questions.next(), None);
        questions.ended(&Key::of(&page(100)));
        assert_eq!(questions.next(), Some((3, page(80))), "the one between was not worth asking");
        assert_eq!(questions.next(), None);
    }

    #[test]
    fn questions_are_bounded() {
        let mut questions = Questions::default();
        for number in 0..1_000 {
            questions.add(number, Question::Incident(number));
        }
        assert_eq!(questions.waiting.len(), WAITING);
        let asked: Vec<_> = std::iter::from_fn(|| questions.next()).map(|(id, _)| id).collect();
        assert_eq!(
            asked,
            [984, 985, 986, 987],
            "the oldest were dropped, and few are asked at once"
        );
    }
}
