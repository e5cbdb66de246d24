//! Puts the configuration together and checks it: defaults < file < environment < flags. Starts nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::agent::{self, TapeFlags};
use super::alerts;
use super::backup::Known;
use super::file::{File, Span};
use super::http::{self, HttpFlags};
use super::layers::{Layers, Shown, Source};
use super::secret::Secret;
use super::text::FileText;
use super::{Config, LAB_TARGETS, LabConfig, RuntimeChoice, TargetConfig, dirs, target, workbench};
use crate::domain::incident::RemediationMode;
use crate::domain::ledger::Limits;
use crate::domain::policy::{Policy, Rule};
use crate::domain::proposal::hex;

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub store: Option<Secret>,
    pub runtime: Option<RuntimeChoice>,
    pub state_dir: Option<PathBuf>,
    pub operator: Option<String>,
    /// Recordings of what a model says.
    pub tape: TapeFlags,
    /// Where the service listens.
    pub http: HttpFlags,
}

/// The configuration with the origin of every value in it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    pub shown: Vec<Shown>,
}

/// Everything that is wrong with the configuration, one sentence each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Reads and checks the whole configuration.
pub fn load(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let mut text = read(flags, env).map_err(|problem| ConfigError(vec![problem]))?;
    let file = std::mem::take(&mut text.file);
    let mut layers = Layers::new(&text, env);
    let config = assemble(&mut layers, file, flags);
    let Layers { shown, mut problems, .. } = layers;
    if !problems.is_empty() {
        problems.dedup();
        return Err(ConfigError(problems));
    }
    let path = Some(text.path).filter(|path| !path.as_os_str().is_empty());
    Ok(Loaded { config, file: path, shown })
}

/// The server at a URL, as if a file named it: the same words, the same refusals.
pub fn at_url(url: &Secret) -> Result<TargetConfig, ConfigError> {
    let text = FileText::default();
    let mut layers = Layers::new(&text, &|_| None);
    let found = target::at_url(&mut layers, url);
    found.ok_or_else(|| {
        let problems = layers.problems.iter();
        ConfigError(problems.map(|problem| problem.replace("--url.url", "--url")).collect())
    })
}

/// The first file there is: the one that was named, `./simctl.toml`, the user's.
fn read(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<FileText, String> {
    let from_env = || env("SIMCTL_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = flags.config.clone().or_else(from_env) {
        return read_file(&path)?.ok_or_else(|| {
            format!("{}: there is no such file; correct --config or SIMCTL_CONFIG", path.display())
        });
    }
    for path in [Some(PathBuf::from("simctl.toml")), dirs::user_config_file()].into_iter().flatten()
    {
        if let Some(text) = read_file(&path)? {
            return Ok(text);
        }
    }
    Ok(FileText::default())
}

fn read_file(path: &Path) -> Result<Option<FileText>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => FileText::parse(path, &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}; make the file readable text", path.display())),
    }
}

fn assemble(layers: &mut Layers<'_>, file: File, flags: &Flags) -> Config {
    let File {
        operator,
        lab,
        store,
        targets,
        policy,
        limits,
        inject,
        agent: asked,
        workbench: bench,
        http,
        alerts: said,
    } = file;
    let operator = operator_name(layers, operator, flags);
    let state_dir = state_dir(layers, flags);
    let flag = flags.runtime.map(|runtime| ("--runtime", runtime));
    let lab = lab_config(layers, lab, flag);
    let flag = flags.store.clone().map(|url| ("--store", url));
    let store_url = layers.pick_under("store.url", flag, store.url);
    if store_url.is_none() {
        let choice = if lab.enabled { "the lab's own, else SQLite" } else { "SQLite" };
        layers.remember("store.url", choice.into(), Source::Default);
    } else if let Some(problem) = store_url.as_ref().and_then(bad_store) {
        layers.refuse("store.url", problem);
    }
    let targets = target::all(layers, targets, &lab);
    let remediation =
        layers.pick("policy.remediation", policy.remediation, RemediationMode::default());
    let limits = bounds(layers, &limits, policy.two_people);
    let policy = rules(layers, policy.rules, &targets, &lab);
    let inject_ttl = layers.pick("inject.ttl", inject.ttl, Span(Duration::from_secs(120))).0;
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&inject_ttl) {
        layers.refuse("inject.ttl", "`inject.ttl` must be from 1s to 1h");
    }
    let agent = agent::agent(layers, asked, &flags.tape, limits.investigation);
    let known = Known { targets: &targets, lab: &lab };
    let workbench = workbench::workbench(layers, bench, &state_dir, &known);
    let http = http::http(layers, http, &flags.http, &RESERVED);
    Config {
        lab,
        targets,
        store_url,
        policy,
        limits,
        remediation,
        state_dir,
        operator,
        inject_ttl,
        agent,
        workbench,
        http,
        alerts: alerts::alerts(layers, said),
    }
}

