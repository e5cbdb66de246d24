//! The lab for real: made, found, broken a little, removed without a trace. Each test has a lab of its
//! own, with its own id and ports.

use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use simctl::config::{Config, LabConfig, RuntimeChoice};
use simctl::domain::incident::RemediationMode;
use simctl::domain::ledger::Limits;
use simctl::domain::policy::Policy;
use simctl::domain::sample::RuntimeEventKind;
use simctl::lab::{self, Lab};
use simctl::ports::runtime::{ExecLimits, Runtime, Unit, UnitEvent, UnitStatus};

mod docker;
mod process;

/// A lab that is removed with everything it left, also when the test fails.
struct Trial {
    config: Config,
    _state: tempfile::TempDir,
    said: Mutex<Vec<String>>,
}

impl Trial {
    fn new(runtime: RuntimeChoice) -> Self {
        let state = tempfile::tempdir().expect("a temporary directory");
        let [redis_port, postgres_port, store_port] = free_ports();
        let lab = LabConfig {
            enabled: true,
            id: format!("it{}", std::process::id()),
            runtime,
            redis_port,
            postgres_port,
            store_port,
            verify_hold: Duration::from_secs(10),
        };
        let config = Config {
            lab,
            targets: Vec::new(),
            store_url: None,
            policy: Policy::default(),
            limits: Limits::default(),
            remediation: RemediationMode::default(),
            state_dir: state.path().join("simctl"),
            operator: "tester".into(),
            inject_ttl: Duration::from_secs(120),
            workbench: Default::default(),
            http: Default::default(),
            alerts: Default::default(),
            agent: Default::default(),
        };
        Self { config, _state: state, said: Mutex::default() }
    }

    fn name(&self, base: &str) -> String {
        format!("{}-{base}", self.config.lab.id)
    }

    async fn up(&self) -> anyhow::Result<Lab> {
        let say = |line| self.said.lock().expect("no test panicked here").push(line);
        lab::up(&self.config, &say).await
    }

    async fn down(&self, volumes: bool) {
        lab::down(&self.config, volumes, &|_| {}).await.expect("down");
    }

    fn said(&self) -> String {
        std::mem::take(&mut *self.said.lock().expect("no test panicked here")).join("\n")
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let config = self.config.clone();
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(lab::down(&config, true, &|_| {}))
        });
        if !matches!(removed.join(), Ok(Ok(()))) {
            eprintln!("the lab {} may not be removed entirely", self.config.lab.id);
        }
    }
}

/// Three ports that nobody uses, below those the system hands out by itself.
fn free_ports() -> [u16; 3] {
    let offset = u16::try_from(std::process::id() % 8_000).expect("fits");
    let mut free = (20_000 + offset..32_000)
        .filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    [(); 3].map(|()| free.next().expect("a free port"))
}

fn place<'a>(lab: &'a Lab, ending: &str) -> (&'a dyn Runtime, &'a Unit) {
    let server = lab.servers.iter().find(|server| server.target.id.as_str().ends_with(ending));
    let place = server.and_then(|server| server.place.as_ref()).expect("it has a place");
    (&*place.runtime, &place.unit)
}

async fn status(lab: &Lab, ending: &str) -> UnitStatus {
    let (runtime, unit) = place(lab, ending);
    runtime.inspect(unit).await.expect("inspect").status
}

/// What a client prints for these words, run where the server runs.
async fn ask(lab: &Lab, ending: &str, words: &[&str], stdin: Option<&[u8]>) -> String {
    let (runtime, unit) = place(lab, ending);
    let words = words.iter().map(|word| (*word).to_owned());
    let argv: Vec<String> = unit.client.iter().cloned().chain(words).collect();
    let output = runtime.exec(unit, &argv, stdin, ExecLimits::default()).await.expect("exec");
    assert_eq!(output.exit_code, Some(0), "{output:?}");
    output.stdout.trim().to_owned()
}

