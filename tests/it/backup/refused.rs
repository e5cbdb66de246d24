//! What is no backup, or not of this database, is refused with the reason, and nothing is touched.

use std::fs;

use super::bench::Site;

async fn site() -> Site {
    let site = Site::new();
    site.run("app", "create table t as select i, md5(i::text) from generate_series(1, 20000) i")
        .await;
    site.done(&["backup", "now", "--name", "good", "--verify", "2"]);
    site
}

/// Changes a byte in the middle.
fn flip(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn copy(site: &Site, name: &str) {
    let (from, to) = (site.backups().join("good"), site.backups().join(name));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn every_kind_of_damage_is_refused_with_its_reason() {
    let site = site().await;
    let before = site.everything("app");
    let dump = |name: &str| site.file(name, "dump");
    for name in ["cut", "flipped", "other", "globals", "manifest", "gone"] {
        copy(&site, name);
    }
    let whole = fs::read(dump("good")).unwrap();
    fs::write(dump("cut"), &whole[..whole.len() * 6 / 10]).unwrap();
    flip(&dump("flipped"));
    site.run("postgres", "create database other").await;
    site.done(&["backup", "now", "--database", "other", "--name", "of-other", "--verify", "1"]);
    fs::copy(dump("of-other"), dump("other")).unwrap();
    flip(&site.file("globals", "globals.sql"));
    let manifest = site.file("manifest", "manifest.json");
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap().replace("\"app\"", "\"shop\""))
        .unwrap();
    fs::remove_file(dump("gone")).unwrap();
    fs::create_dir(site.backups().join("half.partial")).unwrap();
    fs::write(site.backups().join("half.partial/dump"), &whole[..1000]).unwrap();
    for (name, reason) in [
        ("cut", "dump: it was cut short, "),
        ("flipped", "dump: its hash is not the one"),
        ("other", "dump: "),
        ("globals", "globals.sql: its hash"),
        ("manifest", "manifest.json is not as it was written"),
        ("gone", "dump: No such file"),
        ("half", "the backup half was never finished"),
        ("nothing", "there is no backup nothing"),
        ("../good", "is no name for a backup"),
    ] {
        for how in [&["restore", name, "--yes"][..], &["restore", name, "--swap", "--yes"]] {
            let refused = site.db(how).refusal();
            assert!(refused.contains(reason), "{name}: {refused}");
        }
    }
    let verified = site.db(&["backup", "verify", "flipped"]);
    assert_eq!((verified.code, verified.json()["success"].as_bool()), (Some(1), Some(false)));
    let listed = site.done(&["backup", "list"]);
    let broken =
        listed["backups"].as_array().unwrap().iter().find(|one| one["backup_file"] == "flipped");
    assert!(
        !broken.unwrap()["broken"].as_array().unwrap().is_empty(),
        "it is remembered: {listed:#}"
    );
    assert_eq!(site.everything("app"), before);
    assert!(site.ours().await.is_empty());
}

#[tokio::test]
async fn damage_that_no_hash_tells_of_is_found_by_reading_and_by_restoring() {
    let site = site().await;
    // Somebody rewrote the dump and every hash: what is in it still does not match the manifest.
    site.run("app", "delete from t where i = 7").await;
    site.done(&["backup", "now", "--name", "later", "--verify", "1"]);
    copy(&site, "forged");
    fs::copy(site.file("later", "dump"), site.file("forged", "dump")).unwrap();
    let later: serde_json::Value = read(&site, "later", "manifest.json");
    let mut manifest: serde_json::Value = read(&site, "forged", "manifest.json");
    manifest["files"] = later["files"].clone();
    let text = serde_json::to_string(&manifest).unwrap();
    fs::write(site.file("forged", "manifest.json"), &text).unwrap();
    let mut record: serde_json::Value = read(&site, "forged", "record.json");
    use sha2::Digest as _;
    let sum: String =
        sha2::Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    record["manifest_sha256"] = sum.into();
    fs::write(site.file("forged", "record.json"), record.to_string()).unwrap();
    fs::copy(site.file("later", "globals.sql"), site.file("forged", "globals.sql")).unwrap();
    let verified = site.db(&["backup", "verify", "forged", "--level", "3"]);
    let problems = verified.json()["verified"]["problems"].to_string();
    assert!(problems.contains("20000 rows were backed up, 19999 restored"), "{problems}");
    let refused = site.db(&["restore", "forged", "--swap", "--yes"]).refusal();
    assert!(refused.contains("19999 restored"), "{refused}");
    assert_eq!(site.serves("app", "t").await, "19999");
    assert!(site.ours().await.is_empty());
}

fn read(site: &Site, backup: &str, name: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(site.file(backup, name)).unwrap()).unwrap()
}

#[tokio::test]
async fn what_does_not_fit_this_server_is_refused_before_anything_is_made() {
    let site = site().await;
    let other =
        site.db(&["restore", "good", "--database", "postgres", "--swap", "--yes"]).refusal();
    assert!(other.contains("the backup good is of database app, not of postgres"), "{other}");
    site.run("postgres", "create role gone").await;
    site.run("app", "alter table t owner to gone").await;
    site.done(&["backup", "now", "--name", "owned", "--verify", "1"]);
    site.run("app", "alter table t owner to postgres; drop role gone").await;
    let role = site.db(&["restore", "owned", "--yes"]).refusal();
    assert!(role.contains("this server has no role gone"), "{role}");
    site.done(&["restore", "owned", "--no-owner", "--yes"]);
    let without = site.db(&["restore", "good", "--swap"]).json();
    assert_eq!(without["error"]["code"], "approval_required", "nobody agreed to it: {without:#}");
    site.run("app", "begin; create table p (n int); prepare transaction 'held'").await;
    let held = site.db(&["restore", "good", "--swap", "--yes"]).refusal();
    assert!(held.contains("prepared transaction held holds on to app"), "{held}");
    assert_eq!(site.serves("app", "t").await, "20000");
}

#[tokio::test]
async fn a_restore_that_fails_midway_leaves_nothing_and_the_original_alone() {
    let site = Site::new();
    let sql = "create table t (n int); insert into t values (1);
        create function fussy(n int) returns int immutable language plpgsql as $$ begin
          if current_database() <> 'app' then raise 'not here'; end if; return n; end $$;
        create index fussy_index on t (fussy(n))";
    site.run("app", sql).await;
    let before = site.everything("app");
    let made = site.db(&["backup", "now", "--name", "b"]);
    assert_eq!(made.code, Some(1), "the proof fails: {}", made.out);
    assert!(made.json()["verified"]["problems"].to_string().contains("not here"), "{}", made.out);
    let refused = site.db(&["restore", "b", "--swap", "--yes"]).refusal();
    assert!(refused.contains("not here"), "{refused}");
    assert!(site.ours().await.is_empty());
    assert_eq!(site.everything("app"), before);
}
