//! Sessions that do nothing: leaked ones, and ones that left a transaction open.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, PgSession};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{counted, name, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Group, Sessions, is_idle, is_idle_in_transaction, is_still, waits_for_lock};

pub(crate) const IDLE_LEAK: Judge = Judge {
    cause: "idle-leak",
    title: "leaked idle connections",
    about: "One application opens connections, uses them no more and does not close them, until others find \
            no free slot.",
    findings: FINDINGS,
    judge: judge_idle,
};

pub(crate) const IDLE_IN_TRANSACTION: Judge = Judge {
    cause: "idle-in-transaction",
    title: "transactions left open",
    about: "Sessions began a transaction and stopped: they keep their slots, and the locks they took.",
    findings: FINDINGS,
    judge: judge_idle_in_transaction,
};

pub(crate) const RE_LEAK: Judge = Judge {
    cause: "re-leak",
    title: "leaked connections that come back",
    about: "A program leaks connections and opens new ones as soon as its old ones are ended, so ending them frees nothing.",
    findings: FINDINGS,
    judge: judge_again,
};

/// How a proof says that those who were ended are there again; see [`came_back`].
pub(crate) const CAME_BACK: &str = "sessions did not come back";

/// The SQLSTATE of a client that finds no slot.
const NO_SLOT: &str = "53300";

const SOURCES: &[&str] = &[source::PG_SESSIONS, source::PG_LIMITS, source::CLIENT_VIEW];

fn judge_idle(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    if !sessions.explain_it() || came_back(facts) {
        return None;
    }
    let verdict = Verdict::on(facts, IDLE_LEAK.cause, SOURCES);
    let (group, still) = largest(&sessions, is_still).unwrap_or_default();
    if sessions.is_much(still.len()) {
        let because = format!("{}; {}", sessions.used_words(), idle_words(group, &still));
        return Some(verdict.confirmed_unless(because, missing(&sessions, still.len())));
    }
    let (group, idle) = largest(&sessions, is_idle)?;
    (sessions.is_most(idle.len()) && idle.len() > 1).then(|| {
        verdict.inconclusive(
            format!(
                "{}; {} of {} {} idle, but for less than a second",
                sessions.used_words(),
                idle.len(),
                group_words(group),
                if idle.len() == 1 { "is" } else { "are" }
            ),
            "the sessions a second later: a pool at work moves, a leak does not",
        )
    })
}

/// Whether idle sessions were ended for this very trouble, and others took their places: they were counted, or the next
/// client found no slot again.
fn came_back(facts: &Facts) -> bool {
    let says_so = |said: &str| said.starts_with(CAME_BACK) || said.contains(NO_SLOT);
    facts
        .refusals
        .iter()
        .any(|refusal| refusal.action == "kill_idle_connections" && says_so(&refusal.said))
}

fn judge_again(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts).filter(|_| came_back(facts))?;
    let (group, idle) = largest(&sessions, is_idle)?;
    if !sessions.explain_it() || !sessions.is_much(idle.len()) {
        return None;
    }
    let because = format!(
        "{}; {}; the ones before them were ended, and these took their places at once",
        sessions.used_words(),
        idle_words(group, &idle)
    );
    let sources = [&[source::EARLIER], SOURCES].concat();
    let verdict = Verdict::on(facts, RE_LEAK.cause, &sources);
    Some(verdict.confirmed_unless(because, missing(&sessions, idle.len())))
}

/// The role of the program whose connections come back, and the connections it may keep: a quarter of the slots. An
/// error says why a limit would hurt others.
pub(crate) fn role_to_limit(facts: &Facts) -> Result<(&str, u32), String> {
    let sessions = Sessions::of(facts).ok_or("the sessions could not be read")?;
    let (group, _) = largest(&sessions, is_idle).ok_or("no session is idle")?;
    let (application, _, user) = group;
    let standing = sessions.pg.standing.as_ref().and_then(|standing| standing.role.as_ref());
    let own = standing.ok_or("which role the application has could not be looked at")?;
    if own.name == user {
        let user = name(user);
        return Err(format!(
            "{user} is the application's own role: a limit would turn it away too"
        ));
    }
    let others = |session: &&PgSession| session.user == user && session.application != application;
    if let Some(other) = sessions.all().iter().find(others) {
        return Err(format!(
            "{} has the same role {}, and a limit would turn it away too",
            name(&other.application),
            name(user)
        ));
    }
    Ok((user, (sessions.usable() / 4).max(1)))
}

