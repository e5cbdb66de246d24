//! Where local servers keep their things, and how each is started.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::lab::images::START_SCRIPT;
use crate::lab::spec::{self, Part};
use crate::runtime::process::binaries;
use crate::runtime::process::record::{Record, Records, StopSignal, User};

/// Where the data lives when the unprivileged user cannot enter the state directory.
const FALLBACK: &str = "/var/lib/simctl/lab";
/// Tried in this order when we are root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Makes a server's directories and says how it is started. Nothing runs yet. The second value is
/// whether its data is new: what was there before must survive a failure now.
pub(super) fn prepare(records: &Records, part: Part, port: u16) -> anyhow::Result<(Record, bool)> {
    records.prepare()?;
    let user = unprivileged()?;
    let home = home(records, user.is_some());
    make(&home, 0o755, None)?;
    let name = part.name(records.lab());
    let data = home.join(&name);
    let fresh = !data.exists();
    make(&data, 0o700, user)?;
    let (argv, env, stop_signal) = match part {
        Part::Redis | Part::Keeper => (redis(&data, port), BTreeMap::new(), StopSignal::Term),
        Part::Postgres | Part::Store => {
            let script = home.join("postgres-start");
            write(&script, START_SCRIPT, 0o755)?;
            (postgres(&script, part), postgres_env(part, &data, port), StopSignal::Int)
        }
    };
    let mut env = env;
    env.insert("PATH".into(), search_path());
    let record = Record {
        client_env: client_env(records, part, port)?,
        log: records.dir().join(format!("{name}.log")),
        lab: records.lab().to_owned(),
        kind: part.as_str().to_owned(),
        life: None,
        started_at: None,
        name,
        port,
        argv,
        env,
        user,
        stop_signal,
        data,
    };
    Ok((record, fresh))
}

/// Removes what belongs to one server.
pub(super) fn forget(records: &Records, record: &Record, data: bool) -> anyhow::Result<()> {
    remove(&record.log)?;
    remove(&password_file(records, &record.name))?;
    if data { remove(&record.data) } else { Ok(()) }
}

/// Removes the directories that are empty now. `data`: also what an earlier `down` kept.
pub(super) fn tidy(records: &Records, data: bool) -> anyhow::Result<()> {
    for rooted in [true, false] {
        let home = home(records, rooted);
        if data {
            remove(&home.join(Part::Store.name(records.lab())))?;
        }
        let kept = fs::read_dir(&home).into_iter().flatten().flatten();
        if kept.into_iter().all(|entry| entry.file_name() == "postgres-start") {
            remove(&home)?;
        }
    }
    // Others may have theirs there; only empty ones go.
    for dir in Path::new(FALLBACK).ancestors().take(2) {
        let _ = fs::remove_dir(dir);
    }
    // Not empty while the store's data is kept there.
    let _ = fs::remove_dir(records.dir());
    Ok(())
}

fn redis(data: &Path, port: u16) -> Vec<String> {
    let port = port.to_string();
    let data = data.to_string_lossy();
    let mut argv: Vec<String> =
        ["redis-server", "--port", &port, "--bind", "127.0.0.1", "--protected-mode", "no"]
            .into_iter()
            .chain(["--dir", &data])
            .map(str::to_owned)
            .collect();
    argv.extend(spec::redis_args());
    argv
}

fn postgres(script: &Path, part: Part) -> Vec<String> {
    let kind = if part == Part::Store { "store" } else { "lab" };
    ["sh", &script.to_string_lossy(), kind].map(str::to_owned).to_vec()
}

fn postgres_env(part: Part, data: &Path, port: u16) -> BTreeMap<String, String> {
    let passwords = spec::postgres_env(part).into_iter();
    let mut env: BTreeMap<String, String> =
        passwords.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    env.insert("SIMCTL_PG_ROOT".into(), data.to_string_lossy().into_owned());
    env.insert("SIMCTL_PG_PORT".into(), port.to_string());
    env.insert("SIMCTL_PG_LISTEN".into(), "127.0.0.1".into());
    // The directory of sockets belongs to the machine's own server.
    env.insert("SIMCTL_PG_SOCKETS".into(), String::new());
    env
}

