//! Looks at everything the lab depends on and says, per line, what is wrong and what to do.

use std::path::Path;

use crate::config::{Config, RuntimeChoice};
use crate::engine::clock;
use crate::ports::runtime::RuntimeError;
use crate::runtime::docker::DockerRuntime;
use crate::runtime::process::{ProcessRuntime, binaries};

use super::spec::{POSTGRES_IMAGE, Part, Ports, REDIS_IMAGE, SERVERS, Spec};
use super::{docker, images, ports, process, ready};

/// Less than this on the disk of the state directory is too little.
const DISK_FLOOR: u64 = 1 << 30;
/// Ages and deadlines are compared across the two clocks.
const CLOCK_TOLERANCE_MS: i64 = 1_000;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DoctorLine {
    pub subject: String,
    /// `None`: cannot tell, or not needed as things are.
    pub ok: Option<bool>,
    pub detail: String,
    pub remedy: Option<String>,
}

impl DoctorLine {
    fn ok(subject: &str, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), ok: Some(true), detail: detail.into(), remedy: None }
    }

    fn unknown(subject: &str, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), ok: None, detail: detail.into(), remedy: None }
    }

    fn bad(subject: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            ok: Some(false),
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// Wrong, but something else serves.
    fn dispensable(mut self, dispensable: bool) -> Self {
        if dispensable {
            self.ok = None;
        }
        self
    }
}

/// Looks at engine, images, programs, ports, the lab itself, its roles, the disk and the clock.
pub async fn doctor(config: &Config) -> Vec<DoctorLine> {
    let choice = config.lab.runtime;
    let programs = binaries::check();
    let engine = DockerRuntime::connect().await;
    let mut lines = Vec::new();
    match &engine {
        Ok(engine) => {
            lines.push(version(engine).await);
            lines.push(clock_line(engine).await);
            for image in [REDIS_IMAGE, POSTGRES_IMAGE] {
                lines.push(image_line(engine, image).await);
            }
        }
        Err(error) => {
            let spare = choice == RuntimeChoice::Process
                || (choice == RuntimeChoice::Auto && programs.is_ok());
            let line = DoctorLine::bad("engine", error.to_string(), ENGINE_REMEDY);
            lines.push(line.dispensable(spare));
        }
    }
    lines.push(programs_line(programs, choice, engine.is_ok()));
    if !config.lab.enabled {
        lines.push(DoctorLine::unknown("lab", "switched off by the configuration"));
        lines.push(disk_line(&config.state_dir));
        return lines;
    }
    let found = found(config, engine.as_ref().ok()).await;
    lines.extend(lab_lines(config, engine.as_ref().ok()).await);
    let unseen = engine.is_err() && choice != RuntimeChoice::Process;
    lines.extend(port_lines(config, found.as_ref(), unseen));
    if let Some((listen, parts)) = &found
        && parts.contains(&Part::Postgres)
    {
        lines.extend(role_lines(listen.postgres).await);
    }
    lines.push(disk_line(&config.state_dir));
    lines
}

const ENGINE_REMEDY: &str =
    "start Docker, set DOCKER_HOST, or install redis-server and postgresql for local processes";

async fn version(engine: &DockerRuntime) -> DoctorLine {
    match engine.client().version().await {
        Ok(seen) => {
            let (version, api) =
                (seen.version.unwrap_or_default(), seen.api_version.unwrap_or_default());
            DoctorLine::ok("engine", format!("Docker {version}, API {api}"))
        }
        Err(error) => DoctorLine::bad("engine", error.to_string(), ENGINE_REMEDY),
    }
}

async fn clock_line(engine: &DockerRuntime) -> DoctorLine {
    let asked = clock::now();
    let Ok(info) = engine.client().info().await else {
        return DoctorLine::unknown("clock", "the engine does not say its time");
    };
    let answered = clock::now();
    let text = info.system_time.unwrap_or_default();
    let Ok(theirs) = chrono::DateTime::parse_from_rfc3339(&text) else {
        return DoctorLine::unknown("clock", "the engine does not say its time");
    };
    // Its clock was read somewhere between the two readings of ours.
    let theirs = theirs.to_utc();
    let apart = if theirs < asked {
        (asked - theirs).num_milliseconds()
    } else {
        (theirs - answered).num_milliseconds().max(0)
    };
    if apart <= CLOCK_TOLERANCE_MS {
        DoctorLine::ok("clock", format!("the engine's clock differs by {apart} ms at most"))
    } else {
        DoctorLine::bad(
            "clock",
            format!("the engine's clock differs by {apart} ms"),
            "set both clocks by NTP: times in the records will not agree",
        )
    }
}

async fn image_line(engine: &DockerRuntime, image: &str) -> DoctorLine {
    match images::base(engine.client(), image).await {
        Some(base) => DoctorLine::ok(image, format!("made from {base}")),
        None => DoctorLine::unknown(image, "not there yet; `simctl up` makes it"),
    }
}

fn programs_line(
    programs: Result<(), RuntimeError>,
    choice: RuntimeChoice,
    engine: bool,
) -> DoctorLine {
    match programs {
        Ok(()) => {
            let paths = binaries::NEEDED.iter().filter_map(|name| binaries::find(name));
            let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
            DoctorLine::ok("programs", paths.join(", "))
        }
        Err(error) => {
            let spare =
                choice == RuntimeChoice::Docker || (choice == RuntimeChoice::Auto && engine);
            DoctorLine::bad("programs", error.to_string(), "install redis-server and postgresql")
                .dispensable(spare)
        }
    }
}