/// Names that stand for simctl's own parts in the records; a person cannot borrow them.
const RESERVED: [&str; 7] =
    ["detector", "agent", "policy", "engine", "watchdog", "playbook", "http"];

fn operator_name(layers: &mut Layers<'_>, file: Option<String>, flags: &Flags) -> String {
    let flag = flags.operator.clone().map(|name| ("--operator", name));
    let name = layers.pick_under("operator", flag, file).unwrap_or_else(|| {
        let from_env = ["USER", "LOGNAME"]
            .into_iter()
            .find_map(|var| Some(((layers.env)(var).filter(|name| !name.is_empty())?, var)));
        let (name, source) = match from_env {
            Some((name, var)) => (name, Source::Env(var.into())),
            None => (login_name(), Source::Default),
        };
        layers.remember("operator", name.clone(), source);
        name
    });
    if RESERVED.contains(&name.as_str()) {
        layers.refuse("operator", format_args!("`{name}` is a part of simctl; use your own name"));
    }
    if name.chars().any(char::is_control) || name.chars().count() > 64 {
        layers.refuse("operator", "`operator` must be at most 64 printable characters");
    }
    name
}

/// The name of this user id in the system's list of users.
fn login_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid-{uid}"))
}

fn state_dir(layers: &mut Layers<'_>, flags: &Flags) -> PathBuf {
    let flag = flags.state_dir.clone().map(|dir| ("--state-dir", dir));
    if let Some(dir) = layers.pick_under("state_dir", flag, None) {
        return std::path::absolute(&dir).unwrap_or(dir);
    }
    let Some(dir) = dirs::default_state_dir() else {
        layers.problems.push("there is no home directory; name a --state-dir".into());
        return PathBuf::new();
    };
    layers.remember("state_dir", dir.display().to_string(), Source::Default);
    dir
}

