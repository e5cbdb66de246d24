//! Which names a few letters mean: all letters in order, best first.

/// How well `name` fits what was typed; `None` when letters are missing. Higher is better.
fn score(typed: &str, name: &str) -> Option<i32> {
    if typed == name {
        return Some(1_000);
    }
    let mut score = if name.starts_with(typed) { 500 } else { 0 };
    let mut from = 0;
    for wanted in typed.chars() {
        let starts_word = |at: usize| at == 0 || name[..at].ends_with('-');
        let is_next = name[from..].starts_with(wanted);
        let all = || name[from..].match_indices(wanted).map(|(at, _)| from + at);
        let at = if is_next { Some(from) } else { all().find(|at| starts_word(*at)) };
        let at = at.or_else(|| all().next())?;
        score += if is_next { 20 } else { 0 } + if starts_word(at) { 30 } else { 0 };
        from = at + wanted.len_utf8();
    }
    let spare = i32::try_from(name.len().saturating_sub(typed.len())).unwrap_or(i32::MAX);
    Some(score - spare)
}

/// The names that fit, best first; equal ones stay in their order.
pub(super) fn best<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let typed = typed.to_lowercase();
    let mut found: Vec<_> =
        names.filter_map(|name| score(&typed, name).map(|score| (score, name))).collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_itself_then_its_start_then_its_words() {
        let names = ["screen", "sort", "sort-reverse", "save", "next-match", "next-waiting"];
        let best = |typed| best(typed, names.into_iter());
        assert_eq!(best("sort"), ["sort", "sort-reverse"]);
        assert_eq!(best("sr"), ["sort-reverse", "sort", "screen"]);
        assert_eq!(best("NW"), ["next-waiting"]);
        assert_eq!(best("nm"), ["next-match"]);
        assert!(best("zz").is_empty());
        assert_eq!(best("").len(), names.len());
    }
}
