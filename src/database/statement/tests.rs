//! What a text is, from the plain to the hostile.

use super::*;

fn one(text: &str) -> Statement {
    Statement::one(text).unwrap_or_else(|failure| panic!("{text}: {failure}"))
}

fn word_and_kind(text: &str) -> (String, &'static str) {
    let statement = one(text);
    let kind = match statement.kind {
        Kind::Select => "select",
        Kind::Tell => "tell",
        Kind::Change => "change",
        Kind::Structure => "structure",
        Kind::Refused(..) => "refused",
    };
    (statement.word, kind)
}

#[test]
fn every_statement_is_of_one_kind() {
    for (text, word, kind) in [
        ("select 1", "SELECT", "select"),
        ("  -- a remark\n/* and /* nested */ */ SELECT 1;", "SELECT", "select"),
        ("values (1), (2)", "SELECT", "select"),
        ("table t", "SELECT", "select"),
        ("(select 1) union all select 2", "SELECT", "select"),
        ("with a as (select 1) select * from a", "SELECT", "select"),
        ("with a as (delete from t returning *) select * from a", "SELECT", "change"),
        ("with a as (select 1) insert into t select * from a", "INSERT", "change"),
        ("update t set a = 1", "UPDATE", "change"),
        ("delete from t", "DELETE", "change"),
        ("show work_mem", "SHOW", "tell"),
        ("explain select 1", "EXPLAIN", "tell"),
        ("create table t (a int)", "CREATE", "structure"),
        ("drop table t", "DROP", "structure"),
        ("truncate t", "TRUNCATE", "structure"),
        ("select 1 into t", "SELECT", "structure"),
        ("call p()", "CALL", "structure"),
        ("vacuum t", "VACUUM", "structure"),
        ("grant select on t to app", "GRANT", "structure"),
        ("begin", "BEGIN", "refused"),
        ("commit", "COMMIT", "refused"),
        ("set transaction read write", "SET", "refused"),
        ("set role postgres", "SET", "refused"),
        ("set session authorization postgres", "SET", "refused"),
        ("reset role", "RESET", "refused"),
        ("copy t to '/tmp/x'", "COPY", "refused"),
        ("copy t from program 'id'", "COPY", "refused"),
        ("do $$ begin delete from t; end $$", "DO", "refused"),
        ("load 'x'", "LOAD", "refused"),
        ("prepare p as delete from t", "PREPARE", "refused"),
        ("execute p", "EXECUTE", "refused"),
    ] {
        let (is_word, is_kind) = word_and_kind(text);
        assert_eq!((is_word.as_str(), is_kind), (word, kind), "{text}");
    }
}

#[test]
fn one_statement_is_one_however_it_is_dressed() {
    for text in [
        "select 1;",
        "select 1;;  ; -- the end",
        "select ';'",
        "select E'\\';'",
        "select $x$;$$;$x$",
        "select /* ; /* ; */ ; */ 1",
        "select \";\" from t",
    ] {
        assert_eq!(Statement::all(text).unwrap().len(), 1, "{text}");
    }
    for text in ["select 1; delete from t", "select 1;/**/drop table t;", "select '';select 2"] {
        let said = Statement::one(text).unwrap_err();
        assert!(said.message.contains("2 statements"), "{text}: {said}");
    }
    for text in ["", "  ", ";", "-- only a remark", "/* x */;"] {
        assert!(Statement::one(text).is_err(), "{text:?}");
    }
}

#[test]
fn tables_and_functions_are_named_as_the_server_looks_them_up() {
    let names = |names: &[Name]| names.iter().map(Name::quoted).collect::<Vec<_>>();
    let statement = one("with c as (select * from A) \
         select pg_catalog.now(), \"F\"(x), lower(y) from c join s.\"Mixed \"\"Case\" on true, g(1)");
    assert_eq!(names(&statement.tables), ["\"a\"", "\"s\".\"Mixed \"\"Case\""]);
    assert_eq!(
        names(&statement.functions),
        ["\"F\"", "\"g\"", "\"lower\"", "\"pg_catalog\".\"now\""]
    );
    assert_eq!(names(&one("delete from only t using u where true").tables), ["\"t\"", "\"u\""]);
    assert_eq!(names(&one("insert into t select * from u").tables), ["\"t\"", "\"u\""]);
    assert_eq!(names(&one("truncate a, b.c").tables), ["\"a\"", "\"b\".\"c\""]);
    assert!(one("select * from t for update").locks && !one("select * from t").locks);
}

#[test]
fn what_takes_something_away_is_destructive() {
    for text in [
        "drop table t",
        "truncate t",
        "delete from t where id = 1",
        "update t set a = 1",
        "alter table t drop column a",
        "with d as (delete from t returning *) select * from d",
    ] {
        assert!(one(text).destructive, "{text}");
    }
    for text in [
        "select 1",
        "update t set a = 1 where id = 1",
        "insert into t values (1)",
        "alter table t add column a int",
        "create index on t (a)",
    ] {
        assert!(!one(text).destructive, "{text}");
    }
}

#[test]
fn no_value_and_no_remark_gets_into_the_records() {
    for text in [
        "select 'hunter2', 4711, E'hunter2', $$hunter2$$, $t$hunter2$t$, x'aa', U&'hunter2'",
        "alter role app password 'hunter2' -- hunter2",
        "select /* hunter2 */ 1.5e3 from t where a = 'hunter2",
    ] {
        let shown = redacted(text);
        assert!(!shown.contains("hunter2") && !shown.contains("4711"), "{shown}");
    }
    assert_eq!(redacted("SELECT  a\nFROM t -- x\nWHERE id=5"), "SELECT a FROM t WHERE id=?");
    assert_eq!(normalised("select\n1 /* x */ , 'a  b'"), normalised("select 1 , 'a  b'"));
    assert_ne!(normalised("select 'a  b'"), normalised("select 'a b'"));
}

#[test]
fn a_hostile_text_is_answered_too() {
    let deep = format!("select {}1{}", "(".repeat(60_000), ")".repeat(60_000));
    assert!(Statement::all(&deep).is_ok());
    let signs = format!("select {}1", "- ".repeat(60_000));
    assert!(Statement::all(&signs).is_ok());
    let long = format!("select '{}'", "x".repeat(LONGEST));
    let statement = one(&long);
    assert!(!statement.understood && statement.kind == Kind::Select);
    assert!(!redacted(&long).contains("xx"));
    assert!(Statement::all("select 1\0").is_err());
    for text in ["frobnicate t", "selec 1", "delete t where", "select 'unclosed"] {
        assert!(Statement::all(text).is_ok(), "{text}");
    }
}
