//! The sessions at the heads of queues, seen from beside the server: whether their processes stand still, and whether
//! their clients are still there. The server itself knows neither.

use std::net::IpAddr;
use std::time::Duration;

use crate::diagnose::facts::{PgSession, PostgresFacts};
use crate::diagnose::{postgres_connections, source};
use crate::domain::sample::Answer;
use crate::targets::Place;
use crate::targets::notebook::Notebook;
use crate::targets::processes::{self, Connections};

const LOOK: Duration = Duration::from_millis(1_500);
/// More heads than these are no queue of one cause.
const MOST: usize = 3;

/// What was seen of one session.
struct Seen {
    pid: i32,
    process: Option<char>,
    has_client: Option<bool>,
}

/// Looks at those that keep others waiting, and adds what is seen to their sessions.
pub(in crate::targets) async fn look(
    place: &Place,
    facts: &mut PostgresFacts,
    notebook: &mut Notebook<'_>,
) {
    let heads = postgres_connections::heads(&facts.sessions);
    let sessions = facts.sessions.iter_mut().filter(|session| heads.contains(&session.pid));
    let mut sessions: Vec<&mut PgSession> = sessions.collect();
    if sessions.is_empty() || sessions.len() > MOST {
        return;
    }
    let question = format!("{} in {}", source::PG_BLOCKERS, place.unit.name);
    let asked = seen(place, &sessions);
    let Some(seen) = notebook.ask(&question, LOOK, asked, |all| words(all)).await else { return };
    for (session, seen) in sessions.iter_mut().zip(seen) {
        (session.process, session.has_client) = (seen.process, seen.has_client);
    }
}

async fn seen(place: &Place, sessions: &[&mut PgSession]) -> Result<Vec<Seen>, Answer> {
    let connections = Connections::of(place).await.ok();
    let mut all = Vec::with_capacity(sessions.len());
    for session in sessions {
        let process = processes::state(place, session.pid).await?;
        let has_client = connections.as_ref().and_then(|known| {
            let address: IpAddr = session.client.parse().ok()?;
            Some(known.lead_to(address, session.client_port?))
        });
        all.push(Seen { pid: session.pid, process, has_client });
    }
    Ok(all)
}

fn words(all: &[Seen]) -> String {
    let words: Vec<String> = all
        .iter()
        .map(|seen| {
            let process = match seen.process {
                Some(state) if processes::is_stopped(state) => {
                    format!("{state}, stopped by a signal")
                }
                Some(state) => state.to_string(),
                None => "gone".into(),
            };
            let client = match seen.has_client {
                Some(true) => "its client is there",
                Some(false) => "its client is gone",
                None => "its client is not seen",
            };
            format!("pid {} is in state {process}; {client}", seen.pid)
        })
        .collect();
    words.join("; ")
}
