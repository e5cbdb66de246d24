//! One consultation's calls to a model: bounded by turns, tokens, time and money, each one recorded whole.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::clean::plain;
use super::openai;
use super::thoughts::Thoughts;
use super::{Advisor, Recording};
use crate::agent::{Report, think};
use crate::config::agent::AskLimits;
use crate::domain::consult::{
    Exchange, Purpose, Record, Spend, StandingNow, ToolCall, Verdict, dollars,
};
use crate::ports::model::{Ask, Message, ModelError, Reply};

/// Of a reply in the records.
const LONGEST_SAID: usize = 20_000;
/// Of what came of it.
const LONGEST_REASON: usize = 1_000;

/// What was spent before this consultation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before {
    /// On the same incident, where there is one.
    pub incident: Spend,
    /// By everybody.
    pub standing: StandingNow,
}

/// The calls of one consultation.
pub(super) struct Talk<'a> {
    pub(super) advisor: &'a Advisor,
    pub(super) report: Report<'a>,
    record: Recording<'a>,
    until: Instant,
    before: Before,
    pub(super) spent: Spend,
    /// Its server does not know answers by schema.
    is_schemaless: bool,
}

impl<'a> Talk<'a> {
    /// Begins where the model may be asked at all now; else says why not.
    pub(super) fn open(
        advisor: &'a Advisor,
        report: Report<'a>,
        record: Recording<'a>,
        before: Before,
    ) -> Result<Self, String> {
        if let Some(reason) = barred(advisor.limits(), &before) {
            return Err(format!("{} is not asked: {reason}", advisor.name()));
        }
        let until = Instant::now() + advisor.limits().time;
        let spent = Spend::default();
        Ok(Self { advisor, report, record, until, before, spent, is_schemaless: false })
    }

    /// When its time is up.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Puts on record what came of it, with the answers that could be read.
    pub(super) fn judged(&self, accepted: bool, reason: &str, answers: Vec<Value>) -> String {
        let redacted = self.advisor.redactor.text(reason);
        let reason = plain(&redacted, LONGEST_REASON);
        (self.record)(Record::Judged(Verdict {
            agent: self.advisor.name().to_owned(),
            accepted,
            reason: reason.clone(),
            answers,
        }));
        reason
    }

    /// Asks once. `known` messages were sent in this conversation before. What a model says while it looks is
    /// heard as it arrives; an answer is for the checker, not for the log.
    pub(super) async fn ask(
        &mut self,
        purpose: Purpose,
        ask: &Ask,
        known: usize,
    ) -> Result<Reply, String> {
        let came = self.once(purpose, ask, known).await?;
        let refusal = came.as_ref().err().filter(|_| ask.answer.is_some() && !self.is_schemaless);
        let Some(ModelError::Refused { status: 400 | 422, said }) = refusal else {
            return came.map_err(|error| error.to_string());
        };
        let said = plain(&self.advisor.redactor.text(said), 200);
        think(
            self.report,
            format!(
                "Its server takes no schema ({said}); asked again with the schema in words alone."
            ),
        );
        self.is_schemaless = true;
        self.once(purpose, ask, known).await?.map_err(|error| error.to_string())
    }

    /// The outer error: it may not be asked; the inner one: it has no reply.
    async fn once(
        &mut self,
        purpose: Purpose,
        ask: &Ask,
        known: usize,
    ) -> Result<Result<Reply, ModelError>, String> {
        if let Some(reason) = self.spent_up() {
            return Err(reason);
        }
        let within = self.until.saturating_duration_since(Instant::now());
        if within.is_zero() {
            return Err(format!("its time is up ({} s)", self.advisor.limits().time.as_secs()));
        }
        let thoughts = Thoughts::new(self.report, self.advisor.short_name());
        let hear = |text: &str| {
            if matches!(purpose, Purpose::Look | Purpose::Answer) {
                thoughts.hear(text);
            }
        };
        let in_words = Ask { answer: None, ..ask.clone() };
        let ask = if self.is_schemaless { &in_words } else { ask };
        let began = Instant::now();
        let came = self.advisor.model.ask(ask, within, &hear).await;
        thoughts.end();
        self.note(purpose, ask, known, &came, began.elapsed());
        Ok(came)
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
        // The rest was masked before it was sent; what a model says is not.
        let kept = |message: &Message| match message {
            Message::Assistant { text, calls } => openai::message(&Message::Assistant {
                text: masked(text),
                calls: calls.iter().map(call).collect(),
            }),
            other => openai::message(other),
        };
        (self.record)(Record::Asked(Box::new(Exchange {
            purpose,
            provider: self.advisor.provider().to_owned(),
            model: self.advisor.model_name().to_owned(),
            sent: ask.messages.iter().skip(known).map(kept).collect(),
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
fn barred(limits: &AskLimits, before: &Before) -> Option<String> {
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
