//! Real redis-server and PostgreSQL processes in temporary directories, and a runtime that runs a server's client
//! locally as a container engine would run it inside.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use simctl::config::secret::Secret;
use simctl::domain::execution::Output;
use simctl::domain::ids::TargetId;
use simctl::domain::target::{Engine, Periods, Profile, Target, Thresholds};
use simctl::ports::runtime::{
    ExecLimits, Operation, Runtime, RuntimeError, RuntimeKind, Unit, UnitEvent, UnitState,
    UnitStatus,
};
use simctl::targets::postgres::{Login, PostgresLink};
use simctl::targets::redis::RedisLink;
use simctl::targets::{Link, Place, Server};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

/// How commands reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Inside,
}

/// One local process as a runtime's unit.
pub(super) struct Process {
    program: PathBuf,
    args: Vec<String>,
    uid: Option<(u32, u32)>,
    life: Mutex<Life>,
    /// Every argv that was run inside.
    pub(super) executed: Mutex<Vec<Vec<String>>>,
}

struct Life {
    child: Option<Child>,
    pid: u32,
    started_at: DateTime<Utc>,
    exit_code: Option<i64>,
    paused: bool,
}

impl Process {
    fn spawn(program: PathBuf, args: Vec<String>, uid: Option<(u32, u32)>) -> Arc<Self> {
        let life = Life {
            child: None,
            pid: 0,
            started_at: simctl::engine::clock::now(),
            exit_code: None,
            paused: false,
        };
        let process =
            Self { program, args, uid, life: Mutex::new(life), executed: Mutex::default() };
        process.begin();
        Arc::new(process)
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().expect("no test panics while it holds this")
    }

