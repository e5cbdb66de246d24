//! One value out of four layers: default < file < environment < flag, remembering which one it was.

use std::fmt;
use std::path::PathBuf;

use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

use super::RuntimeChoice;
use super::file::Span;
use super::secret::Secret;
use super::text::FileText;
use super::url::masked;
use crate::domain::incident::RemediationMode;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Env(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// One effective value, masked, for `config show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub key: String,
    pub value: String,
    pub source: Source,
}

/// A value that every layer can give.
pub(super) trait Setting: Sized {
    /// Reads it from a variable; the reason says what to write instead.
    fn read(text: &str) -> Result<Self, String>;
    /// What people may see of it.
    fn show(&self) -> String;
    /// Why this value cannot be meant, if so.
    fn refuse(&self) -> Option<&'static str> {
        None
    }
}

/// The layers below the flags, and what was found in them so far.
pub(super) struct Layers<'a> {
    pub(super) text: &'a FileText,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) shown: Vec<Shown>,
    pub(super) problems: Vec<String>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(text: &'a FileText, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { text, env, shown: Vec::new(), problems: Vec::new() }
    }

    /// A value that has a default.
    pub(super) fn pick<T: Setting>(&mut self, key: &str, file: Option<T>, default: T) -> T {
        self.pick_under(key, None, file).unwrap_or_else(|| {
            self.remember(key, default.show(), Source::Default);
            default
        })
    }

    /// A value that a flag may give and that may be missing altogether.
    pub(super) fn pick_under<T: Setting>(
        &mut self,
        key: &str,
        flag: Option<(&'static str, T)>,
        file: Option<T>,
    ) -> Option<T> {
        let (value, source) = match flag {
            Some((name, value)) => (value, Source::Flag(name)),
            None => match self.in_environment(key) {
                Some(given) => given,
                None => (file?, self.source(key)),
            },
        };
        if let Some(reason) = value.refuse() {
            self.problems.push(format!("{source}: `{key}` is {}; {reason}", value.show()));
        }
        self.remember(key, value.show(), source);
        Some(value)
    }

    fn in_environment<T: Setting>(&mut self, key: &str) -> Option<(T, Source)> {
        let name = env_name(key);
        let text = (self.env)(&name).filter(|text| !text.is_empty())?;
        match T::read(&text) {
            Ok(value) => Some((value, Source::Env(name))),
            Err(reason) => {
                self.problems.push(format!("environment variable {name}: {reason}"));
                None
            }
        }
    }

    pub(super) fn remember(&mut self, key: &str, value: String, source: Source) {
        self.shown.push(Shown { key: key.to_owned(), value, source });
    }

    /// The file's place of a key, or `default` where the file does not have it.
    pub(super) fn source(&self, key: &str) -> Source {
        match self.text.line(key).filter(|_| self.text.has(key)) {
            Some(line) => Source::File { path: self.text.path.clone(), line },
            None => Source::Default,
        }
    }

    /// Notes what is wrong at a key.
    pub(super) fn refuse(&mut self, key: &str, what: impl fmt::Display) {
        let place = match self.text.line(key) {
            Some(line) => format!("{}:{line}: ", self.text.path.display()),
            None => self
                .shown
                .iter()
                .find(|shown| shown.key == key && shown.source != Source::Default)
                .map_or_else(String::new, |shown| format!("{}: ", shown.source)),
        };
        self.problems.push(format!("{place}{what}"));
    }
}

/// `lab.redis_port` is `SIMCTL_LAB_REDIS_PORT`; what has a flag is named like the flag.
pub(super) fn env_name(key: &str) -> String {
    match key {
        "store.url" => "SIMCTL_STORE".into(),
        "lab.runtime" => "SIMCTL_RUNTIME".into(),
        "policy.remediation" => "SIMCTL_REMEDIATION".into(),
        other => format!("SIMCTL_{}", other.replace('.', "_").to_uppercase()),
    }
}

impl Setting for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn show(&self) -> String {
        self.clone()
    }
    fn refuse(&self) -> Option<&'static str> {
        self.trim().is_empty().then_some("write a name")
    }
}

impl Setting for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(format!("`{text}` is neither `true` nor `false`")),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u16 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is no port; write a number from 1 to 65535"))
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn refuse(&self) -> Option<&'static str> {
        (*self == 0).then_some("write a port from 1 to 65535")
    }
}

macro_rules! counts {
    ($($count:ty)*) => {$(
        impl Setting for $count {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("`{text}` is no whole number"))
            }
            fn show(&self) -> String {
                self.to_string()
            }
            fn refuse(&self) -> Option<&'static str> {
                (*self == 0).then_some("write 1 or more")
            }
        }
    )*};
}

counts! { u32 usize }

impl Setting for Span {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }
    fn show(&self) -> String {
        std::path::absolute(self).as_ref().unwrap_or(self).display().to_string()
    }
}

/// A store's URL.
impl Setting for Secret {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }
    fn show(&self) -> String {
        masked(self.reveal())
    }
}

pub(super) fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    let words: StrDeserializer<'_, Error> = text.into_deserializer();
    T::deserialize(words)
        .map_err(|error| error.to_string().replace("expected", "write").replace("variant", "word"))
}

impl Setting for RuntimeChoice {
    fn read(text: &str) -> Result<Self, String> {
        word(text)
    }
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Setting for RemediationMode {
    fn read(text: &str) -> Result<Self, String> {
        word(text)
    }
    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}
