//! Reading: a transaction that the server holds to reading, a cursor, and its rows as they come.

use std::pin::pin;

use futures::TryStreamExt as _;
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use super::failure::{Failure, Outcome};
use super::param::{bound, refs};
use super::query::{Facts, QueryRequest};
use super::replicas::Answering;
use super::sitting::Sitting;
use super::statement::{Kind, Statement};
use super::value::{Head, Row};

/// So many rows come with one FETCH.
const BATCH: u64 = 1_000;

/// Functions whose own results differ each time but which leave nothing behind.
const HARMLESS: [&str; 8] = [
    "random",
    "clock_timestamp",
    "timeofday",
    "statement_timestamp",
    "gen_random_uuid",
    "uuid_generate_v4",
    "pg_sleep",
    "setseed",
];

/// What a reader is given.
pub enum Given<'a> {
    /// Once, before the first row.
    Columns(&'a [super::value::Column]),
    Row(Row),
}

/// Whether a reader wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    On,
    Stop,
}

/// Takes columns and rows; an error of its own ends the reading.
pub type Sink<'a> = dyn FnMut(Given<'_>) -> std::io::Result<Go> + Send + 'a;

/// What was read.
#[derive(Default)]
pub(super) struct Told {
    pub(super) rows: u64,
    pub(super) truncated: bool,
    pub(super) head: Vec<super::value::Column>,
}

pub(super) async fn read(
    from: &Answering<'_>,
    request: &QueryRequest,
    statement: &Statement,
    sink: &mut Sink<'_>,
) -> Outcome<Facts> {
    statement.must_not_act_outside()?;
    let began = Instant::now();
    let limit = request.timeout(from.bench);
    let leased = from.take(request.database.as_deref()).await?;
    let mut sitting = Sitting::new(from.link(), leased, limit, &from.bench.stop);
    let told = match held_to_reading(&mut sitting, request, statement, sink).await {
        Ok(told) => told,
        Err(failure) => {
            sitting.failed(&failure).await;
            return Err(failure);
        }
    };
    let notices = sitting.connection.take_notices();
    // What a volatile function did to the session cannot be known.
    if statement.understood && !is_volatile(&sitting, statement).await {
        sitting.ended().await;
    } else {
        sitting.closed().await;
    }
    Ok(Facts {
        success: true,
        row_count: told.rows,
        execution_time_ms: began.elapsed().as_secs_f64() * 1e3,
        query_type: statement.word.clone(),
        from_cache: false,
        columns: told.head,
        truncated: told.truncated,
        notices,
        served_by: from.name().to_owned(),
        lsn: from.lsn(),
    })
}

/// `SELECT 1` comes first: after any query the server itself refuses to lift READ ONLY (25001), before it does not.
/// Nothing is ever committed, so that also what READ ONLY lets pass (large objects before 16) is gone.
async fn held_to_reading(
    sitting: &mut Sitting,
    request: &QueryRequest,
    statement: &Statement,
    sink: &mut Sink<'_>,
) -> Outcome<Told> {
    let level = if request.transaction { "ISOLATION LEVEL REPEATABLE READ " } else { "" };
    let limit = sitting.limit_ms();
    let begin = format!("BEGIN {level}READ ONLY; SELECT 1; SET LOCAL statement_timeout = {limit}");
    sitting.ask(sitting.connection.batch_execute(&begin)).await?;
    let (params, max_rows) = (&request.params[..], request.max_rows());
    let told = self::statement(sitting, statement, params, max_rows, sink).await?;
    sitting.ask(sitting.connection.batch_execute("ROLLBACK")).await?;
    Ok(told)
}

/// Reads one statement inside such a transaction.
pub(super) async fn statement(
    sitting: &mut Sitting,
    statement: &Statement,
    params: &[Value],
    max_rows: u64,
    sink: &mut Sink<'_>,
) -> Outcome<Told> {
    if statement.kind == Kind::Select || !statement.understood {
        through_cursor(sitting, statement, params, max_rows, sink).await
    } else {
        directly(sitting, statement, params, max_rows, sink).await
    }
}

