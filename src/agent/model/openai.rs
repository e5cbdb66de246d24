//! Asks any server that speaks OpenAI's chat protocol, streamed or not. Waits where it is told to, a little.

use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::reply::{self, Growing};
use crate::config::agent::{AgentConfig, Provider};
use crate::ports::model::{Ask, Hear, Message, Model, ModelError, Reply};

/// A server that asks for longer than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Before a call is repeated that failed without a word about when.
const PAUSE: Duration = Duration::from_millis(500);
const REPEATS: u32 = 2;
const CONNECT: Duration = Duration::from_secs(5);
/// So much of an error's body is kept.
const SAID: usize = 300;
/// A reply longer than this is nothing but noise.
const LONGEST_REPLY: usize = 256 * 1024;
/// More than that is not read of anything, whatever it is made of.
const LONGEST_BODY: usize = 16 * 1024 * 1024;
const LONGEST_ERROR: usize = 64 * 1024;

/// A model behind an OpenAI-compatible server.
pub(super) struct OpenAi {
    client: Client<OpenAIConfig>,
    provider: Provider,
    model: String,
}

impl OpenAi {
    /// Prepares to ask; connects to nothing.
    pub(super) fn new(config: &AgentConfig) -> Result<Self, ModelError> {
        let http = http_client(&config.base_url)?;
        let key = config.key.as_ref().map_or("", |key| key.reveal());
        // Set even when empty: else the library takes what the environment happens to hold.
        let login = OpenAIConfig::new()
            .with_api_base(config.base_url.clone())
            .with_api_key(key)
            .with_org_id("")
            .with_project_id("");
        // In place of the library's own repetition, which waits as long as a server likes and tells nobody.
        let service = tower::service_fn(move |request: HttpRequestFactory| {
            let http = http.clone();
            async move { send(&http, request).await }
        });
        let client = Client::with_config(login).with_http_service(service);
        let provider = config.provider.unwrap_or(Provider::Compatible);
        Ok(Self { client, provider, model: config.model.clone() })
    }

    fn body(&self, ask: &Ask) -> Value {
        let mut body = json!({
            "model": self.model,
            "messages": ask.messages.iter().map(message).collect::<Vec<_>>(),
        });
        body[self.provider.answer_limit()] = json!(ask.answer_tokens);
        if !ask.tools.is_empty() {
            body["tools"] = ask.tools.iter().map(reply::tool).collect();
            body["parallel_tool_calls"] = json!(false);
        }
        if let Some(name) = &ask.must_call {
            body["tool_choice"] = json!({"type": "function", "function": {"name": name}});
        }
        if let Some(schema) = &ask.answer {
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": true, "schema": schema},
            });
        }
        if ask.stream {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    async fn once(&self, ask: &Ask, body: &Value, hear: Hear<'_>) -> Result<Reply, ModelError> {
        let chat = self.client.chat();
        if !ask.stream {
            let whole: Value = chat.create_byot(body).await.map_err(told)?;
            let reply = reply::whole(&whole)?;
            reply::bounded(&reply, LONGEST_REPLY)?;
            hear(&reply.text);
            return Ok(reply);
        }
        let mut pieces = chat.create_stream_byot::<_, Value>(body).await.map_err(told)?;
        let mut growing = Growing::default();
        while let Some(piece) = pieces.next().await {
            growing.add(&piece.map_err(told)?, hear)?;
            reply::bounded(growing.so_far(), LONGEST_REPLY)?;
        }
        growing.end()
    }
}

#[async_trait]
impl Model for OpenAi {
    async fn ask(&self, ask: &Ask, within: Duration, hear: Hear<'_>) -> Result<Reply, ModelError> {
        let until = Instant::now() + within;
        let body = self.body(ask);
        let after_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let mut repeats = 0;
        loop {
            let answered = timeout_at(until, self.once(ask, &body, hear)).await;
            let error = match answered.unwrap_or(Err(ModelError::TimedOut { after_ms })) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let Some(pause) = pause_after(&error).filter(|_| repeats < REPEATS) else {
                return Err(error);
            };
            if Instant::now() + pause >= until {
                return Err(error);
            }
            repeats += 1;
            sleep(pause).await;
        }
    }
}

/// How long to wait before asking the same again; `None` where that cannot help, or takes too long.
fn pause_after(error: &ModelError) -> Option<Duration> {
    match error {
        ModelError::Busy { after_s } => {
            let wait = after_s.map_or(PAUSE, Duration::from_secs);
            (wait <= LONGEST_WAIT).then_some(wait)
        }
        ModelError::Refused { status, .. } => (*status >= 500).then_some(PAUSE),
        ModelError::Unreachable { .. }
        | ModelError::TimedOut { .. }
        | ModelError::BrokenOff
        | ModelError::Unreadable { .. }
        | ModelError::Recording { .. } => None,
    }
}

