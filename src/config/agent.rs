//! `[agent]`: which model may be asked, where, and how much. Without a provider the playbook decides alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::file::Span;
use super::layers::{Layers, Setting, Source};
use super::secret::Secret;
use super::target::beside;

/// Which model may be asked, and within which bounds. The default is none.
#[derive(Clone, Debug, Default)]
pub struct AgentConfig {
    /// `None`: the playbook decides alone.
    pub provider: Option<Provider>,
    pub base_url: String,
    /// Empty: none was named.
    pub model: String,
    pub key: Option<Secret>,
    /// Where a key is looked for, in words.
    pub key_from: String,
    pub share: Share,
    /// Whether replies are asked for as they arrive.
    pub stream: bool,
    pub limits: AskLimits,
    pub price: Price,
    /// Every exchange is added to this file.
    pub record: Option<PathBuf>,
    /// Replies come out of this file, and nothing goes over the network.
    pub replay: Option<PathBuf>,
}

/// Whose protocol details apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    OpenAi,
    Groq,
    Gemini,
    Ollama,
    /// Any other server with the same protocol.
    Compatible,
}

/// What is known of a provider.
struct Preset {
    word: &'static str,
    base_url: &'static str,
    /// The variable its key is usually in; empty: it needs none.
    key_env: &'static str,
}

impl Provider {
    fn preset(self) -> Preset {
        let (word, base_url, key_env) = match self {
            Self::OpenAi => ("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
            Self::Groq => ("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
            Self::Gemini => (
                "gemini",
                "https://generativelanguage.googleapis.com/v1beta/openai",
                "GEMINI_API_KEY",
            ),
            Self::Ollama => ("ollama", "http://127.0.0.1:11434/v1", ""),
            Self::Compatible => ("compatible", "", ""),
        };
        Preset { word, base_url, key_env }
    }

    /// The word people read.
    pub fn as_str(self) -> &'static str {
        self.preset().word
    }

    /// Whether it answers nobody without a key.
    pub fn needs_key(self) -> bool {
        !self.preset().key_env.is_empty()
    }

    /// The name it has for the most tokens of a reply.
    pub fn answer_limit(self) -> &'static str {
        match self {
            Self::OpenAi => "max_completion_tokens",
            Self::Groq | Self::Gemini | Self::Ollama | Self::Compatible => "max_tokens",
        }
    }
}

/// How much may leave this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// Figures only: every text of a server is a placeholder.
    Metrics,
    /// Texts of servers too, without query literals.
    #[default]
    Evidence,
    /// Query literals too. Passwords and tokens never leave.
    Full,
}

impl Share {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Evidence => "evidence",
            Self::Full => "full",
        }
    }
}

/// The bounds of one investigation, and of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskLimits {
    /// Replies in which the model may look around.
    pub turns: u32,
    /// Tokens per incident, both ways.
    pub tokens: u64,
    /// Of one reply.
    pub answer_tokens: u32,
    /// All calls of one investigation together.
    pub time: Duration,
    pub micro_usd_per_incident: u64,
    pub micro_usd_per_day: u64,
    /// So many failed investigations in a row and it is left alone for `rest`.
    pub failures: u32,
    pub rest: TimeDelta,
}

impl Default for AskLimits {
    fn default() -> Self {
        Self {
            turns: 6,
            tokens: 100_000,
            answer_tokens: 2_000,
            time: Duration::from_secs(40),
            micro_usd_per_incident: 500_000,
            micro_usd_per_day: 5_000_000,
            failures: 3,
            rest: TimeDelta::minutes(10),
        }
    }
}

/// Millionths of a dollar for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    pub tokens_in: u64,
    pub tokens_out: u64,
}

