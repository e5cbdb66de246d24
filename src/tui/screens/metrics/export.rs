//! The figures as text: one CSV for everything, one line for what is selected.

use crate::domain::ids::incident_name;
use crate::metrics::{Group, Metrics, Slow, Spread};

const HEAD: &str = "section,name,incidents,ok,ended,mean_s,p50_s,p90_s,p99_s,note";

/// Everything known, a row each; empty where nothing was measured.
pub(super) fn csv(metrics: &Metrics) -> String {
    let mut rows = vec![HEAD.to_owned()];
    let ended = metrics.resolved + metrics.failed;
    for (name, spread) in [("mttd", metrics.mttd), ("mtta", metrics.mtta), ("mttr", metrics.mttr)] {
        let counts = [metrics.incidents, metrics.resolved, ended].map(|n| n.to_string());
        rows.push(row("all", name, counts, spread, ""));
    }
    for (name, mean_s) in metrics.stages.named() {
        let counts = [metrics.stages.incidents.to_string(), String::new(), String::new()];
        rows.push(row("stage", name, counts, Spread { mean_s, ..Spread::default() }, ""));
    }
    for (section, groups) in
        [("cause", &metrics.by_cause), ("target", &metrics.by_target), ("actor", &metrics.by_actor)]
    {
        for group in groups {
            let counts = [group.incidents, group.ok, group.total].map(|n| n.to_string());
            rows.push(row(section, &group.name, counts, group.mttr, ""));
        }
    }
    for slow in &metrics.slowest {
        let spread = Spread { mean_s: Some(slow.took_s), ..Spread::default() };
        let name = incident_name(slow.number);
        let counts = [const { String::new() }; 3];
        rows.push(row("slowest", &name, counts, spread, slow.why.as_deref().unwrap_or("")));
    }
    rows.join("\n") + "\n"
}

fn row(section: &str, name: &str, counts: [String; 3], spread: Spread, note: &str) -> String {
    let figures = [spread.mean_s, spread.p50_s, spread.p90_s, spread.p99_s]
        .map(|value| value.map_or_else(String::new, |value| format!("{value:.3}")));
    let mut cells = vec![section.to_owned(), quoted(name)];
    cells.extend(counts);
    cells.extend(figures);
    cells.push(quoted(note));
    cells.join(",")
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// A group as one line.
pub(super) fn group(group: &Group) -> String {
    let Group { name, incidents, ok, total, .. } = group;
    let [mean, p90] = [group.mttr.mean_s, group.mttr.p90_s].map(super::draw::short);
    format!("{name}: {incidents} incidents, MTTR {mean}, p90 {p90}, {ok} of {total} ended well")
}

/// A slow incident as one line.
pub(super) fn slow(slow: &Slow) -> String {
    let why = slow.why.as_ref().map_or_else(String::new, |why| format!(", {why}"));
    let took = super::draw::short(Some(slow.took_s));
    format!("{} {} {}: {took}{why}", incident_name(slow.number), slow.target, slow.cause)
}