async fn through_cursor(
    sitting: &mut Sitting,
    statement: &Statement,
    params: &[Value],
    max_rows: u64,
    sink: &mut Sink<'_>,
) -> Outcome<Told> {
    let prepared = sitting.ask(sitting.connection.prepare(&statement.text)).await?;
    let params = bound(params, &prepared)?;
    let head = Head::of(&prepared);
    let declare = format!("DECLARE q NO SCROLL CURSOR FOR {}", statement.text);
    let declared = sitting.ask(sitting.connection.prepare(&declare)).await.map_err(no_cursor)?;
    let declaring = refs(&params);
    sitting.ask(sitting.connection.execute(&declared, &declaring)).await.map_err(no_cursor)?;
    let mut told = Told { head: head.columns.clone(), ..Told::default() };
    give(sitting, sink, Given::Columns(&head.columns))?;
    let most = max_rows.saturating_add(1);
    while told.rows < most {
        let wanted = BATCH.min(most - told.rows);
        let (came, more) = fetch(sitting, &head, wanted, &mut told, most, sink).await?;
        if came < wanted || !more {
            break;
        }
    }
    if told.rows == most {
        told.rows -= 1;
        told.truncated = true;
    }
    sitting.ask(sitting.connection.batch_execute("CLOSE q")).await?;
    Ok(told)
}

/// One FETCH, row by row. Returns how many came and whether the reader wants more.
async fn fetch(
    sitting: &mut Sitting,
    head: &Head,
    wanted: u64,
    told: &mut Told,
    most: u64,
    sink: &mut Sink<'_>,
) -> Outcome<(u64, bool)> {
    let fetch = format!("FETCH {wanted} FROM q");
    let stream = sitting.ask(sitting.connection.simple_query_raw(&fetch)).await?;
    let mut stream = pin!(stream);
    let (mut came, mut more) = (0, true);
    while let Some(message) = sitting.ask(stream.try_next()).await? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        came += 1;
        if !more {
            continue;
        }
        told.rows += 1;
        // One more than was asked for only tells that there are more.
        if told.rows < most && give(sitting, sink, Given::Row(head.of_text(&row)))? == Go::Stop {
            told.truncated = true;
            told.rows -= 1;
            more = false;
        }
    }
    Ok((came, more))
}

/// SHOW, EXPLAIN, and whatever the server will refuse: it is given to it as it is, as a single statement.
async fn directly(
    sitting: &mut Sitting,
    statement: &Statement,
    params: &[Value],
    max_rows: u64,
    sink: &mut Sink<'_>,
) -> Outcome<Told> {
    let prepared = sitting.ask(sitting.connection.prepare(&statement.text)).await?;
    let params = bound(params, &prepared)?;
    let head = Head::of(&prepared);
    let params = refs(&params);
    let rows = sitting.ask(sitting.connection.query(&prepared, &params)).await?;
    if statement.kind != Kind::Tell {
        return Err(Failure::read_only(
            format!("{} has an effect only when it may; it was taken back", statement.word),
            "add `--write` if that is meant",
        ));
    }
    let most = max_rows;
    let mut told = Told { head: head.columns.clone(), ..Told::default() };
    told.truncated = rows.len() as u64 > most;
    give(sitting, sink, Given::Columns(&head.columns))?;
    for row in rows.iter().take(usize::try_from(most).unwrap_or(usize::MAX)) {
        told.rows += 1;
        if give(sitting, sink, Given::Row(head.of_bytes(row)?))? == Go::Stop {
            break;
        }
    }
    Ok(told)
}

/// Hands something to the reader. The time it takes there is not the server's.
fn give(sitting: &mut Sitting, sink: &mut Sink<'_>, what: Given<'_>) -> Outcome<Go> {
    let began = Instant::now();
    let go = sink(what);
    sitting.pause(began.elapsed());
    go.map_err(|error| {
        Failure::new(
            super::failure::Code::Unavailable,
            format!("the reader of the rows went away: {error}"),
            "nothing was changed; ask again",
        )
    })
}

/// What a cursor cannot read is something else than reading.
fn no_cursor(failure: Failure) -> Failure {
    if failure.sqlstate_is(&["0A000", "25006", "42601"]) {
        return Failure {
            code: super::failure::Code::ReadOnly,
            hint: Some("it is more than reading: add `--write` if that is meant".into()),
            ..failure
        };
    }
    failure
}

/// Whether a function that it names may leave something behind in the session.
async fn is_volatile(sitting: &Sitting, statement: &Statement) -> bool {
    const ASK: &str = "select exists (select from pg_catalog.pg_proc where proname = any ($1) \
         and provolatile = 'v' and not (proname = any ($2) and pronamespace = 'pg_catalog'::regnamespace))";
    if statement.functions.is_empty() {
        return false;
    }
    let names: Vec<&str> = statement.functions.iter().map(|one| one.name.as_str()).collect();
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&names, Type::NAME_ARRAY), (&HARMLESS.as_slice(), Type::NAME_ARRAY)];
    let asked = sitting.ask(sitting.connection.query_typed(ASK, &params)).await;
    let told = asked.ok().and_then(|rows| rows.first()?.try_get::<_, bool>(0).ok());
    told.unwrap_or(true)
}
