//! What of a backup survives an end midway, and what is refused as a backup.

use std::os::unix::fs::symlink;

use super::*;
use crate::database::backup::manifest::{Contents, Scope, Settings};

fn manifest(name: &str) -> Manifest {
    Manifest {
        name: name.into(),
        target: "t".into(),
        database: "d".into(),
        system: "1".into(),
        server_version: "15.8".into(),
        server_version_num: 150_008,
        program: "pg_dump (PostgreSQL) 15.8".into(),
        scope: Scope::Full,
        taken_at: chrono::DateTime::UNIX_EPOCH,
        lsn: None,
        database_bytes: 1,
        settings: Settings::default(),
        contents: Contents::default(),
        files: Vec::new(),
    }
}

fn record() -> Record {
    Record {
        finished_at: chrono::DateTime::UNIX_EPOCH,
        duration_ms: 1,
        pinned: false,
        manifest_sha256: String::new(),
        verifications: Vec::new(),
    }
}

fn catalogue() -> (tempfile::TempDir, Catalogue) {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(&dir.path().join("backups")).unwrap();
    (dir, catalogue)
}

fn made(catalogue: &Catalogue, name: &str) -> Entry {
    let draft = catalogue.begin(name).unwrap();
    fs::write(draft.dir.join("dump"), "PGDMP rows").unwrap();
    let manifest = Manifest { files: draft.sums().unwrap(), ..manifest(name) };
    draft.finish(&manifest, record()).unwrap();
    catalogue.find(name).unwrap()
}

#[test]
fn a_backup_is_whole_or_not_there() {
    let (_dir, catalogue) = catalogue();
    let draft = catalogue.begin("a").unwrap();
    let (whole, spoilt) = catalogue.list().unwrap();
    assert_eq!((whole.len(), spoilt[0].reason.as_str()), (0, BEING_MADE));
    let taken = catalogue.begin("a").map(drop).unwrap_err();
    assert_eq!(taken.code, Code::Conflict);
    assert!(catalogue.sweep().unwrap().is_empty(), "it is being made");
    drop(draft);
    let (whole, spoilt) = catalogue.list().unwrap();
    assert!(whole.is_empty() && spoilt.is_empty(), "dropping it removes it");
    let entry = made(&catalogue, "a");
    assert!(sums::problems(&entry.dir, &entry.manifest.files).is_empty());
    assert_eq!(catalogue.begin("a").map(drop).unwrap_err().code, Code::Conflict);
    catalogue.remove("a").unwrap();
    assert!(catalogue.find("a").unwrap_err().message.contains("there is no backup a"));
}

#[test]
fn what_a_killed_process_left_is_no_backup_and_is_swept() {
    let (_dir, catalogue) = catalogue();
    let left = catalogue.location().join("b.partial");
    fs::create_dir(&left).unwrap();
    fs::write(left.join(LOCK), "").unwrap();
    fs::write(left.join("dump"), "PGDMP ro").unwrap();
    assert!(catalogue.find("b").unwrap_err().message.contains(NEVER_FINISHED));
    assert_eq!(catalogue.sweep().unwrap(), ["b"]);
    assert!(!left.exists());
    made(&catalogue, "b");
}

#[test]
fn every_change_of_a_file_is_seen_and_named() {
    let (_dir, catalogue) = catalogue();
    let entry = made(&catalogue, "c");
    let dump = entry.dump();
    fs::write(&dump, "PGDMP row").unwrap();
    let cut = sums::problems(&entry.dir, &entry.manifest.files);
    assert_eq!(cut, ["dump: it was cut short, 9 of 10 bytes are left"]);
    fs::write(&dump, "PGDMP rowt").unwrap();
    assert!(sums::problems(&entry.dir, &entry.manifest.files)[0].contains("it was changed"));
    fs::remove_file(&dump).unwrap();
    assert!(sums::problems(&entry.dir, &entry.manifest.files)[0].contains("No such file"));
}

#[test]
fn a_changed_manifest_or_a_broken_record_is_no_backup() {
    let (_dir, catalogue) = catalogue();
    let entry = made(&catalogue, "d");
    let path = entry.dir.join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap().replace("\"d\"", "\"e\"");
    fs::write(&path, text).unwrap();
    assert!(catalogue.find("d").unwrap_err().message.contains("is not as it was written"));
    let (whole, spoilt) = catalogue.list().unwrap();
    assert_eq!((whole.len(), spoilt.len()), (0, 1));
    let entry = made(&catalogue, "e");
    fs::write(entry.dir.join(RECORD), "{").unwrap();
    assert!(catalogue.find("e").unwrap_err().message.contains("record.json"));
}

#[test]
fn a_name_leads_nowhere_else() {
    let (dir, catalogue) = catalogue();
    let entry = made(&catalogue, "f");
    symlink(&entry.dir, catalogue.location().join("link")).unwrap();
    assert!(catalogue.find("link").unwrap_err().message.contains("no directory of ours"));
    for bad in ["..", "f/../f", "/", "", "f.partial"] {
        assert_eq!(catalogue.find(bad).unwrap_err().code, Code::Invalid, "{bad}");
    }
    let (whole, _) = catalogue.list().unwrap();
    assert_eq!(whole.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["f"]);
    drop(dir);
}
