//! The user's own servers: from URL or parts to a checked [`TargetConfig`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{ProbeSection, Span, TargetEntry, TlsEntry};
use super::layers::{Layers, Setting, Source};
use super::secret::Secret;
use super::url::{self, Parts};
use super::{LAB_TARGETS, LabConfig, TargetConfig, TlsConfig};
use crate::domain::target::{Engine, Periods, Profile, Thresholds};

/// All targets of the file. One that is wrong is left out and noted.
pub(super) fn all(
    layers: &mut Layers<'_>,
    entries: Vec<TargetEntry>,
    lab: &LabConfig,
) -> Vec<TargetConfig> {
    let mut targets: Vec<TargetConfig> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let key = format!("target[{index}]");
        let Some(target) = one(layers, &key, entry) else { continue };
        refuse_clash(layers, &key, &target, &targets, lab);
        targets.push(target);
    }
    targets
}

/// The server at a URL that no file names; it is called by its address.
pub(super) fn at_url(layers: &mut Layers<'_>, url: &Secret) -> Option<TargetConfig> {
    let entry =
        TargetEntry { name: Some("url".into()), url: Some(url.clone()), ..TargetEntry::default() };
    let mut target = one(layers, "--url", entry)?;
    target.id = format!("{}:{}", target.host, target.port).into();
    Some(target)
}

fn refuse_clash(
    layers: &mut Layers<'_>,
    key: &str,
    target: &TargetConfig,
    others: &[TargetConfig],
    lab: &LabConfig,
) {
    let name = target.id.as_str();
    let at = format!("{key}.name");
    if lab.enabled && LAB_TARGETS.contains(&name) {
        let remedy = "choose another, or set `lab.enabled = false`";
        layers.refuse(&at, format_args!("target `{name}` has the name of a lab target; {remedy}"));
    }
    if others.iter().any(|other| other.id == target.id) {
        layers.refuse(&at, format_args!("target `{name}` is there twice; rename one of them"));
        return;
    }
    let same = |other: &&TargetConfig| {
        (&other.host, other.port, &other.database) == (&target.host, target.port, &target.database)
    };
    if let Some(other) = others.iter().find(same) {
        layers.refuse(
            key,
            format_args!("targets `{}` and `{name}` are the same server; remove one", other.id),
        );
    }
    let local = ["localhost", "127.0.0.1", "::1"].contains(&target.host.as_str());
    let lab_ports = [lab.redis_port, lab.postgres_port, lab.store_port];
    if lab.enabled && local && lab_ports.contains(&target.port) {
        layers.refuse(
            key,
            format_args!(
                "target `{name}` uses port {} of the lab; change one of the two",
                target.port
            ),
        );
    }
}

/// What the URL or the parts say about reaching the server.
struct Address {
    engine: Engine,
    host: String,
    port: u16,
    database: String,
    user: Option<String>,
    password: Option<Secret>,
    tls: Option<TlsConfig>,
}

fn one(layers: &mut Layers<'_>, key: &str, entry: TargetEntry) -> Option<TargetConfig> {
    let before = layers.problems.len();
    let name = entry.name.clone().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        let problem = "a target needs a `name` of 1 to 63 letters, digits, `.`, `_` and `-`";
        layers.refuse(&format!("{key}.name"), problem);
    }
    let address = match &entry.url {
        Some(url) => from_url(layers, key, &entry, url),
        None => from_parts(layers, key, &entry),
    }?;
    let password = password(layers, key, &entry, address.password.clone());
    let tls = tls(layers, key, &entry, address.tls.clone());
    let profile = entry.profile.unwrap_or_default();
    let periods = periods(layers, key, address.engine, &entry.probe);
    let thresholds = entry.thresholds.clone().unwrap_or_default();
    check_thresholds(layers, key, &thresholds);
    let hold = Duration::from_secs(if profile == Profile::Lab { 10 } else { 30 });
    let target = TargetConfig {
        id: name.into(),
        engine: address.engine,
        profile,
        host: address.host,
        port: address.port,
        database: address.database,
        user: address.user,
        password,
        tls,
        container: entry.container,
        thresholds,
        periods,
        verify_hold: entry.verify_hold.map_or(hold, |span| span.0),
    };
    show(layers, key, &target);
    (layers.problems.len() == before).then_some(target)
}

