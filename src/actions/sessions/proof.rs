//! Measures whether ended sessions are gone and stay gone.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::super::Saved;
use super::super::channel::within;
use super::super::checks::{count, kept, measured, unmeasured};
use super::super::postgres::look;
use super::{ActionError, Candidate, Candidates, LOOK_DEADLINE, statements};
use crate::diagnose::postgres_connections::CAME_BACK;
use crate::domain::execution::Check;
use crate::targets::Server;

#[derive(Debug, Deserialize)]
struct Seen {
    server_start: DateTime<Utc>,
    slots: i64,
    used: i64,
    still_there: u64,
    came_back: u64,
}

/// What [`checks`] needs later.
pub(in crate::actions) fn remember(found: &Candidates) -> Saved {
    Saved::from([
        ("sessions".into(), json!(found.sessions)),
        ("server_start".into(), json!(found.server_start)),
        ("since".into(), json!(found.now)),
    ])
}

/// What sessions that came after must be doing to be like those that were ended.
#[derive(Clone, Copy)]
pub(in crate::actions) struct Like {
    /// A pattern of the state.
    pub(in crate::actions) state: &'static str,
    /// And for so many seconds: a pool at work passes through any state.
    pub(in crate::actions) still_s: u32,
}

/// Measures whether they are gone, and no others like them came; `None`: others may well come.
pub(in crate::actions) async fn checks(
    server: &Server,
    action: &'static str,
    like: Option<Like>,
    saved: &Saved,
) -> Vec<Check> {
    let measuring = within(LOOK_DEADLINE, "look at the sessions", async {
        let ended: Vec<Candidate> = kept(saved, "sessions")?;
        let since: DateTime<Utc> = kept(saved, "since")?;
        let vars = vec![
            ("sessions", json!(ended).to_string()),
            ("since", since.to_rfc3339()),
            ("state", like.map_or("%", |like| like.state).to_owned()),
            ("still_s", like.map_or(0, |like| like.still_s).to_string()),
        ];
        let seen: Seen = look(server, action, statements::PROOF, &vars).await?;
        let mut checks = judge(&seen, ended.len() as u64, kept(saved, "server_start")?);
        if like.is_none() {
            checks.retain(|check| check.name != CAME_BACK);
        }
        Ok::<_, ActionError>(checks)
    });
    measuring.await.unwrap_or_else(|e| vec![unmeasured("sessions", &e)])
}

fn judge(seen: &Seen, ended: u64, server_start: DateTime<Utc>) -> Vec<Check> {
    let free = seen.slots - seen.used;
    vec![
        measured(
            "sessions are gone",
            seen.still_there == 0,
            format!("{} of {ended} still there", seen.still_there),
        ),
        measured(
            CAME_BACK,
            seen.came_back * 2 < ended.max(1),
            format!("{} again from the same clients", count(seen.came_back, "session")),
        ),
        measured(
            "a slot is free for ordinary roles",
            free > 0,
            format!("{} of {} used", seen.used, seen.slots),
        ),
        measured(
            "the server was not restarted",
            seen.server_start == server_start,
            format!("up since {}", seen.server_start.to_rfc3339()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_not_being_fixed_fails_its_own_check() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let good =
            || Seen { server_start: start, slots: 17, used: 3, still_there: 0, came_back: 1 };
        let failing = |seen: Seen| -> Vec<usize> {
            let checks = judge(&seen, 12, start);
            (0..checks.len()).filter(|at| checks[*at].passed != Some(true)).collect()
        };
        assert_eq!(failing(good()), Vec::<usize>::new());
        assert_eq!(failing(Seen { still_there: 1, ..good() }), [0]);
        assert_eq!(failing(Seen { came_back: 6, ..good() }), [1]);
        assert_eq!(failing(Seen { used: 17, ..good() }), [2]);
        let later = start + chrono::TimeDelta::seconds(1);
        assert_eq!(failing(Seen { server_start: later, ..good() }), [3]);
    }
}
