//! How soon a failure is noticed: simctl beside Prometheus, its exporters and Alertmanager, in one run.
//!
//! Both watch the same two servers of a lab made for this run, both from outside: the servers are broken by
//! plain clients and the `docker` command. `ROUNDS` sets how often (default 5), `SIMCTL_BENCH_PORTS` the first
//! of eight ports (default 24480), `SIMCTL_BENCH_LAB` the lab's id (default `detection`; taken down at the end).
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Duration;

use anyhow::Context as _;
use simctl::engine::tasks::Tasks;

mod board;
mod failures;
mod lab;
mod load;
mod peers;
mod process;
mod table;
mod witness;

use board::Board;
use failures::{ALL, Failure};
use lab::Lab;
use load::Load;
use table::{Round, Table};

/// How long both sides must be quiet before the next failure.
const REST: Duration = Duration::from_secs(3);
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
const CALM_WITHIN: Duration = Duration::from_secs(90);
const QUIET_MINUTE: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let missing = peers::missing();
    if !missing.is_empty() {
        println!(
            "detection: nothing measured; install {} first (Debian packages of these names)",
            missing.join(", ")
        );
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(compare())
}

async fn compare() -> anyhow::Result<()> {
    let rounds: usize = env_or("ROUNDS", 5)?;
    let lab = Lab::up(env_or("SIMCTL_BENCH_PORTS", 24_480)?).await?;
    let measured = measure(&lab, rounds).await;
    let downed = lab.down().await;
    print!("{}", measured?);
    downed
}

async fn measure(lab: &Lab, rounds: usize) -> anyhow::Result<Table> {
    let board = Board::default();
    let mut tasks = Tasks::default();
    let mut running = vec![lab.run_simctl(&board, &mut tasks)?];
    board.wait_calm(CALM_WITHIN).await.context("wait for simctl")?;
    tokio::time::sleep(REST).await;
    // simctl's own held session is idle too; both sides count those of others.
    let idle = failures::idle_sessions(lab).await?;
    running.extend(peers::start(lab, &board, &mut tasks, idle).await?);
    board.wait_calm(CALM_WITHIN).await.context("wait until nothing is wrong")?;
    tokio::time::sleep(REST * 3).await;

    let mut load = Load::watch(&running)?;
    tokio::time::sleep(QUIET_MINUTE).await;
    load.end_of_quiet()?;
    let mut table = Table::default();
    for round in 1..=rounds {
        for failure in ALL {
            eprintln!("round {round} of {rounds}: {}", failure.name());
            // Calm comes with a tick of Prometheus: without this every round would break at the same point of
            // its second, and its delay would be measured once, not as a spread.
            tokio::time::sleep(phase(round, rounds)).await;
            let times = one(lab, &board, failure).await;
            table
                .add(failure, times.with_context(|| format!("{}, round {round}", failure.name()))?);
        }
    }
    table.load = load.end()?;
    tasks.stop().await;
    for process in running {
        process.end().await;
    }
    Ok(table)
}

/// Breaks, waits until both noticed, undoes, waits until both are calm.
async fn one(lab: &Lab, board: &Board, failure: Failure) -> anyhow::Result<Round> {
    board.clear();
    let broken = failure.cause(lab).await?;
    let since = broken.at;
    let noticed = board.wait_noticed(failure, NOTICED_WITHIN).await;
    let undone = broken.undo(lab).await;
    let noticed = noticed?;
    undone?;
    board.wait_calm(CALM_WITHIN).await?;
    tokio::time::sleep(REST).await;
    Ok(Round::since(since, &noticed))
}

/// The rounds spread evenly over the peers' period.
fn phase(round: usize, rounds: usize) -> Duration {
    Duration::from_secs(1).mul_f64((round as f64 - 0.5) / rounds as f64)
}

fn env_or<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is {text}")),
        Err(_) => Ok(default),
    }
}
