//! Which containers were made here for a lab, by their ids: a name or a label can be put on anything.
//! One empty file per container, below the state directory.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The containers that were made here for one lab.
#[derive(Clone, Debug)]
pub struct Made {
    directory: PathBuf,
}

impl Made {
    pub fn of(lab: &str, state_dir: &Path) -> Self {
        Self { directory: state_dir.join("made").join(lab) }
    }

    /// Notes a container; before it is started, so that none of ours is ever without a note.
    pub fn note(&self, id: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        fs::write(self.directory.join(id), "")
    }

    /// Whether this container was made here.
    pub fn has(&self, id: &str) -> bool {
        !id.is_empty() && self.directory.join(id).is_file()
    }

    /// Forgets a container that is gone.
    pub fn forget(&self, id: &str) {
        if let Err(error) = fs::remove_file(self.directory.join(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(id, %error, "a removed container is still on record");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_noted_for_that_lab_was_made_here() {
        let state = tempfile::tempdir().unwrap();
        let (mine, other) = (Made::of("mine", state.path()), Made::of("other", state.path()));
        assert!(!mine.has("4be1"));
        mine.note("4be1").unwrap();
        assert!(mine.has("4be1") && !mine.has("4be") && !mine.has("") && !other.has("4be1"));
        mine.forget("4be1");
        mine.forget("4be1");
        assert!(!mine.has("4be1"));
    }
}