impl AgentConfig {
    /// Whether a model can be asked at all: one is chosen, and what it needs is there.
    pub fn is_on(&self) -> bool {
        let Some(provider) = self.provider else { return false };
        let may_ask = self.key.is_some() || !provider.needs_key() || self.replay.is_some();
        may_ask && !self.model.is_empty()
    }
}

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AgentSection {
    provider: Option<Provider>,
    base_url: Option<String>,
    model: Option<String>,
    key_env: Option<String>,
    key_file: Option<PathBuf>,
    share: Option<Share>,
    stream: Option<bool>,
    turns: Option<u32>,
    tokens: Option<u32>,
    answer_tokens: Option<u32>,
    time: Option<Span>,
    usd_per_incident: Option<f64>,
    usd_per_day: Option<f64>,
    usd_per_million_in: Option<f64>,
    usd_per_million_out: Option<f64>,
    failures: Option<u32>,
    rest: Option<Span>,
    record: Option<PathBuf>,
    replay: Option<PathBuf>,
}

/// What the command line says about recordings.
#[derive(Clone, Debug, Default)]
pub struct TapeFlags {
    pub record: Option<PathBuf>,
    pub replay: Option<PathBuf>,
}

/// `investigation`: how long the engine waits for a diagnosis; the playbook must still have its turn in it.
pub(super) fn agent(
    layers: &mut Layers<'_>,
    file: AgentSection,
    tape: &TapeFlags,
    investigation: TimeDelta,
) -> AgentConfig {
    let provider = layers.pick_under("agent.provider", None, file.provider);
    if provider.is_none() {
        layers.remember("agent.provider", "none, the playbook decides".into(), Source::Default);
    }
    let preset = provider.unwrap_or(Provider::Compatible).preset();
    let base_url = layers.pick_under("agent.base_url", None, file.base_url);
    let base_url = base_url.unwrap_or_else(|| preset.base_url.to_owned());
    check_url(layers, provider, &base_url);
    let model = layers.pick_under("agent.model", None, file.model).unwrap_or_default();
    let (key, key_from) = key(layers, file.key_env, file.key_file.as_deref(), preset.key_env);
    let config = AgentConfig {
        provider,
        base_url: base_url.trim_end_matches('/').to_owned(),
        model,
        key,
        key_from,
        share: layers.pick("agent.share", file.share, Share::default()),
        stream: layers.pick("agent.stream", file.stream, true),
        price: Price {
            tokens_in: money(layers, "agent.usd_per_million_in", file.usd_per_million_in, 0),
            tokens_out: money(layers, "agent.usd_per_million_out", file.usd_per_million_out, 0),
        },
        limits: AskLimits {
            turns: layers.pick("agent.turns", file.turns, AskLimits::default().turns),
            tokens: layers.pick("agent.tokens", file.tokens, 100_000).into(),
            answer_tokens: layers.pick("agent.answer_tokens", file.answer_tokens, 2_000),
            time: layers.pick("agent.time", file.time, Span(AskLimits::default().time)).0,
            micro_usd_per_incident: money(
                layers,
                "agent.usd_per_incident",
                file.usd_per_incident,
                AskLimits::default().micro_usd_per_incident,
            ),
            micro_usd_per_day: money(
                layers,
                "agent.usd_per_day",
                file.usd_per_day,
                AskLimits::default().micro_usd_per_day,
            ),
            failures: layers.pick("agent.failures", file.failures, AskLimits::default().failures),
            rest: rest(layers, file.rest),
        },
        record: file_of(layers, "agent.record", ("--record", &tape.record), file.record),
        replay: file_of(layers, "agent.replay", ("--replay", &tape.replay), file.replay),
    };
    check(layers, &config, investigation);
    config
}

fn rest(layers: &mut Layers<'_>, file: Option<Span>) -> TimeDelta {
    let default = AskLimits::default().rest.to_std().unwrap_or_default();
    let picked = layers.pick("agent.rest", file, Span(default)).0;
    TimeDelta::from_std(picked).unwrap_or(TimeDelta::MAX)
}

