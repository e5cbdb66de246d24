//! Names of backups: what a person may choose, and what is chosen when they do not. Never a path.

use chrono::{DateTime, Utc};

/// Longest name of a backup.
const MOST: usize = 64;
/// How much of the database's name goes into a name that nobody chose.
const OF_DATABASE: usize = 40;
/// Longest name of a database, in bytes, as the server keeps it.
pub(crate) const MOST_OF_DATABASE: usize = 63;

/// A name that can be a directory and nothing else: `[A-Za-z0-9_-]{1,64}`.
pub fn check(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MOST || !name.chars().all(is_plain) {
        return Err(format!(
            "`{}` is no name for a backup; use 1 to {MOST} letters, digits, `_` and `-`",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// `orders-20261130T021500Z`, with whatever cannot stand in a name left out.
pub(crate) fn of(database: &str, at: DateTime<Utc>) -> String {
    format!("{}-{}", plain(database, OF_DATABASE), stamp(at))
}

/// `X_restore_20261130T021500Z` within the server's limit; a long name of the database is cut at a character.
pub(crate) fn beside(database: &str, word: &str, at: DateTime<Utc>) -> String {
    let tail = format!("_{word}_{}", stamp(at));
    let mut end = MOST_OF_DATABASE.saturating_sub(tail.len()).min(database.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &database[..end])
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

fn plain(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(|c| is_plain(*c)).take(most).collect();
    if kept.is_empty() { "database".to_owned() } else { kept }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_796_004_900, 0).unwrap()
    }

    #[test]
    fn a_name_is_never_a_path() {
        for good in ["a", "before-42", "A_b-9", &"x".repeat(64)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "..", "a/b", "/etc", "a b", "ä", "a\n", "a.partial", &"x".repeat(65)] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("a\u{1b}[2J").unwrap_err().contains("\\u{1b}"), "it controls no terminal");
    }

    #[test]
    fn a_name_that_nobody_chose_tells_database_and_time() {
        assert_eq!(of("orders", at()), "orders-20261130T021500Z");
        assert_eq!(of("--\"Größe\"/..\n", at()), "--Gre-20261130T021500Z");
        assert_eq!(of("数据", at()), "database-20261130T021500Z");
    }

    proptest! {
        #[test]
        fn whatever_the_database_is_called_the_names_are_good(database in "\\PC{1,63}") {
            prop_assert_eq!(check(&of(&database, at())), Ok(()));
            let beside = beside(&database, "restore", at());
            prop_assert!(beside.len() <= MOST_OF_DATABASE);
            prop_assert!(beside.ends_with("_restore_20261130T021500Z"));
        }
    }
}
