//! Real servers for one test: Redis and PostgreSQL on free ports, in temporary directories, gone with the test.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use simctl::config::secret::Secret;
use simctl::domain::target::{Engine, Periods, Profile, Target, Thresholds};
use simctl::ports::runtime::Unit;
use simctl::targets::postgres::{Login, PostgresLink};
use simctl::targets::redis::RedisLink;
use simctl::targets::{Link, Place, Server};
use tempfile::TempDir;

pub(crate) const LAB: &str = "bench";

/// How to start the server again.
#[derive(Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) directory: PathBuf,
}

impl Launch {
    pub(crate) fn start(&self) -> Child {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.spawn().expect("a server program that was found starts")
    }
}

/// A server that runs for one test.
pub(crate) struct Bench {
    pub(crate) child: Option<Child>,
    pub(crate) launch: Launch,
    pub(crate) port: u16,
    pub(crate) engine: Engine,
    directory: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Bench {
    pub(crate) fn redis() -> Self {
        let program = find("redis-server", &["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"]);
        let (directory, port) = (TempDir::new().expect("a temporary directory"), free_port());
        let args = format!(
            "--port {port} --bind 127.0.0.1 --maxmemory 50mb --maxmemory-policy noeviction \
             --appendonly no --daemonize no"
        );
        let mut args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        args.extend(["--save".into(), String::new()]);
        let launch = Launch { program, args, user: None, directory: directory.path().to_owned() };
        Self::started(launch, port, Engine::Redis, directory)
    }

    pub(crate) fn postgres() -> Self {
        let (directory, port) = (TempDir::new().expect("a temporary directory"), free_port());
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).expect("root may give a directory away");
        }
        let home = directory.path().to_owned();
        let data = home.join("data");
        let run = |name: &str, args: &[&str]| {
            let mut command = Command::new(find_postgres(name));
            command.args(args).current_dir(&home);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            let done = command.output().expect("a PostgreSQL program that was found runs");
            assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let data_text = data.to_str().expect("a temporary path is text");
        run(
            "initdb",
            &["-D", data_text, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"],
        );
        let socket = home.display().to_string();
        // On the command line it would beat ALTER SYSTEM.
        let archive = "archive_mode = on\narchive_command = '/bin/true'\n";
        let conf = std::fs::OpenOptions::new().append(true).open(home.join("data/postgresql.conf"));
        let mut conf = conf.expect("initdb made it");
        conf.write_all(archive.as_bytes()).expect("two lines");
        let port_text = port.to_string();
        let args = [
            "-D",
            data_text,
            "-p",
            &port_text,
            "-k",
            &socket,
            "-h",
            "127.0.0.1",
            "-c",
            "max_connections=20",
            "-c",
            "max_prepared_transactions=5",
            "-c",
            "fsync=off",
            "-c",
            "shared_buffers=16MB",
        ];
        let launch = Launch {
            program: find_postgres("postgres"),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            user,
            directory: home.clone(),
        };
        let bench = Self::started(launch, port, Engine::Postgres, directory);
        let sql = |text: &str| {
            let host = ["-h", "127.0.0.1", "-p", &port_text, "-U", "postgres", "-X", "-q"];
            let mut args: Vec<&str> = host.to_vec();
            args.extend(["-v", "ON_ERROR_STOP=1", "-c", text]);
            run("psql", &args);
        };
        for text in ["create role app login", "create role monitor login in role pg_monitor"] {
            sql(text);
        }
        sql("create database app owner app");
        bench
    }

    fn started(launch: Launch, port: u16, engine: Engine, directory: TempDir) -> Self {
        let child = Some(launch.start());
        let bench = Self { child, launch, port, engine, directory };
        bench.wait_until_it_answers();
        bench
    }

    /// Waits for the port, and for PostgreSQL until it lets somebody in.
    pub(crate) fn wait_until_it_answers(&self) {
        for _ in 0..400 {
            let ready = match self.engine {
                Engine::Redis => TcpStream::connect(self.address()).is_ok(),
                Engine::Postgres => Command::new(find_postgres("pg_isready"))
                    .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                    .status()
                    .is_ok_and(|status| status.success()),
            };
            if ready {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{} on port {} did not answer within 10 s", self.engine.as_str(), self.port);
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server was started").id()
    }

    /// Private files of the injections of this test.
    pub(crate) fn state_dir(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn unit(&self) -> Unit {
        let name = format!("{}-test", self.engine.as_str());
        Unit { name, lab: Some(LAB.into()), client: Vec::new() }
    }

    /// The server as a target of the lab.
    pub(crate) fn server(&self, place: Option<Place>) -> Server {
        let name = self.unit().name;
        let login = |user: &str, database: &str| Login {
            user: user.into(),
            password: Some(Secret::new("unused under trust")),
            database: database.into(),
        };
        let deadline = Duration::from_secs(2);
        let link = match self.engine {
            Engine::Redis => Link::Redis(RedisLink {
                name: name.clone(),
                host: "127.0.0.1".into(),
                port: self.port,
                database: 0,
                user: None,
                password: None,
                tls: None,
                deadline,
                kept: Default::default(),
            }),
            Engine::Postgres => Link::Postgres(PostgresLink {
                name: name.clone(),
                host: "127.0.0.1".into(),
                port: self.port,
                app: login("app", "app"),
                monitor: login("monitor", "app"),
                fixer: Some(login("postgres", "postgres")),
                tls: None,
                deadline,
            }),
        };
        let target = Target {
            id: name.into(),
            engine: self.engine,
            profile: Profile::Lab,
            lab: Some(LAB.into()),
            has_runtime: place.is_some(),
            thresholds: Thresholds::default(),
            verify_hold: Duration::from_secs(10),
        };
        Server { target, periods: Periods::of(self.engine), link, place }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// PostgreSQL refuses to run as root: the `postgres` user of the system, when this is root.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("the list of users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> =
        line.expect("as root these tests need a user `postgres`").split(':').collect();
    Some((fields[2].parse().expect("a uid"), fields[3].parse().expect("a gid")))
}

pub(crate) fn find_postgres(name: &str) -> PathBuf {
    let mut places: Vec<String> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").display().to_string())
        .collect();
    places.sort();
    places.reverse();
    places.extend(["/usr/bin".into(), "/opt/homebrew/bin".into()]);
    find(name, &places.iter().map(String::as_str).collect::<Vec<_>>())
}

fn find(name: &str, places: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = places.iter().map(PathBuf::from).chain(std::env::split_paths(&path));
    known.map(|place| place.join(name)).find(|program| program.is_file()).unwrap_or_else(|| {
        panic!("these tests need `{name}`: install redis-server and postgresql (Debian packages)")
    })
}
