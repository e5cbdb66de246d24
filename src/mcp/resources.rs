//! What can be read by an address of its own.

use super::request::{Method, Request};

/// Address, name, what it is.
pub(super) const FIXED: [(&str, &str, &str); 3] = [
    ("simctl://status", "status", "Targets, open incidents and injections, in short"),
    ("simctl://targets", "targets", "The watched servers as they are now"),
    ("simctl://incidents", "incidents", "The newest fifty incidents"),
];

/// Pattern, name, what it is.
pub(super) const TEMPLATES: [(&str, &str, &str); 2] = [
    ("simctl://incidents/{incident}", "incident", "Everything about one incident"),
    ("simctl://incidents/{incident}/report", "report", "What happened in one incident"),
];

/// How an address is read.
pub(super) fn request(uri: &str) -> Option<Request> {
    let path = uri.strip_prefix("simctl://")?;
    let get = |pattern| Request::new(Method::Get, pattern);
    let of_one = |pattern, incident: &str| {
        let mut request = get(pattern);
        request.place("incident", incident);
        (!incident.is_empty() && incident.len() <= 64).then_some(request)
    };
    match path.split('/').collect::<Vec<_>>()[..] {
        ["status"] => Some(get("/status")),
        ["targets"] => Some(get("/api/v1/targets")),
        ["incidents"] => Some(get("/api/v1/incidents")),
        ["incidents", incident] => of_one("/api/v1/incidents/{incident}", incident),
        ["incidents", incident, "report"] => {
            of_one("/api/v1/incidents/{incident}/report", incident)
        }
        _ => None,
    }
}
