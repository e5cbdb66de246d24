//! A proposal as rows: every command whole, byte for byte, with its scope and undo; then the reasons. It remembers
//! which parts of the commands have been on the screen.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::domain::diagnosis::Diagnosis;
use crate::domain::proposal::{Preview, Proposal, Undo};
use crate::tui::text::{clean, units, width, wrap};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::draw::put;

/// Columns of the word before a reason.
const WORDS: usize = 9;

/// What a dialog shows of a plan.
#[derive(Clone, Debug)]
pub struct Plan {
    commands: Vec<Shown>,
    facts: Vec<(&'static str, String)>,
    /// For every byte of every command, whether it has been on the screen.
    seen: Vec<Vec<bool>>,
}

/// One command, and what is told beside it.
#[derive(Clone, Debug)]
struct Shown {
    text: String,
    /// What it touches and how it is undone; on the last command of a step.
    aside: String,
}

/// One row of the dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    parts: Vec<(String, Role)>,
    /// Which command, and which of its bytes.
    command: Option<(usize, Range<usize>)>,
}

impl Row {
    fn plain(text: impl Into<String>, role: Role) -> Self {
        Self { parts: vec![(text.into(), role)], command: None }
    }

    /// Draws the row.
    pub fn draw(&self, area: Rect, buf: &mut Buffer, theme: &Theme) {
        let mut x = 0;
        for (text, role) in &self.parts {
            x += put(buf, area, x, text, theme.style(*role));
        }
    }
}

impl Plan {
    /// The plan of a proposal.
    pub fn of(proposal: &Proposal, diagnosis: Option<&Diagnosis>) -> Self {
        let mut commands = Vec::new();
        for step in &proposal.draft.steps {
            let aside = aside(&step.preview, &step.undo);
            let last = step.preview.commands.len().saturating_sub(1);
            for (index, command) in step.preview.commands.iter().enumerate() {
                let text = shown(command);
                let aside = if index == last { aside.clone() } else { String::new() };
                commands.push(Shown { text, aside });
            }
        }
        Self::new(commands, facts(proposal, diagnosis))
    }

