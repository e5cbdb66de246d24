//! A server that refuses writes because of its place among others: a replica of nobody, or a master of too few.

use crate::diagnose::Judge;
use crate::diagnose::facts::Facts;
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words;
use crate::domain::diagnosis::JudgedCause;

use super::{FINDINGS, Setting, said};

pub(crate) const REPLICAOF_DEAD: Judge = Judge {
    cause: "replicaof-dead",
    title: "made a replica of a server that is not there",
    about: "The server was told to follow a master that does not answer: it takes no writes any more, and keeps the \
            data it has.",
    findings: FINDINGS,
    judge: replica,
};

pub(crate) const MIN_REPLICAS: Judge = Judge {
    cause: "min-replicas",
    title: "more replicas demanded than there are",
    about: "min-replicas-to-write was raised, and so many replicas are not connected: every write is refused.",
    findings: FINDINGS,
    judge: too_few,
};

const SOURCES: [&str; 4] =
    [source::CLIENT_VIEW, source::REDIS_INFO, source::REDIS_CONFIG, source::BASELINE];

fn replica(facts: &Facts) -> Option<JudgedCause> {
    let told = said(facts, "READONLY").or_else(|| said(facts, "MASTERDOWN"))?;
    let verdict = Verdict::on(facts, REPLICAOF_DEAD.cause, &SOURCES);
    let Some(redis) = facts.redis.as_ref().filter(|redis| !redis.role.is_empty()) else {
        return Some(
            verdict.inconclusive(words::line(told), "its role and its master (INFO replication)"),
        );
    };
    if redis.role != "slave" {
        return None;
    }
    let master = Setting::of(facts, redis, "replicaof");
    let of = master.as_ref().map_or("another server", |setting| setting.now);
    let because = format!("it is a replica of {}", words::name(of));
    Some(match (redis.master_link.as_deref(), master.and_then(|master| master.was)) {
        (Some("down"), Some("")) => verdict.confirmed(format!(
            "{because}, whose link is down; while it was healthy it was a replica of nobody"
        )),
        (Some("down"), _) => verdict.likely(
            format!("{because}, whose link is down"),
            "whether it was a replica while it was healthy",
        ),
        (_, _) => verdict.inconclusive(
            format!("{because}, whose link is up: its data may be that master's by now"),
            "who made it a replica, and how many keys it had before",
        ),
    })
}

fn too_few(facts: &Facts) -> Option<JudgedCause> {
    let told = said(facts, "NOREPLICAS")?;
    let verdict = Verdict::on(facts, MIN_REPLICAS.cause, &SOURCES);
    let missing = "min-replicas-to-write, now and while the server was healthy";
    let Some(setting) =
        facts.redis.as_ref().and_then(|redis| Setting::of(facts, redis, "min-replicas-to-write"))
    else {
        return Some(verdict.inconclusive(words::line(told), missing));
    };
    let because = format!("{} replicas must be connected for a write", words::name(setting.now));
    Some(match setting.was {
        Some(was) if setting.changed() => {
            verdict.confirmed(format!("{because}, it was {}", words::name(was)))
        }
        Some(_) => verdict.inconclusive(
            format!("{because}, as always: replicas are missing"),
            "which replicas were connected before, and their logs",
        ),
        None => verdict.likely(because, missing),
    })
}
