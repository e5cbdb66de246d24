//! A model in the playbook's place: it looks, it answers, and what it answers is checked before it is proposed.
//!
//! It never acts and never approves. What it may propose is a remedy of the playbook for a cause that the judges of
//! `diagnose` support, with arguments no wider than what was observed. Its decision must be the same without any
//! text of the server. Whatever goes wrong, the playbook decides, and the reason is recorded.

use std::sync::Arc;

use crate::config::Config;
use crate::config::agent::{AgentConfig, AskLimits, Price, Provider};
use crate::domain::consult::{Record, Spend};
use crate::ports::model::{Ask, Message, Model, ModelError, Reply};

mod advise;
mod answer;
mod ask;
mod case;
mod check;
pub mod clean;
mod decide;
mod explore;
mod fit;
mod inspected;
mod looks;
mod narrative;
mod node;
mod openai;
mod prompt;
mod redact;
mod reply;
mod talk;
mod tape;
mod thoughts;
mod tools;
pub mod trial;

#[cfg(test)]
mod tests;

pub use advise::{Question, advise};
pub use ask::{Inquiry, question};
pub use narrative::section as narrative;
pub use redact::Redactor;
pub use talk::Before;

/// Where what is to be recorded of a consultation goes, as it happens.
pub type Recording<'a> = &'a (dyn Fn(Record) + Send + Sync);

/// A model that may be asked, and its bounds.
pub struct Advisor {
    model: Arc<dyn Model>,
    config: AgentConfig,
    redactor: Redactor,
    name: String,
}

impl Advisor {
    /// The model the configuration names; `None` where the playbook decides alone.
    pub fn of(config: &Config) -> Result<Option<Self>, ModelError> {
        let agent = &config.agent;
        if !agent.is_on() {
            return Ok(None);
        }
        let model = model(agent)?;
        Ok(Some(Self::with(model, agent.clone(), Redactor::of(config))))
    }

    /// Any model, within the bounds of a configuration.
    pub fn with(model: Arc<dyn Model>, config: AgentConfig, redactor: Redactor) -> Self {
        let provider = config.provider.unwrap_or(Provider::Compatible).as_str();
        let name = clean::plain(&format!("{provider}/{}", config.model), 80);
        Self { model, config, redactor, name }
    }

    /// What its decisions are recorded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn provider(&self) -> &'static str {
        self.config.provider.unwrap_or(Provider::Compatible).as_str()
    }

    fn model_name(&self) -> &str {
        &self.config.model
    }

    /// Leads its lines in the log.
    fn short_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    fn limits(&self) -> &AskLimits {
        &self.config.limits
    }

    /// What a call cost. A server that does not count is not free: its tokens are guessed from the lengths.
    fn cost(&self, ask: &Ask, reply: &Reply) -> Spend {
        const CHARS_PER_TOKEN: usize = 3;
        let guess = |chars: usize| (chars / CHARS_PER_TOKEN) as u64 + 1;
        let counted = |tokens: u64, chars: usize| if tokens > 0 { tokens } else { guess(chars) };
        let sent = ask.messages.iter().map(length).sum();
        let said = reply.calls.iter().map(|call| call.arguments.len()).sum::<usize>();
        let tokens_in = counted(reply.tokens_in, sent);
        let tokens_out = counted(reply.tokens_out, said + reply.text.len());
        // A recording was paid for when it was made.
        let price = if self.config.replay.is_some() { Price::default() } else { self.config.price };
        let micro = |tokens: u64, price: u64| tokens.saturating_mul(price) / 1_000_000;
        let micro_usd = micro(tokens_in, price.tokens_in) + micro(tokens_out, price.tokens_out);
        Spend { tokens_in, tokens_out, micro_usd }
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::System { text } | Message::User { text } | Message::Tool { text, .. } => {
            text.len()
        }
        Message::Assistant { text, calls } => {
            text.len() + calls.iter().map(|call| call.arguments.len()).sum::<usize>()
        }
    }
}

/// The recording where there is one to replay, else the server; recorded where that is wanted.
fn model(config: &AgentConfig) -> Result<Arc<dyn Model>, ModelError> {
    if let Some(path) = &config.replay {
        return Ok(Arc::new(tape::Player::new(path)?));
    }
    let server: Arc<dyn Model> = Arc::new(openai::OpenAi::new(config)?);
    Ok(match &config.record {
        Some(path) => Arc::new(tape::Recorder::new(server, path)?),
        None => server,
    })
}
