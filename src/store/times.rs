//! The times of incidents and of what was tried for each, out of the derived tables.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::failure::Trouble;
use super::sql::{Cell, Columns, Dialect, Session as _};
use crate::domain::ids::IncidentId;
use crate::ports::store::{AttemptTimes, IncidentTimes, StoreError};

/// Incidents with their places, and each execution's incident and place in it.
#[derive(Default)]
struct Found {
    incidents: Vec<IncidentTimes>,
    by_id: BTreeMap<Uuid, usize>,
    executions: BTreeMap<Uuid, (usize, usize)>,
}

impl Found {
    fn incident(&mut self, id: Uuid) -> Option<&mut IncidentTimes> {
        self.incidents.get_mut(*self.by_id.get(&id)?)
    }

    fn attempt(&mut self, execution: Uuid) -> Option<&mut AttemptTimes> {
        let (incident, attempt) = *self.executions.get(&execution)?;
        self.incidents.get_mut(incident)?.attempts.get_mut(attempt)
    }
}

/// Every incident opened since then; all queries see the same moment.
pub(super) async fn read<D: Dialect>(
    conn: &mut D::Conn,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<IncidentTimes>, Trouble> {
    let since = Cell::time(since.unwrap_or(DateTime::UNIX_EPOCH));
    let mut found = Found::default();
    incidents::<D>(conn, &since, &mut found).await?;
    executions::<D>(conn, &since, &mut found).await?;
    actions::<D>(conn, &since, &mut found).await?;
    approvals::<D>(conn, &since, &mut found).await?;
    ends::<D>(conn, since, &mut found).await?;
    Ok(found.incidents)
}

async fn incidents<D: Dialect>(
    conn: &mut D::Conn,
    since: &Cell,
    found: &mut Found,
) -> Result<(), Trouble> {
    let sql = "select id, number, affected_system, finding_kind, cause, status, incident_type,
                      first_bad_at, created_at, acknowledged_at, resolved_at
               from incidents where created_at >= $1 order by number";
    for row in conn.fetch(sql.into(), vec![since.clone()]).await? {
        found.by_id.insert(row.id("id")?, found.incidents.len());
        found.incidents.push(incident(&row)?);
    }
    Ok(())
}

fn incident(row: &impl Columns) -> Result<IncidentTimes, sqlx::Error> {
    Ok(IncidentTimes {
        id: IncidentId(row.id("id")?),
        number: row.count("number")?,
        target: row.text("affected_system")?,
        finding: row.text("finding_kind")?,
        cause: row.opt_text("cause")?,
        status: row.text("status")?,
        incident_type: row.text("incident_type")?,
        first_bad_at: row.time("first_bad_at")?,
        opened_at: row.time("created_at")?,
        acknowledged_at: row.opt_time("acknowledged_at")?,
        resolved_at: row.opt_time("resolved_at")?,
        actions: Vec::new(),
        actor: None,
        attempts: Vec::new(),
        ended_by: None,
    })
}

async fn executions<D: Dialect>(
    conn: &mut D::Conn,
    since: &Cell,
    found: &mut Found,
) -> Result<(), Trouble> {
    // Flags read back as text, which is all that both databases agree on.
    let sql = "select e.id, e.incident_id, e.state, e.started_at, e.completed_at,
                      e.proposal ->> 'created_at' as proposed_at,
                      case when e.rollback_performed then 'yes' else 'no' end as undone
               from agent_executions e join incidents i on i.id = e.incident_id
               where i.created_at >= $1 order by e.started_at, e.id";
    for row in conn.fetch(sql.into(), vec![since.clone()]).await? {
        let Some(&place) = found.by_id.get(&row.id("incident_id")?) else { continue };
        let attempt = attempt(&row)?;
        let Some(incident) = found.incidents.get_mut(place) else { continue };
        found.executions.insert(row.id("id")?, (place, incident.attempts.len()));
        incident.attempts.push(attempt);
    }
    Ok(())
}

fn attempt(row: &impl Columns) -> Result<AttemptTimes, Trouble> {
    let proposed_at = row.opt_text("proposed_at")?.map(|text| time_of(&text)).transpose()?;
    Ok(AttemptTimes {
        started_at: row.time("started_at")?,
        proposed_at,
        decided_at: None,
        decision: None,
        acted_at: None,
        acted_until: None,
        ended_at: row.opt_time("completed_at")?,
        state: row.text("state")?,
        undone: row.text("undone")? == "yes",
    })
}

fn time_of(text: &str) -> Result<DateTime<Utc>, Trouble> {
    DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).map_err(|error| {
        let what = format!("the time of a proposal, {text}");
        Trouble::Refused(StoreError::Corrupt { what, reason: error.to_string() })
    })
}

async fn actions<D: Dialect>(
    conn: &mut D::Conn,
    since: &Cell,
    found: &mut Found,
) -> Result<(), Trouble> {
    let sql =
        "select a.incident_id, a.execution_id, a.action, a.result, a.executed_at, a.duration_ms
               from agent_actions a join incidents i on i.id = a.incident_id
               where i.created_at >= $1 order by a.executed_at, a.id";
    for row in conn.fetch(sql.into(), vec![since.clone()]).await? {
        let began = row.time("executed_at")?;
        let took: Option<u64> = row.opt_count("duration_ms")?;
        if let Some(attempt) = found.attempt(row.id("execution_id")?) {
            attempt.acted_at = attempt.acted_at.or(Some(began));
            let ended = took.map(|ms| began + TimeDelta::milliseconds(ms.try_into().unwrap_or(0)));
            attempt.acted_until = attempt.acted_until.max(ended);
        }
        if let Some(incident) = found.incident(row.id("incident_id")?) {
            incident.actions.push((row.text("action")?, row.text("result")?));
        }
    }
    Ok(())
}

async fn approvals<D: Dialect>(
    conn: &mut D::Conn,
    since: &Cell,
    found: &mut Found,
) -> Result<(), Trouble> {
    let sql = "select a.incident_id, a.execution_id, a.decision, a.actor, a.at
               from approvals a join incidents i on i.id = a.incident_id
               where i.created_at >= $1 order by a.at, a.id";
    for row in conn.fetch(sql.into(), vec![since.clone()]).await? {
        let decision = row.text("decision")?;
        let permits = matches!(decision.as_str(), "approved" | "automatic");
        if let Some(attempt) = found.attempt(row.id("execution_id")?) {
            attempt.decided_at = Some(row.time("at")?);
            attempt.decision = Some(decision);
        }
        if let Some(incident) = found.incident(row.id("incident_id")?).filter(|_| permits) {
            incident.actor = Some(row.text("actor")?);
        }
    }
    Ok(())
}

async fn ends<D: Dialect>(
    conn: &mut D::Conn,
    since: Cell,
    found: &mut Found,
) -> Result<(), Trouble> {
    let sql = "select h.incident_id, h.actor
               from incident_status_history h join incidents i on i.id = h.incident_id
               where i.created_at >= $1 and h.to_status in ('resolved', 'failed')
               order by h.at, h.id";
    for row in conn.fetch(sql.into(), vec![since]).await? {
        let actor = row.text("actor")?;
        if let Some(incident) = found.incident(row.id("incident_id")?) {
            incident.ended_by = Some(actor);
        }
    }
    Ok(())
}
