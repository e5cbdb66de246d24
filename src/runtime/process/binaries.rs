//! Where the servers and their clients are installed: PATH, then where distributions put them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::ports::runtime::RuntimeError;

/// Searched after PATH.
const DIRECTORIES: [&str; 7] = [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/opt/homebrew/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec",
];
/// Debian keeps a directory per major version; the highest is taken.
const VERSIONED: &str = "/usr/lib/postgresql";
/// Without these there is no lab of local processes.
pub const NEEDED: [&str; 5] = ["redis-server", "redis-cli", "postgres", "initdb", "psql"];

/// The program of this name, or the path itself when it is one.
pub fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_program(path));
    }
    // Before PATH: Debian's own `psql` there is a wrapper that looks for clusters.
    let versioned = postgres_directory().map(|dir| dir.join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    versioned
        .into_iter()
        .chain(std::env::split_paths(&path).map(|dir| dir.join(name)))
        .chain(DIRECTORIES.iter().map(|dir| Path::new(dir).join(name)))
        .find(|path| is_program(path))
}

/// Every needed program, or a sentence that says what to install.
pub fn check() -> Result<(), RuntimeError> {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| find(name).is_none()).collect();
    let reason = if !Path::new("/proc/self/stat").exists() {
        "this system has no /proc; use Docker instead".to_owned()
    } else if missing.is_empty() {
        return Ok(());
    } else {
        format!(
            "{} cannot be found; install redis-server and postgresql, or use Docker",
            missing.join(", ")
        )
    };
    Err(RuntimeError::Unreachable { engine: "local processes".into(), reason })
}

/// Where the highest installed PostgreSQL of Debian's layout is.
fn postgres_directory() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONED).ok()?.flatten();
    let highest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| is_program(&bin(*version).join("postgres")))
        .max()?;
    Some(bin(highest))
}

fn bin(version: u32) -> PathBuf {
    Path::new(VERSIONED).join(version.to_string()).join("bin")
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        let sh = find("sh").unwrap();
        assert!(sh.is_absolute());
        assert_eq!(find(sh.to_str().unwrap()), Some(sh));
        assert_eq!(find("no-such-program-anywhere"), None);
        assert_eq!(find("/proc"), None, "a directory is no program");
    }
}