    fn begin(&self) {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = self.uid {
            command.uid(uid).gid(gid);
        }
        let child = command.spawn().expect("the server's program starts");
        let mut life = self.life();
        life.pid = child.id();
        life.child = Some(child);
        life.started_at = simctl::engine::clock::now();
        life.exit_code = None;
        life.paused = false;
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let raw = i32::try_from(self.life().pid).expect("pids fit");
        if let Some(pid) = rustix::process::Pid::from_raw(raw) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Ends it, politely first when asked to.
    pub(super) fn end(&self, signal: rustix::process::Signal) {
        self.signal(signal);
        let child = self.life().child.take();
        if let Some(mut child) = child {
            let status = child.wait().expect("our own child");
            self.life().exit_code = Some(status.code().map_or(137, i64::from));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.life().child.is_some() {
            self.signal(rustix::process::Signal::CONT);
            self.end(rustix::process::Signal::KILL);
        }
    }
}

#[async_trait]
impl Runtime for Process {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    async fn inspect(&self, _unit: &Unit) -> Result<UnitState, RuntimeError> {
        let mut life = self.life();
        // A server may end by itself.
        if let Some(ended) = life.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            life.child = None;
            life.exit_code = Some(ended.code().map_or(137, i64::from));
        }
        let status = match (&life.child, life.paused) {
            (None, _) => UnitStatus::Exited,
            (Some(_), true) => UnitStatus::Paused,
            (Some(_), false) => UnitStatus::Running,
        };
        Ok(UnitState {
            status,
            id: life.pid.to_string(),
            lab: Some("test".into()),
            exit_code: life.exit_code,
            started_at: Some(life.started_at),
            memory_limit: Some(400 << 20),
            ..UnitState::default()
        })
    }

    async fn exec(
        &self,
        unit: &Unit,
        argv: &[String],
        stdin: Option<&[u8]>,
        limits: ExecLimits,
    ) -> Result<Output, RuntimeError> {
        self.executed.lock().expect("no panic").push(argv.to_vec());
        let failed = |source: std::io::Error| RuntimeError::Failed {
            verb: "run a command in",
            unit: unit.name.clone(),
            source: source.into(),
        };
        let mut command = tokio::process::Command::new(&argv[0]);
        command.args(&argv[1..]).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let started = tokio::time::Instant::now();
        let work = async {
            let mut child = command.spawn()?;
            let pipe = child.stdin.take();
            let feeding = async {
                if let (Some(mut pipe), Some(bytes)) = (pipe, stdin) {
                    let _ = pipe.write_all(bytes).await;
                }
            };
            let ((), output) = tokio::join!(feeding, child.wait_with_output());
            output
        };
        let output = tokio::time::timeout(limits.deadline, work)
            .await
            .map_err(|_| RuntimeError::Deadline {
                verb: "run a command in",
                unit: unit.name.clone(),
                after: limits.deadline,
            })?
            .map_err(failed)?;
        Ok(Output {
            exit_code: output.status.code().map(i64::from),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn start(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.begin();
        Ok(())
    }

    async fn restart(&self, _unit: &Unit, _grace: Duration) -> Result<(), RuntimeError> {
        self.end(rustix::process::Signal::INT);
        self.begin();
        Ok(())
    }

    async fn pause(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.signal(rustix::process::Signal::STOP);
        self.life().paused = true;
        Ok(())
    }

    async fn unpause(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.signal(rustix::process::Signal::CONT);
        self.life().paused = false;
        Ok(())
    }

    async fn signal_inside(
        &self,
        _unit: &Unit,
        pid: i32,
        signal: simctl::ports::runtime::Signal,
    ) -> Result<(), RuntimeError> {
        let sent = std::process::Command::new("kill")
            .args([&format!("-{}", signal.as_str()), &pid.to_string()])
            .status()
            .expect("kill is there");
        assert!(sent.success(), "no process {pid}");
        Ok(())
    }

    async fn kill(&self, _unit: &Unit) -> Result<(), RuntimeError> {
        self.end(rustix::process::Signal::KILL);
        Ok(())
    }

    async fn logs(&self, _unit: &Unit, _lines: usize) -> Result<Vec<String>, RuntimeError> {
        Ok(vec!["its last words".into()])
    }

    fn events(&self, _units: &[Unit]) -> BoxStream<'static, UnitEvent> {
        futures::stream::empty().boxed()
    }

    fn spell(&self, unit: &Unit, operation: Operation<'_>) -> String {
        match operation {
            Operation::Exec(argv) => format!("exec {} {}", unit.name, argv.join(" ")),
            other => format!("{other:?} {}", unit.name),
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

fn temp_dir() -> TempDir {
    static UNDO: Once = Once::new();
    UNDO.call_once(|| {
        simctl::actions::set_undo_dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join("undo"));
    });
    tempfile::Builder::new().prefix("simctl-it").tempdir().expect("a temporary directory")
}

/// A target named after the test, so that tests side by side keep their undo data apart.
fn target(engine: Engine) -> Target {
    let thread = std::thread::current();
    let test = thread.name().expect("tests run on threads with their name");
    Target {
        id: TargetId::from(test.rsplit("::").next().unwrap_or(test)),
        engine,
        profile: Profile::Lab,
        lab: Some("test".into()),
        has_runtime: true,
        thresholds: Thresholds::default(),
        verify_hold: Duration::from_secs(1),
    }
}

async fn until<T, E: std::fmt::Debug>(
    what: &str,
    mut ready: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let mut last = None;
    for _ in 0..400 {
        match ready().await {
            Ok(done) => return done,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what} within 10 s: {last:?}")
}

/// A redis-server of one test.
pub(super) struct RedisServer {
    pub(super) process: Arc<Process>,
    pub(super) link: RedisLink,
    _dir: TempDir,
}

impl RedisServer {
    pub(super) async fn start(settings: &[&str]) -> Self {
        let program = Path::new("/usr/bin/redis-server");
        assert!(program.exists(), "install Debian's redis-server and redis-tools for this test");
        let (dir, port) = (temp_dir(), free_port());
        let mut args: Vec<String> = ["--bind", "127.0.0.1", "--port"].map(String::from).into();
        args.extend([port.to_string(), "--dir".into(), dir.path().display().to_string()]);
        let settings = if settings.contains(&"--save") {
            settings.to_vec()
        } else {
            [settings, &["--save", ""]].concat()
        };
        args.extend(settings.iter().map(|word| (*word).to_owned()));
        let link = RedisLink {
            name: "redis-test".into(),
            host: "127.0.0.1".into(),
            port,
            database: 0,
            user: None,
            password: None,
            tls: None,
            deadline: Duration::from_secs(2),
            kept: Default::default(),
        };
        let process = Process::spawn(program.into(), args, None);
        let started = Self { process, link, _dir: dir };
        until("redis-server answers", async || started.link.connect("test").await).await;
        started
    }

    pub(super) fn server(&self, way: Way) -> Server {
        self.server_at(way, self.link.clone())
    }

    pub(super) fn server_with_password(&self, way: Way, password: &str) -> Server {
        let password = Some(Secret::new(password));
        self.server_at(way, RedisLink { password, ..self.link.clone() })
    }

    fn server_at(&self, way: Way, link: RedisLink) -> Server {
        let client = ["redis-cli", "-h", "127.0.0.1", "-p", &link.port.to_string()];
        let unit = Unit {
            name: "redis-test".into(),
            lab: Some("test".into()),
            client: client.map(String::from).into(),
        };
        server(way, Engine::Redis, Link::Redis(link), &self.process, unit)
    }

    /// An ordinary client's connection.
    pub(super) async fn client(&self, name: &str) -> redis::aio::MultiplexedConnection {
        let url = format!("redis://127.0.0.1:{}/", self.link.port);
        let client = redis::Client::open(url).expect("a proper address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it answers");
        if !name.is_empty() {
            let mut command = redis::cmd("CLIENT");
            command.arg("SETNAME").arg(name);
            let () = command.query_async(&mut connection).await.expect("a name is taken");
        }
        connection
    }
}

fn server(way: Way, engine: Engine, link: Link, process: &Arc<Process>, unit: Unit) -> Server {
    let runtime: Arc<dyn Runtime> = Arc::<Process>::clone(process);
    let place = (way == Way::Inside).then_some(Place { runtime, unit });
    Server { target: target(engine), periods: Periods::of(engine), link, place }
}

/// A PostgreSQL of one test: 20 slots, roles `postgres`, `app`, `monitor`, and two that are never to be ended:
/// `boss` (superuser only) and `repl` (replication only).
pub(super) struct PgServer {
    pub(super) process: Arc<Process>,
    pub(super) link: PostgresLink,
    dir: TempDir,
}

impl PgServer {
    pub(super) async fn start() -> Self {
        let bin = binaries();
        let (dir, port) = (temp_dir(), free_port());
        let uid = unprivileged(dir.path());
        let data = dir.path().join("data");
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.args(["-A", "trust", "-U", "postgres", "--no-sync", "--no-instructions", "-D"]);
        initdb.arg(&data).stdout(Stdio::null()).current_dir(dir.path());
        if let Some((uid, gid)) = uid {
            initdb.uid(uid).gid(gid);
        }
        assert!(initdb.status().expect("initdb starts").success(), "initdb");
        let settings = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
             max_connections = 20\nmax_prepared_transactions = 5\nfsync = off\nlog_min_messages = panic\n",
            dir.path().display()
        );
        std::fs::write(data.join("postgresql.auto.conf"), settings).expect("its settings");
        let args = vec!["-D".to_owned(), data.display().to_string()];
        let process = Process::spawn(bin.join("postgres"), args, uid);
        let login =
            |user: &str| Login { user: user.into(), password: None, database: "postgres".into() };
        let link = PostgresLink {
            name: "postgres-test".into(),
            host: "127.0.0.1".into(),
            port,
            app: login("app"),
            monitor: login("monitor"),
            fixer: Some(login("postgres")),
            tls: None,
            deadline: Duration::from_secs(3),
        };
        let started = Self { process, link, dir };
        let admin = until("PostgreSQL answers", async || started.try_client("postgres", "x").await);
        let roles = "create role app login; create role monitor login; \
                     grant pg_monitor to monitor; create role boss login superuser; \
                     create role repl login replication;";
        admin.await.batch_execute(roles).await.expect("roles");
        started
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn server(&self, way: Way) -> Server {
        let socket = self.dir.path().display().to_string();
        let port = self.link.port.to_string();
        let client = ["psql", "-X", "-h", &socket, "-p", &port, "-U", "postgres", "-d", "postgres"];
        let unit = Unit {
            name: "postgres-test".into(),
            lab: Some("test".into()),
            client: client.map(String::from).into(),
        };
        server(way, Engine::Postgres, Link::Postgres(self.link.clone()), &self.process, unit)
    }

    pub(super) async fn try_client(
        &self,
        user: &str,
        application: &str,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.link.port).user(user).dbname("postgres");
        config.application_name(application);
        let (client, driver) = config.connect(tokio_postgres::NoTls).await?;
        drive(driver);
        Ok(client)
    }

    pub(super) async fn client(&self, user: &str, application: &str) -> tokio_postgres::Client {
        self.try_client(user, application).await.expect("it lets us in")
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver lives as long as its client")]
fn drive(
    driver: tokio_postgres::Connection<tokio_postgres::Socket, tokio_postgres::tls::NoTlsStream>,
) {
    tokio::spawn(async move {
        let _ = driver.await;
    });
}

fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let bins = versions.map(|version| version.path().join("bin"));
    let mut found: Vec<PathBuf> = bins.filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    found.pop().expect("install Debian's postgresql and postgresql-client for this test")
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`, who gets the directory.
fn unprivileged(dir: &Path) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("user postgres");
    let fields: Vec<&str> = line.split(':').collect();
    let ids = (fields[2].parse().expect("uid"), fields[3].parse().expect("gid"));
    std::os::unix::fs::chown(dir, Some(ids.0), Some(ids.1)).expect("chown");
    Some(ids)
}
