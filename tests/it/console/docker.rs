//! One whole incident by hand: a first start that makes the lab, a fault, an approval, the end of it.

use std::process::Command;
use std::time::Duration;

use super::tty::{Place, Tty};
use crate::crash::bench::{Said, free_ports, said};

/// A lab of its own. Dropped, it is removed.
struct Lab {
    place: Place,
    id: String,
}

impl Lab {
    fn new() -> Self {
        let id = format!("tui{}", std::process::id());
        let [redis, postgres, store] = free_ports(3);
        let config = format!(
            "[lab]\nid = \"{id}\"\nruntime = \"docker\"\nredis_port = {redis}\n\
             postgres_port = {postgres}\nstore_port = {store}\nverify_hold = \"2s\"\n"
        );
        Self { place: Place::with(&config), id }
    }

    fn run(&self, args: &[&str]) -> Said {
        said(
            Command::new(env!("CARGO_BIN_EXE_simctl"))
                .args(["--config", "simctl.toml"])
                .args(args)
                .current_dir(self.place.path())
                .env("SIMCTL_STATE_DIR", self.place.state_dir()),
        )
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = self.run(&["down", "--volumes"]);
        if down.code != 0 {
            eprintln!("the lab {} may not be removed entirely: {down:?}", self.id);
        }
    }
}

/// Waits longer than anything else takes.
fn wait_long(tty: &Tty, text: &str) {
    tty.wait_within(Duration::from_secs(90), &format!("`{text}`"), |tty| {
        tty.screen().contains(text)
    });
}

#[test]
fn a_person_brings_an_incident_from_the_fault_to_its_end() {
    let lab = Lab::new();
    let target = format!("{}-redis-test", lab.id);
    let mut tty = lab.place.console_of((120, 35), &[]);
    wait_long(&tty, "there is no lab yet; making one");
    tty.wait_within(Duration::from_secs(90), "both targets are ok", |tty| {
        tty.screen().matches(" ok  ").count() == 2
    });
    let injected = lab.run(&["inject", "maxmemory-lowered", "--target", &target]);
    assert_eq!(injected.code, 0, "others reach this engine: {injected:?}");
    wait_long(&tty, "APPROVE?");
    tty.key("A");
    tty.key("a");
    wait_long(&tty, "Press y to approve");
    // The dialog takes no keys at first, and not the one that opened it for longer.
    tty.key("y");
    std::thread::sleep(Duration::from_millis(900));
    assert!(tty.screen().contains("Press y to approve"), "a key at once approves nothing");
    tty.key("y");
    tty.wait_within(Duration::from_secs(90), "the end of it", |tty| {
        tty.screen().contains("resolved")
    });
    tty.key("q");
    assert_eq!(tty.ends(), 0);
    tty.assert_restored();
    let trail = lab.run(&["audit", "verify"]);
    assert_eq!(trail.code, 0, "{trail:?}");
    let history = lab.run(&["history"]);
    assert!(history.out.contains(&target) && history.out.contains("success"), "{history:?}");
}
