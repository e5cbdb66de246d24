//! What is left to do for a restore that was broken off, from its note and what the databases are called now.

use super::note::{Note, Step};

/// What the databases of a note are called now; none: it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The one that was to be replaced.
    pub(crate) live: Option<String>,
    /// The one that was restored.
    pub(crate) copy: Option<String>,
    /// Something of the name that both want, whatever it is.
    pub(crate) is_taken: bool,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// The copy is half there: it goes, if it is there at all.
    DropCopy,
    /// Nothing was renamed: the database that has the name is opened to clients again.
    Reopen,
    /// One of two renames was done: the other follows.
    Rename { from: String },
    /// Both were done.
    Opened,
    /// Nothing is left to do.
    Nothing,
    /// Somebody else renamed or dropped one of them.
    CannotTell,
}

/// Decides. Either the old database or the new one ends with the name, whole.
pub(crate) fn settle(note: &Note, names: &Names) -> Settle {
    let (before, after) = match note.step {
        Step::Copying => return Settle::DropCopy,
        Step::Swapped => return Settle::Nothing,
        // Who leaves the name, who takes it.
        Step::Swapping => (
            Party::of(note.live.is_some(), names.live.as_ref(), &note.database, &note.kept_name),
            Party::of(true, names.copy.as_ref(), &note.copy_name, &note.database),
        ),
        Step::SwappingBack => (
            Party::of(true, names.copy.as_ref(), &note.database, &note.copy_name),
            Party::of(true, names.live.as_ref(), &note.kept_name, &note.database),
        ),
    };
    let Party { was: left_from, is: left } = before;
    let Party { was: took_from, is: took } = after;
    match (left, took) {
        (Place::Before, Place::Before) => Settle::Reopen,
        (Place::After | Place::NeverWas, Place::After) => Settle::Opened,
        (Place::After, Place::Before) if !names.is_taken => {
            Settle::Rename { from: took_from.to_owned() }
        }
        // There was none to replace, and the copy still has its own name.
        (Place::NeverWas, Place::Before) => Settle::Nothing,
        _ => {
            tracing::warn!(
                left_from,
                took_from,
                ?names,
                "the databases of a restore are not as they were left"
            );
            Settle::CannotTell
        }
    }
}

/// One of the two databases.
struct Party<'a> {
    was: &'a str,
    is: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    After,
    Elsewhere,
    NeverWas,
}

impl<'a> Party<'a> {
    fn of(ever_was: bool, name: Option<&String>, before: &'a str, after: &str) -> Self {
        let is = match name.map(String::as_str) {
            _ if !ever_was => Place::NeverWas,
            Some(name) if name == before => Place::Before,
            Some(name) if name == after => Place::After,
            _ => Place::Elsewhere,
        };
        Self { was: before, is }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::restore::testing::note;

    fn names(live: &str, copy: &str) -> Names {
        let some = |name: &str| (name != "-").then(|| name.to_owned());
        let is_taken = live == "x" || copy == "x";
        Names { live: some(live), copy: some(copy), is_taken }
    }

    fn rename(from: &str) -> Settle {
        Settle::Rename { from: from.into() }
    }

    #[test]
    fn wherever_it_broke_off_one_of_both_gets_the_name() {
        let (copying, swapping) = (Step::Copying, Step::Swapping);
        for (step, live, copy, wanted) in [
            (copying, "x", "x_restore", Settle::DropCopy),
            (copying, "x", "-", Settle::DropCopy),
            (swapping, "x", "x_restore", Settle::Reopen),
            (swapping, "x_before", "x_restore", rename("x_restore")),
            (swapping, "x_before", "x", Settle::Opened),
            (Step::Swapped, "x_before", "x", Settle::Nothing),
            (Step::SwappingBack, "x_before", "x", Settle::Reopen),
            (Step::SwappingBack, "x_before", "x_restore", rename("x_before")),
            (Step::SwappingBack, "x", "x_restore", Settle::Opened),
        ] {
            assert_eq!(settle(&note(step), &names(live, copy)), wanted, "{step:?} {live} {copy}");
        }
    }

    #[test]
    fn what_somebody_else_did_is_left_alone() {
        for (live, copy) in [("other", "x_restore"), ("x", "-"), ("-", "-"), ("x", "other")] {
            let settled = settle(&note(Step::Swapping), &names(live, copy));
            assert_eq!(settled, Settle::CannotTell, "{live} {copy}");
        }
        let taken = Names { is_taken: true, ..names("x_before", "x_restore") };
        assert_eq!(settle(&note(Step::Swapping), &taken), Settle::CannotTell);
    }

    #[test]
    fn where_there_was_none_the_copy_takes_the_name_or_keeps_its_own() {
        let alone = Note { live: None, ..note(Step::Swapping) };
        assert_eq!(settle(&alone, &names("-", "x_restore")), Settle::Nothing);
        assert_eq!(settle(&alone, &names("-", "x")), Settle::Opened);
    }
}
