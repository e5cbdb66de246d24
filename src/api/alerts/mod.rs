//! Alerts in: what Alertmanager tells a webhook becomes incidents, or belongs to those that are open.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::door::{Door, shortened};
use super::extract::Json;
use super::problem::Problem;
use crate::domain::effect::Command;
use crate::domain::ids::incident_name;

mod message;

use message::Message;

/// Version 4 is what Alertmanager has sent since 2017.
const VERSION: &str = "4";
/// Alertmanager cuts a group where `max_alerts` says so; without that, this is the end.
const MOST: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new().routes(routes!(alertmanager))
}

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
struct Heard {
    alerts: Vec<Became>,
    /// How many alerts of the group its sender left out.
    truncated: u64,
}

/// What became of one alert.
#[derive(Debug, Serialize, ToSchema)]
struct Became {
    #[schema(example = "c0ffee0123456789")]
    fingerprint: String,
    #[schema(example = "INC-0042")]
    incident: Option<String>,
    /// In words.
    outcome: String,
}

/// Take alerts from Alertmanager
///
/// For `webhook_configs`, with `send_resolved`. An alert of a symptom that has an incident belongs to it; any other
/// opens one. It ends when its alerts are over and what is measured here is well.
#[utoipa::path(
    post, path = "/api/v1/alerts/alertmanager", tag = "alerts", request_body = Message,
    responses((status = 200, description = "What became of each", body = Heard)),
)]
async fn alertmanager(
    State(door): State<Door>,
    caller: Caller,
    Json(message): Json<Message>,
) -> Result<Answer<Heard>, Problem> {
    if message.version != VERSION {
        let version = shortened(&message.version);
        return Err(Problem::invalid(format!(
            "version `{version}` is unknown; this reads {VERSION}"
        )));
    }
    if message.alerts.len() > MOST {
        let detail = format!("more than {MOST} alerts at once; set `max_alerts` in the receiver");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    if message.truncated_alerts > 0 {
        let left_out = message.truncated_alerts;
        tracing::warn!(left_out, "a group of alerts came cut");
    }
    let mut alerts = Vec::with_capacity(message.alerts.len());
    for said in &message.alerts {
        let Some(alert) = said.meaning(&door.alerts) else { continue };
        let fingerprint = alert.fingerprint.clone();
        let (incident, outcome) = match door.order(&caller, Command::Alert { alert }).await {
            Ok(accepted) => (accepted.incident.map(incident_name), accepted.message),
            // Sent again, it would be refused again; an engine that is gone is another matter.
            Err(_) if door.handle.requests.is_closed() => {
                return Err(Problem::unavailable("the engine has stopped; send it again"));
            }
            Err(problem) => (None, problem.detail),
        };
        alerts.push(Became { fingerprint, incident, outcome });
    }
    Ok(Answer(Heard { alerts, truncated: message.truncated_alerts }))
}
