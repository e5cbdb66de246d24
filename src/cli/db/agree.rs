//! A change before it is made: shown to the letter, and agreed to by a person, a flag or the configuration.

use uuid::Uuid;

use crate::cli::context::Context;
use crate::cli::show::{self, Answer};
use crate::config::workbench::Writes;
use crate::database::writes::{Change, Permit};
use crate::domain::ids::Ids;
use crate::engine::clock;

/// Who agreed to it; nobody, when nobody could be asked.
pub(super) enum Agreed {
    By(Permit),
    /// A person was asked and said no.
    No,
    Nobody,
}

pub(super) fn agreed(context: &Context, change: &Change, yes: bool) -> anyhow::Result<Agreed> {
    let by =
        |how: &str| Agreed::By(change.permit(new_id(), context.config().operator.clone(), how));
    match context.config().workbench.writes {
        Writes::Automatic => return Ok(by("workbench.writes = automatic")),
        Writes::Forbid => return Ok(Agreed::Nobody),
        Writes::Approval if yes => return Ok(by("--yes")),
        Writes::Approval => {}
    }
    if context.print.json || !show::can_ask() {
        return Ok(Agreed::Nobody);
    }
    context.print.line(shown(change))?;
    let answer = if change.destructive {
        let question = format!(
            "Something is gone afterwards. Type the database's name ({}) to run it, anything else to leave it: ",
            change.database
        );
        show::ask_for(context.print, &change.database, &question)?
    } else {
        show::ask_yes(context.print, "Run it? [y/N] ")?
    };
    Ok(match answer {
        Answer::Yes { .. } => by("a person on a terminal"),
        Answer::No => Agreed::No,
    })
}

/// The seed is the clock and this process: two commands at one moment differ in one of them.
pub(in crate::cli) fn seed() -> u64 {
    let nanos = clock::now().timestamp_nanos_opt().unwrap_or_default().unsigned_abs();
    nanos ^ (u64::from(std::process::id()) << 32)
}

fn new_id() -> Uuid {
    Ids::seeded(seed()).next(clock::now())
}

fn shown(change: &Change) -> String {
    let mut text = format!(
        "changes database {} on {}, {}\n",
        change.database, change.target, change.fingerprint
    );
    const SHOWN: usize = 50;
    for statement in change.statements.iter().take(SHOWN) {
        text.push_str("   ");
        text.push_str(&statement.replace('\n', "\n   "));
        text.push_str(";\n");
    }
    if change.statements.len() > SHOWN {
        text.extend([format!("   … and {} more\n", change.statements.len() - SHOWN)]);
    }
    text
}
