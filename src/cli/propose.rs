//! `propose`: asks for an action although no incident is open.

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::json;

use super::context::Context;
use super::decide::known;
use super::{Done, bad_input, parse, show};
use crate::actions::{self, Descriptor};
use crate::domain::effect::{Command, Ordered};
use crate::domain::execution::ExecutionState;
use crate::domain::ids::incident_name;
use crate::domain::{ids::TargetId, proposal};

/// Ask for an action on a target, whether something is wrong with it or not
///
/// Previews it on the live server and prints what would run and what it would cost. It waits for an approval like
/// everything else, is proven, and stands in the records under your name. `simctl actions ACTION` lists the arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  simctl propose vacuum_table --target postgres-test --arg schema=public --arg table=orders\n  simctl propose save_redis --target redis-test --reason \"before the upgrade\""
)]
pub(super) struct Propose {
    /// Which action
    #[arg(value_name = "ACTION", value_parser = names(), hide_possible_values = true)]
    action: String,
    /// On which target
    #[arg(long, value_name = "NAME")]
    target: String,
    /// An argument of the action; may be given several times
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = parse::named)]
    args: Vec<(String, String)>,
    /// Why; it stands in the records
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

/// Every action with its aliases, for completions and for the nearest name to a mistyped one.
fn names() -> PossibleValuesParser {
    let value = |d: &'static Descriptor| {
        PossibleValue::new(d.id).help(d.title).aliases(d.aliases.iter().copied())
    };
    PossibleValuesParser::new(actions::ALL.iter().map(|action| value(action.descriptor())))
}

pub(super) async fn propose(context: &Context, given: &Propose) -> Done {
    let engine = context.engine().await?;
    let snapshot = engine.snapshot().await?;
    let watched = snapshot.targets.iter().map(|view| &view.target);
    let Some(target) = watched.clone().find(|target| target.id == *given.target.as_str()) else {
        let names = watched.map(|target| target.id.as_str());
        return Err(parse::unknown("target", &given.target, names, "simctl status"));
    };
    let Some(action) = actions::find_for(&given.action, target.engine) else {
        let (action, id, engine) = (&given.action, &target.id, target.engine.as_str());
        return Err(bad_input(format!("{action} is not for a {engine} like {id}")));
    };
    let args = read(action.descriptor(), &given.args)?;
    let command = Command::Propose {
        target: TargetId::from(given.target.as_str()),
        action: action.descriptor().id.into(),
        args,
        reason: given.reason.clone(),
    };
    let ordered = Ordered { actor: context.config().operator.clone(), command };
    let accepted = engine.order(&ordered).await?;
    let print = context.print;
    let Some(number) = accepted.incident else {
        print.line(&accepted.message)?;
        return Ok(ExitCode::SUCCESS);
    };
    let incident = known(&engine, number).await?;
    let execution = incident.active_execution();
    let proposal = execution.and_then(|execution| execution.proposal.as_ref());
    if print.json {
        let fingerprint = proposal.map(|proposal| &proposal.fingerprint);
        print.json(&json!({
            "message": accepted.message, "incident": number, "fingerprint": fingerprint,
            "proposal": proposal,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let waits = execution.is_some_and(|e| e.state == ExecutionState::AwaitingApproval);
    if let Some(proposal) = proposal.filter(|_| waits) {
        print.line(show::proposal(&incident, proposal))?;
    }
    print.line(&accepted.message)?;
    if waits {
        let name = incident_name(number);
        print.line(format_args!("decide about it: simctl approve {name}, simctl reject {name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The arguments as the action wants them.
fn read(
    descriptor: &'static Descriptor,
    given: &[(String, String)],
) -> anyhow::Result<proposal::Args> {
    let mut args = proposal::Args::new();
    for (name, typed) in given {
        let Some(arg) = descriptor.args.iter().find(|arg| arg.name == name) else {
            let names = descriptor.args.iter().map(|arg| arg.name);
            let list = format!("simctl actions {}", descriptor.id);
            return Err(parse::unknown(
                &format!("argument of {}", descriptor.id),
                name,
                names,
                &list,
            ));
        };
        let value = arg.read(typed).map_err(|error| bad_input(error.to_string()))?;
        if args.insert(name.clone(), value).is_some() {
            return Err(bad_input(format!("argument {name} is given twice")));
        }
    }
    if let Some(arg) =
        descriptor.args.iter().find(|arg| arg.required && !args.contains_key(arg.name))
    {
        let (name, form, about) = (arg.name, arg.form.word(), arg.about);
        return Err(bad_input(format!("add `--arg {name}={form}`: {about}")));
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::BadInput;

    fn vacuum(given: &[(&str, &str)]) -> Result<proposal::Args, String> {
        let owned: Vec<_> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let descriptor = actions::find("vacuum_table").unwrap().descriptor();
        read(descriptor, &owned).map_err(|error| {
            assert!(error.is::<BadInput>(), "{error}");
            error.to_string()
        })
    }

    #[test]
    fn arguments_are_read_by_the_descriptor_and_mistakes_name_the_next_step() {
        let read = vacuum(&[("schema", "public"), ("table", "Ünicode \"x\"=y")]).unwrap();
        assert_eq!(read["table"], "Ünicode \"x\"=y");
        for (given, said) in [
            (&[("schema", "a")][..], "add `--arg table=TEXT`: the table's name"),
            (
                &[("tabel", "a")][..],
                "there is no argument of vacuum_table `tabel`; did you mean table?",
            ),
            (&[("schema", "a"), ("schema", "b")][..], "argument schema is given twice"),
            (&[("after", "1")][..], "argument after: `1` is not a JSON object or a list of them"),
        ] {
            assert_eq!(vacuum(given), Err(said.to_owned()));
        }
    }
}
