//! What a migration would lock, told by squawk's rules before it runs. What locks a big table is refused unless a
//! person accepts that rule; the rest is only told.

use std::collections::BTreeSet;

use serde::Serialize;
use squawk_linter::{Linter, Rule, Violation};
use squawk_syntax::ast::{self, AstNode};
use squawk_syntax::{Parse, SourceFile};

/// What makes clients of the table wait while it works.
const LOCKING: [Rule; 12] = [
    Rule::RequireConcurrentIndexCreation,
    Rule::RequireConcurrentIndexDeletion,
    Rule::RequireConcurrentReindex,
    Rule::RequireConcurrentPartitionDetach,
    Rule::ConstraintMissingNotValid,
    Rule::AddingFieldWithDefault,
    Rule::AddingForeignKeyConstraint,
    Rule::AddingNotNullableField,
    Rule::AddingSerialPrimaryKeyField,
    Rule::DisallowedUniqueConstraint,
    Rule::ChangingColumnType,
    Rule::PreferRepack,
];

/// What fails, or ends another transaction than was meant.
const WRONG: [Rule; 3] =
    [Rule::BanUncommittedTransaction, Rule::TransactionNesting, Rule::BanDropDatabase];

/// A table, or an index in place of its table, as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    pub schema: Option<String>,
    pub name: String,
}

/// One thing that a migration does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub migration_file: String,
    pub line: usize,
    pub rule: String,
    pub message: String,
    pub help: Option<String>,
    /// What is locked meanwhile.
    pub table: Option<Named>,
    /// Why it is refused; none: it is only told.
    pub refused: Option<String>,
}

/// What is in the text of one migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) findings: Vec<Finding>,
    /// The indexes that it creates.
    pub(crate) indexes: Vec<Named>,
    /// Whether it builds one without locking.
    pub(crate) builds_concurrently: bool,
    pub(crate) statements: usize,
}

/// Reads one migration.
pub(crate) fn read(file: &str, sql: &str, in_transaction: bool) -> Read {
    let parse = SourceFile::parse(sql);
    let mut read = Read::default();
    if let Some(error) = parse.errors().first() {
        let at = usize::from(error.range().start());
        let finding = finding(file, sql, at, "syntax".into(), error.message().to_owned());
        read.findings.push(finding);
    }
    let tree = parse.tree();
    for stmt in tree.stmts() {
        read.statements += 1;
        if let ast::Stmt::CreateIndex(create) = &stmt {
            read.builds_concurrently |= create.concurrently_token().is_some();
            read.indexes.extend(index_of(create));
        }
    }
    let created = tables_created(&tree);
    for violation in violations(&parse, sql, in_transaction) {
        let table = locked_by(&tree, &violation).filter(|table| !created.contains(&table.name));
        read.findings.push(judged(file, sql, &violation, table));
    }
    if read.builds_concurrently {
        let why = match (in_transaction, read.statements > 1) {
            (true, _) => Some(INSIDE),
            (false, true) => Some(SEVERAL),
            (false, false) => None,
        };
        read.findings.extend(why.map(|why| alone(file, sql, why)));
    }
    read
}

/// Our own rule.
const ALONE: &str = "concurrently-alone";
const SEVERAL: &str = "an index is built concurrently only by a file of its own: several statements in one file are \
                       one transaction to the server";

const INSIDE: &str = "an index is not built concurrently inside a transaction: begin the file with `-- no-transaction`";

fn alone(file: &str, sql: &str, why: &str) -> Finding {
    let told = finding(file, sql, 0, ALONE.into(), why.to_owned());
    Finding { refused: Some(why.to_owned()), ..told }
}

fn violations(parse: &Parse<SourceFile>, sql: &str, in_transaction: bool) -> Vec<Violation> {
    let rules: Vec<Rule> = LOCKING.into_iter().chain(WRONG).collect();
    let mut linter = Linter::from(rules);
    linter.settings.assume_in_transaction = in_transaction;
    linter.lint(parse, sql)
}

fn judged(file: &str, sql: &str, violation: &Violation, table: Option<Named>) -> Finding {
    let at = usize::from(violation.text_range.start());
    let told = finding(file, sql, at, violation.code.to_string(), violation.message.clone());
    let is_wrong = WRONG.contains(&violation.code);
    Finding {
        help: violation.help.clone(),
        table: table.filter(|_| !is_wrong),
        refused: is_wrong.then(|| violation.message.clone()),
        ..told
    }
}

fn finding(file: &str, sql: &str, at: usize, rule: String, message: String) -> Finding {
    let line = sql.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    Finding {
        migration_file: file.to_owned(),
        line,
        rule,
        message,
        help: None,
        table: None,
        refused: None,
    }
}

