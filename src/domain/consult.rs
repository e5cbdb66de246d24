//! What was asked of a model and what it said, as it is recorded, and what it has cost so far.

use std::fmt;
use std::ops::AddAssign;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Why a model was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To look around with the read-only tools.
    Look,
    /// For its answer.
    Decide,
    /// For its answer once more, because the first one was refused.
    Repair,
    /// For its answer without any text of the server's.
    Doubt,
    /// To answer a question of an operator's.
    Answer,
    /// To tell what happened in an incident.
    Narrate,
}

impl Purpose {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Decide => "decide",
            Self::Repair => "repair",
            Self::Doubt => "doubt",
            Self::Answer => "answer",
            Self::Narrate => "narrate",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What something cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Spend {
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// Millionths of a dollar, by the prices of the configuration.
    pub micro_usd: u64,
}

impl Spend {
    /// Tokens both ways.
    pub fn tokens(self) -> u64 {
        self.tokens_in.saturating_add(self.tokens_out)
    }
}

impl AddAssign for Spend {
    fn add_assign(&mut self, more: Self) {
        self.tokens_in = self.tokens_in.saturating_add(more.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(more.tokens_out);
        self.micro_usd = self.micro_usd.saturating_add(more.micro_usd);
    }
}

/// `1,204 + 88 tokens, $0.0021`.
impl fmt::Display for Spend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = super::words::count;
        write!(f, "{} + {} tokens", count(self.tokens_in), count(self.tokens_out))?;
        if self.micro_usd > 0 {
            write!(f, ", {}", dollars(self.micro_usd))?;
        }
        Ok(())
    }
}

/// `$0.0021`.
pub fn dollars(micro_usd: u64) -> String {
    format!("${}.{:04}", micro_usd / 1_000_000, micro_usd % 1_000_000 / 100)
}

/// A tool the model called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    /// As the model numbered it.
    pub id: String,
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// One call to a model, with secrets masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Exchange {
    pub purpose: Purpose,
    pub provider: String,
    pub model: String,
    /// The messages this call added to its conversation; those before are in the calls before.
    pub sent: Vec<Value>,
    pub tools: Vec<String>,
    pub said: String,
    pub calls: Vec<ToolCall>,
    /// Why there is no answer.
    pub error: Option<String>,
    pub spend: Spend,
    pub latency_ms: u64,
}

/// Whether what a model came to is of use: in an investigation, whether it is what is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// The model's own name.
    pub agent: String,
    pub accepted: bool,
    /// What was accepted, or why it is not; the playbook decides then.
    pub reason: String,
    /// The model's answers, as they were read: one, or the two that differ.
    pub answers: Vec<Value>,
}

/// What is recorded of a consultation, as it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Asked(Box<Exchange>),
    Judged(Verdict),
}

/// What asking models has cost today and how it went, over all incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub day: Option<NaiveDate>,
    pub spend: Spend,
    /// Consultations in a row that came to nothing.
    pub failures: u32,
    pub failed_at: Option<DateTime<Utc>>,
}

impl Standing {
    /// Adds a call's cost to its day.
    pub fn pay(&mut self, at: DateTime<Utc>, spend: Spend) {
        let today = at.date_naive();
        if self.day != Some(today) {
            (self.day, self.spend) = (Some(today), Spend::default());
        }
        self.spend += spend;
    }

    /// Counts how a consultation went.
    pub fn judge(&mut self, at: DateTime<Utc>, accepted: bool) {
        if accepted {
            (self.failures, self.failed_at) = (0, None);
        } else {
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(at);
        }
    }

    /// How it stands at a moment: what was spent on another day no longer counts.
    pub fn at(&self, now: DateTime<Utc>) -> StandingNow {
        let is_today = self.day == Some(now.date_naive());
        StandingNow {
            today: if is_today { self.spend } else { Spend::default() },
            failures: self.failures,
            failed_ago: self.failed_at.map(|at| now - at),
        }
    }
}

/// A [`Standing`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandingNow {
    pub today: Spend,
    pub failures: u32,
    /// How long ago the last failure was.
    pub failed_ago: Option<TimeDelta>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + hours * 3_600, 0).unwrap()
    }

    fn cost(micro_usd: u64) -> Spend {
        Spend { tokens_in: 10, tokens_out: 1, micro_usd }
    }

    #[test]
    fn what_was_spent_counts_on_its_own_day_only() {
        let mut standing = Standing::default();
        standing.pay(at(0), cost(5));
        standing.pay(at(1), cost(7));
        assert_eq!(standing.at(at(1)).today.micro_usd, 12);
        assert_eq!(standing.at(at(30)).today, Spend::default());
        standing.pay(at(30), cost(3));
        assert_eq!(standing.at(at(30)).today, cost(3));
    }

    #[test]
    fn failures_count_in_a_row() {
        let mut standing = Standing::default();
        standing.judge(at(0), false);
        standing.judge(at(1), false);
        let now = standing.at(at(3));
        assert_eq!((now.failures, now.failed_ago), (2, Some(TimeDelta::hours(2))));
        standing.judge(at(4), true);
        assert_eq!(standing.at(at(5)), StandingNow { failures: 0, ..standing.at(at(5)) });
        assert_eq!(standing.at(at(5)).failed_ago, None);
    }

    #[test]
    fn a_cost_reads_as_people_say_it() {
        assert_eq!(
            Spend { tokens_in: 1_204, tokens_out: 88, micro_usd: 2_100 }.to_string(),
            "1,204 + 88 tokens, $0.0021"
        );
        assert_eq!(Spend { tokens_in: 2, tokens_out: 1, micro_usd: 0 }.to_string(), "2 + 1 tokens");
    }
}
