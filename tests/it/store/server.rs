//! A PostgreSQL for tests: the one `SIMCTL_TEST_POSTGRES_URL` names, or a private one from local binaries.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A server, and the private process behind it if it is ours.
pub(crate) struct Server {
    /// `postgres://user:password@host:port`, without a database.
    base: String,
    _private: Option<Private>,
}

struct Private {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Private {
    fn drop(&mut self) {
        // Nothing in it is worth an orderly shutdown.
        let quit = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        if quit.is_ok_and(|status| status.success()) {
            let _ = self.child.wait();
        }
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        if let Ok(url) = std::env::var("SIMCTL_TEST_POSTGRES_URL") {
            let scheme = url.find("://").expect("a URL") + 3;
            let base = url[scheme..].find('/').map_or(&*url, |at| &url[..scheme + at]);
            return Self { base: base.to_owned(), _private: None };
        }
        let Some(bin) = binaries() else {
            panic!(
                "these tests need PostgreSQL: install it (Debian: apt-get install postgresql), or set \
                 SIMCTL_TEST_POSTGRES_URL to a server whose role may create databases"
            );
        };
        Self::start_private(&bin).await
    }

    async fn start_private(bin: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("simctl-pg-").tempdir().expect("a directory");
        let data = dir.path().join("data");
        let owner = unprivileged();
        std::fs::create_dir(&data).expect("a data directory");
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid)).expect("chown");
            std::os::unix::fs::chown(&data, Some(uid), Some(gid)).expect("chown");
        }
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        let command = |name: &str| {
            let mut command = Command::new(bin.join(name));
            command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command
        };
        let made = command("initdb")
            .args(["-U", "simctl", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("run initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        let child = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            // A crash of the machine is not what is tested.
            .args(["-c", "fsync=off", "-c", "full_page_writes=off", "-k"])
            .arg(dir.path())
            .stderr(log)
            .spawn()
            .expect("start postgres");
        let private = Private { child, _dir: dir };
        let server =
            Self { base: format!("postgres://simctl@127.0.0.1:{port}"), _private: Some(private) };
        for _ in 0..200 {
            if server.admin().await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the private PostgreSQL did not come up within 10 s");
    }

    async fn admin(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&format!("{}/postgres", self.base)).await
    }

    /// A new, empty database. Returns its URL.
    pub(crate) async fn database(&self) -> String {
        let n = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("simctl_test_{}_{n}", std::process::id());
        let mut admin = self.admin().await.expect("connect as the test role");
        for sql in [
            format!("drop database if exists {name} with (force)"),
            format!("create database {name}"),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.expect("make a database");
        }
        format!("{}/{name}", self.base)
    }

    /// Removes a database again, with whoever is still connected.
    pub(crate) async fn drop_database(&self, url: &str) {
        let name = url.rsplit('/').next().expect("a name");
        let mut admin = self.admin().await.expect("connect as the test role");
        let sql = format!("drop database if exists {name} with (force)");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.expect("drop the database");
    }

    /// Host and port, for a proxy in front.
    pub(crate) fn address(&self) -> String {
        let options: sqlx::postgres::PgConnectOptions = self.base.parse().expect("a URL");
        format!("{}:{}", options.get_host(), options.get_port())
    }
}

/// A plain connection, for looking and tampering behind the store's back.
pub(crate) async fn connect(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
    options.connect().await.expect("connect")
}

fn binaries() -> Option<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    dirs.sort();
    dirs.reverse();
    dirs.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    dirs.into_iter().find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
}

/// PostgreSQL refuses to run as root: the ids to run it under, when we are.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
    let ids = ["postgres", "nobody"].iter().find_map(|name| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Some(ids.expect("a user `postgres` or `nobody`"))
}

/// A port below the range for outgoing connections: a client that asks a dead port in that range can meet
/// itself there.
fn free_port() -> u16 {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("small");
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..first + 1_000).find(is_free).expect("a free port")
}