/// Tables that the file itself makes are empty, whatever is done to them.
fn tables_created(tree: &SourceFile) -> BTreeSet<String> {
    let name = |stmt: ast::Stmt| match stmt {
        ast::Stmt::CreateTable(create) => Some(create.table_name()?.path()?.segment()?.text()),
        _ => None,
    };
    tree.stmts().filter_map(name).collect()
}

/// What the statement around a finding is about.
fn locked_by(tree: &SourceFile, violation: &Violation) -> Option<Named> {
    let at = violation.text_range.start();
    let stmt = tree.stmts().find(|stmt| stmt.syntax().text_range().contains_inclusive(at))?;
    let nodes = || stmt.syntax().descendants();
    let table = nodes().find_map(ast::TableNameRef::cast).and_then(|table| table.path_ref());
    let relation = || nodes().find_map(ast::RelationNameRef::cast).and_then(|one| one.path_ref());
    let index = || nodes().find_map(ast::IndexRef::cast).and_then(|index| index.path_ref());
    named(&table.or_else(relation).or_else(index)?)
}

fn named(path: &ast::PathRef) -> Option<Named> {
    let schema = path.qualifier().and_then(|one| one.segment()).map(|one| one.text());
    Some(Named { schema, name: path.segment()?.text() })
}

/// An index lies in the schema of its table, whatever the statement says.
fn index_of(create: &ast::CreateIndex) -> Option<Named> {
    let table = create.table_relation_name().and_then(|table| table.table_name_ref());
    let schema = table.and_then(|table| named(&table.path_ref()?)).and_then(|table| table.schema);
    let name = create.index()?.path()?.segment()?.text();
    Some(Named { schema, name })
}

/// The names of all rules that can be accepted.
pub fn is_rule(name: &str) -> bool {
    LOCKING.iter().chain(&WRONG).any(|rule| rule.to_string() == name)
        || ["syntax", ALONE].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sql: &str, in_transaction: bool) -> Vec<String> {
        let name = |one: &Named| match &one.schema {
            Some(schema) => format!("{schema}.{}", one.name),
            None => one.name.clone(),
        };
        let one = |finding: &Finding| {
            let table = finding.table.as_ref().map_or_else(|| "-".into(), name);
            let refused = if finding.refused.is_some() { " refused" } else { "" };
            format!("{} {} {table}{refused}", finding.line, finding.rule)
        };
        read("f.sql", sql, in_transaction).findings.iter().map(one).collect()
    }

    #[test]
    fn what_locks_is_told_with_its_line_and_its_table() {
        for (sql, expected) in [
            (
                "select 1;\ncreate index i on shop.orders (id);",
                "2 require-concurrent-index-creation shop.orders",
            ),
            ("alter table \"Orders\" alter column n type bigint;", "1 changing-column-type Orders"),
            ("alter table t add constraint c check (n > 0);", "1 constraint-missing-not-valid t"),
            ("alter table t alter column n set not null;", "1 adding-not-nullable-field t"),
            ("drop index shop.i;", "1 require-concurrent-index-deletion shop.i"),
        ] {
            assert_eq!(told(sql, true), [expected], "{sql}");
        }
        let unique = told("alter table t add constraint u unique (n);", true);
        assert!(unique.contains(&"1 disallowed-unique-constraint t".to_owned()), "{unique:?}");
    }

    #[test]
    fn what_a_file_makes_itself_and_what_does_not_lock_is_not_held_against_it() {
        for sql in [
            "create table t (n int); create index i on t (n);",
            "create index concurrently i on t (n);",
            "alter table t add column n int;",
            "insert into t values (1); update t set n = 2;",
        ] {
            let told = told(sql, false);
            let locking: Vec<&String> = told.iter().filter(|one| !one.ends_with(" -")).collect();
            assert!(locking.is_empty() || !sql.contains("create table"), "{sql}: {told:?}");
        }
        assert!(told("create index concurrently i on t (n);", false).is_empty());
        assert!(told("alter table t add column n int;", true).is_empty());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let inside = told("create index concurrently i on t (n);", true);
        assert_eq!(inside, ["1 concurrently-alone - refused"]);
        let several = told("create index concurrently i on t (n); select 1;", false);
        assert_eq!(several, ["1 concurrently-alone - refused"]);
    }

    #[test]
    fn the_indexes_that_a_file_makes_are_known_by_name() {
        let sql = "create index if not exists \"I 1\" on s.t (a); create unique index on t (b); create index j on t (c);";
        let name = |schema: Option<&str>, name: &str| Named {
            schema: schema.map(str::to_owned),
            name: name.into(),
        };
        assert_eq!(read("f", sql, true).indexes, [name(Some("s"), "I 1"), name(None, "j")]);
    }

    #[test]
    fn broken_sql_is_told_and_not_judged() {
        let told = told("create tabel t (n int);", true);
        assert!(told.iter().any(|one| one.contains("syntax")), "{told:?}");
        assert!(is_rule("changing-column-type") && !is_rule("no-such-rule"));
    }
}
