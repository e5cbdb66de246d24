//! What each process costs: in a quiet time at the beginning, and over the whole run.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::process::{Process, Usage};

/// A measurement under way.
pub(crate) struct Load<'a> {
    processes: &'a [Process],
    began: Instant,
    first: Vec<Usage>,
    quiet: Vec<f64>,
}

/// One process's share.
#[derive(Debug)]
pub(crate) struct Cost {
    name: &'static str,
    quiet_percent: f64,
    whole_percent: f64,
    resident_mib: f64,
}

impl<'a> Load<'a> {
    pub(crate) fn watch(processes: &'a [Process]) -> anyhow::Result<Self> {
        let first = usages(processes)?;
        Ok(Self { processes, began: Instant::now(), first, quiet: Vec::new() })
    }

    pub(crate) fn end_of_quiet(&mut self) -> anyhow::Result<()> {
        self.quiet = self.percents(&usages(self.processes)?);
        Ok(())
    }

    pub(crate) fn end(self) -> anyhow::Result<Vec<Cost>> {
        let last = usages(self.processes)?;
        let whole = self.percents(&last);
        let costs = self.processes.iter().zip(&last).zip(self.quiet.iter().zip(&whole));
        Ok(costs
            .map(|((process, usage), (quiet, whole))| Cost {
                name: process.name,
                quiet_percent: *quiet,
                whole_percent: *whole,
                resident_mib: usage.resident_mib,
            })
            .collect())
    }

    fn percents(&self, now: &[Usage]) -> Vec<f64> {
        let elapsed = self.began.elapsed();
        let percent = |used: Duration| 100.0 * used.as_secs_f64() / elapsed.as_secs_f64();
        self.first.iter().zip(now).map(|(first, now)| percent(now.cpu - first.cpu)).collect()
    }
}

fn usages(processes: &[Process]) -> anyhow::Result<Vec<Usage>> {
    processes.iter().map(Process::usage).collect()
}

impl Cost {
    fn is_simctl(&self) -> bool {
        self.name == "simctl"
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, quiet_percent, whole_percent, resident_mib } = self;
        write!(f, "{name:<30}{quiet_percent:>10.2}{whole_percent:>10.2}{resident_mib:>10.1}")
    }
}

/// simctl's share of what the peers cost together: CPU in quiet, CPU over all, memory.
pub(crate) fn shares(costs: &[Cost]) -> [f64; 3] {
    let share = |of: fn(&Cost) -> f64| {
        let sum = |simctl: bool| -> f64 {
            costs.iter().filter(|cost| cost.is_simctl() == simctl).map(of).sum()
        };
        sum(true) / sum(false)
    };
    [share(|cost| cost.quiet_percent), share(|cost| cost.whole_percent), share(|c| c.resident_mib)]
}
