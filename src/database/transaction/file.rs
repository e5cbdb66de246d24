//! A transaction out of a file: the API's own request as JSON, or SQL statements one after the other.

use super::{Query, TransactionRequest};
use crate::database::failure::{Failure, Outcome};
use crate::database::statement::Statement;

/// Reads either; what begins with `{` is JSON.
pub fn read(text: &str) -> Outcome<TransactionRequest> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| {
            Failure::invalid(
                format!("it is no transaction: {error}"),
                "write {\"queries\": [{\"sql\": \"…\", \"params\": []}], \"isolation_level\": \"serializable\"}",
            )
        });
    }
    let statements = Statement::all(text)?;
    if statements.is_empty() {
        return Err(Failure::invalid("there is no statement in it", "write at least one"));
    }
    if let Some(odd) = statements.iter().position(|one| !one.understood) {
        let failure = Failure::invalid(
            "it cannot be told where this statement ends",
            "write the transaction as JSON, one statement in each `sql`",
        );
        return Err(failure.of_statement(odd, &statements[odd].text));
    }
    let queries = statements.into_iter().map(|one| Query { sql: one.text, params: Vec::new() });
    Ok(TransactionRequest { queries: queries.collect(), ..TransactionRequest::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::transaction::Isolation;

    #[test]
    fn statements_are_told_apart_by_the_parser() {
        let text =
            "-- first\ninsert into t values ('a;b');\n/* ; */ update t set a = $x$;$x$;\n;select 1";
        let queries = read(text).unwrap().queries;
        let sql: Vec<&str> = queries.iter().map(|query| query.sql.as_str()).collect();
        assert_eq!(sql, ["insert into t values ('a;b')", "update t set a = $x$;$x$", "select 1"]);
        for text in ["", " ; ", "-- nothing"] {
            assert!(read(text).is_err(), "{text:?}");
        }
        let odd = read("select 1; insert int t values (1; 2").unwrap_err();
        assert!(odd.message.contains("statement"), "{odd}");
    }

    #[test]
    fn the_request_of_the_api_is_read_to_the_letter() {
        let text = r#" {"queries": [{"sql": "select $1", "params": [5]}], "isolation_level": "serializable"}"#;
        let request = read(text).unwrap();
        assert_eq!(request.isolation_level, Isolation::Serializable);
        assert_eq!(request.queries[0].params, [serde_json::json!(5)]);
        for text in ["{", "{\"quer\": []}", "{\"isolation_level\": \"chaos\"}"] {
            assert!(read(text).unwrap_err().message.contains("no transaction"), "{text}");
        }
    }
}