fn from_url(
    layers: &mut Layers<'_>,
    key: &str,
    entry: &TargetEntry,
    url: &Secret,
) -> Option<Address> {
    let at = format!("{key}.url");
    for (part, given) in [
        ("host", entry.host.is_some()),
        ("port", entry.port.is_some()),
        ("database", entry.database.is_some()),
        ("user", entry.user.is_some()),
    ] {
        if given {
            let at = format!("{key}.{part}");
            layers
                .refuse(&at, format_args!("`{at}` stands in the URL already; keep one of the two"));
        }
    }
    let parts = match url::parse(url.reveal()) {
        Ok(parts) => parts,
        Err(reason) => {
            layers.refuse(&at, format_args!("`{at}` is no URL: {reason}; {URL_REMEDY}"));
            return None;
        }
    };
    let engine = match parts.scheme.as_str() {
        "redis" | "rediss" => Engine::Redis,
        "postgres" | "postgresql" => Engine::Postgres,
        other => {
            layers.refuse(&at, format_args!("`{at}` has the scheme `{other}`; {URL_REMEDY}"));
            return None;
        }
    };
    if entry.engine.is_some_and(|given| given != engine) {
        layers.refuse(
            &at,
            format_args!("`{at}` and `{key}.engine` contradict each other; drop `engine`"),
        );
    }
    let tls = url_tls(layers, &at, &parts);
    let Parts { user, password, host, port, database, .. } = parts;
    complete(layers, key, engine, host, port, database, user, password, tls)
}

const URL_REMEDY: &str = "write `redis://…`, `rediss://…` or `postgres://user@host:port/database`";

/// libpq's words for TLS. Those that fall back to plain text silently are refused.
fn url_tls(layers: &mut Layers<'_>, at: &str, parts: &Parts) -> Option<TlsConfig> {
    let mut tls = (parts.scheme == "rediss").then(TlsConfig::default);
    for (name, value) in &parts.options {
        match (name.as_str(), value.as_str()) {
            ("sslmode", "disable") => tls = None,
            ("sslmode", "require" | "verify-ca" | "verify-full") => {
                tls.get_or_insert_default();
            }
            ("sslmode", _) => layers.refuse(
                at,
                format_args!("`{at}`: sslmode may be `disable`, `require` or `verify-full`"),
            ),
            ("sslrootcert", file) => {
                tls.get_or_insert_default().ca_file = Some(PathBuf::from(file));
            }
            (other, _) => {
                layers
                    .refuse(at, format_args!("`{at}`: the option `{other}` is unknown; remove it"));
            }
        }
    }
    tls
}

fn from_parts(layers: &mut Layers<'_>, key: &str, entry: &TargetEntry) -> Option<Address> {
    let Some(engine) = entry.engine else {
        layers.refuse(key, format_args!("`{key}` needs a `url`, or `engine` and `host`"));
        return None;
    };
    let Some(host) = entry.host.clone().filter(|host| !host.is_empty()) else {
        layers.refuse(key, format_args!("`{key}` needs a `url` or a `host`"));
        return None;
    };
    let (database, user) = (entry.database.clone(), entry.user.clone());
    complete(layers, key, engine, host, entry.port, database, user, None, None)
}

#[expect(clippy::too_many_arguments, reason = "the parts of an address, taken once")]
fn complete(
    layers: &mut Layers<'_>,
    key: &str,
    engine: Engine,
    host: String,
    port: Option<u16>,
    database: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
    tls: Option<TlsConfig>,
) -> Option<Address> {
    let (usual_port, usual_database) = match engine {
        Engine::Redis => (6379, "0"),
        Engine::Postgres => (5432, "postgres"),
    };
    let port = port.unwrap_or(usual_port);
    if port == 0 {
        layers.refuse(&format!("{key}.port"), format_args!("`{key}.port` must be from 1 to 65535"));
    }
    let database = database.unwrap_or_else(|| usual_database.to_owned());
    if engine == Engine::Redis && database.parse::<u16>().is_err() {
        let at = format!("{key}.database");
        layers.refuse(
            &at,
            format_args!("`{at}` of a Redis is a number; write `\"0\"` or leave it out"),
        );
    }
    if engine == Engine::Postgres && user.is_none() {
        layers.refuse(key, format_args!("`{key}` needs a `user` to log in to PostgreSQL"));
    }
    Some(Address { engine, host, port, database, user, password, tls })
}

fn password(
    layers: &mut Layers<'_>,
    key: &str,
    entry: &TargetEntry,
    of_url: Option<Secret>,
) -> Option<Secret> {
    let ways = [of_url.is_some(), entry.password_env.is_some(), entry.password_file.is_some()];
    if ways.iter().filter(|given| **given).count() > 1 {
        layers.refuse(
            key,
            format_args!("`{key}` has more than one password; keep the URL's, `password_env` or `password_file`"),
        );
    }
    if let Some(name) = &entry.password_env {
        let at = format!("{key}.password_env");
        let found = (layers.env)(name).filter(|text| !text.is_empty());
        if found.is_none() {
            layers.refuse(&at, format_args!("`{at}`: the variable {name} is not set; export it"));
        }
        return found.map(Secret::new);
    }
    if let Some(file) = &entry.password_file {
        let at = format!("{key}.password_file");
        let path = beside(&layers.text.path, file);
        return match std::fs::read_to_string(&path) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                let path = path.display();
                layers.refuse(
                    &at,
                    format_args!(
                        "`{at}`: cannot read {path}: {error}; correct the path or its rights"
                    ),
                );
                None
            }
        };
    }
    of_url
}

/// A path in the file is meant from where the file is.
pub(super) fn beside(config: &Path, path: &Path) -> PathBuf {
    config.parent().map_or_else(|| path.to_owned(), |dir| dir.join(path))
}

