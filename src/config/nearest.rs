//! The known names that a mistyped one was probably meant to be.

/// The known names closest to `given`, best first, at most three; none when nothing is close.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let given = given.to_lowercase();
    let limit = (given.chars().count() / 3).max(2);
    let mut close: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let part = given.chars().count() >= 3
                && (lower.contains(&given) || given.contains(lower.as_str()));
            let distance = distance(&given, &lower);
            (distance <= limit || part).then_some((distance, name))
        })
        .collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edits (insert, remove, replace) from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_textbook_ones() {
        for (a, b, d) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(distance(a, b), d, "{a} {b}");
            assert_eq!(distance(b, a), d, "{b} {a}");
        }
    }

    #[test]
    fn only_close_names_are_offered() {
        let known = ["leak-oom", "idle-leak", "maxmemory-lowered", "container-paused"];
        assert_eq!(nearest("leak-om", known), ["leak-oom"]);
        assert_eq!(nearest("IDLE-LAEK", known), ["idle-leak"]);
        assert_eq!(nearest("leak", known), ["leak-oom", "idle-leak"]);
        assert!(nearest("zzz", known).is_empty());
        assert!(nearest("", known).is_empty());
    }
}
