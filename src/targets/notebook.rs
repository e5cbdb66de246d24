//! The record of an investigation as it happens: each question is shown before it is asked, its answer after,
//! and both become evidence with a number that a judgement can cite.

use std::time::Duration;

use tokio::time::Instant;

use super::Limit;
use crate::domain::diagnosis::Evidence;
use crate::domain::execution::{Output, Phase, PhaseLine};
use crate::domain::sample::Answer;

/// Where the lines go as they are written.
pub(super) type Report<'a> = &'a (dyn Fn(PhaseLine) + Send + Sync);

pub(super) struct Notebook<'a> {
    report: Report<'a>,
    /// No question runs on beyond it.
    limit: Limit,
    evidence: Vec<Evidence>,
}

impl<'a> Notebook<'a> {
    pub(super) fn new(report: Report<'a>, limit: Limit) -> Self {
        Self { report, limit, evidence: Vec::new() }
    }

    /// Asks one read-only question, written as a person would type it. `None` when it failed; the evidence
    /// then says how.
    pub(super) async fn ask<T>(
        &mut self,
        question: &str,
        deadline: Duration,
        answer: impl Future<Output = Result<T, Answer>>,
        summary: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        (self.report)(PhaseLine {
            command: Some(question.to_owned()),
            ..PhaseLine::say(Phase::Command, format!("{question}   [read-only]"))
        });
        let began = Instant::now();
        let answered = self.limit.at_most(deadline).run(answer).await;
        let text = match &answered {
            Ok(value) => summary(value),
            Err(failed) => format!("could not be asked: {}", failed.describe()),
        };
        self.record(question, &text, began.elapsed());
        answered.ok()
    }

    fn record(&mut self, question: &str, text: &str, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let output = Output { duration_ms: millis, ..Output::default() };
        let line = PhaseLine::say(Phase::Result, format!("{text}   [{millis} ms]"));
        (self.report)(PhaseLine { output: Some(output), ..line });
        self.keep(question, text);
    }

    /// Records what was known without asking.
    pub(super) fn note(&mut self, source: &str, text: &str) {
        (self.report)(PhaseLine::say(Phase::Result, format!("{source}: {text}")));
        self.keep(source, text);
    }

    fn keep(&mut self, source: &str, text: &str) {
        let id = format!("e{}", self.evidence.len() + 1);
        self.evidence.push(Evidence { id, source: source.to_owned(), text: text.to_owned() });
    }

    pub(super) fn into_evidence(self) -> Vec<Evidence> {
        self.evidence
    }
}