fn lab_config(
    layers: &mut Layers<'_>,
    file: super::file::LabSection,
    runtime: Option<(&'static str, RuntimeChoice)>,
) -> LabConfig {
    let runtime = layers.pick_under("lab.runtime", runtime, file.runtime).unwrap_or_else(|| {
        layers.remember("lab.runtime", "auto".into(), Source::Default);
        RuntimeChoice::Auto
    });
    let lab = LabConfig {
        enabled: layers.pick("lab.enabled", file.enabled, true),
        id: layers.pick("lab.id", file.id, "lab".to_owned()),
        runtime,
        redis_port: layers.pick("lab.redis_port", file.redis_port, 6380),
        postgres_port: layers.pick("lab.postgres_port", file.postgres_port, 5433),
        store_port: layers.pick("lab.store_port", file.store_port, 5434),
        verify_hold: layers
            .pick("lab.verify_hold", file.verify_hold, Span(Duration::from_secs(10)))
            .0,
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if lab.id.is_empty() || lab.id.len() > 32 || !lab.id.chars().all(plain) {
        layers.refuse("lab.id", "`lab.id` must be 1 to 32 of a-z, 0-9 and `-`");
    }
    let ports = [
        ("lab.redis_port", lab.redis_port),
        ("lab.postgres_port", lab.postgres_port),
        ("lab.store_port", lab.store_port),
    ];
    for (i, (key, port)) in ports.iter().enumerate().skip(1) {
        if let Some((other, _)) = ports[..i].iter().find(|(_, taken)| taken == port) {
            // Told where somebody chose one of them.
            let chosen = if layers.source(key) == Source::Default { other } else { key };
            layers
                .refuse(chosen, format_args!("`{key}` and `{other}` are both {port}; change one"));
        }
    }
    lab
}

fn bad_store(url: &Secret) -> Option<String> {
    let text = url.reveal();
    if text.strip_prefix("sqlite:").is_some_and(|path| !path.is_empty()) {
        return None;
    }
    let known = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let reason =
        if known { super::url::parse(text).err()? } else { "its scheme is unknown".into() };
    Some(format!(
        "`store.url`: {reason}; write `postgres://user:password@host:port/database` or `sqlite:PATH`"
    ))
}

fn bounds(
    layers: &mut Layers<'_>,
    file: &super::file::LimitsSection,
    two_people: Option<bool>,
) -> Limits {
    let d = Limits::default();
    let mut span = |key: &str, given: Option<Span>, default: TimeDelta, may_be_zero: bool| {
        let default = Span(default.to_std().unwrap_or_default());
        let value = layers.pick(key, given, default);
        if value.0.is_zero() && !may_be_zero {
            layers.refuse(key, format_args!("`{key}` must be longer than 0s"));
        }
        TimeDelta::from_std(value.0).unwrap_or(TimeDelta::MAX)
    };
    let approval_ttl = span("limits.approval_ttl", file.approval_ttl, d.approval_ttl, false);
    let cool_down = span("limits.cool_down", file.cool_down, d.cool_down, true);
    let breaker_rest = span("limits.breaker_rest", file.breaker_rest, d.breaker_rest, true);
    let investigation = span("limits.investigation", file.investigation, d.investigation, false);
    let step = span("limits.step", file.step, d.step, false);
    let verification = span("limits.verification", file.verification, d.verification, false);
    Limits {
        approval_ttl,
        attempts_per_incident: layers.pick(
            "limits.attempts_per_incident",
            file.attempts_per_incident,
            d.attempts_per_incident,
        ),
        cool_down,
        breaker_failures: layers.pick(
            "limits.breaker_failures",
            file.breaker_failures,
            d.breaker_failures,
        ),
        breaker_rest,
        investigation,
        step,
        verification,
        two_people: layers.pick("policy.two_people", two_people, d.two_people),
    }
}

/// Checks every rule, on its own examples too: a rule that does not do what its author thinks is worse than none.
fn rules(
    layers: &mut Layers<'_>,
    mut rules: Vec<Rule>,
    targets: &[super::TargetConfig],
    lab: &LabConfig,
) -> Policy {
    for (index, rule) in rules.iter_mut().enumerate() {
        let key = format!("policy.rule[{index}]");
        if let Some(problem) = rule.broken_example() {
            layers.refuse(&key, format_args!("{problem}; correct the rule or the example"));
        }
        let Some(demand) = rule.demand else {
            let known = "`automatic`, `approval`, `typed` or `forbidden`";
            layers.refuse(&key, format_args!("rule `{}` lacks `demand`; write {known}", rule.name));
            continue;
        };
        if let Some(action) = &mut rule.action {
            match crate::actions::find(action.as_str()) {
                Some(known) => *action = known.descriptor().id.into(),
                None => layers.refuse(
                    &format!("{key}.action"),
                    format_args!("there is no action `{action}`; `simctl actions` lists them"),
                ),
            }
        }
        if let Some(target) = &rule.target {
            let own = targets.iter().any(|own| own.id == *target);
            let of_lab = lab.enabled && LAB_TARGETS.contains(&target.as_str());
            if !own && !of_lab {
                layers.refuse(
                    &format!("{key}.target"),
                    format_args!("rule `{}` names `{target}`, which is no target", rule.name),
                );
            }
        }
        let source = layers.source(&key);
        layers.remember(&format!("policy.rule.{}", rule.name), demand.as_str().into(), source);
    }
    let text = serde_json::to_string(&rules).unwrap_or_default();
    let version = hex(&Sha256::digest(text))[..12].to_owned();
    Policy { rules, version }
}
