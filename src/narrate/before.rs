//! An earlier incident in one line: what helped, or that nothing did.

use std::time::Duration;

use super::{clean, duration};
use crate::domain::ids::incident_name;
use crate::ports::store::SimilarIncident;

/// `INC-0003 2026-11-21 10:02 redis-test fixed by unlink_keys, 12.4 s`.
pub fn before(one: &SimilarIncident) -> String {
    let done: Vec<_> = one.actions.iter().map(|(action, _)| action.as_str()).collect();
    let took = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default().as_millis();
    let took = one.took_s.map(|s| duration(u64::try_from(took(s)).unwrap_or(u64::MAX)));
    let how = match (one.resolved, done.as_slice()) {
        (true, []) => "resolved without an action".to_owned(),
        (true, _) => format!("fixed by {}", done.join(", ")),
        (false, []) => "not resolved, nothing was done".to_owned(),
        (false, _) => format!("not resolved by {}", done.join(", ")),
    };
    let took = took.map(|took| format!(", {took}")).unwrap_or_default();
    let at = one.opened_at.format("%Y-%m-%d %H:%M");
    format!("{} {at} {} {how}{took}", incident_name(one.number), clean(&one.target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::at;

    #[test]
    fn it_says_what_was_done_and_whether_that_was_the_end_of_it() {
        let of = |resolved, actions: &[&str], took_s| {
            before(&SimilarIncident {
                number: 3,
                target: "redis-test".into(),
                cause: None,
                actions: actions.iter().map(|a| ((*a).to_owned(), "success".into())).collect(),
                resolved,
                took_s,
                opened_at: at(0),
            })
        };
        let head = format!("INC-0003 {} redis-test", at(0).format("%Y-%m-%d %H:%M"));
        for (resolved, actions, took_s, rest) in [
            (true, &["unlink_keys"][..], Some(12.0), " fixed by unlink_keys, 12.00 s"),
            (true, &[], None, " resolved without an action"),
            (false, &["a", "b"], None, " not resolved by a, b"),
            (false, &[], None, " not resolved, nothing was done"),
        ] {
            assert_eq!(of(resolved, actions, took_s), format!("{head}{rest}"));
        }
    }
}