fn file_of(
    layers: &mut Layers<'_>,
    key: &str,
    (flag, given): (&'static str, &Option<PathBuf>),
    file: Option<PathBuf>,
) -> Option<PathBuf> {
    let file = file.map(|path| beside(&layers.text.path, &path));
    layers.pick_under(key, given.clone().map(|path| (flag, path)), file)
}

fn check_url(layers: &mut Layers<'_>, provider: Option<Provider>, url: &str) {
    let is_http = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    if provider.is_none() || is_http && !url.contains(['?', '#', '@']) {
        return;
    }
    layers.refuse(
        "agent.base_url",
        "`agent.base_url` must be like `https://host/v1`, without a login in it; the key goes to `agent.key_env`",
    );
}

fn check(layers: &mut Layers<'_>, config: &AgentConfig, investigation: TimeDelta) {
    /// For gathering facts before, and for the playbook after.
    const BESIDE: Duration = Duration::from_secs(15);
    if config.provider.is_none() {
        return;
    }
    if config.model.is_empty() && config.replay.is_none() {
        layers.refuse("agent", "`agent.provider` needs `agent.model`; write the model's name");
    }
    let all = investigation.to_std().unwrap_or_default();
    if config.limits.time + BESIDE > all {
        let text = Span(all);
        layers.refuse(
            "agent.time",
            format_args!(
                "`agent.time` must be at least 15s shorter than `limits.investigation` ({text}), so that the \
                 playbook has its turn"
            ),
        );
    }
}

/// A key out of `SIMCTL_AGENT_KEY`, the named variable or file, or the provider's usual variable. A missing one
/// is no mistake: the playbook works without.
fn key(
    layers: &mut Layers<'_>,
    env: Option<String>,
    file: Option<&Path>,
    usual: &str,
) -> (Option<Secret>, String) {
    const OWN: &str = "SIMCTL_AGENT_KEY";
    let given = |name: &str| (layers.env)(name).map(|text| text.trim().to_owned());
    let set = |name: &str| given(name).filter(|text| !text.is_empty());
    let name = env.unwrap_or_else(|| usual.to_owned());
    let named = (!name.is_empty()).then(|| name.clone());
    let from = [Some(OWN.to_owned()), named, file.map(|path| path.display().to_string())];
    let from: Vec<String> = from.into_iter().flatten().collect();
    let from = from.join(", ");
    if let Some(text) = set(OWN) {
        layers.remember("agent.key", "***".into(), Source::Env(OWN.into()));
        return (Some(Secret::new(text)), from);
    }
    if let Some(text) = set(&name).filter(|_| !name.is_empty()) {
        layers.remember("agent.key", "***".into(), Source::Env(name));
        return (Some(Secret::new(text)), from);
    }
    let Some(path) = file else { return (None, from) };
    let path = beside(&layers.text.path, path);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let source = layers.source("agent.key_file");
            layers.remember("agent.key", "***".into(), source);
            (Some(Secret::new(text.trim())), from)
        }
        Err(error) => {
            layers.refuse(
                "agent.key_file",
                format_args!(
                    "`agent.key_file`: cannot read {}: {error}; correct the path or its rights",
                    path.display()
                ),
            );
            (None, from)
        }
    }
}

/// Dollars as they are written; kept in millionths.
fn money(layers: &mut Layers<'_>, key: &str, file: Option<f64>, default: u64) -> u64 {
    const MOST: f64 = 1e6;
    let usd = layers.pick(key, file, default as f64 / 1e6);
    if !(0.0..=MOST).contains(&usd) {
        layers.refuse(key, format_args!("`{key}` must be from 0 to 1000000 dollars"));
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range by the guard"
    )]
    let micros = (usd * 1e6).round() as u64;
    micros
}

