//! The arguments of an inspection: declared in its descriptor, checked here, always data.

use std::collections::BTreeMap;

/// An argument of an inspection.
#[derive(Debug)]
pub struct Arg {
    /// As written on the command line, like `min-mb`.
    pub name: &'static str,
    pub about: &'static str,
    pub kind: ArgKind,
}

/// What may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// A whole number within bounds.
    Whole { default: u64, least: u64, most: u64 },
    /// Any text; a name.
    Text,
    /// The one thing it is about; given without its name.
    Subject,
}

/// The arguments of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    wholes: BTreeMap<&'static str, u64>,
    texts: BTreeMap<&'static str, String>,
}

impl Given {
    /// Reads what was written; what was not is as the descriptor says.
    pub fn read<'a>(
        args: &'static [Arg],
        written: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, String> {
        let mut given = Self::default();
        for arg in args {
            let text = written(arg.name);
            match arg.kind {
                ArgKind::Whole { default, least, most } => {
                    let value =
                        text.map_or(Ok(default), |text| whole(arg.name, text, least, most))?;
                    given.wholes.insert(arg.name, value);
                }
                ArgKind::Text | ArgKind::Subject => {
                    if let Some(text) = text {
                        given.texts.insert(arg.name, name(arg.name, text)?);
                    }
                }
            }
        }
        Ok(given)
    }

    /// The defaults.
    pub fn nothing(args: &'static [Arg]) -> Self {
        Self::read(args, |_| None).unwrap_or_default()
    }

    /// A number of the descriptor; 0 when it declares none of that name.
    pub fn whole(&self, name: &str) -> u64 {
        self.wholes.get(name).copied().unwrap_or_default()
    }

    /// As a parameter of a statement that takes an `int`.
    pub fn int4(&self, name: &str) -> i32 {
        i32::try_from(self.whole(name)).unwrap_or(i32::MAX)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }
}

fn whole(name: &str, text: &str, least: u64, most: u64) -> Result<u64, String> {
    let value = text.parse::<u64>().ok().filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("--{name} is a whole number from {least} to {most}, not `{text}`"))
}

/// PostgreSQL ends a text at its first zero byte, and refuses it in a parameter.
fn name(what: &str, text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 1_000 || text.contains('\0') {
        return Err(format!("{what} is a text of 1 to 1,000 bytes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    static ARGS: &[Arg] = &[
        Arg {
            name: "limit",
            about: "how many",
            kind: ArgKind::Whole { default: 10, least: 1, most: 500 },
        },
        Arg { name: "table", about: "only this one", kind: ArgKind::Text },
    ];

    fn read(limit: Option<&str>, table: Option<&str>) -> Result<Given, String> {
        Given::read(ARGS, |name| if name == "limit" { limit } else { table })
    }

    #[test]
    fn what_is_not_written_is_the_default_and_bounds_are_kept() {
        assert_eq!(read(None, None).unwrap().whole("limit"), 10);
        assert_eq!(read(Some("500"), None).unwrap().int4("limit"), 500);
        for bad in ["0", "501", "-1", "1; drop table x", ""] {
            assert!(read(Some(bad), None).unwrap_err().contains("1 to 500"), "{bad}");
        }
    }

    #[test]
    fn a_text_is_kept_as_it_is() {
        let nasty = "x'; drop table users; --";
        assert_eq!(read(None, Some(nasty)).unwrap().text("table"), Some(nasty));
        assert!(read(None, Some("a\0b")).is_err());
        assert_eq!(read(None, None).unwrap().text("table"), None);
    }
}
