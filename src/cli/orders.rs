//! `undo`, `stop`, `kill`, `verify`, `note`, `resolve`: what a person orders about an incident besides deciding.

use clap::Args;

use super::context::Context;
use super::decide::known;
use super::show::{self, Answer};
use super::{Done, NO, bad_input, parse};
use crate::domain::effect::Command;
use crate::domain::ids::incident_name;
use crate::domain::undo::{UndoPlan, undoable};
use crate::engine::clock;

/// Take back what was done for an incident
///
/// Prints what will run, then asks for the target's name. Works for half an hour after the action, also when
/// the incident is resolved.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl undo INC-0042\n  simctl undo 42 --type redis-test")]
pub(super) struct Undo {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
    /// The target's name
    #[arg(long = "type", alias = "typed", value_name = "NAME")]
    typed: Option<String>,
}

/// Stop after the action that runs now; a person has the incident then
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl stop INC-0042")]
pub(super) struct Stop {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
}

/// Drop the action that runs now; what it did so far is not known then
///
/// Asks first. Afterwards the target is measured, nothing is repeated or taken back by itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  simctl kill INC-0042\n  simctl kill 42 --yes")]
pub(super) struct Kill {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Measure again whether what was done worked; a proof resolves the incident
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl verify INC-0042")]
pub(super) struct Verify {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
}

/// Write a remark into the records of an incident
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl note INC-0042 \"the batch job was the writer\"")]
pub(super) struct Note {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
    /// The remark
    text: String,
}

