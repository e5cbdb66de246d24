//! `[http]`: where the service listens, who may ask it for what, and how much.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file::Span;
use super::layers::{Layers, Setting, Source};
use super::target::beside;

/// How a digest of a token is written.
const DIGEST: &str = "sha256:";

/// The service as configured. It listens only where `listen` says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: Option<SocketAddr>,
    /// Nobody needs a token. Only on the loopback interface.
    pub open: bool,
    pub tokens: Vec<TokenConfig>,
    pub tls: Option<KeyPair>,
    pub limits: HttpLimits,
}

/// A certificate with its chain, and its key; both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// Somebody who may ask, known by the digest of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// Stands in the records.
    pub name: String,
    pub role: Role,
    /// SHA-256 of the token. It has 256 bits of its own, so nothing slower is needed.
    pub digest: [u8; 32],
}

/// What somebody may ask for; a later one may do all that an earlier one may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Decides, injects, queries.
    Operator,
    /// Restores and migrates, and exports the records.
    Admin,
}

impl Role {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Bounds of what any one client takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    pub body_kb: u32,
    /// For the head of a request, and for its body.
    pub request_time: Duration,
    /// A client that takes nothing for this long is cut off.
    pub write_time: Duration,
    pub connections: u32,
    /// Of one caller; twice as many at once.
    pub requests_per_s: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_kb: 1_024,
            request_time: Duration::from_secs(10),
            write_time: Duration::from_secs(30),
            connections: 512,
            requests_per_s: 100,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HttpSection {
    listen: Option<Address>,
    open: Option<bool>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    body_kb: Option<u32>,
    request_time: Option<Span>,
    write_time: Option<Span>,
    connections: Option<u32>,
    requests_per_s: Option<u32>,
    #[serde(rename = "token")]
    tokens: Vec<TokenEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: String,
    role: Role,
    digest: String,
}

/// What the command line says about listening.
#[derive(Clone, Debug, Default)]
pub struct HttpFlags {
    pub listen: Option<SocketAddr>,
    pub open: bool,
}

/// An address as people write it: `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080`, `:8080`.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let full = match text.split_once(':') {
        Some(("localhost" | "", port)) => format!("127.0.0.1:{port}"),
        _ => text.to_owned(),
    };
    full.parse().map_err(|_| {
        format!("`{text}` is no address; write it like `127.0.0.1:8080` or `[::]:8080`")
    })
}

