//! The command line as a person meets it: the built binary in a home of its own.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use tempfile::TempDir;

/// An empty home with nothing running.
struct Home(TempDir);

/// What a command said, with the home's path replaced.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("write in the home");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simctl"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_STATE_HOME", self.path().join("state"))
            .env("USER", "ops1")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        self.said(&mut self.command(args))
    }

    /// Without a lab, so that nothing on this machine matters.
    fn alone(&self, args: &[&str]) -> Said {
        self.said(self.command(args).env("SIMCTL_LAB_ENABLED", "false"))
    }

    fn said(&self, command: &mut Command) -> Said {
        let output = command.output().expect("the binary runs");
        let home = self.path().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&home, "[HOME]");
        Said {
            code: output.status.code().expect("no signal"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let home = Home::new();
    let top = home.run(&["--help"]);
    assert_eq!(top.code, 0, "{}", top.err);
    let commands = top.out.split("Commands:").nth(1).expect("a list of commands");
    let commands: Vec<&str> = commands
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What is indented further continues the line above.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 20, "{commands:?}");
    let mut all = format!("$ simctl --help\n{}", top.out);
    for name in commands {
        let help = home.run(&[name, "--help"]);
        assert_eq!(help.code, 0, "{name}: {}", help.err);
        assert!(help.out.contains("Example"), "{name} has no example");
        let _ = write!(all, "\n$ simctl {name} --help\n{}", help.out);
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn the_consoles_configuration_is_checked_and_printed_without_a_terminal() {
    let home = Home::new();
    let none = home.run(&["tui", "--check-config"]);
    assert_eq!((none.code, none.out.as_str()), (0, "no tui.toml; the defaults are ok\n"));
    let printed = home.run(&["tui", "--print-config", "--ascii", "--theme", "light"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    assert!(printed.out.contains("\nascii = true") && printed.out.contains("\nname = \"light\""));

    std::fs::create_dir_all(home.path().join("config/simctl")).expect("a folder");
    home.write("config/simctl/tui.toml", &printed.out);
    let checked = home.run(&["tui", "--check-config"]);
    assert_eq!((checked.code, checked.out.as_str()), (0, "[HOME]/config/simctl/tui.toml: ok\n"));
    let again = home.run(&["tui", "--print-config"]);
    assert_eq!(again.out, printed.out, "what is printed can be taken as it is");
    let flag = home.run(&["tui", "--print-config", "--theme", "mono"]);
    assert!(flag.out.contains("\nname = \"mono\""), "flags win over the file");

    home.write("config/simctl/tui.toml", "[keys]\nstop = [\"s\"]\n[ui]\nfps = 90\n");
    for what in ["--check-config", "--print-config"] {
        let bad = home.run(&["tui", what]);
        assert_eq!((bad.code, bad.out.as_str()), (2, ""));
        insta::assert_snapshot!("console_config", bad.err);
    }
    assert!(!home.path().join("state/simctl/log").exists(), "nothing was started");
}

#[test]
fn every_mistake_in_the_file_is_a_sentence_with_file_line_key_and_remedy() {
    let good = "[[target]]\nname = \"a\"\nurl = \"redis://h\"\n";
    let twice = format!("{good}{good}");
    let cases = [
        ("no TOML", "[lab\n"),
        ("unknown key, nearly right", "[lab]\nredis_prot = 1\n"),
        ("unknown key, nothing like it", "[lab]\nzebra = 1\n"),
        ("unknown table", "[labs]\n"),
        ("wrong type", "[lab]\nredis_port = \"x\"\n"),
        ("number out of range", "[lab]\n\n\nredis_port = 70000\n"),
        ("port zero", "[lab]\nredis_port = 0\n"),
        ("two lab ports alike", "[lab]\nredis_port = 5433\n"),
        ("unknown runtime", "[lab]\nruntime = \"podman\"\n"),
        ("bad lab id", "[lab]\nid = \"My Lab\"\n"),
        ("bad duration", "[limits]\napproval_ttl = \"5 parsecs\"\n"),
        ("duration without end", "[limits]\nstep = \"0s\"\n"),
        ("no attempts", "[limits]\nattempts_per_incident = 0\n"),
        ("bad inject.ttl", "[inject]\nttl = \"2h\"\n"),
        ("bad store", "[store]\nurl = \"mysql://u:hunter2@h/d\"\n"),
        ("a single target table", "[target]\nname = \"a\"\n"),
        ("target without a name", "[[target]]\nurl = \"redis://h\"\n"),
        ("target without an address", "[[target]]\nname = \"a\"\n"),
        ("target without a host", "[[target]]\nname = \"a\"\nengine = \"redis\"\n"),
        ("unknown engine", "[[target]]\nname = \"a\"\nengine = \"mysql\"\n"),
        ("duplicate target", twice.as_str()),
        (
            "same server twice",
            "[[target]]\nname=\"a\"\nurl=\"redis://h\"\n[[target]]\nname=\"b\"\nurl=\"redis://h\"\n",
        ),
        ("a lab target's name", "[[target]]\nname = \"redis-test\"\nurl = \"redis://h\"\n"),
        ("the lab's port", "[[target]]\nname = \"a\"\nurl = \"redis://127.0.0.1:6380\"\n"),
        ("bad URL", "[[target]]\nname = \"a\"\nurl = \"redis://u:hunter2@h:99999\"\n"),
        ("unescaped password", "[[target]]\nname = \"a\"\nurl = \"redis://u:hun/ter2@h\"\n"),
        ("unknown scheme", "[[target]]\nname = \"a\"\nurl = \"mysql://h\"\n"),
        ("URL and parts", "[[target]]\nname = \"a\"\nurl = \"redis://h\"\nhost = \"h\"\n"),
        ("contradiction", "[[target]]\nname = \"a\"\nurl = \"redis://h\"\nengine = \"postgres\"\n"),
        ("no user", "[[target]]\nname = \"a\"\nengine = \"postgres\"\nhost = \"h\"\n"),
        ("weak sslmode", "[[target]]\nname = \"a\"\nurl = \"postgres://u@h/d?sslmode=prefer\"\n"),
        ("inline password", "[[target]]\nname = \"a\"\npassword = \"hunter2\"\n"),
        (
            "unset variable",
            "[[target]]\nname = \"a\"\nurl = \"redis://h\"\npassword_env = \"NOT_SET\"\n",
        ),
        (
            "unreadable password",
            "[[target]]\nname = \"a\"\nurl = \"redis://h\"\npassword_file = \"gone\"\n",
        ),
        (
            "two passwords",
            "[[target]]\nname = \"a\"\nurl = \"redis://:hunter2@h\"\npassword_file = \"pw\"\n",
        ),
        (
            "missing CA",
            "[[target]]\nname = \"a\"\nurl = \"redis://h\"\ntls = { ca_file = \"gone\" }\n",
        ),
        (
            "no certificate",
            "[[target]]\nname = \"a\"\nurl = \"redis://h\"\ntls = { ca_file = \"pw\" }\n",
        ),
        ("wrong tls", "[[target]]\nname = \"a\"\nurl = \"redis://h\"\ntls = \"yes\"\n"),
        (
            "unknown tls key",
            "[[target]]\nname = \"a\"\nurl = \"redis://h\"\ntls = { ca = \"x\" }\n",
        ),
        (
            "threshold out of range",
            "[[target]]\nname = \"a\"\nurl = \"redis://h\"\n[target.thresholds]\nmemory_percent = 120\n",
        ),
        (
            "too fast a probe",
            "[[target]]\nname = \"a\"\nurl = \"redis://h\"\nprobe = { held = \"1ms\" }\n",
        ),
        ("unknown mode", "[policy]\nremediation = \"yolo\"\n"),
        ("rule without a name", "[[policy.rule]]\ndemand = \"typed\"\n"),
        ("rule without a demand", "[[policy.rule]]\nname = \"r\"\n"),
        (
            "rule for no action",
            "[[policy.rule]]\nname = \"r\"\ndemand = \"typed\"\naction = \"zzzz\"\n",
        ),
        (
            "rule for no target",
            "[[policy.rule]]\nname = \"r\"\ndemand = \"typed\"\ntarget = \"zzzz\"\n",
        ),
        (
            "broken example",
            "[[policy.rule]]\nname = \"r\"\ndemand = \"automatic\"\nrisk_up_to = \"low\"\nmatches = [{ action = \"x\", target = \"y\", risk = \"high\" }]\n",
        ),
        ("reserved operator", "operator = \"policy\"\n"),
        ("no address", "[http]\nlisten = \"8080\"\nopen = true\n"),
        ("nobody may ask", "[http]\nlisten = \"127.0.0.1:8080\"\n"),
        ("open to all", "[http]\nlisten = \"0.0.0.0:8080\"\nopen = true\n"),
        ("half a key pair", "[http]\ncert_file = \"c.pem\"\n"),
        ("no time at all", "[http]\nrequest_time = \"1ms\"\n"),
        (
            "a token where its digest belongs",
            "[[http.token]]\nname = \"ci\"\nrole = \"viewer\"\ndigest = \"simctl_hunter2\"\n",
        ),
        ("unknown role", "[[http.token]]\nname = \"ci\"\nrole = \"god\"\ndigest = \"\"\n"),
        (
            "a token named like a part",
            "[[http.token]]\nname = \"agent\"\nrole = \"viewer\"\ndigest = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n",
        ),
        ("unknown kind of writes", "[workbench]\nwrites = \"maybe\"\n"),
        (
            "a key of the workbench that nothing reads",
            "[workbench.connection_pool]\nmin_size = 1\n",
        ),
        ("no time for a statement", "[workbench]\nquery_timeout = \"0s\"\n"),
        ("no connections", "[workbench.connection_pool]\nmax_size = 0\n"),
        ("a replica that is no target", "[workbench]\nread_replicas = [\"zzzz\"]\n"),
    ];
    let mut all = String::new();
    for (what, toml) in cases {
        let home = Home::new();
        home.write("simctl.toml", toml);
        home.write("pw", "x\n");
        let said = home.run(&["config", "check"]);
        assert_eq!(said.code, 2, "{what}: {} {}", said.out, said.err);
        assert_eq!(said.out, "", "{what}");
        assert!(said.err.starts_with("simctl: simctl.toml:"), "{what}: {}", said.err);
        assert!(!said.err.contains("hunter2"), "{what}: {}", said.err);
        assert!(!home.path().join("state").exists(), "{what}: something was started");
        let _ = write!(all, "# {what}\n{}", said.err);
    }
    insta::assert_snapshot!("config_mistakes", all);
}

#[test]
fn mistakes_outside_the_file_are_sentences_too() {
    let home = Home::new();
    let check = ["config", "check"];
    let mut all = String::new();
    for (name, value) in [
        ("SIMCTL_LAB_REDIS_PORT", "x"),
        ("SIMCTL_RUNTIME", "podman"),
        ("SIMCTL_STORE", "hunter2"),
        ("SIMCTL_LAB_ENABLED", "maybe"),
        ("SIMCTL_LIMITS_STEP", "soon"),
        ("SIMCTL_CONFIG", "gone.toml"),
        ("SIMCTL_OPERATOR", "engine"),
    ] {
        let said = home.said(home.command(&check).env(name, value));
        assert_eq!(said.code, 2, "{name}");
        assert!(!said.err.contains("hunter2"), "{name}: {}", said.err);
        let _ = write!(all, "# {name}={value}\n{}", said.err);
    }
    for args in [
        &["--config", "gone.toml", "config", "check"][..],
        &["--runtime", "podman", "config", "check"],
        &["frobnicate"],
        &["clear"],
        &["approve", "x"],
        &["inject", "a", "--ttl", "2h"],
        &["inject", "a", "--set", "x"],
        &["incidents", "--status", "open"],
        &["incidents", "--since", "yesterday"],
        &["reject", "INC-1"],
        &["watch", "--since", "yesterday"],
        &["watch", "--since", "2999-01-31"],
        &["watch", "--incident", "x"],
        &["watch", "--fancy"],
    ] {
        let said = home.run(args);
        assert_eq!(said.code, 2, "{args:?}");
        assert_eq!(said.out, "", "{args:?}");
        let _ = write!(all, "# {}\n{}", args.join(" "), said.err);
    }
    insta::assert_snapshot!("other_mistakes", all);
}

#[test]
fn several_mistakes_are_told_at_once() {
    let home = Home::new();
    home.write(
        "simctl.toml",
        "operator = \"policy\"\n[lab]\nid = \"A B\"\n[inject]\nttl = \"1d\"\n",
    );
    let said = home.run(&["status"]);
    assert_eq!((said.code, said.err.lines().count()), (2, 3), "{}", said.err);
}

#[test]
fn every_value_is_shown_with_its_source() {
    let home = Home::new();
    home.write("pw", "hunter2\n");
    home.write(
        "simctl.toml",
        r#"
[lab]
redis_port = 6390
postgres_port = 5440

[[target]]
name = "cache"
engine = "redis"
host = "cache.internal"
password_file = "pw"
tls = true
probe = { held = "500ms" }

[[target]]
name = "shop"
url = "postgres://ops:hunter2@db.internal/shop?sslmode=require"
profile = "lab"
[target.thresholds]
connections_percent = 80

[policy]
remediation = "automatic"
[[policy.rule]]
name = "low risk runs"
risk_up_to = "low"
demand = "automatic"
matches = [{ action = "x", target = "y", risk = "low" }]
"#,
    );
    let mut command = home.command(&["--state-dir", "here", "config", "show"]);
    let said = home.said(
        command
            .env("SIMCTL_LAB_REDIS_PORT", "6391")
            .env("SIMCTL_STORE", "postgres://simctl:hunter2@db/simctl"),
    );
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!said.out.contains("hunter2"), "{}", said.out);
    insta::assert_snapshot!("config_show", said.out);
    let json = home.run(&["config", "show", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(value["file"], "simctl.toml");
    assert!(value["values"].as_array().expect("an array").len() > 20);
}

#[test]
fn the_first_file_found_counts() {
    let home = Home::new();
    let port = |said: &Said| {
        let line = said.out.lines().find(|line| line.starts_with("lab.redis_port"));
        line.expect("the port is shown").split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    let show = ["config", "show"];
    assert_eq!(port(&home.run(&show)), "6380 default");
    std::fs::create_dir_all(home.path().join("config/simctl")).expect("a directory");
    home.write("config/simctl/simctl.toml", "[lab]\nredis_port = 1\n");
    assert_eq!(port(&home.run(&show)), "1 [HOME]/config/simctl/simctl.toml:2");
    home.write("simctl.toml", "[lab]\nredis_port = 2\n");
    assert_eq!(port(&home.run(&show)), "2 simctl.toml:2");
    home.write("env.toml", "[lab]\nredis_port = 3\n");
    let said = home.said(home.command(&show).env("SIMCTL_CONFIG", "env.toml"));
    assert_eq!(port(&said), "3 env.toml:2");
    home.write("flag.toml", "[lab]\nredis_port = 4\n");
    let mut command = home.command(&["--config", "flag.toml", "config", "show"]);
    assert_eq!(port(&home.said(command.env("SIMCTL_CONFIG", "env.toml"))), "4 flag.toml:2");
}

#[test]
fn without_an_engine_commands_that_need_one_say_so() {
    let home = Home::new();
    for args in [
        &["approve", "INC-0042"][..],
        &["reject", "42", "--reason", "no"],
        &["retry", "42"],
        &["incidents", "note", "42", "hello"],
        &["incidents", "resolve", "42", "--reason", "done"],
    ] {
        let said = home.alone(args);
        assert_eq!(said.code, 1, "{args:?}: {}", said.err);
        let sentence = "simctl: no engine is running; start `simctl run` or `simctl tui`\n";
        assert_eq!(said.err, sentence, "{args:?}");
    }
    // What is injected is written down in the state directory, and undone from there.
    let said = home.alone(&["clear", "--all"]);
    assert_eq!((said.code, said.out.as_str()), (0, "nothing is injected; no engine is running\n"));
}

#[test]
fn unknown_names_are_refused_with_those_like_them() {
    let home = Home::new();
    let mut all = String::new();
    for args in [
        &["faults", "zzzzzz"][..],
        &["inject", "zzzzzz"],
        &["drill", "zzzzzz", "--yes"],
        &["actions", "zzzzzz"],
    ] {
        let said = home.alone(args);
        assert_eq!(said.code, 2, "{args:?}");
        let _ = write!(all, "# {}\n{}", args.join(" "), said.err);
    }
    insta::assert_snapshot!("unknown_names", all);
    for fault in simctl::faults::ALL {
        let id = fault.descriptor().id;
        let said = home.alone(&["inject", &format!("{id}x")]);
        assert!(said.err.contains("did you mean") && said.err.contains(id), "{}", said.err);
    }
}

#[test]
fn catalogues_print_as_text_json_and_markdown() {
    let home = Home::new();
    for args in [&["faults", "--json"][..], &["actions", "--json"]] {
        let said = home.alone(args);
        assert_eq!(said.code, 0, "{}", said.err);
        let list: Vec<serde_json::Value> = serde_json::from_str(&said.out).expect("JSON");
        let built_in = if args[0] == "faults" {
            simctl::faults::ALL.len()
        } else {
            simctl::actions::ALL.len()
        };
        assert_eq!(list.len(), built_in);
    }
    let page = home.alone(&["faults", "--markdown"]).out;
    for fault in simctl::faults::ALL {
        let id = fault.descriptor().id;
        assert_eq!(home.alone(&["faults", id]).code, 0);
        assert!(page.contains(&format!("| {id} |")) && page.contains(&format!("\n### {id}\n")));
    }
}

#[test]
fn completions_exist_for_every_usual_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = home.run(&["completions", shell]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.contains("simctl") && said.out.contains("incidents"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = Home::new();
    let mut command = home.command(&["config", "show"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_is_never_shown(secret in "Zq[A-Za-z0-9!*~$]{6,20}", broken in any::<bool>()) {
        let home = Home::new();
        home.write("pw", &secret);
        let port = if broken { "99999" } else { "6379" };
        home.write("simctl.toml", &format!(
            "[store]\nurl = \"postgres://u:{secret}@h/d\"\n\
             [[target]]\nname = \"a\"\nurl = \"redis://:{secret}@h:{port}\"\n\
             [[target]]\nname = \"b\"\nurl = \"redis://i\"\npassword_file = \"pw\"\n\
             [[target]]\nname = \"c\"\nurl = \"redis://j\"\npassword_env = \"PW\"\n"
        ));
        for args in [&["config", "show"][..], &["config", "show", "--json"], &["config", "check"]] {
            let said = home.said(home.command(args).env("PW", &secret));
            prop_assert_eq!(said.code, if broken { 2 } else { 0 }, "{}", said.err);
            prop_assert!(!said.out.contains(&secret), "{}", said.out);
            prop_assert!(!said.err.contains(&secret), "{}", said.err);
        }
    }
}