/// Declare an incident over
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  simctl resolve INC-0042 --reason \"moved to the new server\"")]
pub(super) struct Resolve {
    /// Which incident
    #[arg(value_name = "INC", value_parser = parse::incident)]
    incident: u64,
    /// Why; it stands in the records
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn undo(context: &Context, args: &Undo) -> Done {
    let engine = context.engine().await?;
    let incident = known(&engine, args.incident).await?;
    let plan = undoable(&incident, clock::now()).map_err(anyhow::Error::msg)?;
    let (print, target) = (context.print, incident.target.as_str());
    if !print.json {
        print.line(shown(target, &plan))?;
    }
    let typed = match &args.typed {
        Some(typed) => typed.clone(),
        None if print.json || !show::can_ask() => {
            return Err(bad_input(format!(
                "there is no terminal to ask on; to take it back, add `--type {target}`"
            )));
        }
        None => match show::ask_for_name(print, target, "take it back")? {
            Answer::Yes { typed } => typed.unwrap_or_default(),
            Answer::No => {
                print.line("nothing was taken back")?;
                return Ok(NO);
            }
        },
    };
    let command = Command::Undo { incident: args.incident, typed: Some(typed) };
    context.order(&engine, command).await
}

/// What is taken back, to the letter where the letters are known.
fn shown(target: &str, plan: &UndoPlan) -> String {
    let until = plan.until.format("%H:%M:%S");
    let mut text =
        format!("takes back {} on {target}; possible until {until} UTC\n", plan.actions());
    for line in &plan.lines {
        text.push_str("   $ ");
        text.push_str(&line.replace('\n', "\n     "));
        text.push('\n');
    }
    text
}

pub(super) async fn stop(context: &Context, args: &Stop) -> Done {
    let engine = context.engine().await?;
    known(&engine, args.incident).await?;
    context.order(&engine, Command::Stop { incident: args.incident }).await
}

pub(super) async fn kill(context: &Context, args: &Kill) -> Done {
    let engine = context.engine().await?;
    known(&engine, args.incident).await?;
    if !args.yes {
        if context.print.json || !show::can_ask() {
            return Err(bad_input("there is no terminal to ask on; to kill it, add `--yes`"));
        }
        let question = "What it did so far will not be known. Kill it? [y/N] ";
        if show::ask_yes(context.print, question)? == Answer::No {
            context.print.line("not killed")?;
            return Ok(NO);
        }
    }
    context.order(&engine, Command::Kill { incident: args.incident }).await
}

pub(super) async fn verify(context: &Context, args: &Verify) -> Done {
    let engine = context.engine().await?;
    known(&engine, args.incident).await?;
    context.order(&engine, Command::Reverify { incident: args.incident }).await
}

pub(super) async fn note(context: &Context, args: &Note) -> Done {
    let engine = context.engine().await?;
    known(&engine, args.incident).await?;
    let command = Command::Note { incident: args.incident, text: args.text.clone() };
    context.order(&engine, command).await
}

pub(super) async fn resolve(context: &Context, args: &Resolve) -> Done {
    let engine = context.engine().await?;
    known(&engine, args.incident).await?;
    if args.reason.trim().is_empty() {
        return Err(bad_input(format!("say why {} is over", incident_name(args.incident))));
    }
    let (incident, reason) = (args.incident, args.reason.clone());
    context.order(&engine, Command::Resolve { incident, reason }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::BadInput;
    use crate::cli::decide::tests::Bench;
    use crate::domain::execution::Execution;
    use crate::domain::incident::Incident;
    use crate::domain::proposal::Undo as Kind;
    use crate::report::example;

    /// An incident whose action ended so many minutes ago, and can be taken back.
    fn ended(minutes_ago: i64) -> Incident {
        let mut incident = example::incident();
        let end = clock::now() - chrono::TimeDelta::minutes(minutes_ago);
        let change = |execution: &mut Execution| {
            execution.completed_at = Some(end);
            execution.rolled_back = false;
            for step in execution.proposal.iter_mut().flat_map(|p| &mut p.draft.steps) {
                step.undo = Kind::Exact("put the keys back".into());
            }
            execution.steps[0].undo_commands = vec!["RESTORE 5 keys".into()];
        };
        incident.executions.iter_mut().for_each(change);
        incident
    }

    fn args(typed: Option<&str>) -> Undo {
        Undo { incident: 42, typed: typed.map(str::to_owned) }
    }

    #[tokio::test]
    async fn an_undo_shows_what_runs_and_wants_the_name() {
        let plan = undoable(&ended(5), clock::now()).unwrap();
        let text = shown("redis-test", &plan);
        assert!(text.contains("on redis-test; possible until"), "{text}");
        assert!(text.ends_with("   $ RESTORE 5 keys\n"), "{text}");

        let bench = Bench::with(ended(5)).await;
        undo(&bench.context, &args(Some("redis-test"))).await.unwrap();
        let error = undo(&bench.context, &args(None)).await.unwrap_err();
        assert!(error.is::<BadInput>(), "{error}");
        assert!(error.to_string().contains("add `--type redis-test`"), "{error}");
        let typed = Some("redis-test".to_owned());
        assert_eq!(bench.end().await, [Command::Undo { incident: 42, typed }]);
    }

    #[tokio::test]
    async fn what_cannot_be_taken_back_is_said_before_anybody_is_asked() {
        let bench = Bench::with(ended(31)).await;
        let error = undo(&bench.context, &args(Some("redis-test"))).await.unwrap_err();
        assert!(error.to_string().contains("the window to take back"), "{error}");
        assert_eq!(bench.end().await, []);
    }

    #[tokio::test]
    async fn every_order_reaches_the_engine_as_it_was_given() {
        let bench = Bench::with(example::incident()).await;
        let (incident, context) = (42, &bench.context);
        stop(context, &Stop { incident }).await.unwrap();
        kill(context, &Kill { incident, yes: true }).await.unwrap();
        verify(context, &Verify { incident }).await.unwrap();
        note(context, &Note { incident, text: "seen".into() }).await.unwrap();
        resolve(context, &Resolve { incident, reason: "moved".into() }).await.unwrap();

        let asked = kill(context, &Kill { incident, yes: false }).await.unwrap_err();
        assert!(asked.is::<BadInput>() && asked.to_string().contains("add `--yes`"), "{asked}");
        let silent = resolve(context, &Resolve { incident, reason: " ".into() }).await;
        assert!(silent.unwrap_err().is::<BadInput>());
        assert!(stop(context, &Stop { incident: 43 }).await.unwrap_err().is::<BadInput>());
        let told = [
            Command::Stop { incident },
            Command::Kill { incident },
            Command::Reverify { incident },
            Command::Note { incident, text: "seen".into() },
            Command::Resolve { incident, reason: "moved".into() },
        ];
        assert_eq!(bench.end().await, told);
    }
}
