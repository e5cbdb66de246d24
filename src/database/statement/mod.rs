//! What a person's SQL is, by a parser: how many statements, of which kind, which tables and functions it names.
//!
//! The parser only sorts: whether something may be changed is decided by the server's own permission. So a text that
//! the parser does not understand is no error here; it counts as whatever is the most careful.

use super::failure::{Failure, Outcome};

mod facts;
mod refused;
mod text;

pub use facts::Name;
pub use text::{normalised, redacted};

/// A statement longer than this is not looked into.
const LONGEST: usize = 128 * 1024;
/// Nor one nested deeper: the parser looks ahead from every parenthesis.
const DEEPEST: usize = 500;
/// Nested parentheses take the parser's stack; this is far more than any statement's, and lazily used.
const STACK: usize = 256 << 20;

/// How a statement is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A cursor can read it.
    Select,
    /// Answers with rows without being a query: SHOW, EXPLAIN.
    Tell,
    /// Changes data.
    Change,
    /// Changes anything else: tables, roles, rights.
    Structure,
    /// Not to be had here; why, and what to do instead.
    Refused(&'static str, &'static str),
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    pub kind: Kind,
    /// Its first word in capitals, what follows a WITH counted as first: `SELECT`, `DELETE`, `CREATE`.
    pub word: String,
    /// Whether the parser understood all of it.
    pub understood: bool,
    /// Tables and views it names, without its own WITH names.
    pub tables: Vec<Name>,
    /// Functions it calls by name.
    pub functions: Vec<Name>,
    /// `FOR UPDATE` and the like.
    pub locks: bool,
    /// Rows or objects are gone afterwards.
    pub destructive: bool,
}

impl Statement {
    /// The only statement of a text.
    pub fn one(text: &str) -> Outcome<Self> {
        let mut all = Self::all(text)?;
        match (all.pop(), all.len()) {
            (Some(only), 0) => Ok(only),
            (None, _) => Err(Failure::invalid("there is no statement", "write one")),
            (Some(_), before) => Err(Failure::invalid(
                format!("there are {} statements, and one is run at a time", before + 1),
                "`simctl db tx FILE` runs several as one transaction",
            )),
        }
    }

    /// The statements of a text, in order.
    pub fn all(text: &str) -> Outcome<Vec<Self>> {
        if text.contains('\0') {
            return Err(Failure::invalid("the statement has a zero byte in it", "remove it"));
        }
        if !is_parsed(text) {
            return Ok(vec![Self::unknown(text)]);
        }
        let parsed = on_its_own_stack(text, facts::statements);
        Ok(parsed.unwrap_or_else(|| vec![Self::unknown(text)]))
    }

    /// Whether it can only read, as far as its kind tells.
    pub fn reads(&self) -> bool {
        matches!(self.kind, Kind::Select | Kind::Tell)
    }

    /// Refuses what the workbench does not run at all.
    pub(super) fn must_be_run(&self) -> Outcome<()> {
        match self.kind {
            Kind::Refused(why, instead) => {
                Err(Failure::refused(format!("{} is not run here: {why}", self.word), instead))
            }
            _ => Ok(()),
        }
    }

    /// Refuses functions whose effect no rollback takes back, where only reading was asked for. What hides behind a
    /// name of its own is held by the rights of the role.
    pub(super) fn must_not_act_outside(&self) -> Outcome<()> {
        match self.functions.iter().find(|one| refused::acts_outside(one)) {
            Some(found) => Err(Failure::read_only(
                format!(
                    "{} acts outside of the transaction, where nothing takes it back",
                    found.name
                ),
                "add `--write` if that is meant",
            )),
            None => Ok(()),
        }
    }

    /// Whether one of these words stands in it outside of quotes.
    pub(super) fn uses_word(&self, words: &[&str]) -> bool {
        let text = redacted(&self.text).to_lowercase();
        let plain = |c: char| !c.is_alphanumeric() && c != '_';
        text.split(plain).any(|word| words.contains(&word))
    }

    /// A text that was not looked into: the server decides, and everything is thought possible.
    fn unknown(text: &str) -> Self {
        let word = text.split_whitespace().next().unwrap_or_default().to_uppercase();
        Self {
            text: text.to_owned(),
            kind: match word.as_str() {
                "SELECT" | "WITH" | "VALUES" | "TABLE" => Kind::Select,
                "COPY" | "DO" | "LOAD" | "SET" | "RESET" | "BEGIN" | "COMMIT" | "ROLLBACK" => {
                    Kind::Refused("it acts on files or on the session", "write it another way")
                }
                _ => Kind::Structure,
            },
            word,
            understood: false,
            tables: Vec::new(),
            functions: Vec::new(),
            locks: true,
            destructive: true,
        }
    }
}

/// Whether the parser is bothered with a text.
fn is_parsed(text: &str) -> bool {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    text.len() <= LONGEST && deepest <= DEEPEST
}

/// Runs the parser where a hostile text cannot end the program: on a large stack, with its panics caught.
fn on_its_own_stack<T: Send>(text: &str, parse: impl FnOnce(&str) -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("parser".into()).stack_size(STACK);
        let thread = builder.spawn_scoped(scope, || parse(text)).ok()?;
        thread.join().ok()
    })
}

#[cfg(test)]
mod tests;
