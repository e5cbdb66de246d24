//! Two faults on one server and one on the other: every cause is named, mended and proven for itself.

use super::{proposal, watched};
use crate::crash::bench::{Lab, eventually};

#[test]
fn three_causes_at_once_are_mended_and_proven_apart() {
    let lab = Lab::up();
    let engine = lab.home.engine();
    watched(&lab);
    lab.home.ok(&["inject", "min-replicas"]);
    proposal(&lab, "min-replicas");
    lab.home.ok(&["inject", "maxclients", "--beside"]);
    lab.home.ok(&["inject", "read-only"]);
    let causes = ["maxclients", "min-replicas", "read-only"];
    for cause in causes {
        let (number, print) = proposal(&lab, cause);
        lab.home.ok(&["approve", &number, "--fingerprint", &print]);
        let status = format!("select status from incidents where cause = '{cause}'");
        eventually(&format!("{cause} is mended"), || {
            (lab.store(&status) == "resolved").then_some(())
        });
    }
    for cause in causes {
        let of = format!("where incident_id in (select id from incidents where cause = '{cause}')");
        let actions = lab.store(&format!("select count(*) from agent_actions {of}"));
        assert_eq!(actions, "1", "{cause}: no action but its own");
        let ended = lab.store(&format!("select state from agent_executions {of}"));
        assert_eq!(ended, "completed", "{cause} has its own proof");
    }
    assert_eq!(lab.store("select count(*) from incidents"), causes.len().to_string());
    lab.home.ok(&["clear", "--all"]);
    assert_eq!(engine.terminate(), 0);
}
