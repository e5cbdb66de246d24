//! What a console that just started wants to know: the last minutes of a target, and what helped before.

use chrono::{DateTime, Utc};

use super::failure::Trouble;
use super::sql::{Cell, Columns, Dialect, Session as _, Sql};
use crate::domain::incident::{Incident, Status};
use crate::ports::store::{HistoryPoint, SimilarIncident};

/// Ten minutes of a thousand targets.
const MOST_POINTS: u32 = 60_000;
const MOST_SIMILAR: u32 = 100;

/// The newest points, newest first, so that a limit keeps the end.
pub(super) fn points_query(
    target: Option<&str>,
    since: DateTime<Utc>,
    limit: u32,
) -> (Sql, Vec<Cell>) {
    let mut cells = vec![Cell::time(since), Cell::count(limit.min(MOST_POINTS))];
    let mut of_target = "";
    if let Some(target) = target {
        cells.push(Cell::text(target));
        of_target = "and target = $3";
    }
    let sql = format!(
        "select target, at, health, readings from samples where at >= $1 {of_target}
         order by at desc, target desc limit $2"
    );
    (sql.into(), cells)
}

pub(super) fn point(row: &impl Columns) -> Result<HistoryPoint, Trouble> {
    let readings = serde_json::from_value(row.json("readings")?)
        .map_err(|error| super::sql::unreadable("readings", error))?;
    Ok(HistoryPoint {
        at: row.time("at")?,
        target: row.text("target")?,
        health: row.opt_count("health")?,
        readings,
    })
}

/// Earlier incidents like this one, newest first. With a cause: the same finding and cause anywhere, for a cause
/// fits one kind of server. Without: the same finding on the same target, whatever its cause was.
pub(super) async fn similar<D: Dialect>(
    conn: &mut D::Conn,
    incident: &Incident,
    limit: u32,
) -> Result<Vec<SimilarIncident>, Trouble> {
    let (like, alike) = match incident.cause() {
        Some(cause) => (Cell::text(cause.as_str()), "cause = $2"),
        None => (Cell::text(incident.target.as_str()), "affected_system = $2"),
    };
    let cells = vec![
        Cell::text(incident.finding.as_str()),
        like,
        Cell::count(incident.number),
        Cell::count(limit.min(MOST_SIMILAR)),
    ];
    let chosen = format!(
        "select id, number, affected_system, cause, status, created_at, resolved_at from incidents
         where finding_kind = $1 and {alike} and number < $3 order by number desc limit $4"
    );
    let mut found = Vec::new();
    for row in conn.fetch(chosen.clone().into(), cells.clone()).await? {
        found.push(similar_incident(&row)?);
    }
    let sql = format!(
        "select c.number, a.action, a.result from ({chosen}) as c
         join agent_actions a on a.incident_id = c.id order by a.executed_at, a.id"
    );
    for row in conn.fetch(sql.into(), cells).await? {
        let number: u64 = row.count("number")?;
        let (action, result) = (row.text("action")?, row.text("result")?);
        if let Some(one) = found.iter_mut().find(|one| one.number == number) {
            one.actions.push((action, result));
        }
    }
    Ok(found)
}

fn similar_incident(row: &impl Columns) -> Result<SimilarIncident, Trouble> {
    let opened_at = row.time("created_at")?;
    let took = row.opt_time("resolved_at")?.map(|end| end - opened_at);
    Ok(SimilarIncident {
        number: row.count("number")?,
        target: row.text("affected_system")?,
        cause: row.opt_text("cause")?,
        actions: Vec::new(),
        resolved: row.text("status")? == Status::Resolved.as_str(),
        took_s: took.map(|took| took.num_milliseconds() as f64 / 1_000.0),
        opened_at,
    })
}
