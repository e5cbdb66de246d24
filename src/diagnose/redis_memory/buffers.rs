//! Memory that is no data: what clients have not read, what they have half sent, and the server's own overhead.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, RedisClient};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, counted, percent, seconds};
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Limit, Memory};

pub(crate) const OUTPUT_BUFFERS: Judge = Judge {
    cause: "output-buffers",
    title: "answers nobody reads",
    about: "Clients ask for much and do not read the answers, which pile up in the server's memory.",
    findings: FINDINGS,
    judge: |facts| judge_buffers(facts, Side::Output),
};

pub(crate) const QUERY_BUFFERS: Judge = Judge {
    cause: "query-buffers",
    title: "half-sent commands",
    about: "Clients have sent parts of large commands, which the server keeps until the rest comes.",
    findings: FINDINGS,
    judge: |facts| judge_buffers(facts, Side::Query),
};

pub(crate) const LIMIT_BELOW_OVERHEAD: Judge = Judge {
    cause: "limit-below-overhead",
    title: "limit below the server's overhead",
    about: "The server's own bookkeeping is larger than maxmemory, so that even an empty or evicting server \
            refuses writes.",
    findings: FINDINGS,
    judge: judge_overhead,
};

/// Buffers of less than this share do not fill a server.
const MUCH_PERCENT: u64 = 30;

/// Of what was held at first, so much must still be there for it to stay.
const STAYS_PERCENT: u64 = 60;

/// Which of a client's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Output,
    Query,
}

impl Side {
    fn of(self, client: &RedisClient) -> u64 {
        match self {
            Self::Output => client.omem,
            Self::Query => client.qbuf,
        }
    }

    fn cause(self) -> &'static str {
        match self {
            Self::Output => OUTPUT_BUFFERS.cause,
            Self::Query => QUERY_BUFFERS.cause,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Output => "answers they have not read",
            Self::Query => "commands they have half sent",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Output => Self::Query,
            Self::Query => Self::Output,
        }
    }
}

/// The clients that hold what is more than a hundredth of all buffers on this side.
pub(crate) fn holders(facts: &Facts, side: Side) -> Vec<&RedisClient> {
    let Some(redis) = &facts.redis else { return Vec::new() };
    let all = sum(&redis.clients, side);
    redis.clients.iter().filter(|client| side.of(client) > all / 100).collect()
}

fn sum(clients: &[RedisClient], side: Side) -> u64 {
    clients.iter().map(|client| side.of(client)).sum()
}

fn judge_buffers(facts: &Facts, side: Side) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    if memory.client_percent() < MUCH_PERCENT {
        return None;
    }
    let redis = memory.redis;
    let sources =
        [source::REDIS_INFO, source::REDIS_CLIENTS, source::REDIS_AGAIN, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, side.cause(), &sources);
    let held = format!(
        "client buffers are {} % of the {} used ({})",
        memory.client_percent(),
        bytes(redis.used_memory),
        bytes(redis.client_bytes)
    );
    let (mine, other) = (sum(&redis.clients, side), sum(&redis.clients, side.other()));
    if mine + other < redis.client_bytes / 2 {
        return Some(verdict.inconclusive(
            format!("{held}, and which clients hold them is not known"),
            "omem and qbuf of each client (CLIENT LIST)",
        ));
    }
    if mine <= other {
        return None;
    }
    let count = counted(holders(facts, side).len() as u64, "client");
    let held = format!("{held}; {} of them are {count}' {}", bytes(mine), side.words());
    Some(match doubt(&memory, side, mine) {
        Ok(seen) => verdict.confirmed(format!("{held}; {seen}")),
        Err((seen, missing)) => verdict.likely(format!("{held}{seen}"), missing),
    })
}

/// What the second look showed; or what it showed otherwise, and what would settle it.
fn doubt(memory: &Memory<'_>, side: Side, mine: u64) -> Result<String, (String, &'static str)> {
    let Some(again) = &memory.redis.again else {
        return Err((String::new(), "the same clients a second time: do they still hold it?"));
    };
    if let Limit::LoweredFrom(was) = memory.limit()
        && (was == 0 || memory.redis.used_memory < was)
    {
        return Err((
            String::new(),
            "whether these buffers are usual: the limit came down under them",
        ));
    }
    let now: u64 = holders(memory.facts, side)
        .iter()
        .filter_map(|holder| again.clients.iter().find(|client| client.id == holder.id))
        .map(|client| side.of(client))
        .sum();
    let after = seconds(again.after_ms as f64 / 1_000.0);
    if percent(now, mine) < STAYS_PERCENT {
        let seen = format!("; {after} later {} of it are left", bytes(now));
        return Err((seen, "whether it goes on by itself: the clients were seen taking it"));
    }
    if side == Side::Query && percent(now, mine) > 110 {
        let seen = format!("; {after} later it is {}", bytes(now));
        return Err((seen, "whether the rest of the commands arrives: they are still being sent"));
    }
    Ok(format!("{after} later the same clients still hold {}", bytes(now)))
}

fn judge_overhead(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    let own = memory.redis.overhead_bytes.saturating_sub(memory.redis.client_bytes);
    if own < memory.redis.maxmemory {
        return None;
    }
    let sources = [source::REDIS_INFO, source::REDIS_CONFIG, source::BASELINE];
    let verdict = Verdict::on(facts, LIMIT_BELOW_OVERHEAD.cause, &sources);
    let because = format!(
        "the server's own overhead without client buffers is {}, the limit only {}",
        bytes(own),
        bytes(memory.redis.maxmemory)
    );
    match memory.limit() {
        Limit::LoweredFrom(_) => None,
        Limit::NotLowered => Some(verdict.confirmed(format!("{because}, as it always was"))),
        Limit::Unknown => Some(verdict.likely(because, "what the limit is meant to be")),
    }
}
