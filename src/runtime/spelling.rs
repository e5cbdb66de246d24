//! Writes an argv as the line a person would type, unambiguously: a shell would read the same words.

/// The words separated by blanks, each quoted where it needs it.
pub(super) fn spell<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:,@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains(char::is_control) {
        format!("$'{}'", word.chars().map(escape).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A character inside `$'…'`, so that no line break or terminal sequence reaches a screen.
fn escape(c: char) -> String {
    match c {
        '\n' => r"\n".into(),
        '\t' => r"\t".into(),
        '\r' => r"\r".into(),
        '\'' => r"\'".into(),
        '\\' => r"\\".into(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::spell;

    #[test]
    fn words_stay_apart_and_readable() {
        let cases: [(&[&str], &str); 7] = [
            (&["redis-cli", "CONFIG", "GET", "maxmemory"], "redis-cli CONFIG GET maxmemory"),
            (&["psql", "-c", "SELECT 1"], "psql -c 'SELECT 1'"),
            (&["--save", ""], "--save ''"),
            (&["it's"], r"'it'\''s'"),
            (&["a\nb", "$HOME", "*"], r"$'a\nb' '$HOME' '*'"),
            (&["esc\u{1b}[2J", "\\\n"], r"$'esc\u001b[2J' $'\\\n'"),
            (&["ключ"], "'ключ'"),
        ];
        for (words, line) in cases {
            assert_eq!(spell(words.iter().copied()), line);
        }
    }
}
