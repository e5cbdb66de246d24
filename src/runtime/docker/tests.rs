//! How the Docker runtime spells, cuts and reconnects, without an engine.

use super::*;
use crate::ports::runtime::CpuLimit;

fn unit() -> Unit {
    Unit { name: "redis-test".into(), lab: Some("lab".into()), client: vec!["redis-cli".into()] }
}

fn runtime() -> DockerRuntime {
    let docker = Docker::connect_with_http("http://127.0.0.1:1", 1, bollard::API_DEFAULT_VERSION);
    DockerRuntime { docker: docker.unwrap() }
}

#[tokio::test]
async fn operations_are_spelled_as_a_person_types_them() {
    let argv: Vec<String> =
        ["redis-cli", "SET", "a key", ""].into_iter().map(str::to_owned).collect();
    let cases = [
        (Operation::Exec(&argv), "docker exec redis-test redis-cli SET 'a key' ''"),
        (Operation::Start, "docker start redis-test"),
        (Operation::Restart(Duration::from_secs(30)), "docker restart -t 30 redis-test"),
        (Operation::Pause, "docker pause redis-test"),
        (Operation::Unpause, "docker unpause redis-test"),
        (Operation::Kill, "docker kill redis-test"),
        (Operation::Signal(Signal::Stop), "docker kill --signal STOP redis-test"),
        (Operation::Adjust(Change::Memory(1 << 20)), "docker update --memory=1048576 redis-test"),
        (
            Operation::Adjust(Change::Connect { network: "lab", aliases: &["cache".to_owned()] }),
            "docker network connect --alias cache lab redis-test",
        ),
        (
            Operation::Adjust(Change::Disconnect { network: "lab" }),
            "docker network disconnect lab redis-test",
        ),
        (
            Operation::Adjust(Change::Cpu(CpuLimit::of(None, None))),
            "docker update --cpu-period=100000 --cpu-quota=-1 redis-test",
        ),
        (Operation::Adjust(Change::Pids(Some(128))), "docker update --pids-limit=128 redis-test"),
    ];
    for (operation, line) in cases {
        assert_eq!(runtime().spell(&unit(), operation), line);
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_said_in_one_sentence() {
    let error = runtime().inspect(&unit()).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("refused") && text.contains("start it"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn the_year_one_is_never() {
    assert_eq!(moment("0001-01-01T00:00:00Z"), None);
    assert_eq!(moment("2024-05-01T10:00:00.5Z").unwrap().timestamp_subsec_millis(), 500);
}

#[test]
fn a_stopped_container_has_an_exit_code_and_a_running_one_has_none() {
    let seen = |status| ContainerInspectResponse {
        id: Some("abc".into()),
        state: Some(ContainerState {
            status: Some(status),
            exit_code: Some(137),
            ..Default::default()
        }),
        ..Default::default()
    };
    let stopped = state_of(seen(ContainerStateStatusEnum::EXITED));
    assert_eq!((stopped.status, stopped.exit_code), (UnitStatus::Exited, Some(137)));
    let running = state_of(seen(ContainerStateStatusEnum::RUNNING));
    assert_eq!((running.status, running.exit_code), (UnitStatus::Running, None));
    assert_eq!(state_of(seen(ContainerStateStatusEnum::CREATED)).status, UnitStatus::Exited);
}

#[test]
fn log_lines_may_span_chunks() {
    let chunk = |text: &'static str| LogOutput::StdOut { message: text.into() };
    let lines = lines_of(vec![chunk("one\ntw"), chunk("o\nthree\n")], 2);
    assert_eq!(lines, ["two", "three"]);
}
