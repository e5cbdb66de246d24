//! Servers of the user's own, without any lab: watched and mended, never broken, and their passwords kept.

use super::*;

const PASSWORD: &str = "Zq-not-to-be-seen-7c1e";

fn redis(trial: &Trial, words: &[&str]) -> Said {
    let port = trial.ports[3].to_string();
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port]).args(words).env("REDISCLI_AUTH", PASSWORD);
    Said::of(&command.output().expect("redis-cli runs"))
}

#[test]
fn a_server_that_is_away_from_the_start_is_an_incident_and_never_broken() {
    let mut trial =
        Trial::new(None, "[[target]]\nname = \"cache\"\nurl = \"redis://127.0.0.1:1\"\n");
    trial.engine();
    let incident = trial.incident("failed");
    assert_eq!(incident["finding"], "server-down", "{incident}");
    for args in [
        &["inject", "leak-oom", "--target", "cache"][..],
        &["drill", "leak-oom", "--target", "cache", "--yes"],
    ] {
        let began = Instant::now();
        let said = trial.run(args);
        assert!(said.err.contains("cache is not a server of the lab"), "{args:?}: {}", said.err);
        assert_eq!(said.code, Some(1));
        assert!(began.elapsed() < Duration::from_secs(5), "refused at once");
    }
}

#[test]
fn a_lab_that_is_switched_off_is_neither_made_nor_broken_nor_removed() {
    let trial = Trial::new(None, "");
    for args in [&["up"][..], &["drill", "leak-oom", "--yes"], &["down", "--volumes"]] {
        let said = trial.run(args);
        assert!(said.refusal().contains("switched off by the configuration"), "{}", said.err);
    }
    assert!(!trial.state().exists());
}

#[test]
fn a_full_cache_of_the_users_own_is_mended_over_the_network_and_its_password_is_kept() {
    let mut trial = Trial::new(None, "");
    let (port, home) = (trial.ports[3], trial.home.path().to_path_buf());
    std::fs::write(home.join("password"), PASSWORD).expect("write the password");
    let config = format!(
        "[lab]\nenabled = false\n[[target]]\nname = \"cache\"\nengine = \"redis\"\n\
         host = \"127.0.0.1\"\nport = {port}\npassword_file = \"{}\"\nverify_hold = \"1s\"\n",
        home.join("password").display()
    );
    std::fs::write(home.join("simctl.toml"), config).expect("write the file");
    let settings = format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {PASSWORD}\nmaxmemory 8mb\n\
         maxmemory-policy noeviction\nsave \"\"\ndir {}\n",
        home.display()
    );
    std::fs::write(home.join("redis.conf"), settings).expect("write the settings");
    let mut server = Command::new("redis-server");
    trial.start(server.arg(home.join("redis.conf")).stdout(Stdio::null()));
    trial.wait_for("redis", |trial| redis(trial, &["PING"]).out.contains("PONG").then_some(()));
    trial.engine();
    redis(&trial, &["SET", "keep", "me"]);
    // The baseline knows the number of keys before they become many.
    trial.wait_for("health", |trial| (trial.run(&["status"]).code == Some(0)).then_some(()));
    let fill = "for i = 1, 20000 do redis.call('SET', 'session:' .. i, string.rep('x', 400)) end";
    redis(&trial, &["EVAL", fill, "0"]);
    let full = redis(&trial, &["SET", "session:more", "x"]);
    assert!(full.out.contains("OOM") || full.err.contains("OOM"), "{}{}", full.out, full.err);
    let (print, shown) = trial.wait_for("a proposal", |trial| {
        let shown = trial.json(&["incidents", "show", "INC-0001"]);
        let execution = shown["executions"].as_array()?.last()?;
        let print = execution["proposal"]["fingerprint"].as_str()?.to_owned();
        (execution["state"] == "awaiting_approval").then_some((print, shown))
    });
    trial.must(&["approve", "INC-0001", "--fingerprint", &print[..8], "--type", "cache"]);
    trial.incident("resolved");
    assert_eq!(redis(&trial, &["GET", "keep"]).out.trim(), "me", "{shown}");
    assert_eq!(redis(&trial, &["EXISTS", "session:1"]).out.trim(), "0");

    let mut told = trial.must(&["report", "INC-0001"]).out;
    for args in [&["config", "show"][..], &["audit", "export"], &["history"], &["status"]] {
        told += &trial.must(&[args, &["--json"]].concat()).out;
    }
    trial.end_children();
    assert!(told.contains("cache") && !told.contains(PASSWORD));
    assert!(is_written(&trial.state(), "session:"), "the search finds what is there");
    assert!(!is_written(&trial.state(), PASSWORD));
}