    /// A plan of plain commands with what each touches, and reasons.
    pub fn plain(commands: Vec<(String, String)>, facts: Vec<(&'static str, String)>) -> Self {
        let command = |(text, aside): (String, String)| Shown { text: shown(&text), aside };
        Self::new(commands.into_iter().map(command).collect(), facts)
    }

    fn new(commands: Vec<Shown>, facts: Vec<(&'static str, String)>) -> Self {
        let seen = commands.iter().map(|shown| vec![false; shown.text.len()]).collect();
        Self { commands, facts, seen }
    }

    /// All rows at this width; the commands first.
    pub fn rows(&self, columns: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for (index, shown) in self.commands.iter().enumerate() {
            self.command_rows(index, shown, columns, &mut rows);
        }
        if !rows.is_empty() && !self.facts.is_empty() {
            rows.push(Row::plain("", Role::Text));
        }
        for (word, text) in &self.facts {
            let pad = WORDS.min(columns / 3);
            for (n, line) in wrap(&clean(text), columns.saturating_sub(pad), 0).enumerate() {
                let word = if n == 0 { *word } else { "" };
                rows.push(Row {
                    parts: vec![
                        (format!("{word:pad$}"), Role::Muted),
                        (line.to_owned(), Role::Text),
                    ],
                    command: None,
                });
            }
        }
        rows
    }

    fn command_rows(&self, index: usize, shown: &Shown, columns: usize, rows: &mut Vec<Row>) {
        let number = format!("{} ", index + 1);
        let indent = number.len();
        let room = columns.saturating_sub(indent).max(1);
        let pieces = pieces(&shown.text, room);
        let fits_beside = pieces.len() == 1
            && !shown.aside.is_empty()
            && indent + width(&shown.text) + 3 + width(&shown.aside) <= columns;
        for range in &pieces {
            // A line of the command itself is led as a shell leads it; a row that is only broken is not.
            let begins = range.start.checked_sub(1).and_then(|at| shown.text.as_bytes().get(at));
            let lead = match begins {
                None => number.clone(),
                Some(b'\n') => format!("{:>indent$}", "> "),
                Some(_) => " ".repeat(indent),
            };
            let mut parts =
                vec![(lead, Role::Muted), (shown.text[range.clone()].to_owned(), Role::Command)];
            if fits_beside {
                parts.push((format!("   {}", shown.aside), Role::Muted));
            }
            rows.push(Row { parts, command: Some((index, range.clone())) });
        }
        if !fits_beside && !shown.aside.is_empty() {
            for line in wrap(&shown.aside, room, 0) {
                let text = format!("{}{line}", " ".repeat(indent));
                rows.push(Row::plain(text, Role::Muted));
            }
        }
    }

    /// A row was on the screen.
    pub fn saw(&mut self, row: &Row) {
        if let Some((index, range)) = &row.command
            && let Some(seen) =
                self.seen.get_mut(*index).and_then(|seen| seen.get_mut(range.clone()))
        {
            seen.fill(true);
        }
    }

    /// How many of the rows hold a part of a command that was never on the screen, of how many.
    pub fn unseen(&self, rows: &[Row]) -> (usize, usize) {
        let commands = rows.iter().filter_map(|row| row.command.as_ref());
        let is_unseen = |(index, range): &&(usize, Range<usize>)| {
            self.seen.get(*index).is_some_and(|seen| {
                seen.get(range.clone()).is_some_and(|part| part.contains(&false))
            })
        };
        (commands.clone().filter(is_unseen).count(), commands.count())
    }

    /// Everything about the proposal, for reading at leisure.
    pub fn full_text(&self, proposal: &Proposal) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        let _ = writeln!(text, "fingerprint  {}", proposal.fingerprint.0);
        let _ = writeln!(text, "target       {}", proposal.target);
        let _ = writeln!(text, "risk         {}", proposal.risk);
        let _ = writeln!(text, "cause        {}", proposal.draft.cause);
        let _ = writeln!(text, "made         {}", proposal.created_at.format("%Y-%m-%d %H:%M:%S"));
        let _ = writeln!(text, "expires      {}", proposal.expires_at.format("%Y-%m-%d %H:%M:%S"));
        for (index, step) in proposal.draft.steps.iter().enumerate() {
            let _ = writeln!(text, "\nstep {}  {}  risk {}", index + 1, step.action, step.risk);
            for (name, value) in &step.args {
                let _ = writeln!(text, "  {name} = {value}");
            }
            for command in &step.preview.commands {
                let _ = writeln!(text, "  $ {command}");
            }
            for consequence in &step.preview.consequences {
                let _ = writeln!(text, "  touches  {consequence}");
            }
            for (name, value) in &step.preview.scope {
                let _ = writeln!(text, "  bound to {name} = {value}");
            }
            for note in &step.preview.notes {
                let _ = writeln!(text, "  note     {note}");
            }
            let _ = writeln!(text, "  undo     {}", step.undo.describe());
            let _ = writeln!(text, "  proof    {}", step.verify);
        }
        text.push('\n');
        for (word, fact) in &self.facts {
            let _ = writeln!(text, "{word:WORDS$}{fact}");
        }
        text
    }
}

/// What a step touches and how it is undone, on one line.
fn aside(preview: &Preview, undo: &Undo) -> String {
    let touched: Vec<_> = preview.consequences.iter().map(ToString::to_string).collect();
    let touched =
        if touched.is_empty() { String::new() } else { format!("{}   ", touched.join(", ")) };
    clean(&format!("{touched}undo: {}", undo.describe())).into_owned()
}

fn facts(proposal: &Proposal, diagnosis: Option<&Diagnosis>) -> Vec<(&'static str, String)> {
    let draft = &proposal.draft;
    let mut facts = vec![("why", draft.why.clone()), ("effect", draft.effect.clone())];
    facts.push(("if not", draft.if_not.clone()));
    let notes: Vec<_> = draft.steps.iter().flat_map(|step| step.preview.notes.clone()).collect();
    if !notes.is_empty() {
        facts.push(("note", notes.join("; ")));
    }
    let proofs: Vec<_> = draft.steps.iter().map(|step| step.verify.clone()).collect();
    facts.push(("proof", proofs.join("; ")));
    if let Some(leading) = diagnosis.and_then(Diagnosis::leading) {
        let cited = leading.evidence.join(", ");
        let grade = leading.grade.as_str();
        facts.push(("cause", format!("{} {grade}: {} ({cited})", leading.cause, leading.because)));
    }
    facts.push(("rule", proposal.ruling.rule.clone()));
    facts
}

/// A command with every byte visible; its own line breaks stay.
fn shown(command: &str) -> String {
    let lines: Vec<_> = command.split('\n').map(clean).collect();
    lines.join("\n")
}

/// Cuts a command into rows of at most `columns`, without dropping or changing a byte but line breaks, which
/// begin a row.
fn pieces(text: &str, columns: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, mut at, mut used) = (0, 0, 0);
    for (unit, wide) in units(text) {
        if unit == "\n" {
            pieces.push(start..at);
            at += 1;
            (start, used) = (at, 0);
            continue;
        }
        if used + wide > columns && at > start {
            pieces.push(start..at);
            (start, used) = (at, 0);
        }
        at += unit.len();
        used += wide;
    }
    pieces.push(start..text.len());
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(commands: &[&str]) -> Plan {
        let commands = commands.iter().map(|text| ((*text).to_owned(), "1 client".to_owned()));
        Plan::plain(commands.collect(), vec![("why", "it leaks and leaks".into())])
    }

