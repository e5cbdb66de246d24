//! Whether the logins of the watched servers may do what simctl needs, and nothing more.

use crate::actions;
use crate::cli::context::Context;
use crate::lab::DoctorLine;
use crate::targets::{Compared, Server, own};

/// One line per server. Those of the lab may do everything, on purpose: it is there to be broken.
pub(super) async fn lines(context: &Context) -> Vec<DoctorLine> {
    let mut lines = Vec::new();
    for target in &context.config().targets {
        let server = own::server(target, None);
        lines.push(line(&server).await);
    }
    lines
}

async fn line(server: &Server) -> DoctorLine {
    let subject = format!("rights on {}", server.target.id);
    let wanted = actions::rights(server.target.engine);
    let engine = server.target.engine.as_str();
    match server.compare_rights(&wanted).await {
        Ok(compared) => told(subject, &compared, engine),
        Err(reason) => DoctorLine {
            subject,
            ok: None,
            detail: format!("cannot tell: {reason}"),
            remedy: Some(format!("`simctl grants {engine}` prints what is needed")),
        },
    }
}

fn told(subject: String, compared: &Compared, engine: &str) -> DoctorLine {
    let Compared { login, missing, more } = compared;
    let login = if login.is_empty() { "the login" } else { login };
    if missing.is_empty() && more.is_empty() {
        let detail = format!("{login} may do what is needed and nothing more");
        return DoctorLine { subject, ok: Some(true), detail, remedy: None };
    }
    let mut told = Vec::new();
    if !missing.is_empty() {
        told.push(format!("{login} may not {}", missing.join("; ")));
    }
    if !more.is_empty() {
        told.push(format!("{login} may more than is needed: {}", few(more)));
    }
    DoctorLine {
        subject,
        ok: Some(false),
        detail: told.join("; "),
        remedy: Some(format!("`simctl grants {engine}` prints what is needed")),
    }
}

/// The first few, and how many there are besides.
fn few(all: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        rest => format!("{shown} and {rest} others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(missing: &[&str], more: &[&str]) -> (Option<bool>, String) {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        let compared = Compared { login: "ops".into(), missing: texts(missing), more: texts(more) };
        let line = told("rights on cache".into(), &compared, "redis");
        (line.ok, line.detail)
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_are_both_said() {
        assert_eq!(
            line(&[], &[]),
            (Some(true), "ops may do what is needed and nothing more".into())
        );
        assert_eq!(
            line(&["info (watching)"], &["eval"]),
            (Some(false), "ops may not info (watching); ops may more than is needed: eval".into())
        );
        let (_, many) = line(&[], &["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert!(many.ends_with("a, b, c, d, e, f and 2 others"), "{many}");
    }
}
