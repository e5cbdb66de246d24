//! Where simctl's own files are: the XDG directories, and the private state directory.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use etcetera::base_strategy::{BaseStrategy, Xdg};

/// `$XDG_CONFIG_HOME/simctl/simctl.toml`, when there is a home at all.
pub(super) fn user_config_file() -> Option<PathBuf> {
    Some(Xdg::new().ok()?.config_dir().join("simctl").join("simctl.toml"))
}

/// `$XDG_CONFIG_HOME/simctl/tui.toml`, when there is a home at all.
pub fn console_file() -> Option<PathBuf> {
    Some(Xdg::new().ok()?.config_dir().join("simctl").join("tui.toml"))
}

/// `$XDG_STATE_HOME/simctl`.
pub(super) fn default_state_dir() -> Option<PathBuf> {
    Some(Xdg::new().ok()?.state_dir()?.join("simctl"))
}

/// Makes the state directory, readable by nobody else; an existing one must not be writable by others.
pub fn ensure_private(dir: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| {
        format!("create the state directory {}, or name another with --state-dir", dir.display())
    })?;
    let mode = std::fs::metadata(dir)
        .with_context(|| format!("look at the state directory {}", dir.display()))?
        .mode();
    if mode & 0o022 != 0 {
        bail!(
            "others may write to the state directory {dir}; run `chmod 700 {dir}` or name another with \
             --state-dir",
            dir = dir.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_state_directory_is_private_and_an_open_one_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        ensure_private(&dir).unwrap();
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        ensure_private(&dir).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(ensure_private(&dir).unwrap_err().to_string().contains("chmod 700"));
    }
}
