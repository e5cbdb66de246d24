//! A model that can be asked: one call at a time, its words as they arrive.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::consult::ToolCall;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Message {
    /// The rules, from us.
    System { text: String },
    /// The case, from us.
    User { text: String },
    /// What the model said before.
    Assistant { text: String, calls: Vec<ToolCall> },
    /// What a tool it called gave.
    Tool { call: String, text: String },
}

/// A tool that is offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub about: String,
    /// JSON schema of its arguments.
    pub arguments: Value,
}

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    /// The tool that must be called, where one must.
    pub must_call: Option<String>,
    /// The JSON schema the answer must have.
    pub answer: Option<Value>,
    pub answer_tokens: u32,
    pub stream: bool,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub text: String,
    pub calls: Vec<ToolCall>,
    pub tokens_in: u64,
    pub tokens_out: u64,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum ModelError {
    #[error("the model's server cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// It answered, and not with a reply.
    #[error("the model's server refused with status {status}: {said}")]
    Refused { status: u16, said: String },
    #[error("the model's server asks to wait{}", waits(*.after_s))]
    Busy { after_s: Option<u64> },
    #[error("the model did not answer within {after_ms} ms")]
    TimedOut { after_ms: u64 },
    /// The connection ended in the middle of a reply.
    #[error("the model's reply broke off")]
    BrokenOff,
    #[error("the model's reply cannot be read: {reason}")]
    Unreadable { reason: String },
    /// A recording has no such reply.
    #[error("the recording {file}: {reason}")]
    Recording { file: String, reason: String },
}

fn waits(after_s: Option<u64>) -> String {
    after_s.map_or_else(String::new, |seconds| format!(" {seconds} s"))
}

/// Takes pieces of the reply's text as they arrive.
pub type Hear<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A model.
#[async_trait]
pub trait Model: Send + Sync {
    /// Asks once. `within` bounds all of it, with every repetition.
    async fn ask(&self, ask: &Ask, within: Duration, hear: Hear<'_>) -> Result<Reply, ModelError>;
}
