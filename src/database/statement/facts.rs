//! Reads the facts about each statement out of the parser's tree.

use squawk_syntax::ast::{AstNode, Stmt};
use squawk_syntax::{SourceFile, SyntaxElement, SyntaxKind, SyntaxNode};

use super::{Kind, Statement, refused};

/// A name as it is looked up: folded to lower case unless it was quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
}

impl Name {
    /// Reads `a`, `a.b` or `"A"."b"`; of more parts the last two.
    fn read(text: &str) -> Option<Self> {
        let mut parts = parts(text);
        let name = parts.pop()?;
        Some(Self { schema: parts.pop(), name })
    }

    /// As SQL writes it.
    pub fn quoted(&self) -> String {
        let name = crate::inspect::quoted(&self.name);
        match &self.schema {
            Some(schema) => format!("{}.{name}", crate::inspect::quoted(schema)),
            None => name,
        }
    }
}

/// Splits at the dots outside of quotes; comments and blanks between the parts are no part of them.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut chars) = (Vec::new(), String::new(), text.chars().peekable());
    let mut any = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                any = true;
                while let Some(inner) = chars.next() {
                    if inner == '"' {
                        if chars.peek() != Some(&'"') {
                            break;
                        }
                        chars.next();
                    }
                    part.push(inner);
                }
            }
            '.' => {
                parts.push(std::mem::take(&mut part));
                any = false;
            }
            c if c.is_whitespace() => {}
            c => {
                any = true;
                part.extend(c.to_lowercase());
            }
        }
    }
    if any {
        parts.push(part);
    }
    parts
}

/// Every statement of a text; empty ones are left out.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let parse = SourceFile::parse(text);
    let errors: Vec<_> =
        parse.errors().iter().map(squawk_syntax::syntax_error::SyntaxError::range).collect();
    let file = parse.tree();
    let mut found = Vec::new();
    for stmt in file.stmts() {
        if matches!(stmt, Stmt::EmptyStmt(_)) {
            continue;
        }
        let range = stmt.syntax().text_range();
        let understood = !errors
            .iter()
            .any(|error| error.start() <= range.end() && error.end() >= range.start());
        found.push(statement(&stmt, understood));
    }
    // What the parser could not make a statement of is not dropped: the server gets all of the text.
    let outside = file.syntax().children().any(|node| node.kind() == SyntaxKind::ERROR);
    if outside || (found.is_empty() && !errors.is_empty()) {
        return vec![Statement::unknown(text)];
    }
    found
}

fn statement(stmt: &Stmt, understood: bool) -> Statement {
    let node = stmt.syntax();
    let kind = kind(stmt, node);
    let text = node.to_string();
    Statement {
        text: text.trim().trim_end_matches(';').trim_end().to_owned(),
        kind,
        word: word(stmt, node, kind),
        understood,
        tables: tables(node),
        functions: functions(node),
        locks: has(node, SyntaxKind::LOCKING_CLAUSE),
        destructive: destructive(stmt, node) || (!understood && kind != Kind::Select),
    }
}

fn kind(stmt: &Stmt, node: &SyntaxNode) -> Kind {
    if let Some((why, instead)) = refused::why(stmt) {
        return Kind::Refused(why, instead);
    }
    match stmt {
        Stmt::Select(_)
        | Stmt::CompoundSelect(_)
        | Stmt::ParenSelect(_)
        | Stmt::Table(_)
        | Stmt::Values(_) => {
            if changes(node) {
                Kind::Change
            } else {
                Kind::Select
            }
        }
        Stmt::Show(_) | Stmt::Explain(_) => Kind::Tell,
        Stmt::Insert(_) | Stmt::Update(_) | Stmt::Delete(_) | Stmt::Merge(_) => Kind::Change,
        _ => Kind::Structure,
    }
}

const CHANGES: [SyntaxKind; 4] =
    [SyntaxKind::INSERT, SyntaxKind::UPDATE, SyntaxKind::DELETE, SyntaxKind::MERGE];

/// A WITH that changes data makes a change of any query.
fn changes(node: &SyntaxNode) -> bool {
    node.descendants().any(|inner| CHANGES.contains(&inner.kind()))
}

fn has(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    node.descendants().any(|inner| inner.kind() == kind)
}

fn word(stmt: &Stmt, node: &SyntaxNode, kind: Kind) -> String {
    let word = match stmt {
        Stmt::Insert(_) => "INSERT",
        Stmt::Update(_) => "UPDATE",
        Stmt::Delete(_) => "DELETE",
        Stmt::Merge(_) => "MERGE",
        _ if matches!(kind, Kind::Select | Kind::Change) => "SELECT",
        _ => {
            let first = node.descendants_with_tokens().filter_map(SyntaxElement::into_token);
            let mut words = first.filter(|token| !is_trivia(token.kind()));
            return words.next().map(|token| token.text().to_uppercase()).unwrap_or_default();
        }
    };
    word.to_owned()
}

pub(super) fn is_trivia(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::WHITESPACE | SyntaxKind::COMMENT)
}

/// Rows or objects are gone, or all of them changed.
fn destructive(stmt: &Stmt, node: &SyntaxNode) -> bool {
    let without_where =
        |inner: &SyntaxNode| !inner.children().any(|part| part.kind() == SyntaxKind::WHERE_CLAUSE);
    let rows = node.descendants().any(|inner| match inner.kind() {
        SyntaxKind::DELETE | SyntaxKind::MERGE => true,
        SyntaxKind::UPDATE => without_where(&inner),
        _ => false,
    });
    let drops = |token: &str| token.eq_ignore_ascii_case("drop");
    let first = word(stmt, node, Kind::Structure);
    let alters = first == "ALTER"
        && node
            .descendants_with_tokens()
            .any(|element| element.as_token().is_some_and(|token| drops(token.text())));
    rows || alters || ["DROP", "TRUNCATE", "REASSIGN"].contains(&first.as_str())
}

fn tables(node: &SyntaxNode) -> Vec<Name> {
    let own: Vec<String> = node
        .descendants()
        .filter(|inner| inner.kind() == SyntaxKind::CTE_NAME)
        .filter_map(|inner| Some(Name::read(&inner.to_string())?.name))
        .collect();
    let relation = |kind: SyntaxKind| {
        matches!(kind, SyntaxKind::RELATION_NAME_REF | SyntaxKind::TABLE_NAME_REF)
    };
    let named = node.descendants().filter(|inner| relation(inner.kind()));
    let mut names: Vec<Name> = named
        .filter_map(|inner| Name::read(&bare(&inner)))
        .filter(|name| name.schema.is_some() || !own.contains(&name.name))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn functions(node: &SyntaxNode) -> Vec<Name> {
    let calls = node.descendants().filter(|inner| inner.kind() == SyntaxKind::CALL_EXPR);
    let mut names: Vec<Name> = calls
        .filter_map(|call| {
            let called = call.children().next()?;
            let is_name = matches!(called.kind(), SyntaxKind::NAME_REF | SyntaxKind::FIELD_EXPR);
            is_name.then(|| Name::read(&bare(&called))).flatten()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The text of a node without comments and blanks.
fn bare(node: &SyntaxNode) -> String {
    node.descendants_with_tokens()
        .filter_map(SyntaxElement::into_token)
        .filter(|token| !is_trivia(token.kind()))
        .map(|token| token.text().to_owned())
        .collect()
}
