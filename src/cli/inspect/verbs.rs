//! The verbs of `pg` and `redis`, made of the descriptors: an inspection that is in the list is on the command line.

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, FromArgMatches, Subcommand};

use crate::domain::target::Engine;
use crate::inspect::{self, ArgKind, Given, Inspection};

/// Every inspection of that kind, with its defaults.
const ALL: &str = "all";

/// What was asked: one inspection with its arguments, or all of them.
#[derive(Debug)]
pub(super) struct Verb<const POSTGRES: bool> {
    pub(super) asked: Vec<(&'static Inspection, Given)>,
}

fn engine(postgres: bool) -> Engine {
    if postgres { Engine::Postgres } else { Engine::Redis }
}

fn command(inspection: &'static Inspection) -> Command {
    let command = Command::new(inspection.verb)
        .about(inspection.title)
        .long_about(format!("{}\n\n{}", inspection.title, inspection.about))
        .after_help(format!("Example:\n  {}", inspection.example));
    inspection.args.iter().fold(command, |command, arg| command.arg(argument(arg)))
}

fn argument(arg: &'static inspect::Arg) -> Arg {
    let made = Arg::new(arg.name);
    let mut about = arg.about.to_owned();
    about[..1].make_ascii_uppercase();
    match arg.kind {
        ArgKind::Whole { default, .. } => {
            made.long(arg.name).value_name("N").help(format!("{about} [default: {default}]"))
        }
        ArgKind::Text => made.long(arg.name).value_name("NAME").help(about),
        ArgKind::Subject => made.required(true).value_name("NAME").help(about),
    }
}

fn read(inspection: &'static Inspection, matches: &ArgMatches) -> Result<Given, clap::Error> {
    let written = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    Given::read(inspection.args, written)
        .map_err(|said| clap::Error::raw(ErrorKind::ValueValidation, format!("{said}\n")))
}

impl<const POSTGRES: bool> FromArgMatches for Verb<POSTGRES> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing =
            || clap::Error::raw(ErrorKind::MissingSubcommand, "what is asked is missing\n");
        let (verb, matches) = matches.subcommand().ok_or_else(missing)?;
        let engine = engine(POSTGRES);
        if verb == ALL {
            let all = inspect::of(engine).map(|one| (one, Given::nothing(one.args)));
            return Ok(Self { asked: all.collect() });
        }
        let inspection = inspect::find(engine, verb).ok_or_else(missing)?;
        Ok(Self { asked: vec![(inspection, read(inspection, matches)?)] })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const POSTGRES: bool> Subcommand for Verb<POSTGRES> {
    fn augment_subcommands(group: Command) -> Command {
        let all = Command::new(ALL).about("All of these, one after the other, on one connection");
        inspect::of(engine(POSTGRES)).map(command).chain([all]).fold(group, Command::subcommand)
    }

    fn augment_subcommands_for_update(group: Command) -> Command {
        Self::augment_subcommands(group)
    }

    fn has_subcommand(name: &str) -> bool {
        name == ALL || inspect::find(engine(POSTGRES), name).is_some()
    }
}