fn missing(sessions: &Sessions<'_>, still: usize) -> Option<String> {
    if !sessions.is_most(still) {
        return Some("what the other sessions do, which hold most of the slots".into());
    }
    let waiting = sessions.count(waits_for_lock);
    (waiting > 0).then(|| {
        format!("what the {} waiting for locks wait for", counted(waiting as u64, "session"))
    })
}

fn judge_idle_in_transaction(facts: &Facts) -> Option<JudgedCause> {
    let sessions = Sessions::of(facts)?;
    let open: Vec<&PgSession> =
        sessions.all().iter().filter(|session| is_idle_in_transaction(session)).collect();
    if !sessions.is_much(open.len()) || !sessions.explain_it() {
        return None;
    }
    let oldest = open.iter().filter_map(|s| s.xact_age_s).fold(0.0, f64::max);
    let written = open.iter().filter(|session| session.has_written).count();
    let because = format!(
        "{}; {} idle in a transaction, the oldest for {}; {written} of them have written, so that ending \
         them rolls work back",
        sessions.used_words(),
        counted(open.len() as u64, "session"),
        seconds(oldest)
    );
    let missing = if !sessions.is_most(open.len()) {
        Some("what the other sessions do, which hold most of the slots".into())
    } else if oldest < super::STILL_S {
        Some("the transactions a second later: are they still open and doing nothing?".into())
    } else {
        None
    };
    Some(Verdict::on(facts, IDLE_IN_TRANSACTION.cause, SOURCES).confirmed_unless(because, missing))
}

pub(super) fn largest<'a>(
    sessions: &Sessions<'a>,
    is: impl Fn(&PgSession) -> bool,
) -> Option<(Group<'a>, Vec<&'a PgSession>)> {
    sessions.groups(is).into_iter().max_by_key(|(_, members)| members.len())
}

fn idle_words(group: Group<'_>, still: &[&PgSession]) -> String {
    let ages = || still.iter().map(|session| session.state_age_s);
    let (youngest, oldest) =
        (seconds(ages().fold(f64::INFINITY, f64::min)), seconds(ages().fold(0.0, f64::max)));
    let span = if youngest == oldest { oldest } else { format!("{youngest} to {oldest}") };
    let sessions = counted(still.len() as u64, "session");
    format!("{sessions} of {}, idle and untouched for {span}", group_words(group))
}

fn group_words((application, client, user): Group<'_>) -> String {
    let application = match application {
        "" => "an application without a name".into(),
        named => name(named),
    };
    format!("{application} (user {}, from {})", name(user), name(client))
}

/// The sessions that may be ended to cure the leak: the leaking program's, untouched long enough. Not those of
/// a superuser, nor those that somebody counts on through an advisory lock, nor those that cannot be told from
/// a later session with the same pid.
pub(crate) fn leaking_sessions(facts: &Facts) -> Vec<&PgSession> {
    let Some(sessions) = Sessions::of(facts) else { return Vec::new() };
    let mut still = largest(&sessions, is_still).map(|(_, members)| members).unwrap_or_default();
    still.retain(|session| {
        !session.is_superuser && !session.holds_advisory_lock && session.backend_start.is_some()
    });
    still.sort_by(|a, b| b.state_age_s.total_cmp(&a.state_age_s));
    still
}

/// The sessions that may be ended to cure transactions left open, the oldest first. Not those of a superuser, nor
/// those that cannot be told from a later session with the same pid, nor those that did something a moment ago.
pub(crate) fn open_transactions(facts: &Facts) -> Vec<&PgSession> {
    let Some(sessions) = Sessions::of(facts) else { return Vec::new() };
    let may_end = |session: &&PgSession| {
        is_idle_in_transaction(session)
            && session.state_age_s >= super::STILL_S
            && !session.is_superuser
            && session.backend_start.is_some()
    };
    let mut open: Vec<&PgSession> = sessions.all().iter().filter(may_end).collect();
    open.sort_by(|a, b| {
        b.xact_age_s.unwrap_or_default().total_cmp(&a.xact_age_s.unwrap_or_default())
    });
    open
}
