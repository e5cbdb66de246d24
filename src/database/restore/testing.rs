//! A note of a restore, for tests.

use chrono::DateTime;

use super::note::{Note, Step};

pub(super) fn note(step: Step) -> Note {
    Note {
        backup: "b".into(),
        target: "t".into(),
        system: "7".into(),
        database: "x".into(),
        live: Some(1),
        copy: Some(2),
        copy_name: "x_restore".into(),
        kept_name: "x_before".into(),
        step,
        began_at: DateTime::UNIX_EPOCH,
    }
}
