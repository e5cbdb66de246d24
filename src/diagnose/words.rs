//! Numbers and names as sentences write them. Names come from outside, so they are escaped and cut.

pub(crate) use crate::domain::words::{bytes, count, counted};

/// `part` of `whole` in whole percent, rounded down; nothing of nothing is 0.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// `0.8 s`, `40 s`, `12 min`.
pub(crate) fn seconds(s: f64) -> String {
    if s < 10.0 {
        format!("{s:.1} s")
    } else if s < 120.0 {
        format!("{s:.0} s")
    } else {
        format!("{:.0} min", s / 60.0)
    }
}

/// A name from outside, safe to print: no control characters, at most 48 characters, quoted when empty.
pub(crate) fn name(given: &str) -> String {
    if given.is_empty() { "\"\"".into() } else { printable(given, 48) }
}

/// A line from outside, safe to print: no control characters, at most 200 characters.
pub(crate) fn line(given: &str) -> String {
    printable(given, 200)
}

fn printable(given: &str, most: usize) -> String {
    let is_plain = |c: char| !c.is_control() && !('\u{200b}'..='\u{206f}').contains(&c);
    let mut text = String::new();
    for c in given.chars().take(most) {
        if is_plain(c) {
            text.push(c);
        } else {
            text.extend(c.escape_unicode());
        }
    }
    if given.chars().nth(most).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_times_read_as_people_write_them() {
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(u64::MAX, 1), u64::MAX);
        assert_eq!(seconds(0.84), "0.8 s");
        assert_eq!(seconds(40.2), "40 s");
        assert_eq!(seconds(720.0), "12 min");
    }

    #[test]
    fn a_hostile_name_cannot_draw_on_the_terminal() {
        assert_eq!(name("leak:"), "leak:");
        assert_eq!(name(""), "\"\"");
        assert_eq!(name("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(name("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(name(&"k".repeat(500)).chars().count(), 49);
    }
}