fn tls(
    layers: &mut Layers<'_>,
    key: &str,
    entry: &TargetEntry,
    of_url: Option<TlsConfig>,
) -> Option<TlsConfig> {
    let mut tls = match &entry.tls {
        None => of_url,
        Some(TlsEntry::Switch(false)) => None,
        Some(TlsEntry::Switch(true)) => Some(of_url.unwrap_or_default()),
        Some(TlsEntry::Trust { ca_file }) => Some(TlsConfig { ca_file: ca_file.clone() }),
    }?;
    if let Some(file) = &tls.ca_file {
        let path = beside(&layers.text.path, file);
        let at = format!("{key}.tls");
        match std::fs::read_to_string(&path) {
            Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => {}
            Ok(_) => layers.refuse(
                &at,
                format_args!("`{at}`: {} holds no PEM certificate; name the CA's", path.display()),
            ),
            Err(error) => layers.refuse(
                &at,
                format_args!("`{at}`: cannot read {}: {error}; correct the path", path.display()),
            ),
        }
        tls.ca_file = Some(path);
    }
    Some(tls)
}

fn periods(layers: &mut Layers<'_>, key: &str, engine: Engine, probe: &ProbeSection) -> Periods {
    let usual = Periods::of(engine);
    let mut take = |name: &str, given: Option<Span>, default: Duration| {
        let value = given.map_or(default, |span| span.0);
        if value < Duration::from_millis(10) {
            let at = format!("{key}.probe.{name}");
            layers.refuse(&at, format_args!("`{at}` must be at least 10ms"));
        }
        value
    };
    Periods {
        held: take("held", probe.held, usual.held),
        fresh: take("fresh", probe.fresh, usual.fresh),
        confirm: take("confirm", probe.confirm, usual.confirm),
        deadline: take("deadline", probe.deadline, usual.deadline),
    }
}

fn check_thresholds(layers: &mut Layers<'_>, key: &str, t: &Thresholds) {
    for (name, value) in [
        ("memory_percent", t.memory_percent),
        ("open_below_score", t.open_below_score),
        ("resolve_above_score", t.resolve_above_score),
        ("connections_percent", t.connections_percent),
    ] {
        if !(0.0..=100.0).contains(&value) {
            let at = format!("{key}.thresholds.{name}");
            layers.refuse(&at, format_args!("`{at}` must be from 0 to 100"));
        }
    }
    if t.resolve_above_score < t.open_below_score {
        let at = format!("{key}.thresholds");
        layers.refuse(
            &at,
            format_args!("`{at}`: `resolve_above_score` must not be below `open_below_score`"),
        );
    }
}

fn show(layers: &mut Layers<'_>, key: &str, target: &TargetConfig) {
    let name = &target.id;
    let url = layers.text.has(&format!("{key}.url"));
    let mut line = |field: &str, value: String| {
        let tls = field == "tls" && value != "off" && !layers.text.has(&format!("{key}.tls"));
        let part = ["engine", "host", "port", "database", "user"].contains(&field);
        let of_url = url && (part || tls);
        let at = if of_url { format!("{key}.url") } else { format!("{key}.{field}") };
        let source = layers.source(&at);
        layers.remember(&format!("target.{name}.{field}"), value, source);
    };
    line("engine", target.engine.as_str().into());
    line("host", target.host.clone());
    line("port", target.port.to_string());
    line("database", target.database.clone());
    if let Some(user) = &target.user {
        line("user", user.clone());
    }
    let ca = target.tls.as_ref().map(|tls| tls.ca_file.as_ref().map(|f| f.display().to_string()));
    line("tls", ca.map_or("off".into(), |ca| ca.map_or("on".into(), |ca| format!("on, CA {ca}"))));
    if let Some(container) = &target.container {
        line("container", container.clone());
    }
    line("profile", if target.profile == Profile::Lab { "lab" } else { "production" }.into());
    for (field, period) in [
        ("probe.held", target.periods.held),
        ("probe.fresh", target.periods.fresh),
        ("probe.confirm", target.periods.confirm),
        ("probe.deadline", target.periods.deadline),
        ("verify_hold", target.verify_hold),
    ] {
        line(field, Span(period).show());
    }
    let thresholds = serde_json::to_value(&target.thresholds).unwrap_or_default();
    for (field, value) in thresholds.as_object().into_iter().flatten() {
        line(&format!("thresholds.{field}"), value.to_string());
    }
    show_password(layers, key, target);
}

fn show_password(layers: &mut Layers<'_>, key: &str, target: &TargetConfig) {
    if target.password.is_none() {
        return;
    }
    let given = ["password_env", "password_file", "url"].map(|field| format!("{key}.{field}"));
    let source = given.iter().map(|at| layers.source(at)).find(|source| *source != Source::Default);
    let name = format!("target.{}.password", target.id);
    layers.remember(&name, "***".into(), source.unwrap_or(Source::Default));
}
