//! The rules of a server's users, as settings to compare: passwords and their hashes left out.

/// How a rule is named among the settings: this and the user's name.
pub const RULE: &str = "acl user ";
/// What stands where a password's hash stood.
pub const HIDDEN: &str = "<password>";

/// (`acl user <name>`, rule) of each line of ACL LIST.
pub fn rules(lines: &[String]) -> Vec<(String, String)> {
    let parsed = lines.iter().filter_map(|line| {
        let (name, rule) = line.strip_prefix("user ")?.split_once(' ')?;
        Some((format!("{RULE}{name}"), masked(rule)))
    });
    parsed.collect()
}

/// A rule without its passwords: one mark stands for all of them.
pub fn masked(rule: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in rule.split_whitespace() {
        let word = if word.starts_with(['#', '>', '<', '!']) { HIDDEN } else { word };
        if word != HIDDEN || !words.contains(&HIDDEN) {
            words.push(word);
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_kept_and_hashes_are_not() {
        let lines = [
            "user default on nopass ~* &* +@all -@write".to_owned(),
            "user shop on #2bb80d #9f86d0 ~cart:* &* -@all +get".to_owned(),
            "nonsense".to_owned(),
        ];
        let expected = [
            ("acl user default", "on nopass ~* &* +@all -@write"),
            ("acl user shop", "on <password> ~cart:* &* -@all +get"),
        ];
        assert_eq!(rules(&lines), expected.map(|(name, rule)| (name.into(), rule.into())));
    }
}
