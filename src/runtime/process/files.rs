//! How many files a process may have open: read from `/proc`, changed while it runs.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::binaries;
use super::record::User;
use super::table::Life;
use crate::domain::unit::FileLimit;

/// What this very process has open, and may.
pub(super) fn of(life: &Life) -> Option<FileLimit> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", life.pid)).ok()?;
    let numbers = fs::read_dir(format!("/proc/{}/fd", life.pid)).ok()?.flatten();
    let open: BTreeSet<u64> =
        numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let (soft, hard) = parse(&limits)?;
    life.now()?;
    Some(FileLimit { open: open.len() as u64, next: lowest_free(&open), soft, hard })
}

/// The kernel gives the lowest number that is free, also below those in use.
fn lowest_free(used: &BTreeSet<u64>) -> u64 {
    (0..)
        .zip(used)
        .find(|(expected, number)| expected != *number)
        .map_or(used.len() as u64, |(free, _)| free)
}

/// Soft and hard limit out of the line that names them.
fn parse(limits: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_whitespace();
    let mut number = || {
        words.next().and_then(|word| match word {
            "unlimited" => Some(u64::MAX),
            word => word.parse().ok(),
        })
    };
    Some((number()?, number()?))
}

/// Sets the limit that counts; the hard one stays, since nobody but root could raise it again. Done as the process's
/// own user: not every root may change the limits of others.
pub(super) async fn set_soft(life: &Life, user: Option<User>, soft: u64) -> anyhow::Result<()> {
    let now = of(life).context("its limit of open files cannot be read")?;
    ensure!(soft <= now.hard, "no more than {} files can be allowed", now.hard);
    let program = binaries::find("prlimit").unwrap_or_else(|| "prlimit".into());
    let mut command = Command::new(program);
    command.args(["--pid", &life.pid.to_string(), &format!("--nofile={soft}:")]);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    let output = command.stdin(Stdio::null()).output().await.context("run prlimit")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_their_line() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             96411                96411                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(parse(limits), Some((1_024, 524_288)));
        let unlimited = "Max open files            64                   unlimited            files";
        assert_eq!(parse(unlimited), Some((64, u64::MAX)));
        assert_eq!(parse("Max processes 1 1 processes"), None);
    }

    #[test]
    fn a_gap_is_filled_first() {
        assert_eq!(lowest_free(&[0, 1, 2].into()), 3);
        assert_eq!(lowest_free(&[0, 1, 3, 9].into()), 2);
        assert_eq!(lowest_free(&BTreeSet::new()), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_limit_of_a_running_process_is_changed_and_no_further_than_it_goes() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let life = Life::of(i32::try_from(child.id()).unwrap()).unwrap();
        let before = of(&life).unwrap();
        set_soft(&life, None, 16).await.unwrap();
        let now = of(&life).unwrap();
        assert_eq!((now.soft, now.hard), (16, before.hard));
        set_soft(&life, None, before.soft).await.unwrap();
        assert_eq!(of(&life).unwrap().soft, before.soft);
        if let Some(beyond) = before.hard.checked_add(1) {
            assert!(set_soft(&life, None, beyond).await.is_err());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(set_soft(&life, None, 16).await.is_err(), "its pid may be another's by now");
    }
}