    fn text(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| row.parts.iter().map(|(text, _)| text.as_str()).collect()).collect()
    }

    #[test]
    fn a_short_command_has_its_scope_beside_it_and_a_long_one_below() {
        assert_eq!(
            text(&plan(&["CLIENT KILL ID 77"]).rows(40)),
            ["1 CLIENT KILL ID 77   1 client", "", "why      it leaks and leaks"]
        );
        assert_eq!(
            text(&plan(&["CLIENT KILL ID 77"]).rows(12)),
            ["1 CLIENT KIL", "  L ID 77", "  1 client", "", "why it leaks", "    and", "    leaks"]
        );
    }

    #[test]
    fn the_lines_of_a_command_are_told_from_rows_that_are_only_broken() {
        let plan = Plan::plain(
            vec![("redis-cli <<'END'\nUNLINK a b c\nEND".into(), String::new())],
            vec![],
        );
        assert_eq!(
            text(&plan.rows(12)),
            ["1 redis-cli ", "  <<'END'", "> UNLINK a b", "   c", "> END"]
        );
    }

    #[test]
    fn every_part_of_every_command_must_have_been_on_the_screen() {
        let mut plan = plan(&["aaaaaaaaaa", "bbbbbbbbbb"]);
        let rows = plan.rows(7);
        assert_eq!(plan.unseen(&rows), (4, 4));
        plan.saw(&rows[0]);
        plan.saw(&rows[1]);
        assert_eq!(plan.unseen(&rows), (2, 4));
        // What was seen stays seen when the rows break elsewhere.
        let wider = plan.rows(30);
        assert_eq!(plan.unseen(&wider), (1, 2));
        for row in &wider {
            plan.saw(row);
        }
        assert_eq!(plan.unseen(&plan.rows(4)).0, 0);
    }

    proptest! {
        #[test]
        fn no_byte_of_a_command_is_lost_at_any_width(command in ".{1,80}", columns in 0usize..60) {
            let plan = Plan::plain(vec![(command.clone(), String::new())], vec![]);
            let seen: String = plan
                .rows(columns)
                .iter()
                .filter_map(|row| row.command.clone())
                .map(|(index, range)| plan.commands[index].text[range].to_owned())
                .collect();
            prop_assert_eq!(seen, clean(&command).into_owned());
        }
    }
}