/// Asks until the server is up again.
async fn ask_until_answered(lab: &Lab, ending: &str, words: &[&str]) -> String {
    let (runtime, unit) = place(lab, ending);
    let words = words.iter().map(|word| (*word).to_owned());
    let argv: Vec<String> = unit.client.iter().cloned().chain(words).collect();
    let answered = async {
        loop {
            let output = runtime.exec(unit, &argv, None, ExecLimits::default()).await;
            if let Ok(output) = output
                && output.exit_code == Some(0)
            {
                return output.stdout.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered).await.expect("an answer")
}

async fn next(events: &mut BoxStream<'static, UnitEvent>) -> UnitEvent {
    let next = tokio::time::timeout(Duration::from_secs(5), events.next());
    next.await.expect("an event within 5 s").expect("the stream goes on")
}

/// Both servers answer their clients, are what they should be, and take input.
async fn servers_are_as_specified(lab: &Lab) {
    assert_eq!(lab.servers.len(), 2);
    assert!(lab.servers.iter().all(|server| server.target.is_lab() && server.target.has_runtime));
    let limit = ask(lab, "redis-test", &["CONFIG", "GET", "maxmemory"], None).await;
    assert_eq!(limit, "maxmemory\n52428800");
    let policy = ask(lab, "redis-test", &["CONFIG", "GET", "maxmemory-policy"], None).await;
    assert_eq!(policy, "maxmemory-policy\nnoeviction");
    ask(lab, "redis-test", &[], Some(b"SET from stdin\n")).await;
    assert_eq!(ask(lab, "redis-test", &["GET", "from"], None).await, "stdin");

    let settings = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings \
        WHERE name IN ('max_connections', 'shared_buffers', 'max_prepared_transactions', \
        'log_lock_waits', 'deadlock_timeout', 'track_io_timing', 'data_checksums', \
        'superuser_reserved_connections', 'max_wal_size') AND source <> 'command line'";
    assert_eq!(
        ask(lab, "postgres-test", &["-At"], Some(settings.as_bytes())).await,
        "data_checksums=on deadlock_timeout=500 log_lock_waits=on max_connections=20 \
         max_prepared_transactions=5 max_wal_size=48 shared_buffers=8192 \
         superuser_reserved_connections=3 track_io_timing=on"
    );
    let roles = "SELECT string_agg(rolname || rolsuper, ' ' ORDER BY rolname) FROM pg_roles \
        WHERE rolcanlogin";
    assert_eq!(
        ask(lab, "postgres-test", &["-Atc", roles], None).await,
        "appfalse monitorfalse postgrestrue replfalse"
    );
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'hb'";
    assert_eq!(ask(lab, "postgres-test", &["-Atc", owner], None).await, "app");
    let loaded = "SELECT count(*) >= 0 FROM pg_stat_statements";
    assert_eq!(ask(lab, "postgres-test", &["-Atc", loaded], None).await, "t");
}

/// Each way to stop a server is done, seen, and announced; the data survives.
async fn stopping_is_done_seen_and_announced(lab: &Lab) {
    ask(lab, "postgres-test", &["-c", "CREATE TABLE kept AS SELECT 7 AS n"], None).await;
    for ending in ["redis-test", "postgres-test"] {
        let (runtime, unit) = place(lab, ending);
        let mut events = runtime.events(std::slice::from_ref(unit));
        let before = runtime.inspect(unit).await.expect("inspect");
        assert_eq!((before.status, before.lab.as_ref()), (UnitStatus::Running, unit.lab.as_ref()));

        runtime.pause(unit).await.expect("pause");
        assert_eq!(status(lab, ending).await, UnitStatus::Paused);
        assert_eq!(next(&mut events).await.kind, RuntimeEventKind::Paused);
        runtime.unpause(unit).await.expect("unpause");
        assert_eq!(status(lab, ending).await, UnitStatus::Running);
        assert_eq!(next(&mut events).await.kind, RuntimeEventKind::Unpaused);

        runtime.kill(unit).await.expect("kill");
        assert_eq!(next(&mut events).await.kind, RuntimeEventKind::Died);
        assert_eq!(status(lab, ending).await, UnitStatus::Exited);
        runtime.start(unit).await.expect("start");
        let started = next(&mut events).await;
        assert_eq!((started.kind, &started.unit), (RuntimeEventKind::Started, &unit.name));
        let after = runtime.inspect(unit).await.expect("inspect");
        assert_ne!(before.identity(), after.identity(), "another life is another identity");

        runtime.restart(unit, Duration::from_secs(10)).await.expect("restart");
        assert_eq!(next(&mut events).await.kind, RuntimeEventKind::Died);
        assert_eq!(next(&mut events).await.kind, RuntimeEventKind::Started);
        assert!(!runtime.logs(unit, 3).await.expect("logs").is_empty());
    }
    let kept = ask_until_answered(lab, "postgres-test", &["-Atc", "SELECT n FROM kept"]).await;
    assert_eq!(kept, "7");
    assert_eq!(ask_until_answered(lab, "redis-test", &["PING"]).await, "PONG");
}

/// A deadline ends the wait, what is too much is cut, and a missing command is an output.
async fn commands_are_bounded(lab: &Lab) {
    let (runtime, unit) = place(lab, "redis-test");
    let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let short = ExecLimits { deadline: Duration::from_millis(300), output_bytes: 1 << 10 };
    let slow = runtime.exec(unit, &argv(&["sleep", "3"]), None, short).await;
    assert!(slow.is_err_and(|error| error.to_string().contains("not done within 300ms")));
    let limits = ExecLimits::default();
    let narrow = ExecLimits { output_bytes: 10, ..limits };
    let cut = runtime.exec(unit, &argv(&["seq", "1000"]), None, narrow).await.expect("exec");
    assert_eq!(cut.stdout, "1\n2\n3\n4\n5\n\n[cut here: 3883 more bytes]");
    let missing =
        runtime.exec(unit, &argv(&["no-such-program"]), None, limits).await.expect("exec");
    assert!(missing.exit_code.is_some_and(|code| code == 126 || code == 127), "{missing:?}");
    assert!(missing.stdout.is_empty() && !missing.stderr.is_empty(), "{missing:?}");
}
