//! Memory that is no data: what clients have not read, what they have half sent, and the server's own overhead.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, RedisClient};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words::{bytes, counted};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
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
}

fn judge_buffers(facts: &Facts, side: Side) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    if memory.client_percent() < MUCH_PERCENT {
        return None;
    }
    let redis = memory.redis;
    let sources = [source::REDIS_INFO, source::REDIS_CLIENTS, source::CLIENT_VIEW];
    let verdict = Verdict::on(facts, side.cause(), &sources);
    let held = format!(
        "client buffers are {} % of the {} used ({})",
        memory.client_percent(),
        bytes(redis.used_memory),
        bytes(redis.client_bytes)
    );
    let sum = |side: Side| redis.clients.iter().map(|client| side.of(client)).sum::<u64>();
    let (output, query) = (sum(Side::Output), sum(Side::Query));
    if output + query < redis.client_bytes / 2 {
        return Some(verdict.inconclusive(
            format!("{held}, and which clients hold them is not known"),
            "omem and qbuf of each client (CLIENT LIST)",
        ));
    }
    let (mine, other) = match side {
        Side::Output => (output, query),
        Side::Query => (query, output),
    };
    (mine > other).then(|| {
        let holders = redis.clients.iter().filter(|client| side.of(client) > mine / 100).count();
        let holders = counted(holders as u64, "client");
        verdict.likely(
            format!("{held}; {} of them are {holders}' {}", bytes(mine), side.words()),
            "the same clients a second time: do they still hold it?",
        )
    })
}

fn judge_overhead(facts: &Facts) -> Option<JudgedCause> {
    let memory = Memory::of(facts)?;
    let own = memory.redis.overhead_bytes.saturating_sub(memory.redis.client_bytes);
    let lowered = matches!(memory.limit(), Limit::LoweredFrom(_));
    (own >= memory.redis.maxmemory && !lowered).then(|| {
        let sources = [source::REDIS_INFO, source::REDIS_CONFIG];
        Verdict::on(facts, LIMIT_BELOW_OVERHEAD.cause, &sources).likely(
            format!(
                "the server's own overhead without client buffers is {}, the limit only {}",
                bytes(own),
                bytes(memory.redis.maxmemory)
            ),
            "what the limit is meant to be",
        )
    })
}
