//! What rows read back as, and the queries behind each reading method.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::Trouble;
use super::sql::{Cell, Columns, Dialect, Session as _, Sql};
use crate::domain::event::{Head, RawEvent};
use crate::domain::ids::IncidentId;
use crate::domain::incident::Incident;
use crate::domain::injection::Injection;
use crate::domain::ledger::{KEPT_ENDED, Ledger};
use crate::ports::store::{ActionLine, IncidentLine, StoreError};

/// Records per page at most, so that a page fits in memory.
const MOST_EVENTS: u32 = 10_000;
const MOST_LINES: u32 = 10_000;

const EVENT_COLUMNS: &str = "seq, at, kind, incident_id, target, actor, body, prev_hash, hash";

pub(super) fn events_query(after: u64, limit: u32) -> (Sql, Vec<Cell>) {
    let sql = format!("select {EVENT_COLUMNS} from events where seq > $1 order by seq limit $2");
    (sql.into(), vec![Cell::count(after), Cell::count(limit.min(MOST_EVENTS))])
}

/// A walk down the primary key: as cheap at the end of a million records as at their start.
pub(super) fn events_before_query(before: Option<u64>, limit: u32) -> (Sql, Vec<Cell>) {
    let sql =
        format!("select {EVENT_COLUMNS} from events where seq < $1 order by seq desc limit $2");
    let before = before.unwrap_or(u64::MAX);
    (sql.into(), vec![Cell::count(before), Cell::count(limit.min(MOST_EVENTS))])
}

pub(super) fn incident_events_query(incident: IncidentId) -> (Sql, Vec<Cell>) {
    let sql = format!("select {EVENT_COLUMNS} from events where incident_id = $1 order by seq");
    (sql.into(), vec![Cell::id(incident.0)])
}

/// A record as it stands in the table. One that cannot be read back is named.
pub(super) fn event(row: &impl Columns) -> Result<RawEvent, Trouble> {
    let seq: u64 = row.count("seq")?;
    let read = || -> Result<RawEvent, sqlx::Error> {
        Ok(RawEvent {
            seq,
            at: row.time("at")?,
            kind: row.text("kind")?,
            incident: row.opt_id("incident_id")?,
            target: row.opt_text("target")?,
            actor: row.text("actor")?,
            body: row.json("body")?,
            prev_hash: row.text("prev_hash")?,
            hash: row.text("hash")?,
        })
    };
    read().map_err(|error| corrupt(format!("event {seq}"), &error))
}

fn corrupt(what: String, reason: &impl ToString) -> Trouble {
    Trouble::Refused(StoreError::Corrupt { what, reason: reason.to_string() })
}

pub(super) fn remembered_head(row: &impl Columns) -> Result<Head, Trouble> {
    Ok(Head { seq: row.count("seq")?, hash: row.text("hash")? })
}

/// The whole thing a `body` column holds; `what` and `number` name it.
pub(super) fn body<T: DeserializeOwned>(row: &impl Columns, what: &str) -> Result<T, Trouble> {
    let number: u64 = row.count("number")?;
    serde_json::from_value(row.json("body")?)
        .map_err(|error| corrupt(format!("{what} {number}"), &error))
}

pub(super) fn number(row: &impl Columns) -> Result<u64, Trouble> {
    Ok(row.count("number")?)
}

pub(super) fn incident_line(row: &impl Columns) -> Result<IncidentLine, Trouble> {
    Ok(IncidentLine {
        id: IncidentId(row.id("id")?),
        number: row.count("number")?,
        target: row.text("affected_system")?,
        finding: row.text("finding_kind")?,
        cause: row.opt_text("cause")?,
        status: row.text("status")?,
        severity: row.text("severity")?,
        message: row.text("message")?,
        created_at: row.time("created_at")?,
        resolved_at: row.opt_time("resolved_at")?,
        occurrences: row.count("occurrences")?,
    })
}

pub(super) fn history_query(incident: Option<u64>, limit: u32) -> (Sql, Vec<Cell>) {
    let mut cells = vec![Cell::count(limit.min(MOST_LINES))];
    let mut of_incident = "";
    if let Some(number) = incident {
        cells.push(Cell::count(number));
        of_incident = "where a.incident_id = (select id from incidents where number = $2)";
    }
    let sql = format!(
        "select a.id, i.number, i.affected_system, a.action, a.command, a.executed_at, a.result,
                a.exit_code, a.stdout, a.stderr, a.duration_ms, a.health_before, a.health_after
         from agent_actions a join incidents i on i.id = a.incident_id {of_incident}
         order by a.executed_at desc, a.id desc limit $1"
    );
    (sql.into(), cells)
}

pub(super) fn action_line(row: &impl Columns) -> Result<ActionLine, Trouble> {
    Ok(ActionLine {
        id: row.id("id")?,
        incident: row.count("number")?,
        target: row.text("affected_system")?,
        action: row.text("action")?,
        command: row.text("command")?,
        executed_at: row.time("executed_at")?,
        result: row.text("result")?,
        exit_code: row.opt_int("exit_code")?,
        stdout: row.text("stdout")?,
        stderr: row.text("stderr")?,
        duration_ms: row.opt_count("duration_ms")?,
        health_before: row.opt_count("health_before")?,
        health_after: row.opt_count("health_after")?,
    })
}

/// Everything a restarted engine continues with; all queries see the same moment.
pub(super) async fn ledger<D: Dialect>(conn: &mut D::Conn) -> Result<Ledger, Trouble> {
    const ENDED_INJECTION: &str = "state in ('did_not_take', 'reverted')";
    let kept = Cell::count(u64::try_from(KEPT_ENDED).unwrap_or(u64::MAX));
    let open = "select number, body from incidents where status <> 'resolved'";
    let ended = "select number, body from incidents where status = 'resolved'
                 order by resolved_at desc, number desc limit $1";
    let mut incidents: Vec<Incident> = Vec::new();
    for (sql, cells) in [(open, vec![]), (ended, vec![kept.clone()])] {
        for row in conn.fetch(sql.into(), cells).await? {
            incidents.push(body(&row, "incident")?);
        }
    }
    let live =
        "select number, body from injections where state not in ('did_not_take', 'reverted')";
    let over = format!(
        "select number, body from injections where {ENDED_INJECTION} order by number desc limit $1"
    );
    let mut injections: Vec<Injection> = Vec::new();
    for (sql, cells) in [(live.into(), vec![]), (Sql::from(over), vec![kept])] {
        for row in conn.fetch(sql, cells).await? {
            injections.push(body(&row, "injection")?);
        }
    }
    let mut state: BTreeMap<String, Value> = BTreeMap::new();
    for row in conn.fetch("select key, value from engine_state".into(), vec![]).await? {
        state.insert(row.text("key")?, row.json("value")?);
    }
    let counters = (
        newest_number::<D>(conn, "select max(number) as number from incidents").await?,
        newest_number::<D>(conn, "select max(number) as number from injections").await?,
    );
    let head = super::write::head::<D>(conn).await?;
    Ledger::restore(incidents, injections, &state, counters, head.seq)
        .map_err(|error| corrupt("the engine's state".into(), &error))
}

async fn newest_number<D: Dialect>(
    conn: &mut D::Conn,
    sql: &'static str,
) -> Result<u64, sqlx::Error> {
    let rows = conn.fetch(sql.into(), vec![]).await?;
    Ok(rows.first().map(|row| row.opt_count("number")).transpose()?.flatten().unwrap_or(0))
}
