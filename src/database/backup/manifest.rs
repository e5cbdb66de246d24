//! What a backup holds, written down while it was taken: every table's rows and their hash, as of the same moment as
//! the dump. A restored copy is good when it gives the same again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Differences beyond these are only counted.
const MOST_TOLD: usize = 20;

/// A backup as it was taken. Never changes; its own hash stands in the backup's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub target: String,
    pub database: String,
    /// The server's own identity: two servers with a database of the same name differ in it.
    pub system: String,
    pub server_version: String,
    pub server_version_num: i32,
    /// What made the dump, in its own words.
    pub program: String,
    pub scope: Scope,
    pub taken_at: DateTime<Utc>,
    /// Where the server's log stood when the snapshot was taken.
    pub lsn: Option<String>,
    /// What the database took on the server's disk.
    pub database_bytes: u64,
    pub settings: Settings,
    pub contents: Contents,
    /// Every file of the backup besides this one.
    pub files: Vec<FileSum>,
}

/// How much of the database a dump holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    #[default]
    Full,
    /// Definitions without rows.
    Schema,
}

/// What belongs to the database itself: a dump has none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub owner: String,
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    /// `c`, `i` or `b`; servers before 15 know only `c`.
    pub provider: Option<String>,
    pub locale: Option<String>,
    pub icu_rules: Option<String>,
    pub connection_limit: i32,
    pub comment: Option<String>,
    /// `None`: the server's own default.
    pub grants: Option<Vec<Grant>>,
    pub overrides: Vec<Override>,
}

/// One right on the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// `None`: everybody.
    pub to: Option<String>,
    pub right: String,
    pub grantable: bool,
}

/// A setting that holds in this database, for everybody or for one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub role: Option<String>,
    pub name: String,
    pub value: String,
}

/// What can be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contents {
    pub tables: Vec<TableSum>,
    pub sequences: Vec<SequenceSum>,
    /// `None`: there are none.
    pub large_objects: Option<LargeObjects>,
    pub extensions: BTreeMap<String, String>,
    /// Those that came with the server's own template, and their schemas: a dump leaves them out.
    pub preinstalled: BTreeMap<String, String>,
    /// How many there are of what holds no rows.
    pub objects: BTreeMap<String, u64>,
    /// Roles that own something or are granted something.
    pub roles: BTreeSet<String>,
}

/// One table with its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSum {
    pub schema: String,
    pub name: String,
    /// Of its columns' names and types.
    pub shape: String,
    pub bytes: u64,
    /// `None`: not looked at, beyond the byte budget or without rows in the dump.
    pub rows: Option<u64>,
    /// The sum of the rows' hashes: it does not depend on their order.
    pub hash: Option<String>,
}

/// Where a sequence stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceSum {
    pub schema: String,
    pub name: String,
    pub increment: i64,
    pub cycles: bool,
    pub last_value: i64,
}

/// All large objects of the database together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    pub count: u64,
    pub bytes: u64,
    pub sha256: String,
}

/// One file with its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// Below the backup's directory.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl Contents {
    /// Tables whose rows were not hashed, by name.
    pub fn unhashed(&self) -> Vec<String> {
        let without = self.tables.iter().filter(|table| table.hash.is_none());
        without.map(TableSum::shown).collect()
    }

    /// What `restored` lacks or has otherwise, a sentence each; empty when it is the same.
    pub fn differences(&self, restored: &Self) -> Vec<String> {
        let mut told = Vec::new();
        self.tables_differ(restored, &mut told);
        self.sequences_differ(restored, &mut told);
        if self.large_objects != restored.large_objects {
            told.push(format!(
                "large objects: {} were backed up, {} restored",
                large(self.large_objects.as_ref()),
                large(restored.large_objects.as_ref())
            ));
        }
        let gone = self.extensions.keys().filter(|name| !restored.extensions.contains_key(*name));
        told.extend(gone.map(|name| format!("extension {name} is missing")));
        for (kind, &count) in &self.objects {
            let found = restored.objects.get(kind).copied().unwrap_or_default();
            if found != count {
                told.push(format!("{count} of kind {kind} were backed up, {found} restored"));
            }
        }
        shortened(told)
    }

    fn tables_differ(&self, restored: &Self, told: &mut Vec<String>) {
        let found: BTreeMap<_, _> = restored.tables.iter().map(|one| (one.key(), one)).collect();
        for table in &self.tables {
            let shown = table.shown();
            match found.get(&table.key()) {
                None => told.push(format!("table {shown} is missing")),
                Some(other) => {
                    told.extend(table.differs(other).map(|what| format!("table {shown}: {what}")));
                }
            }
        }
        let known: BTreeSet<_> = self.tables.iter().map(TableSum::key).collect();
        let extra = restored.tables.iter().filter(|one| !known.contains(&one.key()));
        told.extend(extra.map(|one| format!("table {} is not in the backup", one.shown())));
    }

    fn sequences_differ(&self, restored: &Self, told: &mut Vec<String>) {
        let key = |one: &SequenceSum| (one.schema.clone(), one.name.clone());
        let found: BTreeMap<_, _> = restored.sequences.iter().map(|one| (key(one), one)).collect();
        for one in &self.sequences {
            let shown = shown(&one.schema, &one.name);
            let Some(other) = found.get(&key(one)) else {
                told.push(format!("sequence {shown} is missing"));
                continue;
            };
            // The dump reads sequences a moment later, and a snapshot does not hold them still.
            let behind = if one.increment < 0 {
                other.last_value > one.last_value
            } else {
                other.last_value < one.last_value
            };
            if behind && !one.cycles {
                let (was, is) = (one.last_value, other.last_value);
                told.push(format!("sequence {shown} stood at {was} and stands at {is}"));
            }
        }
    }
}

