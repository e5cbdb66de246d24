//! Real servers in temporary directories, from the distribution's binaries; ended with the test.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use simctl::config::TlsConfig;
use simctl::config::secret::Secret;
use simctl::targets::postgres::{Login, PostgresLink};
use simctl::targets::redis::RedisLink;
use tempfile::TempDir;

/// A port below the ephemeral range that nobody uses now. Tests run as processes with neighbouring ids at the
/// same time: each looks from a place of its own.
pub(super) fn free_port() -> u16 {
    let start = 20_000 + u16::try_from(u64::from(std::process::id()) * 7 % 11_000).unwrap();
    (start..32_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("there is a free port")
}

/// Waits for a condition, with a bound.
#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server process that we started.
pub(super) struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_owned();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|e| panic!("start {name:?}: {e}; install it to run these tests")))
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn has_exited(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) struct Redis {
    pub(super) process: Process,
    pub(super) link: RedisLink,
    pub(super) dir: TempDir,
}

impl Redis {
    /// Starts a server with these arguments besides the ones every test needs.
    pub(super) fn start(args: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), free_port(), args)
    }

    pub(super) fn start_in(dir: TempDir, port: u16, args: &[&str]) -> Self {
        let process = Self::spawn(&dir, port, args);
        let mut server = Self { process, link: redis_link(port), dir };
        until("redis accepts connections", || {
            assert!(!server.process.has_exited(), "redis-server ended at once");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        server
    }

    fn spawn(dir: &TempDir, port: u16, args: &[&str]) -> Process {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(dir.path()).args(args);
        Process::start(&mut command)
    }

    /// Commands over a bare socket, one answer in all; nothing of simctl is involved.
    pub(super) fn inline(&self, commands: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.link.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.write_all(format!("{commands}\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        said
    }
}

pub(super) fn redis_link(port: u16) -> RedisLink {
    RedisLink {
        name: "redis-under-test".into(),
        host: "127.0.0.1".into(),
        port,
        database: 0,
        user: None,
        password: None,
        tls: None,
        deadline: Duration::from_millis(500),
        kept: Default::default(),
    }
}

pub(super) struct Postgres {
    pub(super) process: Process,
    pub(super) link: PostgresLink,
    pub(super) data: PathBuf,
    _dir: TempDir,
}

const HBA: &str = "local all postgres trust\n\
                   hostssl all all 127.0.0.1/32 scram-sha-256\n\
                   host all all 127.0.0.1/32 scram-sha-256\n";
const CONF: &str = "fsync = off\nmax_connections = 20\nshared_buffers = 16MB\n\
                    listen_addresses = '127.0.0.1'\nlogging_collector = off\n\
                    archive_mode = on\narchive_command = '/bin/true'\n";
const ROLES: &str = "ALTER ROLE postgres PASSWORD 'super';\
                     CREATE ROLE app LOGIN PASSWORD 'app';\
                     CREATE ROLE monitor LOGIN PASSWORD 'monitor' IN ROLE pg_monitor;";

impl Postgres {
    pub(super) fn start() -> Self {
        Self::start_with(|_| String::new())
    }

    /// `more` may put files into the data directory and returns further lines of configuration.
    pub(super) fn start_with(more: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let data = dir.path().join("data");
        let made = unprivileged(&postgres_bin("initdb"))
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let conf = format!("{CONF}port = {port}\nunix_socket_directories = '{}'\n", data.display());
        fs::write(data.join("postgresql.conf"), conf + &more(&data)).unwrap();
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let process = Process::start(unprivileged(&postgres_bin("postgres")).arg("-D").arg(&data));
        let mut server = Self { process, link: postgres_link(port), data, _dir: dir };
        until("postgres accepts connections", || {
            assert!(!server.process.has_exited(), "postgres ended at once");
            server.try_sql("SELECT 1").is_ok()
        });
        server.sql(ROLES);
        server
    }

    /// Stops it and starts it again as a standby that has no primary.
    pub(super) fn become_standby(&mut self) {
        self.process.signal(Signal::INT);
        until("postgres ends", || self.process.has_exited());
        fs::write(self.data.join("standby.signal"), "").unwrap();
        self.process =
            Process::start(unprivileged(&postgres_bin("postgres")).arg("-D").arg(&self.data));
        until("the standby accepts connections", || self.try_sql("SELECT 1").is_ok());
    }

    /// The same as [`Self::sql`], in this database.
    pub(super) fn sql_in(&self, database: &str, sql: &str) -> String {
        self.psql(database, sql).unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// SQL as superuser over the socket.
    pub(super) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// The error is what psql said.
    pub(super) fn try_sql(&self, sql: &str) -> Result<String, String> {
        self.psql("postgres", sql)
    }

    fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let port = self.link.port.to_string();
        let done = unprivileged("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-p", &port])
            .arg("-h")
            .arg(&self.data)
            .args(["-d", database, "-c", sql])
            .output()
            .expect("psql is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }
}

fn postgres_link(port: u16) -> PostgresLink {
    let login = |user: &str, password: &str| Login {
        user: user.into(),
        password: Some(Secret::new(password)),
        database: "postgres".into(),
    };
    PostgresLink {
        name: "postgres-under-test".into(),
        host: "127.0.0.1".into(),
        port,
        app: login("app", "app"),
        monitor: login("monitor", "monitor"),
        fixer: Some(login("postgres", "super")),
        tls: None,
        deadline: Duration::from_secs(1),
    }
}

/// The newest PostgreSQL of the distribution, or whatever is on the path.
fn postgres_bin(name: &str) -> String {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().map_or_else(|| name.to_owned(), |path| path.display().to_string())
}

/// PostgreSQL refuses to run as root.
fn unprivileged(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = postgres_ids();
        command.uid(uid).gid(gid);
    }
    command
}

fn postgres_ids() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("there is a user `postgres`; install postgresql to run these tests");
    let mut fields = line.split(':').skip(2).map(|id| id.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}

/// A CA and a certificate for 127.0.0.1 that it signed.
pub(super) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    pub(super) fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("san"), "subjectAltName=IP:127.0.0.1").unwrap();
        let made = Self { dir };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = ["req", "-x509", "-subj", "/CN=test CA", "-days", "2"];
        made.openssl(&[&ca[..], &key, &["-keyout", "ca.key", "-out", "ca.crt"]].concat());
        let request = ["req", "-subj", "/CN=server"];
        made.openssl(&[&request[..], &key, &["-keyout", "key", "-out", "csr"]].concat());
        made.openssl(&[
            "x509",
            "-req",
            "-in",
            "csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "san",
            "-out",
            "crt",
        ]);
        made
    }

    fn openssl(&self, args: &[&str]) {
        let done = Command::new("openssl").args(args).current_dir(self.dir.path()).output();
        let done = done.expect("openssl is installed");
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Copies a file where its new owner may read it, with the rights PostgreSQL insists on.
    pub(super) fn give(&self, name: &str, to: &Path) {
        fs::copy(self.path(name), to).unwrap();
        fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = postgres_ids();
            std::os::unix::fs::chown(to, Some(uid), Some(gid)).unwrap();
        }
    }

    pub(super) fn trusted(&self) -> TlsConfig {
        TlsConfig { ca_file: Some(self.path("ca.crt").into()) }
    }
}
