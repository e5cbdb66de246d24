//! Which text of a question fits which server: the newest variant that is not newer than it.

use super::unknown::Unknown;

/// A question with a text for each version since which it is another one.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) name: &'static str,
    /// Ascending by the major version they are for.
    pub(super) texts: &'static [(u32, &'static str)],
}

impl Question {
    /// The text for a server of this major version.
    pub(super) fn text(&self, major: u32) -> Result<&'static str, Unknown> {
        let fitting = self.texts.iter().rev().find(|(since, _)| *since <= major);
        fitting.map(|(_, text)| *text).ok_or_else(|| Unknown::NotInThisVersion {
            since: self
                .texts
                .first()
                .map_or_else(String::new, |(since, _)| format!("PostgreSQL {since}")),
            is: format!("PostgreSQL {major}"),
        })
    }
}

/// 150018 is 15; 90624 is 9.
pub(super) fn major(version_num: i64) -> u32 {
    u32::try_from(version_num / 10_000).unwrap_or_default()
}

/// A statement whose rows come as JSON texts, so that one Rust type serves every version. `schema` is where the
/// extension lives that the statement calls.
pub(crate) fn as_json(text: &str, schema: Option<&str>) -> String {
    let text = text.trim_end().trim_end_matches(';');
    let text = match schema {
        Some(schema) => text.replace("public.", &format!("{}.", quoted(schema))),
        None => text.to_owned(),
    };
    format!("select row_to_json(q)::text from (\n{text}\n) q")
}

/// An identifier as SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::questions::ALL;
    use super::*;

    /// `server_version_num` as servers gave it.
    const RECORDED: [i64; 7] = [120_022, 130_023, 140_023, 150_018, 160_014, 170_010, 180_004];

    #[test]
    fn every_recorded_version_has_one_text_or_is_told_since_when() {
        for question in ALL {
            for recorded in RECORDED {
                match question.text(major(recorded)) {
                    Ok(text) => assert!(text.starts_with("-- answers: "), "{}", question.name),
                    Err(unknown) => assert_eq!(
                        (question.name, unknown.word()),
                        ("08_statements_info", "not_in_this_version")
                    ),
                }
            }
            assert!(question.texts.is_sorted_by_key(|(since, _)| *since), "{}", question.name);
        }
    }

    #[test]
    fn the_text_says_itself_that_it_ran_on_the_version_it_is_chosen_for() {
        for question in ALL {
            for recorded in RECORDED {
                let Ok(text) = question.text(major(recorded)) else { continue };
                let ran =
                    text.lines().find(|line| line.starts_with("-- tested: ")).expect("a line");
                let at = format!(" {}.", major(recorded));
                assert!(ran.contains(&at), "{} on {recorded}: {ran}", question.name);
            }
        }
    }

    #[test]
    fn the_choice_changes_exactly_where_the_server_did() {
        let statements = ALL.iter().find(|question| question.name == "08_statements").unwrap();
        let chosen = RECORDED.map(|recorded| statements.text(major(recorded)).unwrap());
        let same = |a: usize, b: usize| chosen[a] == chosen[b];
        assert!(
            !same(0, 1) && !same(1, 2) && same(2, 3) && same(3, 4) && !same(4, 5) && same(5, 6)
        );
        assert_eq!(statements.text(11).unwrap_err().word(), "not_in_this_version");
    }

    #[test]
    fn the_schema_of_an_extension_is_one_quoted_identifier() {
        let text = as_json("select public.f(1);\n", Some("we\"ird; drop"));
        assert!(text.contains("select \"we\"\"ird; drop\".f(1)\n) q"), "{text}");
        assert!(as_json("select 1 -- a comment", None).contains("comment\n) q"));
    }
}
