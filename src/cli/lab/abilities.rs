//! Which faults the servers of the lab can have.

use crate::faults::{self, Ability};
use crate::lab::{DoctorLine, Lab};
use crate::targets::Server;

/// One line per server.
pub(super) async fn lines(lab: &Lab) -> Vec<DoctorLine> {
    let mut lines = Vec::new();
    for server in &lab.servers {
        lines.push(told(server, &faults::abilities(server).await));
    }
    lines
}

fn told(server: &Server, all: &[Ability]) -> DoctorLine {
    let reasons: Vec<String> = all
        .iter()
        .filter_map(|ability| {
            let reason = ability.available.as_ref().err()?;
            Some(format!("{}: {reason}", ability.fault.descriptor().id))
        })
        .collect();
    let possible = all.len() - reasons.len();
    let mut detail = format!("{possible} of {} can be injected", all.len());
    if !reasons.is_empty() {
        detail = format!("{detail}; not {}", reasons.join("; "));
    }
    DoctorLine {
        subject: format!("faults of {}", server.target.id),
        // What cannot be had here is no defect.
        ok: (possible > 0).then_some(true),
        detail,
        remedy: None,
    }
}
