//! One investigation's calls to a model: bounded by turns, tokens, time and money, each one recorded whole.

use std::time::Duration;

use tokio::time::Instant;

use super::clean::plain;
use super::openai;
use super::thoughts::Thoughts;
use super::{Advisor, Record, Recording};
use crate::agent::Report;
use crate::config::agent::AskLimits;
use crate::domain::consult::{Exchange, Purpose, Spend, StandingNow, ToolCall, dollars};
use crate::ports::model::{Ask, ModelError, Reply};

/// Of a reply in the records.
const LONGEST_SAID: usize = 20_000;

/// What was spent before this investigation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) incident: Spend,
    pub(super) standing: StandingNow,
}

/// The calls of one investigation.
pub(super) struct Talk<'a> {
    pub(super) advisor: &'a Advisor,
    pub(super) report: Report<'a>,
    pub(super) record: Recording<'a>,
    until: Instant,
    before: Before,
    spent: Spend,
}

impl<'a> Talk<'a> {
    /// Nothing was asked yet.
    pub(super) fn new(
        advisor: &'a Advisor,
        report: Report<'a>,
        record: Recording<'a>,
        before: Before,
    ) -> Self {
        let until = Instant::now() + advisor.limits().time;
        Self { advisor, report, record, until, before, spent: Spend::default() }
    }

    /// Asks once. `known` messages were sent in this conversation before. What a model says while it looks is
    /// heard as it arrives; an answer is for the checker, not for the log.
    pub(super) async fn ask(
        &mut self,
        purpose: Purpose,
        ask: &Ask,
        known: usize,
    ) -> Result<Reply, String> {
        if let Some(reason) = self.spent_up() {
            return Err(reason);
        }
        let within = self.until.saturating_duration_since(Instant::now());
        if within.is_zero() {
            return Err(format!("its time is up ({} s)", self.advisor.limits().time.as_secs()));
        }
        let thoughts = Thoughts::new(self.report, self.advisor.short_name());
        let hear = |text: &str| {
            if purpose == Purpose::Look {
                thoughts.hear(text);
            }
        };
        let began = Instant::now();
        let came = self.advisor.model.ask(ask, within, &hear).await;
        thoughts.end();
        self.note(purpose, ask, known, &came, began.elapsed());
        came.map_err(|error| error.to_string())
    }

    fn note(
        &mut self,
        purpose: Purpose,
        ask: &Ask,
        known: usize,
        came: &Result<Reply, ModelError>,
        took: Duration,
    ) {
        let empty = Reply::default();
        let reply = came.as_ref().unwrap_or(&empty);
        let spend = if came.is_ok() { self.advisor.cost(ask, reply) } else { Spend::default() };
        self.spent += spend;
        let redactor = &self.advisor.redactor;
        let masked = |text: &str| plain(&redactor.text(text), LONGEST_SAID);
        let call = |call: &ToolCall| ToolCall {
            id: plain(&call.id, 100),
            name: plain(&call.name, 100),
            arguments: masked(&call.arguments),
        };
        (self.record)(Record::Asked(Box::new(Exchange {
            purpose,
            provider: self.advisor.provider().to_owned(),
            model: self.advisor.model_name().to_owned(),
            sent: ask.messages.iter().skip(known).map(openai::message).collect(),
            tools: ask.tools.iter().map(|tool| tool.name.clone()).collect(),
            said: masked(&reply.text),
            calls: reply.calls.iter().map(call).collect(),
            error: came.as_ref().err().map(|error| masked(&error.to_string())),
            spend,
            latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })));
    }

    fn spent_up(&self) -> Option<String> {
        let mut incident = self.before.incident;
        incident += self.spent;
        let mut today = self.before.standing.today;
        today += self.spent;
        spent_up(self.advisor.limits(), incident, today)
    }
}

/// Why nothing more may be asked, if so.
fn spent_up(limits: &AskLimits, incident: Spend, today: Spend) -> Option<String> {
    if incident.tokens() >= limits.tokens {
        return Some(format!("the {} tokens for this incident are used up", limits.tokens));
    }
    // Without prices nothing is known of money.
    let over = |spent: u64, most: u64| spent > 0 && spent >= most;
    if over(incident.micro_usd, limits.micro_usd_per_incident) {
        let most = dollars(limits.micro_usd_per_incident);
        return Some(format!("the {most} for this incident are used up"));
    }
    if over(today.micro_usd, limits.micro_usd_per_day) {
        let most = dollars(limits.micro_usd_per_day);
        return Some(format!("the {most} for today are used up"));
    }
    None
}

/// Why a model is not asked at all now, if so: it failed too often of late, or its budget is spent.
pub(super) fn barred(limits: &AskLimits, before: &Before) -> Option<String> {
    let StandingNow { today, failures, failed_ago } = before.standing;
    let rests = failed_ago.map(|ago| limits.rest - ago).filter(|left| left.num_milliseconds() > 0);
    if let Some(left) = rests.filter(|_| failures >= limits.failures) {
        return Some(format!(
            "it came to nothing {failures} times in a row and rests for {} s more",
            left.num_seconds() + 1
        ));
    }
    spent_up(limits, before.incident, today)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn spend(tokens_in: u64, micro_usd: u64) -> Spend {
        Spend { tokens_in, tokens_out: 0, micro_usd }
    }

    fn standing(failures: u32, minutes: i64) -> StandingNow {
        let failed_ago = Some(TimeDelta::minutes(minutes));
        StandingNow { today: Spend::default(), failures, failed_ago }
    }

    #[test]
    fn a_model_that_keeps_failing_rests_and_then_has_another_chance() {
        let limits = AskLimits::default();
        let why = |failures, minutes| {
            let before = Before { standing: standing(failures, minutes), ..Before::default() };
            barred(&limits, &before)
        };
        assert_eq!(why(2, 1), None);
        assert_eq!(why(3, 11), None);
        assert_eq!(
            why(3, 9).unwrap(),
            "it came to nothing 3 times in a row and rests for 61 s more"
        );
    }

    #[test]
    fn every_budget_ends_it() {
        let limits = AskLimits::default();
        let why = |incident, today| {
            let standing = StandingNow { today, ..StandingNow::default() };
            barred(&limits, &Before { incident, standing })
        };
        let nothing = Spend::default();
        assert_eq!(why(nothing, nothing), None);
        assert_eq!(why(spend(99_999, 0), spend(10_000_000, 0)), None, "no prices, no money");
        assert!(why(spend(100_000, 0), nothing).unwrap().contains("100000 tokens"));
        assert!(why(spend(1, 500_000), nothing).unwrap().contains("$0.5000 for this incident"));
        assert!(why(nothing, spend(1, 5_000_000)).unwrap().contains("$5.0000 for today"));
    }
}
