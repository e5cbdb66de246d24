//! Answers of the last seconds: only of statements whose answer depends on nothing but tables, and forgotten as soon
//! as we change one of them ourselves. What others change shows after the time to live.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache as Kept;
use tokio_postgres::types::{ToSql, Type};

use super::failure::Outcome;
use super::query::{self, QueryRequest, QueryResponse, Replica};
use super::statement::{Kind, Statement, normalised};
use super::workbench::{As, Workbench};
use crate::targets::postgres::Session;

const ENTRIES: u64 = 10_000;
const HEAVIEST: usize = 1 << 20;
const WHOLE: u64 = 64 << 20;
/// What is said of a database's functions and tables is looked up again after this.
const FITNESS: Duration = Duration::from_secs(60);

/// Answers, and how often each table was changed by us.
pub(super) struct Cache {
    answers: Kept<String, Arc<QueryResponse>>,
    /// Whether the answers of a statement may be kept at all.
    fits: Kept<String, Fit>,
    versions: Mutex<Versions>,
}

#[derive(Default)]
struct Versions {
    /// Of a table by its bare name, in any schema of a database.
    tables: HashMap<(String, String), u64>,
    /// Of everything: after what the parser cannot tell the tables of.
    all: u64,
    /// Every change there was.
    changes: u64,
}

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// More than rows: it is not kept.
    No,
    /// The rows of its tables, which change only where a statement names them.
    Tables,
    /// Rows that triggers, rules, cascades or partitions change too.
    Tangled,
}

impl Cache {
    pub(super) fn new(ttl: Duration) -> Self {
        let weigh = |_: &String, answer: &Arc<QueryResponse>| {
            u32::try_from(weight(answer)).unwrap_or(u32::MAX)
        };
        let answers = Kept::builder().max_capacity(WHOLE).weigher(weigh).time_to_live(ttl).build();
        let fits = Kept::builder().max_capacity(ENTRIES).time_to_live(FITNESS).build();
        Self { answers, fits, versions: Mutex::default() }
    }

    /// Forgets what was read of the tables that these statements may have changed.
    pub(super) fn changed<'a>(
        &self,
        database: &str,
        statements: impl Iterator<Item = &'a Statement>,
    ) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.changes += 1;
        for statement in statements {
            // A function reaches tables that no parser sees.
            let plain = statement.understood
                && statement.kind == Kind::Change
                && statement.functions.is_empty();
            if !plain || statement.tables.is_empty() {
                versions.all += 1;
            }
            for table in &statement.tables {
                let key = (database.to_owned(), table.name.clone());
                *versions.tables.entry(key).or_default() += 1;
            }
        }
    }

    fn version(&self, database: &str, statement: &Statement, fit: Fit) -> String {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if fit == Fit::Tangled {
            return format!("tangled {}", versions.changes);
        }
        let of = |name: &str| {
            let key = (database.to_owned(), name.to_owned());
            versions.tables.get(&key).copied().unwrap_or_default()
        };
        let tables: Vec<String> =
            statement.tables.iter().map(|table| of(&table.name).to_string()).collect();
        format!("{}/{}", versions.all, tables.join("."))
    }
}

fn weight(answer: &QueryResponse) -> usize {
    answer.rows.iter().map(super::value::Row::weight).sum::<usize>() + 512
}

/// Reads through the cache. Of several who ask the same at once, one asks the server.
pub(super) async fn through(
    bench: &Workbench,
    request: &QueryRequest,
    statement: &Statement,
) -> Outcome<QueryResponse> {
    let (cache, database) = (&bench.cache, bench.database(request.database.as_deref()));
    let may = bench.settings.caching && request.after_lsn.is_none() && !request.transaction;
    let fit = if may { fits(bench, request, statement).await } else { Fit::No };
    if fit == Fit::No {
        return query::collected(bench, request, statement).await;
    }
    let key = format!(
        "{database}\0{}\0{}\0{}\0{}",
        normalised(&statement.text),
        serde_json::Value::Array(request.params.clone()),
        request.max_rows(),
        cache.version(&database, statement, fit),
    );
    if let Some(kept) = cache.answers.get(&key).await {
        bench.stats.hit(true);
        return Ok(from_cache(&kept));
    }
    let mut fresh = false;
    // A replica may be a moment behind what we wrote; what is kept comes from the primary.
    let from_primary = QueryRequest { replica: Replica::Never, ..request.clone() };
    let answered = cache
        .answers
        .try_get_with(key.clone(), async {
            fresh = true;
            query::collected(bench, &from_primary, statement).await.map(Arc::new)
        })
        .await;
    bench.stats.hit(!fresh);
    let answer = answered.map_err(|failure| (*failure).clone())?;
    if weight(&answer) > HEAVIEST {
        cache.answers.invalidate(&key).await;
    }
    Ok(if fresh { (*answer).clone() } else { from_cache(&answer) })
}

fn from_cache(kept: &QueryResponse) -> QueryResponse {
    let mut answer = kept.clone();
    answer.facts.from_cache = true;
    answer
}

/// Whether the answer depends on nothing but tables that everybody sees alike.
async fn fits(bench: &Workbench, request: &QueryRequest, statement: &Statement) -> Fit {
    if statement.kind != Kind::Select || statement.locks || !statement.understood {
        return Fit::No;
    }
    let key = format!("{}\0{}", bench.database(request.database.as_deref()), statement.text);
    let asked = bench
        .cache
        .fits
        .try_get_with(key, async { looked_up(bench, request, statement).await.ok_or(()) });
    asked.await.unwrap_or(Fit::No)
}

/// Words that are functions without parentheses and change with time or person.
const MOVING: [&str; 9] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "session_user",
    "current_role",
    "user",
];

/// Functions that are stable and yet another one a moment later.
const TIMELY: [&str; 6] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "age",
    "pg_postmaster_start_time",
    "txid_current_snapshot",
];

async fn looked_up(
    bench: &Workbench,
    request: &QueryRequest,
    statement: &Statement,
) -> Option<Fit> {
    const ASK: &str = include_str!("sql/20_cacheable.sql");
    if statement.uses_word(&MOVING) {
        return Some(Fit::No);
    }
    let functions: Vec<&str> = statement.functions.iter().map(|one| one.name.as_str()).collect();
    if functions.iter().any(|name| TIMELY.contains(name)) {
        return Some(Fit::No);
    }
    let tables: Vec<&str> = statement.tables.iter().map(|one| one.name.as_str()).collect();
    let leased = bench.lease(As::App, request.database.as_deref(), Session::Ask).await.ok()?;
    let params: [(&(dyn ToSql + Sync), Type); 2] =
        [(&functions, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)];
    let rows = leased.query_typed(ASK, &params).await.ok()?;
    leased.give_back().await;
    let row = rows.first()?;
    Some(match (row.try_get(0).ok()?, row.try_get(1).ok()?) {
        (false, _) => Fit::No,
        (true, false) => Fit::Tables,
        (true, true) => Fit::Tangled,
    })
}
