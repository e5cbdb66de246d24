//! The tree's own rules: pure folders stay pure, every file says what it is, no kind is forgotten in its list.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that decide and never do: no I/O, no clock, no tasks.
const PURE: [&str; 3] = ["domain", "detect", "diagnose"];

const IMPURE: [&str; 12] = [
    "tokio::",
    "bollard",
    "sqlx",
    "redis::",
    "tokio_postgres",
    "std::fs",
    "std::net",
    "std::process",
    "clock::now",
    "Utc::now",
    "std::env",
    "SystemTime",
];

/// What a file must hold to be a kind, by folder; the rest of a folder serves the kinds.
const KINDS: [(&str, &str); 6] = [
    ("actions", ": Descriptor = Descriptor {"),
    ("faults", ": Descriptor = Descriptor {"),
    ("inspect", ": Inspection = Inspection {"),
    ("detect", "fn judge("),
    ("diagnose", ": Judge = "),
    ("tui/screens", "impl Screen for "),
];

const LONGEST: usize = 700;

struct Source {
    /// From the root of the folder it was found in, with `/`.
    path: String,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(&root).expect("it is below").display().to_string();
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push(Source { path: name, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Source {
    fn is_test(&self) -> bool {
        let parts = ["tests.rs", "testing.rs", "example.rs", "simulated.rs"];
        parts.iter().any(|name| self.path.ends_with(name)) || self.path.contains("/tests/")
    }

    /// The lines that run in the product, numbered: no comments, no tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines
            .windows(2)
            .position(|pair| {
                pair[0].trim() == "#[cfg(test)]"
                    && pair[1].trim_start().trim_start_matches("pub(crate) ").starts_with("mod ")
                    && pair[1].trim_end().ends_with('{')
            })
            .unwrap_or(lines.len());
        let product = if self.is_test() { 0 } else { end };
        lines.into_iter().take(product).enumerate().filter_map(|(index, line)| {
            let code = line.trim_start();
            (!code.starts_with("//")).then_some((index + 1, line))
        })
    }

    fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let hits = self.code().filter_map(|(number, line)| {
            let word = words.iter().find(|word| line.contains(**word))?;
            Some(format!("{}:{number}: {word}", self.path))
        });
        hits.collect()
    }
}

fn impurities(source: &Source) -> Vec<String> {
    let folder = source.path.split('/').next().unwrap_or_default();
    if PURE.contains(&folder) { source.lines_with(&IMPURE) } else { Vec::new() }
}

fn undocumented(source: &Source) -> Option<String> {
    // An empty file is a place kept for something that is being written.
    let says = source.text.starts_with("//! ") || source.text.trim().is_empty();
    (!says).then(|| format!("{} does not open with `//! `", source.path))
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > LONGEST).then(|| format!("{} has {lines} lines, more than {LONGEST}", source.path))
}

fn prints(source: &Source) -> Vec<String> {
    if source.path.starts_with("cli/") {
        return Vec::new();
    }
    source.lines_with(&["println!", "print!(", "eprintln!", "eprint!("])
}

fn unwraps(source: &Source) -> Vec<String> {
    source.lines_with(&[".unwrap()"])
}

/// The kinds of a folder that its list forgot.
fn forgotten((folder, mark): (&str, &str), sources: &[Source]) -> Vec<String> {
    let prefix = format!("{folder}/");
    let list = sources.iter().find(|source| source.path == format!("{folder}/mod.rs"));
    let list = list.map_or("", |source| all_of(&source.text));
    let mut kinds: Vec<&str> = sources
        .iter()
        .filter(|source| !source.lines_with(&[mark]).is_empty())
        .filter_map(|source| source.path.strip_prefix(&prefix))
        .map(|path| path.split('/').next().unwrap_or(path).trim_end_matches(".rs"))
        .filter(|kind| *kind != "mod" && *kind != "tests")
        .collect();
    kinds.dedup();
    kinds
        .into_iter()
        .filter(|kind| !list.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == *kind))
        .map(|kind| format!("{folder}/{kind} is not in the ALL of {folder}/mod.rs"))
        .collect()
}

/// The text of the list, from its name to its end.
fn all_of(text: &str) -> &str {
    let start = text.find(" ALL:").unwrap_or(text.len());
    let rest = &text[start..];
    &rest[..rest.find("];").unwrap_or(rest.len())]
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn pure_folders_do_nothing_but_decide() {
    assert_none(&sources("src").iter().flat_map(impurities).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    assert_none(&all.filter_map(|source| undocumented(&source)).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long_to_read() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    assert_none(&all.filter_map(|source| too_long(&source)).collect::<Vec<_>>());
}

#[test]
fn only_the_command_line_prints() {
    assert_none(&sources("src").iter().flat_map(prints).collect::<Vec<_>>());
}

#[test]
fn nothing_unwraps_outside_tests() {
    assert_none(&sources("src").iter().flat_map(unwraps).collect::<Vec<_>>());
}

#[test]
fn no_kind_is_forgotten_in_its_list() {
    let all = sources("src");
    assert_none(&KINDS.iter().flat_map(|kind| forgotten(*kind, &all)).collect::<Vec<_>>());
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

#[test]
fn each_rule_finds_what_it_is_for() {
    let bad = "use std::fs;\nfn f() { println!(); g().unwrap(); }\n";
    assert_eq!(impurities(&source("domain/x.rs", bad)), ["domain/x.rs:1: std::fs"]);
    assert!(impurities(&source("store/x.rs", bad)).is_empty());
    assert!(undocumented(&source("x.rs", bad)).is_some());
    assert!(undocumented(&source("x.rs", "//! Says it.\n")).is_none());
    assert!(too_long(&source("x.rs", &"\n".repeat(LONGEST + 1))).is_some());
    assert_eq!(prints(&source("store/x.rs", bad)), ["store/x.rs:2: println!"]);
    assert!(prints(&source("cli/x.rs", bad)).is_empty());
    assert_eq!(unwraps(&source("x.rs", bad)), ["x.rs:2: .unwrap()"]);
    let tested = "//! X.\n// .unwrap()\n#[cfg(test)]\nmod tests {\n    x.unwrap();\n}\n";
    assert!(unwraps(&source("x.rs", tested)).is_empty());
}

#[test]
fn a_forgotten_kind_is_found() {
    let list = "mod leak;\npub const ALL: &[&dyn Fault] = &[&leak::Leak];\nfn other() {}\n";
    let kind = ("faults", ": Descriptor = Descriptor {");
    let fault = "static DESCRIPTOR: Descriptor = Descriptor { id: \"leak\" };";
    let mut all = vec![source("faults/leak.rs", fault), source("faults/mod.rs", list)];
    assert!(forgotten(kind, &all).is_empty());
    all.push(source("faults/words.rs", "fn words() {}"));
    assert!(forgotten(kind, &all).is_empty(), "a file that is no fault needs no entry");
    all.push(source("faults/leak_more.rs", fault));
    all.push(source("faults/other.rs", fault));
    assert_eq!(forgotten(kind, &all).len(), 2);
    assert!(forgotten(("inspect", "impl Inspection for "), &all).is_empty());
}
