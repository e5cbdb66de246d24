//! Scenario transcripts: each file of `tests/scenarios` is a story (a world, what happens to it, what people do)
//! told by the real decision, detectors, diagnoses and playbook over simulated servers and a manual clock. What it
//! narrates is a snapshot a reviewer can read.

use std::path::Path;

use serde::Deserialize;

mod bench;
mod stage;

/// A story, as written in its file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    title: String,
    /// Seconds until the curtain falls.
    until: f64,
    /// Actions that do not help, whatever they do.
    #[serde(default)]
    useless: Vec<String>,
    /// What the policy calls automatic.
    #[serde(default)]
    automatic: Vec<String>,
    step: Vec<Step>,
    /// How each incident ends, by number.
    ends: Vec<String>,
}

/// Something that happens at a time.
#[derive(Debug, Deserialize)]
struct Step {
    at: f64,
    #[serde(flatten)]
    what: What,
}

/// The things that can happen in a story.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
enum What {
    /// A client fills Redis under one prefix, so many keys a second, until it is full.
    Leak {
        keys_per_second: u64,
    },
    /// The leak's client goes away and its keys expire.
    LeakEnds,
    /// Redis holds so many ordinary keys.
    Keys {
        count: u64,
    },
    LowerMaxmemory {
        megabytes: u64,
    },
    /// So many sessions of one program do nothing in PostgreSQL.
    IdleSessions {
        count: u32,
    },
    /// So many sessions of one program are at work in PostgreSQL.
    BusySessions {
        count: u32,
    },
    Pause {
        target: String,
    },
    Kill {
        target: String,
    },
    /// A person elsewhere makes it run again.
    Revive {
        target: String,
    },
    /// A person asks for an action.
    Propose {
        target: String,
        action: String,
        reason: String,
    },
    Approve {
        incident: u64,
        #[serde(default)]
        typed: Option<String>,
    },
    ApproveWrong {
        incident: u64,
    },
    Reject {
        incident: u64,
        reason: String,
    },
    Retry {
        incident: u64,
    },
    Undo {
        incident: u64,
        typed: String,
    },
    Stop {
        incident: u64,
    },
    KillAction {
        incident: u64,
    },
    Verify {
        incident: u64,
    },
    Note {
        incident: u64,
        text: String,
    },
    /// The engine is killed and started again; only the log is left.
    Crash,
    StoreGoes,
    StoreReturns,
}

#[test]
fn every_scenario_reads_as_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/scenarios is there")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "stories were lost: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable scenario");
        let scenario: Scenario =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let told = stage::play(&scenario);
        assert_eq!(told.ends, scenario.ends, "{name}:\n{}", told.lines.join("\n"));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../scenarios");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_description(scenario.title.clone());
        settings.bind(|| insta::assert_snapshot!(name, told.lines.join("\n")));
    }
}