/// `psql` takes the password from a file, so that no command line shows it.
fn client_env(
    records: &Records,
    part: Part,
    port: u16,
) -> anyhow::Result<BTreeMap<String, String>> {
    if !matches!(part, Part::Postgres | Part::Store) {
        return Ok(BTreeMap::new());
    }
    let path = password_file(records, &part.name(records.lab()));
    let line = format!("127.0.0.1:{port}:*:postgres:{}\n", spec::SUPERUSER_PASSWORD);
    write(&path, &line, 0o600)?;
    Ok(BTreeMap::from([("PGPASSFILE".to_owned(), path.to_string_lossy().into_owned())]))
}

fn password_file(records: &Records, name: &str) -> PathBuf {
    records.dir().join(format!("{name}.pgpass"))
}

/// The servers' own programs first.
fn search_path() -> String {
    let versioned = binaries::find("postgres").and_then(|path| Some(path.parent()?.to_owned()));
    let versioned = versioned.map(|dir| format!("{}:", dir.display())).unwrap_or_default();
    format!("{versioned}/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin")
}

/// Where this lab's data lives.
fn home(records: &Records, rooted: bool) -> PathBuf {
    if !rooted || open_to_all(records.dir()) {
        return records.dir().join("data");
    }
    // Two state directories may hold labs of the same id.
    let digest = Sha256::digest(records.dir().to_string_lossy().as_bytes());
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Path::new(FALLBACK).join(format!("{}-{mark}", records.lab()))
}

/// Whether everybody may pass through every directory of this path.
fn open_to_all(path: &Path) -> bool {
    path.ancestors().all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0))
}

/// Whom the servers run as, when we are root: PostgreSQL refuses to run as root.
fn unprivileged() -> anyhow::Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let user = UNPRIVILEGED.iter().find_map(|name| user_in(&passwd, name));
    user.map(Some).context("find an unprivileged user (postgres or nobody) in /etc/passwd")
}

fn user_in(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.first() != Some(&name) {
            return None;
        }
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (uid != 0).then_some(User { uid, gid })
    })
}

fn make(dir: &Path, mode: u32, owner: Option<User>) -> anyhow::Result<()> {
    let make = || -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(mode).create(dir)?;
        if let Some(owner) = owner {
            chown(dir, Some(owner.uid), Some(owner.gid))?;
        }
        Ok(())
    };
    make().with_context(|| format!("make the directory {}", dir.display()))
}

/// Replaces the file as a whole: a server that was just started may be reading the script at this moment.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        remove_file(&fresh)?;
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&fresh)?;
        // The mode of creation is subject to the umask.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    let removed = if is_dir { fs::remove_dir_all(path) } else { remove_file(path) };
    removed.with_context(|| format!("remove {}", path.display()))
}

fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unprivileged_user_is_never_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104::/:/bin/sh\nnobody:x:0:0::/:\n";
        assert_eq!(user_in(passwd, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(user_in(passwd, "nobody"), None);
        assert_eq!(user_in(passwd, "post"), None);
    }

    #[test]
    fn a_script_that_is_being_read_is_not_cut_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("postgres-start");
        write(&path, "first\n", 0o755).unwrap();
        let reader = fs::File::open(&path).unwrap();
        write(&path, "second\n", 0o755).unwrap();
        assert_eq!(std::io::read_to_string(reader).unwrap(), "first\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn data_moves_out_of_a_directory_that_others_cannot_enter() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let records = Records::of("trial", dir.path());
        records.prepare().unwrap();
        assert!(home(&records, true).starts_with(FALLBACK));
        assert!(home(&records, false).starts_with(dir.path()), "our own user may stay");
        let other = Records::of("trial", &dir.path().join("other"));
        assert_ne!(home(&records, true), home(&other, true));
    }
}
