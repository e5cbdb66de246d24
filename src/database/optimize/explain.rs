//! The sandbox: a connection for one EXPLAIN, held to reading, with little time, closed afterwards.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use regex::Regex;
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{ToSql, Type};

use super::plan::Plan;
use crate::database::failure::{Failure, Outcome};
use crate::database::param::{bound, refs};
use crate::database::statement::Statement;
use crate::database::workbench::{As, Workbench};
use crate::targets::postgres::{PgConnection, Session};

/// Longer than the server's own limit.
const DEADLINE: Duration = Duration::from_secs(6);
/// `SELECT 1` comes before everything else, so that READ ONLY cannot be lifted any more.
const BEGIN: &str = "BEGIN READ ONLY; SELECT 1; SET LOCAL statement_timeout = '5s'; \
     SET LOCAL lock_timeout = '200ms'";

/// One connection to plan on.
pub(in crate::database) struct Sandbox {
    pub(in crate::database) connection: PgConnection,
    major: u32,
    /// Each prepared statement has a name of its own; all end with the session.
    prepared: AtomicU32,
}

impl Sandbox {
    pub(in crate::database) async fn open(
        bench: &Workbench,
        database: Option<&str>,
    ) -> Outcome<Self> {
        let connection = bench.connect(As::App, database, Session::Ask, "explain").await?;
        let asked = connection.query_one("select current_setting('server_version_num')::int", &[]);
        let row = asked.await.map_err(|error| Failure::of_postgres(&error))?;
        let version: i32 = row.try_get(0).map_err(|error| Failure::of_postgres(&error))?;
        let major = u32::try_from(version / 10_000).unwrap_or_default();
        Ok(Self { connection, major, prepared: AtomicU32::new(0) })
    }

    pub(in crate::database) async fn close(self) {
        self.connection.close().await;
    }

    pub(in crate::database) async fn begin(&self) -> Outcome<()> {
        self.ask(self.connection.batch_execute(BEGIN)).await
    }

    pub(in crate::database) async fn ask<T>(
        &self,
        step: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Outcome<T> {
        let answered = tokio::time::timeout(DEADLINE, Box::pin(step)).await;
        match answered {
            Ok(answered) => answered.map_err(|error| Failure::of_postgres(&error)),
            Err(_) => Err(Failure::timed_out(5_000)),
        }
    }

    /// Plans a statement without running it. Returns the plan and whether it is for any values.
    pub(in crate::database) async fn plan(
        &self,
        statement: &Statement,
        params: &[Value],
    ) -> Outcome<(String, bool)> {
        let mut text = statement.text.clone();
        // Also proves to the server that it is one statement: what follows may be sent as text.
        let prepared = match self.ask(self.connection.prepare(&text)).await {
            Err(failure)
                if params.is_empty() && failure.sqlstate_is(&["42601", "42P18", "42883"]) =>
            {
                text = without_odd_places(&text);
                self.ask(self.connection.batch_execute(&format!("ROLLBACK; {BEGIN}"))).await?;
                self.ask(self.connection.prepare(&text)).await.map_err(|_| wants_values(failure))?
            }
            prepared => prepared?,
        };
        let places = prepared.params().len();
        if places == 0 || !params.is_empty() {
            return Ok((self.explain(&text, params, "").await?, false));
        }
        let json = if self.major >= 16 {
            let explain = format!("EXPLAIN ({}, GENERIC_PLAN) {text}", self.options(false));
            self.as_text(&explain).await?
        } else {
            let nulls = vec!["NULL"; places].join(", ");
            let name = format!("p{}", self.prepared.fetch_add(1, Ordering::Relaxed));
            let prepare =
                format!("SET LOCAL plan_cache_mode = force_generic_plan; PREPARE {name} AS {text}");
            self.ask(self.connection.batch_execute(&prepare)).await?;
            self.as_text(&format!("EXPLAIN ({}) EXECUTE {name}({nulls})", self.options(false)))
                .await?
        };
        Ok((json, true))
    }

    /// Runs a statement that provably changes nothing, and measures it.
    pub(super) async fn run(&self, statement: &Statement, params: &[Value]) -> Outcome<String> {
        self.explain(&statement.text, params, "ANALYZE, ").await
    }

    async fn explain(&self, text: &str, params: &[Value], analyze: &str) -> Outcome<String> {
        let options = self.options(!analyze.is_empty());
        let explain = format!("EXPLAIN ({analyze}{options}) {text}");
        let prepared = self.ask(self.connection.prepare(&explain)).await?;
        let params = bound(params, &prepared)?;
        let rows = self.ask(self.connection.query(&prepared, &refs(&params))).await?;
        let row = rows.first().ok_or_else(no_plan)?;
        let json: Value = row.try_get(0).map_err(|error| Failure::of_postgres(&error))?;
        Ok(json.to_string())
    }

    async fn as_text(&self, explain: &str) -> Outcome<String> {
        let messages = self.ask(self.connection.simple_query(explain)).await?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        row.ok_or_else(no_plan)
    }

    /// What this version can tell.
    fn options(&self, analyze: bool) -> String {
        let mut options = vec!["FORMAT JSON", "VERBOSE", "SETTINGS", "SUMMARY"];
        if analyze || self.major >= 13 {
            options.push("BUFFERS");
        }
        if analyze && self.major >= 13 {
            options.push("WAL");
        }
        if self.major >= 17 {
            options.push("MEMORY");
            if analyze {
                options.push("SERIALIZE");
            }
        }
        options.join(", ")
    }

    /// How many rows each table of a plan is thought to have.
    pub(super) async fn rows_of(&self, plan: &Plan) -> BTreeMap<String, f64> {
        const ASK: &str = "select n.nspname || '.' || c.relname, c.reltuples::float8 \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relname = any ($1::text[]) and c.reltuples >= 0";
        let names: Vec<&str> =
            plan.root.all().iter().filter_map(|node| node.relation.as_deref()).collect();
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&names, Type::TEXT_ARRAY)];
        let rows = self.ask(self.connection.query_typed(ASK, &params)).await.unwrap_or_default();
        rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?))).collect()
    }
}

fn no_plan() -> Failure {
    Failure::invalid("the server gave no plan", "report it with the server's version")
}

fn wants_values(failure: Failure) -> Failure {
    Failure { hint: Some("give values for its places: --param".into()), ..failure }
}

/// What is counted without its values has places where SQL wants a literal.
pub(in crate::database) fn without_odd_places(text: &str) -> String {
    static ODD: LazyLock<[(Regex, &str); 2]> = LazyLock::new(|| {
        let regex = |text| Regex::new(text).expect("a pattern of ours");
        [
            (regex(r"(?i)\binterval\s+(\$\d+)"), "$1::interval"),
            (regex(r"(?i)\bextract\s*\(\s*(\$\d+)\s+from\s"), "date_part($1, "),
        ]
    });
    ODD.iter().fold(text.to_owned(), |text, (odd, even)| odd.replace_all(&text, *even).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_where_a_literal_belongs_is_written_another_way() {
        assert_eq!(
            without_odd_places("select INTERVAL $1, extract($2 from d), extract( $3  FROM d)"),
            "select $1::interval, date_part($2, d), date_part($3, d)"
        );
        assert_eq!(without_odd_places("select intervals, $1"), "select intervals, $1");
    }
}