fn http_client(base_url: &str) -> Result<reqwest::Client, ModelError> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        // A key is for the server that was named, and for no other.
        .redirect(reqwest::redirect::Policy::none());
    // Without TLS there is nothing to trust, and a machine without certificates must still reach a local model.
    let is_plain = base_url.starts_with("http://");
    let builder = if is_plain { builder.tls_certs_only([]) } else { builder };
    builder.build().map_err(|error| ModelError::Unreachable { reason: chain(&error) })
}

/// What a server said instead of a reply, on its way through the library.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Instead(ModelError);

async fn send(
    http: &reqwest::Client,
    request: HttpRequestFactory,
) -> Result<reqwest::Response, tower::BoxError> {
    let request = request.build().await?;
    let response = http.execute(request).await.map_err(|error| {
        let reason = chain(&error.without_url());
        // Converted here: `?` would box the box, which nobody finds again.
        tower::BoxError::from(Instead(ModelError::Unreachable { reason }))
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(bounded(response));
    }
    let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let after_s = after.and_then(|text| text.trim().parse::<f64>().ok());
    let error = if status.as_u16() == 429 {
        ModelError::Busy { after_s: after_s.and_then(whole_seconds) }
    } else {
        let said = match moved_to(&response) {
            Some(place) => {
                format!("it sends on to {place}, and a key is for the server that was named")
            }
            None => reply::said_in_error(&beginning(response).await, SAID),
        };
        ModelError::Refused { status: status.as_u16(), said }
    };
    Err(Box::new(Instead(error)))
}

/// The body of a reply, as far as it may be long.
#[derive(Debug, thiserror::Error)]
#[error("it is longer than {LONGEST_BODY} bytes")]
struct TooLong;

/// The same response, which ends with an error where it becomes too long.
fn bounded(response: reqwest::Response) -> reqwest::Response {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut left = LONGEST_BODY;
    let body = response.bytes_stream().map(move |piece| {
        let piece = piece.map_err(tower::BoxError::from)?;
        left = left.checked_sub(piece.len()).ok_or(TooLong)?;
        Ok::<_, tower::BoxError>(piece)
    });
    let mut bounded = axum::http::Response::new(reqwest::Body::wrap_stream(body));
    (*bounded.status_mut(), *bounded.headers_mut()) = (status, headers);
    bounded.into()
}

/// The beginning of an error's body.
async fn beginning(mut response: reqwest::Response) -> String {
    let mut read = Vec::new();
    while read.len() < LONGEST_ERROR
        && let Ok(Some(piece)) = response.chunk().await
    {
        read.extend_from_slice(&piece[..piece.len().min(LONGEST_ERROR)]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Where a server that moved says it is, without what may be secret in that.
fn moved_to(response: &reqwest::Response) -> Option<String> {
    let place = response.headers().get("location").filter(|_| response.status().is_redirection());
    let place = place?.to_str().ok()?;
    Some(place.split(['?', '#']).next().unwrap_or_default().to_owned())
}

fn whole_seconds(seconds: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range by the guard"
    )]
    (0.0..=1e6).contains(&seconds).then(|| seconds.ceil() as u64)
}

fn told(error: OpenAIError) -> ModelError {
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast::<Instead>() {
            Ok(instead) => instead.0,
            Err(other) => ModelError::Unreachable { reason: other.to_string() },
        },
        OpenAIError::JSONDeserialize(error, _) => {
            ModelError::Unreadable { reason: format!("it is no JSON ({error})") }
        }
        OpenAIError::StreamError(_) | OpenAIError::Reqwest(_) if is_too_long(&error) => {
            ModelError::Unreadable { reason: TooLong.to_string() }
        }
        OpenAIError::StreamError(_) | OpenAIError::Reqwest(_) => ModelError::BrokenOff,
        other => ModelError::Unreadable { reason: other.to_string() },
    }
}

/// Some layers between keep an error as words only.
fn is_too_long(error: &dyn std::error::Error) -> bool {
    chain(error).contains(&TooLong.to_string())
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// A message as the protocol writes it.
pub(super) fn message(message: &Message) -> Value {
    match message {
        Message::System { text } => json!({"role": "system", "content": text}),
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Assistant { text, calls } if calls.is_empty() => {
            json!({"role": "assistant", "content": text})
        }
        Message::Assistant { text, calls } => json!({
            "role": "assistant",
            "content": text,
            "tool_calls": calls.iter().map(reply::call).collect::<Vec<_>>(),
        }),
        Message::Tool { call, text } => {
            json!({"role": "tool", "tool_call_id": call, "content": text})
        }
    }
}