impl TableSum {
    fn key(&self) -> (&str, &str) {
        (&self.schema, &self.name)
    }

    pub fn shown(&self) -> String {
        shown(&self.schema, &self.name)
    }

    fn differs(&self, other: &Self) -> Option<String> {
        if self.shape != other.shape {
            return Some("its columns are not the same".into());
        }
        if let (Some(was), Some(is)) = (self.rows, other.rows)
            && was != is
        {
            return Some(format!("{was} rows were backed up, {is} restored"));
        }
        let hashes = self.hash.is_some() && self.hash != other.hash;
        hashes.then(|| "its rows are not the same".into())
    }
}

/// A name as a person can read it; what would control a terminal is escaped where it is printed.
pub(crate) fn shown(schema: &str, name: &str) -> String {
    let plain = |text: &str| {
        let mut chars = text.chars();
        chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let quoted = |text: &str| {
        if plain(text) { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    format!("{}.{}", quoted(schema), quoted(name))
}

fn large(objects: Option<&LargeObjects>) -> String {
    objects.map_or_else(
        || "none".into(),
        |all| {
            format!(
                "{} of {} bytes ({})",
                all.count,
                all.bytes,
                &all.sha256[..12.min(all.sha256.len())]
            )
        },
    )
}

fn shortened(mut told: Vec<String>) -> Vec<String> {
    let more = told.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        told.truncate(MOST_TOLD);
        told.push(format!("and {more} more"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, rows: u64, hash: &str) -> TableSum {
        TableSum {
            schema: "public".into(),
            name: name.into(),
            shape: "s".into(),
            bytes: 8_192,
            rows: Some(rows),
            hash: Some(hash.into()),
        }
    }

    fn sequence(last_value: i64, increment: i64, cycles: bool) -> SequenceSum {
        let (schema, name) = ("public".into(), "Next Id".into());
        SequenceSum { schema, name, increment, cycles, last_value }
    }

    fn contents() -> Contents {
        Contents {
            tables: vec![table("a", 3, "17"), table("b", 0, "0")],
            sequences: vec![sequence(10, 1, false)],
            large_objects: Some(LargeObjects { count: 1, bytes: 9, sha256: "ab".repeat(32) }),
            preinstalled: BTreeMap::new(),
            extensions: [("citext".to_owned(), "1.6".to_owned())].into(),
            objects: [("view".to_owned(), 2)].into(),
            roles: BTreeSet::new(),
        }
    }

    #[test]
    fn the_same_is_the_same() {
        assert!(contents().differences(&contents()).is_empty());
        let mut later = contents();
        later.sequences[0].last_value = 12;
        later.extensions.insert("citext".into(), "1.7".into());
        assert!(contents().differences(&later).is_empty(), "{:?}", contents().differences(&later));
    }

    #[test]
    fn each_kind_of_damage_is_told_by_itself() {
        let damaged = |change: &dyn Fn(&mut Contents)| {
            let mut restored = contents();
            change(&mut restored);
            contents().differences(&restored)
        };
        let told = [
            damaged(&|all| all.tables[0].hash = Some("18".into())),
            damaged(&|all| all.tables[0].rows = Some(2)),
            damaged(&|all| all.tables[0].shape = "t".into()),
            damaged(&|all| drop(all.tables.remove(1))),
            damaged(&|all| all.tables.push(table("c", 0, "0"))),
            damaged(&|all| all.sequences[0].last_value = 9),
            damaged(&|all| all.sequences.clear()),
            damaged(&|all| all.large_objects = None),
            damaged(&|all| all.extensions.clear()),
            damaged(&|all| all.objects.extend([("view".into(), 1)])),
            damaged(&|all| all.tables[0].hash = None),
        ];
        let told: Vec<String> = told.into_iter().map(|one| one.join("; ")).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        table public.a: its rows are not the same
        table public.a: 3 rows were backed up, 2 restored
        table public.a: its columns are not the same
        table public.b is missing
        table public.c is not in the backup
        sequence public."Next Id" stood at 10 and stands at 9
        sequence public."Next Id" is missing
        large objects: 1 of 9 bytes (abababababab) were backed up, none restored
        extension citext is missing
        2 of kind view were backed up, 1 restored
        table public.a: its rows are not the same
        "#);
    }

    #[test]
    fn a_sequence_that_counts_down_or_round_is_judged_its_own_way() {
        let says = |was: SequenceSum, is: SequenceSum| {
            let of = |one| Contents { sequences: vec![one], ..Contents::default() };
            of(was).differences(&of(is)).len()
        };
        assert_eq!(says(sequence(-10, -1, false), sequence(-12, -1, false)), 0);
        assert_eq!(says(sequence(-10, -1, false), sequence(-9, -1, false)), 1);
        assert_eq!(says(sequence(10, 1, true), sequence(1, 1, true)), 0);
    }

    #[test]
    fn what_was_not_hashed_is_not_compared_and_is_named() {
        let mut partly = contents();
        (partly.tables[0].rows, partly.tables[0].hash) = (None, None);
        assert!(partly.differences(&contents()).is_empty());
        assert_eq!(partly.unhashed(), ["public.a"]);
    }

    #[test]
    fn much_damage_is_counted() {
        let all = Contents {
            tables: (0..100).map(|n| table(&n.to_string(), 1, "1")).collect(),
            ..contents()
        };
        let told = all.differences(&Contents::default());
        assert_eq!(told.len(), MOST_TOLD + 1);
        assert!(told.last().unwrap().ends_with("more"));
    }
}
