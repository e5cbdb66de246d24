//! Whether running a statement provably changes nothing: what it says, and what the plan shows of views and functions
//! behind it. The sandbox holds it to reading besides.

use tokio_postgres::types::{ToSql, Type};

use super::explain::Sandbox;
use super::plan::Plan;
use crate::database::statement::{Kind, Statement};

/// Volatile, and yet nothing comes of them.
const HARMLESS: [&str; 6] = [
    "random",
    "clock_timestamp",
    "timeofday",
    "statement_timestamp",
    "gen_random_uuid",
    "uuid_generate_v4",
];

/// Why it is not run; `None`: it may be.
pub(super) async fn refusal(
    sandbox: &Sandbox,
    statement: &Statement,
    plan: &Plan,
) -> Option<String> {
    if statement.kind != Kind::Select {
        return Some(format!("{} changes data, and measuring would run it", statement.word));
    }
    if !statement.understood {
        return Some("the parser does not understand all of it".into());
    }
    if statement.locks {
        return Some("it locks rows".into());
    }
    let nodes = plan.root.all();
    if let Some(node) =
        nodes.iter().find(|node| node.kind.contains("Foreign") || node.kind == "Custom Scan")
    {
        return Some(format!(
            "{} runs somewhere else, where nothing holds it to reading",
            node.kind
        ));
    }
    let mut functions: Vec<String> =
        statement.functions.iter().map(|one| one.name.clone()).collect();
    for node in nodes {
        functions.extend(node.text("Function Name").map(str::to_owned));
        for text in node.expressions() {
            match called_in(text) {
                Some(more) => functions.extend(more),
                None => {
                    return Some(format!("the plan has a part that cannot be looked into: {text}"));
                }
            }
        }
    }
    functions.sort();
    functions.dedup();
    volatile(sandbox, &functions).await
}

/// The functions that an expression of a plan calls.
fn called_in(text: &str) -> Option<Vec<String>> {
    // Sort keys carry words that stand behind an expression.
    let text = [" DESC", " NULLS FIRST", " NULLS LAST", " ASC"]
        .iter()
        .fold(text.to_owned(), |text, word| text.replace(word, ""));
    if !text.contains('(') {
        return Some(Vec::new());
    }
    let parsed = Statement::one(&format!("select {text}")).ok()?;
    let whole = parsed.understood && parsed.kind == Kind::Select;
    whole.then(|| parsed.functions.into_iter().map(|one| one.name).collect())
}

/// A function, aggregate, operator or cast that may do anything.
async fn volatile(sandbox: &Sandbox, functions: &[String]) -> Option<String> {
    const ASK: &str = include_str!("../sql/20_volatile.sql");
    let params: [(&(dyn ToSql + Sync), Type); 2] =
        [(&functions, Type::TEXT_ARRAY), (&HARMLESS.as_slice(), Type::TEXT_ARRAY)];
    let asked = sandbox.ask(sandbox.connection.query_typed(ASK, &params)).await;
    match asked {
        Ok(rows) => {
            let name: Option<String> = rows.first()?.try_get(0).ok();
            Some(format!(
                "{} is volatile: it may do anything when it runs",
                name.unwrap_or_default()
            ))
        }
        Err(failure) => Some(format!("its functions cannot be looked up: {failure}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_in_the_expressions_of_a_plan() {
        let found = |text: &str| called_in(text).map(|names| names.join(","));
        assert_eq!(found("(t.a > 5)").as_deref(), Some(""));
        assert_eq!(found("nextval('s'::regclass)").as_deref(), Some("nextval"));
        assert_eq!(found("(lower(t.b) = 'x'::text)").as_deref(), Some("lower"));
        assert_eq!(found("public.f(t.a) DESC NULLS LAST").as_deref(), Some("f"));
        assert_eq!(found("t.a").as_deref(), Some(""));
        assert!(found("(((").is_none());
    }
}
