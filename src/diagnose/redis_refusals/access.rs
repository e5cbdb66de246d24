//! Who may come in and what they may do: a password, a user switched off or cut down, an address.

use crate::diagnose::Judge;
use crate::diagnose::facts::{Facts, RedisFacts};
use crate::diagnose::verdict::{Verdict, source};
use crate::diagnose::words;
use crate::domain::diagnosis::JudgedCause;
use crate::domain::sample::{Answer, Origin};

use super::{FINDINGS, Setting, newest, said};

pub(crate) const REQUIREPASS: Judge = Judge {
    cause: "requirepass",
    title: "a password was set",
    about: "The server asks for a password that it did not ask for: new clients are turned away, those who were in \
            stay in.",
    findings: FINDINGS,
    judge: password,
};

pub(crate) const USER_OFF: Judge = Judge {
    cause: "user-off",
    title: "the user was switched off",
    about: "The rule of the user that clients log in as says `off`: new clients are turned away, those who were in \
            stay in.",
    findings: FINDINGS,
    judge: user_off,
};

pub(crate) const ACL_NO_WRITE: Judge = Judge {
    cause: "acl-no-write",
    title: "the user may not write any more",
    about: "The rule of the user that clients log in as lost commands or keys: what it lacks is answered with \
            NOPERM.",
    findings: FINDINGS,
    judge: no_permission,
};

pub(crate) const BIND: Judge = Judge {
    cause: "bind",
    title: "it listens elsewhere",
    about: "The server was told to listen on another address or port: new clients find nobody, those who were in \
            stay in.",
    findings: FINDINGS,
    judge: elsewhere,
};

const SOURCES: [&str; 3] = [source::CLIENT_VIEW, source::REDIS_CONFIG, source::BASELINE];
const INSIDE: &str = "requirepass and ACL LIST, from a client that is still in";

/// What new clients are told that may not come in.
fn locked_out(facts: &Facts) -> Option<&str> {
    said(facts, "NOAUTH").or_else(|| said(facts, "WRONGPASS"))
}

/// The rule of the user we log in as.
fn rule<'a>(facts: &'a Facts, redis: &'a RedisFacts) -> Option<Setting<'a>> {
    Setting::of(facts, redis, &format!("acl user {}", redis.login))
}

fn is_off(rule: &str) -> bool {
    rule.split_whitespace().next() == Some("off")
}

fn password(facts: &Facts) -> Option<JudgedCause> {
    let told = locked_out(facts)?;
    let verdict = Verdict::on(facts, REQUIREPASS.cause, &SOURCES);
    let Some(redis) = facts.redis.as_ref() else {
        return Some(verdict.inconclusive(words::line(told), INSIDE));
    };
    let setting = Setting::of(facts, redis, "requirepass")?;
    let others = rule(facts, redis).is_some_and(|rule| is_off(rule.now));
    if setting.now.is_empty() || others {
        return None;
    }
    Some(match setting.was {
        Some("") => verdict.confirmed(
            "a password (requirepass) is set, there was none; the user is not switched off",
        ),
        Some(_) => verdict.inconclusive(
            "a password is set, as there always was, and ours is not taken",
            "whether the password was changed",
        ),
        None => verdict.likely("a password (requirepass) is set", "whether there always was one"),
    })
}

fn user_off(facts: &Facts) -> Option<JudgedCause> {
    let told = locked_out(facts)?;
    let verdict = Verdict::on(facts, USER_OFF.cause, &SOURCES);
    let Some(redis) = facts.redis.as_ref() else {
        return Some(verdict.inconclusive(words::line(told), INSIDE));
    };
    let rule = rule(facts, redis).filter(|rule| is_off(rule.now))?;
    let because =
        format!("the user {} is switched off (its rule: `off`)", words::name(&redis.login));
    Some(match rule.was {
        Some(was) if !is_off(was) => verdict.confirmed(format!("{because}; it was on")),
        _ => verdict.likely(because, "its rule while the server was healthy"),
    })
}

fn no_permission(facts: &Facts) -> Option<JudgedCause> {
    let told = said(facts, "NOPERM")?;
    let verdict = Verdict::on(facts, ACL_NO_WRITE.cause, &SOURCES);
    let Some(redis) = facts.redis.as_ref() else {
        return Some(verdict.inconclusive(words::line(told), "the rule of the user (ACL LIST)"));
    };
    let Some(rule) = rule(facts, redis) else {
        return Some(verdict.likely(words::line(told), "the rule of the user (ACL LIST)"));
    };
    let now = format!("the rule of {} is `{}`", words::name(&redis.login), words::line(rule.now));
    Some(match rule.was {
        Some(was) if rule.changed() => {
            verdict.confirmed(format!("{now}, it was `{}`", words::line(was)))
        }
        Some(_) => verdict.inconclusive(
            format!("{now}, as always; what is refused was never permitted"),
            "which command is refused to whom (ACL LOG)",
        ),
        None => verdict.likely(now, "its rule while the server was healthy"),
    })
}

fn elsewhere(facts: &Facts) -> Option<JudgedCause> {
    let fresh = newest(facts, Origin::Fresh)?;
    let inside = newest(facts, Origin::Held).is_some_and(|sample| sample.read.is_ok());
    let redis = facts.redis.as_ref()?;
    if !matches!(fresh.connect, Answer::Gone { .. }) || !inside {
        return None;
    }
    let (name, setting) = ["bind", "port"]
        .into_iter()
        .find_map(|name| Some((name, Setting::of(facts, redis, name).filter(Setting::changed)?)))?;
    let was = setting.was.unwrap_or_default();
    Some(Verdict::on(facts, BIND.cause, &SOURCES).confirmed(format!(
        "it listens elsewhere: {name} is `{}`, it was `{}`; who is in is answered, who comes finds nobody",
        words::line(setting.now),
        words::line(was)
    )))
}
