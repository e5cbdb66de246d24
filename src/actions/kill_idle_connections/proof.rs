//! Measures whether ended sessions are gone and stay gone.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::super::checks::{count, measured};
use super::super::postgres::look;
use super::{ActionError, Candidate, ID, statements};
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

pub(super) async fn measure(
    server: &Server,
    ended: &[Candidate],
    since: DateTime<Utc>,
    server_start: DateTime<Utc>,
) -> Result<Vec<Check>, ActionError> {
    let vars = vec![("sessions", json!(ended).to_string()), ("since", since.to_rfc3339())];
    let seen: Seen = look(server, ID, statements::PROOF, &vars).await?;
    Ok(judge(&seen, ended.len() as u64, server_start))
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
            "sessions did not come back",
            seen.came_back * 2 < ended.max(1),
            format!("{} idle again from the same clients", count(seen.came_back, "session")),
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
