//! A proposal as a person reads it before deciding, and the question that follows on a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use super::print::Print;
use crate::domain::incident::Incident;
use crate::domain::policy::Demand;
use crate::domain::proposal::Proposal;

/// What a person answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes { typed: Option<String> },
    No,
}

/// Everything an approval binds: commands to the letter, cost, undo, proof, and what happens otherwise.
pub(super) fn proposal(incident: &Incident, proposal: &Proposal) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    let draft = &proposal.draft;
    line(format!("{}  {}  {}", incident.name(), incident.severity.as_str(), incident.target));
    line(format!("  {}", incident.message));
    let judged = incident.diagnosis.as_ref().and_then(|diagnosis| diagnosis.leading());
    if let Some(judged) = judged {
        line(format!("cause     {} ({}): {}", judged.cause, judged.grade, judged.because));
    }
    line(format!("proposal  {}, {} risk", proposal.fingerprint.short(), proposal.risk));
    line(format!("why       {}", draft.why));
    line(format!("effect    {}", draft.effect));
    line(format!("if not    {}", draft.if_not));
    for (index, step) in draft.steps.iter().enumerate() {
        line(format!("\n{}. {}, {} risk", index + 1, step.action, step.risk));
        for command in &step.preview.commands {
            line(format!("   $ {}", command.replace('\n', "\n     ")));
        }
        for consequence in &step.preview.consequences {
            line(format!("   {consequence}"));
        }
        for note in &step.preview.notes {
            line(format!("   note: {note}"));
        }
        line(format!("   undo: {}", step.undo.describe()));
        line(format!("   verified by: {}", step.verify));
    }
    let until = proposal.expires_at.format("%H:%M:%S");
    line(format!("\nrule: {}; open until {until} UTC", proposal.ruling.rule));
    text
}

/// Whether a person can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks on the terminal. Anything but the exact answer, a closed input included, is a no.
pub(super) fn ask(print: Print, proposal: &Proposal) -> anyhow::Result<Answer> {
    if proposal.ruling.demand == Demand::Typed {
        ask_for_name(print, proposal.target.as_str(), "approve")
    } else {
        ask_yes(print, "Approve? [y/N] ")
    }
}

/// Asks for a target's name; anything else is a no.
pub(super) fn ask_for_name(print: Print, name: &str, to: &str) -> anyhow::Result<Answer> {
    let question = format!("Type the target's name ({name}) to {to}, anything else to leave it: ");
    ask_for(print, name, &question)
}

/// Asks for a name in words of one's own; anything else is a no.
pub(super) fn ask_for(print: Print, name: &str, question: &str) -> anyhow::Result<Answer> {
    put(print, Some(name), question)
}

/// Asks for a yes; anything else is a no.
pub(super) fn ask_yes(print: Print, question: &str) -> anyhow::Result<Answer> {
    put(print, None, question)
}

fn put(print: Print, name: Option<&str>, question: &str) -> anyhow::Result<Answer> {
    let mut out = io::stdout().lock();
    write!(out, "{}", super::print::clean(question))?;
    out.flush()?;
    drop(out);
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line.is_empty() {
        print.line("")?;
    }
    Ok(answer(name, line.trim()))
}

fn answer(name: Option<&str>, line: &str) -> Answer {
    match name {
        Some(name) if line == name => Answer::Yes { typed: Some(name.to_owned()) },
        None if ["y", "Y", "yes"].contains(&line) => Answer::Yes { typed: None },
        _ => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_answer_approves() {
        for line in ["", "n", "y", "yes", "redis", "redis-test2", "Redis-test"] {
            assert_eq!(answer(Some("redis-test"), line), Answer::No, "{line}");
        }
        let typed = Some("redis-test".to_owned());
        assert_eq!(answer(Some("redis-test"), "redis-test"), Answer::Yes { typed });
        for line in ["", "n", "no", "ye", "redis-test"] {
            assert_eq!(answer(None, line), Answer::No, "{line}");
        }
        assert_eq!(answer(None, "y"), Answer::Yes { typed: None });
    }

    #[test]
    fn a_proposal_shows_everything_that_is_decided() {
        let (incident, shown) = crate::report::example::waiting();
        insta::assert_snapshot!(proposal(&incident, &shown));
    }
}