impl Setting for f64 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is no number"))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Provider {
    fn read(text: &str) -> Result<Self, String> {
        super::layers::word(text)
    }
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Setting for Share {
    fn read(text: &str) -> Result<Self, String> {
        super::layers::word(text)
    }
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Flags, load};

    /// The section and these variables as a configuration, or what is wrong with it.
    fn read(section: &str, env: &[(&str, &str)]) -> Result<AgentConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("simctl.toml");
        std::fs::write(&file, section).unwrap();
        std::fs::write(dir.path().join("key"), "from-file\n").unwrap();
        let flags =
            Flags { config: Some(file), state_dir: Some(dir.path().into()), ..Flags::default() };
        let find = |name: &str| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        load(&flags, &find).map(|loaded| loaded.config.agent).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_provider_or_a_key_the_playbook_decides_and_nothing_is_wrong() {
        let key = ("OPENAI_API_KEY", "k");
        assert!(!read("", &[key]).unwrap().is_on(), "a key alone chooses nothing");
        let openai = "[agent]\nprovider = \"openai\"\nmodel = \"gpt-x\"\n";
        assert!(!read(openai, &[]).unwrap().is_on());
        assert!(read(openai, &[key]).unwrap().is_on());
        let ollama = "[agent]\nprovider = \"ollama\"\nmodel = \"llama\"\n";
        let local = read(ollama, &[]).unwrap();
        assert!(local.is_on() && local.base_url == "http://127.0.0.1:11434/v1");
        assert!(
            read("", &[("SIMCTL_AGENT_PROVIDER", "ollama"), ("SIMCTL_AGENT_MODEL", "x")])
                .unwrap()
                .is_on()
        );
    }

    #[test]
    fn a_key_comes_from_where_it_is_said_and_is_never_shown() {
        let section =
            "[agent]\nprovider = \"groq\"\nmodel = \"m\"\nkey_env = \"MINE\"\nkey_file = \"key\"\n";
        let revealed = |env: &[(&str, &str)]| {
            let config = read(section, env).unwrap();
            assert!(!format!("{config:?}").contains("from-"), "{config:?}");
            config.key.map(|key| key.reveal().to_owned())
        };
        assert_eq!(revealed(&[]).as_deref(), Some("from-file"));
        assert_eq!(revealed(&[("GROQ_API_KEY", "from-usual")]).as_deref(), Some("from-file"));
        assert_eq!(revealed(&[("MINE", " from-env ")]).as_deref(), Some("from-env"));
        let both = [("MINE", "from-env"), ("SIMCTL_AGENT_KEY", "from-own")];
        assert_eq!(revealed(&both).as_deref(), Some("from-own"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (section, said) in [
            ("provider = \"openai\"", "needs `agent.model`"),
            (
                "provider = \"compatible\"\nmodel = \"m\"",
                "simctl.toml:1: `agent.base_url` must be like",
            ),
            (
                "provider = \"compatible\"\nmodel = \"m\"\nbase_url = \"http://u:p@h/v1\"",
                "simctl.toml:4: `agent.base_url`",
            ),
            (
                "provider = \"openai\"\nmodel = \"m\"\ntime = \"50s\"",
                "simctl.toml:4: `agent.time` must be at least 15s shorter",
            ),
            ("usd_per_day = -1.0", "simctl.toml:2: `agent.usd_per_day` must be from 0"),
            ("share = \"all\"", "simctl.toml:2"),
            ("turns = 0", "write 1 or more"),
            ("key_file = \"nowhere\"", "cannot read"),
            ("temperature = 1", "temperature"),
        ] {
            let wrong = read(&format!("[agent]\n{section}\n"), &[]).unwrap_err();
            assert!(wrong.contains(said), "{section}: {wrong}\nwanted: {said}");
        }
    }

    #[test]
    fn money_is_kept_in_millionths() {
        let section = "[agent]\nusd_per_incident = 0.25\nusd_per_million_out = 10.0\n";
        let config = read(section, &[]).unwrap();
        assert_eq!(config.limits.micro_usd_per_incident, 250_000);
        assert_eq!(config.price, Price { tokens_in: 0, tokens_out: 10_000_000 });
        assert_eq!(config.limits.micro_usd_per_day, AskLimits::default().micro_usd_per_day);
    }
}