#[derive(Clone, Copy, Debug)]
struct Address(SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        address(&String::deserialize(from)?).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Setting for Address {
    fn read(text: &str) -> Result<Self, String> {
        address(text).map(Self)
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Puts the section together and refuses a door that stands open to others.
pub(super) fn http(
    layers: &mut Layers<'_>,
    file: HttpSection,
    flags: &HttpFlags,
    reserved: &[&str],
) -> HttpConfig {
    let flag = flags.listen.map(|at| ("--listen", Address(at)));
    let listen = layers.pick_under("http.listen", flag, file.listen).map(|at| at.0);
    if listen.is_none() {
        layers.remember("http.listen", "nowhere".into(), Source::Default);
    }
    let open = match flags.open {
        true => layers.pick_under("http.open", Some(("--open", true)), None).unwrap_or(true),
        false => layers.pick("http.open", file.open, false),
    };
    let config = HttpConfig {
        listen,
        open,
        tls: key_pair(layers, file.cert_file, file.key_file),
        tokens: tokens(layers, file.tokens, reserved),
        limits: limits(
            layers,
            &HttpNumbers {
                body_kb: file.body_kb,
                request_time: file.request_time,
                write_time: file.write_time,
                connections: file.connections,
                requests_per_s: file.requests_per_s,
            },
        ),
    };
    check(layers, &config);
    config
}

struct HttpNumbers {
    body_kb: Option<u32>,
    request_time: Option<Span>,
    write_time: Option<Span>,
    connections: Option<u32>,
    requests_per_s: Option<u32>,
}

fn limits(layers: &mut Layers<'_>, file: &HttpNumbers) -> HttpLimits {
    let usual = HttpLimits::default();
    let mut time = |key: &str, given: Option<Span>, usual: Duration| {
        let span = layers.pick(key, given, Span(usual));
        if span.0 < Duration::from_millis(100) {
            layers.refuse(key, format_args!("`{key}` must be at least 100ms"));
        }
        span.0
    };
    let request_time = time("http.request_time", file.request_time, usual.request_time);
    let write_time = time("http.write_time", file.write_time, usual.write_time);
    HttpLimits {
        request_time,
        write_time,
        body_kb: layers.pick("http.body_kb", file.body_kb, usual.body_kb),
        connections: layers.pick("http.connections", file.connections, usual.connections),
        requests_per_s: layers.pick(
            "http.requests_per_s",
            file.requests_per_s,
            usual.requests_per_s,
        ),
    }
}

fn key_pair(
    layers: &mut Layers<'_>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
) -> Option<KeyPair> {
    let mut file = |key: &str, given: Option<PathBuf>| {
        let given = given.map(|path| beside(&layers.text.path, &path));
        layers.pick_under(key, None, given)
    };
    let (cert, key) = (file("http.cert_file", cert_file), file("http.key_file", key_file));
    match (cert, key) {
        (None, None) => None,
        (Some(cert_file), Some(key_file)) => Some(KeyPair { cert_file, key_file }),
        (Some(_), None) => {
            layers.refuse("http.cert_file", "`http.cert_file` needs `http.key_file`; add it");
            None
        }
        (None, Some(_)) => {
            layers.refuse("http.key_file", "`http.key_file` needs `http.cert_file`; add it");
            None
        }
    }
}

fn tokens(
    layers: &mut Layers<'_>,
    entries: Vec<TokenEntry>,
    reserved: &[&str],
) -> Vec<TokenConfig> {
    let mut tokens: Vec<TokenConfig> = Vec::new();
    for (index, TokenEntry { name, role, digest }) in entries.into_iter().enumerate() {
        let key = format!("http.token[{index}]");
        let printable = !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control);
        if !printable || name.trim() != name {
            let problem = "a token needs a `name` of 1 to 64 printable characters";
            layers.refuse(&format!("{key}.name"), problem);
        }
        if reserved.contains(&name.as_str()) {
            layers.refuse(
                &format!("{key}.name"),
                format_args!("`{name}` is a part of simctl; name the token after who has it"),
            );
        }
        if tokens.iter().any(|other| other.name == name) {
            layers.refuse(
                &format!("{key}.name"),
                format_args!("token `{name}` is there twice; rename or remove one"),
            );
        }
        let Some(digest) = read_digest(&digest) else {
            layers.refuse(
                &format!("{key}.digest"),
                format_args!(
                    "`{key}.digest` is no digest; `simctl token new {name}` prints one, never the token itself"
                ),
            );
            continue;
        };
        let source = layers.source(&key);
        layers.remember(&format!("http.token.{name}"), role.as_str().into(), source);
        tokens.push(TokenConfig { name, role, digest });
    }
    tokens
}

/// `sha256:` and 64 hexadecimal digits.
fn read_digest(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix(DIGEST)?;
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut digest = [0u8; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// A digest as the file has it.
pub fn digest_text(digest: &[u8]) -> String {
    format!("{DIGEST}{}", crate::domain::proposal::hex(digest))
}

fn check(layers: &mut Layers<'_>, config: &HttpConfig) {
    let Some(at) = config.listen else { return };
    if config.open && !at.ip().is_loopback() {
        layers.refuse(
            "http.open",
            format_args!(
                "`http.open` lets everybody in who reaches {at}; listen on 127.0.0.1, or use tokens"
            ),
        );
    }
    if !config.open && config.tokens.is_empty() {
        layers.refuse(
            "http.listen",
            format_args!(
                "nobody may ask {at}: make a token with `simctl token new NAME`, or on this machine alone \
                 open it with `--open`"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for (text, meant) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost:80", "127.0.0.1:80"),
            (":9000", "127.0.0.1:9000"),
            ("[::1]:1", "[::1]:1"),
            (" 0.0.0.0:0 ", "0.0.0.0:0"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), meant);
        }
        for bad in ["", "8080", "example.org:80", "127.0.0.1", ":x", "1.2.3.4:70000"] {
            assert!(address(bad).unwrap_err().contains("write it like"), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_written_and_read_and_a_token_is_none() {
        let digest = [7u8; 32];
        assert_eq!(read_digest(&digest_text(&digest)), Some(digest));
        let long = format!("{}00", digest_text(&digest));
        for bad in ["", "sha256:", "simctl_0707", &"g".repeat(71), &long, "sha256:é"] {
            assert_eq!(read_digest(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_later_role_may_do_what_an_earlier_one_may() {
        assert!(Role::Admin > Role::Operator && Role::Operator > Role::Viewer);
    }
}
