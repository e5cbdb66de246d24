//! `pg` and `redis`: the read-only questions about a server, once, repeated, or as a monitoring plug-in.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::context::Context;
use super::print::json_text;
use super::signals::Signals;
use super::whom::{self, Whom};
use super::{Done, NO};
use crate::domain::target::Engine;
use crate::inspect::{Desk, Given, Grade, Inspection, Report};
use crate::targets::Server;

mod show;
mod verbs;

use verbs::Verb;

/// Ask a PostgreSQL what is the matter, read-only
///
/// As the monitor role alone (`simctl grants` prints it), with time limits on both sides, without holding a lock that
/// makes anyone wait. What cannot be asked is said with what to do about it; findings name the action that fits.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl pg health\n  simctl pg locks --watch 1\n  simctl pg bloat --min-mb 50 --json\n  simctl pg all --url postgres://ops@10.0.0.5/orders?sslmode=require",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Pg {
    #[command(flatten)]
    how: How,
    #[command(subcommand)]
    what: Verb<true>,
}

/// Ask a Redis what is the matter, read-only
///
/// No command walks over all keys at once, nothing is reset, and no client is slowed: the search for big keys is
/// paced and stops at its time budget. What cannot be asked is said with what to do about it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl redis memory --watch 2\n  simctl redis bigkeys --match session:* --budget-s 10\n  simctl redis all --json --url redis://10.0.0.5",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Redis {
    #[command(flatten)]
    how: How,
    #[command(subcommand)]
    what: Verb<false>,
}

/// Whom to ask, and how often.
#[derive(Debug, Args)]
struct How {
    #[command(flatten)]
    whom: Whom,
    /// Ask again and again, on one connection; then also what happens between two looks is told
    #[arg(long, global = true, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// One line for a monitoring system; exit code 0 ok, 1 warn, 2 crit, 3 inconclusive
    #[arg(long, global = true, conflicts_with_all = ["watch"])]
    check: bool,
}

pub(super) async fn pg(context: &Context, args: &Pg) -> Done {
    run(context, &args.how, &args.what.asked, Engine::Postgres).await
}

pub(super) async fn redis(context: &Context, args: &Redis) -> Done {
    run(context, &args.how, &args.what.asked, Engine::Redis).await
}

async fn run(
    context: &Context,
    how: &How,
    asked: &[(&'static Inspection, Given)],
    engine: Engine,
) -> Done {
    let server = whom::server(context, &how.whom, engine).await?;
    let drift = asked.iter().any(|(inspection, _)| inspection.verb == "config-drift");
    let baseline =
        if drift && how.whom.url.is_none() { baseline(context, &server).await } else { None };
    let mut desk = Desk::new(server).with_baseline(baseline);
    let ended = match how.watch {
        None => once(context, how, asked, &mut desk).await,
        Some(seconds) => {
            let mut signals = Signals::listen()?;
            tokio::select! {
                ended = again(context, asked, &mut desk, Duration::from_secs(seconds)) => ended,
                () = signals.heard() => Ok(ExitCode::SUCCESS),
            }
        }
    };
    desk.close().await;
    ended
}

async fn once(
    context: &Context,
    how: &How,
    asked: &[(&'static Inspection, Given)],
    desk: &mut Desk,
) -> Done {
    let mut reports = Vec::new();
    for (inspection, given) in asked {
        let report = desk.report(inspection, given).await;
        if !context.print.json && !how.check {
            context.print.line(show::report(&report))?;
        }
        reports.push(report);
    }
    if how.check {
        return plug_in(context, &reports);
    }
    if context.print.json {
        match reports.as_slice() {
            [one] => context.print.json(one)?,
            all => context.print.json(&all)?,
        }
    }
    let answered = reports.iter().any(Report::was_answered);
    Ok(if answered { ExitCode::SUCCESS } else { NO })
}

/// Asks until a signal ends it.
async fn again(
    context: &Context,
    asked: &[(&'static Inspection, Given)],
    desk: &mut Desk,
    pause: Duration,
) -> Done {
    loop {
        let mut page = Vec::new();
        for (inspection, given) in asked {
            page.push(desk.report(inspection, given).await);
        }
        if context.print.json {
            for report in &page {
                context.print.line(json_text(report)?)?;
            }
        } else {
            let text: Vec<String> = page.iter().map(show::report).collect();
            context.print.page(text.join("\n"))?;
        }
        sleep(pause).await;
    }
}

/// The worst in one line, as monitoring plug-ins say it.
fn plug_in(context: &Context, reports: &[Report]) -> Done {
    let grade = reports.iter().map(|report| report.grade).max().unwrap_or_default();
    context.print.line(show::one_line(reports, grade))?;
    Ok(ExitCode::from(match grade {
        Grade::Ok => 0,
        Grade::Warn => 1,
        Grade::Crit => 2,
        Grade::Inconclusive => 3,
    }))
}

/// What `simctl run` recorded of it while it was well, when the store can be read.
async fn baseline(context: &Context, server: &Server) -> Option<BTreeMap<String, String>> {
    let stored = async { anyhow::Ok(context.store().await?.load().await?) };
    match stored.await {
        Ok(mut ledger) => ledger.baselines.remove(&server.target.id),
        Err(error) => {
            context.say(format!("there is no baseline to compare with: {error:#}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;
    use crate::inspect;

    /// The help of a group, for when its verb is missing.
    fn help_of(group: &str) -> String {
        let mut cli = Cli::command();
        cli.build();
        let found =
            cli.find_subcommand_mut(group).map(|command| command.render_long_help().to_string());
        found.unwrap_or_default()
    }

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn every_example_can_be_typed() {
        for one in inspect::ALL {
            assert!(parsed(one.example).is_ok(), "{}: {:?}", one.id, parsed(one.example).err());
        }
    }

    #[test]
    fn every_inspection_is_in_the_help_of_its_group() {
        for (group, engine) in [("pg", Engine::Postgres), ("redis", Engine::Redis)] {
            let help = help_of(group);
            for one in inspect::of(engine) {
                assert!(help.contains(&format!("\n  {}", one.verb)), "{}: {help}", one.verb);
            }
            assert!(help.contains("\n  all"));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_bounds() {
        for bad in [
            "simctl pg",
            "simctl pg bloat --min-mb x",
            "simctl pg slow --limit 0",
            "simctl pg database",
            "simctl pg health --min-mb 1",
            "simctl pg health --watch 0",
            "simctl pg health --target a --url postgres://u@h/d",
            "simctl pg health --watch --check",
        ] {
            let refused = parsed(bad).expect_err(bad);
            assert_eq!(refused.exit_code(), 2, "{bad}: {refused}");
        }
        let said = parsed("simctl pg slow --limit 501").expect_err("too many").to_string();
        assert!(said.contains("from 1 to 500, not `501`"), "{said}");
    }
}
