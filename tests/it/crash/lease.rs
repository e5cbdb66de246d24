//! One engine per store: the second one says who is there, and a dead one's place is taken soon.

use super::bench::{Engine, Home};

/// Nobody answers there; the engine watches all the same.
const CONFIG: &str = "[lab]\nenabled = false\n[[target]]\nname = \"nobody\"\n\
    url = \"redis://127.0.0.1:9\"\n[store]\nurl = \"sqlite:STORE\"\n";

fn home(store: &Home) -> Home {
    let file = store.path().join("records.db");
    Home::with(&CONFIG.replace("STORE", &file.display().to_string()))
}

fn started(home: &Home) -> Engine {
    let mut engine = home.engine();
    engine.event("engine_started", |_| true);
    engine
}

#[test]
fn a_second_engine_on_the_same_store_names_the_first_and_starts_nothing() {
    let store = Home::with("");
    let (one, other) = (home(&store), home(&store));
    let first = started(&one);
    let pid = format!("pid {}", first.pid());
    let (code, words) = other.engine().ended();
    assert_eq!(code, 1, "{words:?}");
    let last = words.last().expect("a sentence");
    assert!(last.contains(&pid) && last.contains("renews its lease"), "{words:?}");

    let (code, words) = one.engine().ended();
    assert_eq!(code, 1, "{words:?}");
    assert!(words.last().is_some_and(|last| last.contains("running already")), "{words:?}");

    assert_eq!(first.terminate(), 0);
    // The lease was given back: no waiting.
    assert_eq!(started(&other).terminate(), 0);
    one.ok(&["audit", "verify"]);
}

#[test]
fn the_place_of_a_killed_engine_is_taken_when_its_lease_has_run_out() {
    let store = Home::with("");
    let home = home(&store);
    let first = started(&home);
    let pid = format!("pid {}", first.pid());
    first.kill();
    // The dead one's socket is still in the state directory.
    assert!(home.state_dir().join("control.sock").exists());
    let mut second = home.engine();
    assert!(second.word("waiting").contains(&pid));
    second.event("engine_started", |_| true);
    home.ok(&["incidents"]);
    assert_eq!(second.terminate(), 0);
    home.ok(&["audit", "verify"]);
}