/// The lab that exists, in whichever runtime.
async fn found(config: &Config, engine: Option<&DockerRuntime>) -> Option<(Ports, Vec<Part>)> {
    let processes = ProcessRuntime::new(&config.lab.id, &config.state_dir);
    if let Ok(Some(found)) = process::find(&processes, config) {
        return Some(found);
    }
    docker::find(engine?, config).await.ok().flatten()
}

async fn lab_lines(config: &Config, engine: Option<&DockerRuntime>) -> Vec<DoctorLine> {
    let mut lines = Vec::new();
    let processes = ProcessRuntime::new(&config.lab.id, &config.state_dir);
    for record in processes.records().all().unwrap_or_default() {
        let pid = record.life.filter(|life| life.now().is_some()).map(|life| life.pid);
        lines.push(match pid {
            Some(pid) => DoctorLine::ok(&record.name, format!("process {pid}")),
            None => DoctorLine::bad(&record.name, "not running", "`simctl up` starts it"),
        });
    }
    if let Some(engine) = engine {
        let spec = Spec::of(&config.lab);
        match docker::survey(engine, &spec).await {
            Ok(containers) => lines.extend(containers.into_iter().map(container_line)),
            Err(error) => lines.push(DoctorLine::unknown("lab", format!("{error:#}"))),
        }
    }
    if lines.is_empty() {
        let in_containers = engine.is_none() && config.lab.runtime != RuntimeChoice::Process;
        let detail = if in_containers {
            "cannot tell: the Docker engine does not answer"
        } else {
            "there is none; `simctl up` makes it"
        };
        lines.push(DoctorLine::unknown("lab", detail));
    }
    lines
}

fn container_line((name, seen): (String, docker::Survey)) -> DoctorLine {
    match seen {
        docker::Survey::Ours { status } if status == "running" => {
            DoctorLine::ok(&name, "container, running")
        }
        docker::Survey::Ours { status } => {
            DoctorLine::bad(&name, format!("container, {status}"), "`simctl up` starts it")
        }
        docker::Survey::Foreign => DoctorLine::bad(
            &name,
            "a container of this name is not the lab's",
            "rename or remove it, or give the lab another `id` under `[lab]`",
        ),
    }
}

/// `unseen`: the lab's own containers may be what listens there.
fn port_lines(
    config: &Config,
    found: Option<&(Ports, Vec<Part>)>,
    unseen: bool,
) -> Vec<DoctorLine> {
    let wanted = Ports::of(&config.lab);
    let ours = |part: Part| found.is_some_and(|(_, parts)| parts.contains(&part));
    SERVERS
        .into_iter()
        .filter_map(|part| {
            let port = wanted.get(part)?;
            let subject = format!("port {port}");
            Some(if ours(part) && found.and_then(|(listen, _)| listen.get(part)) == Some(port) {
                DoctorLine::ok(&subject, format!("the lab's {}", part.as_str()))
            } else if ports::is_free(port) {
                DoctorLine::ok(&subject, format!("free for the lab's {}", part.as_str()))
            } else {
                let sentence = ports::taken(part, port, None).to_string();
                let (what, remedy) = sentence.split_once(": ").unwrap_or((&sentence, ""));
                DoctorLine::bad(&subject, what, remedy).dispensable(unseen)
            })
        })
        .collect()
}

const AFRESH: &str = "`simctl down` and `simctl up` make the lab afresh; the records stay";

/// Each role logs in and is what it should be, no more and no less.
async fn role_lines(port: u16) -> Vec<DoctorLine> {
    let expected = [
        (ready::superuser(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user", "t"),
        (ready::app(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user", "f"),
        (ready::monitor(), "SELECT pg_has_role('pg_monitor', 'member')", "t"),
    ];
    let mut lines = Vec::new();
    for (login, sql, wanted) in expected {
        let subject = format!("role {}", login.user);
        lines.push(match ready::query(port, &login, sql).await {
            Ok(rows) if rows.first().and_then(|row| row.first()?.as_deref()) == Some(wanted) => {
                DoctorLine::ok(&subject, "logs in, with the rights it should have")
            }
            Ok(_) => DoctorLine::bad(&subject, "logs in, but its rights were changed", AFRESH),
            // SQLSTATE class 28: the role or its password was changed, and starting does not bring it back.
            Err(error) if error.to_string().starts_with("28") => {
                DoctorLine::bad(&subject, format!("cannot log in: {error:#}"), AFRESH)
            }
            Err(error) => DoctorLine::bad(
                &subject,
                format!("cannot log in: {error:#}"),
                "see `simctl status`; `simctl up` starts what is stopped",
            ),
        });
    }
    lines
}

fn disk_line(state_dir: &Path) -> DoctorLine {
    // It may not exist yet; what counts is the disk it will be on.
    let there = state_dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(there) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let detail = format!("{} MB free at {}", free >> 20, there.display());
            if free >= DISK_FLOOR {
                DoctorLine::ok("disk", detail)
            } else {
                DoctorLine::bad("disk", detail, "free at least 1 GB there")
            }
        }
        Err(error) => DoctorLine::unknown("disk", format!("{}: {error}", there.display())),
    }
}
