//! Makes the lab's images available by running `compose/images`, which is part of this program:
//! one way to make them, with and without compose.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use bollard::Docker;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::Progress;
use super::spec::{POSTGRES_IMAGE, REDIS_IMAGE};
use crate::runtime::process::binaries;

/// The script and what it builds from, by their paths under `compose/`.
const FILES: [(&str, &str); 5] = [
    ("images", include_str!("../../compose/images")),
    ("redis/Dockerfile", include_str!("../../compose/redis/Dockerfile")),
    ("redis/keeper", include_str!("../../compose/redis/keeper")),
    ("postgres/Dockerfile", include_str!("../../compose/postgres/Dockerfile")),
    ("postgres/start", START_SCRIPT),
];
/// Initialises and starts PostgreSQL, in a container and as a local process alike.
pub(super) const START_SCRIPT: &str = include_str!("../../compose/postgres/start");
/// Pulling or building both.
const PATIENCE: Duration = Duration::from_secs(1500);

/// Makes both images available, telling each step.
pub(super) async fn make(
    docker: &Docker,
    state_dir: &Path,
    progress: Progress<'_>,
) -> anyhow::Result<()> {
    if binaries::find("docker").is_none() {
        return without_command(docker).await;
    }
    let dir = state_dir.join(format!("images-{}", std::process::id()));
    unpack(&dir)?;
    let ran = timeout(PATIENCE, run(&dir.join("images"), progress)).await;
    // Only a copy; a leftover one does no harm.
    let _ = fs::remove_dir_all(&dir);
    ran.unwrap_or_else(|_| bail!("making the lab's images took longer than {PATIENCE:?}"))
}

/// What an image was made from, by its label.
pub(super) async fn base(docker: &Docker, image: &str) -> Option<String> {
    let seen = docker.inspect_image(image).await.ok()?;
    let labels = seen.config?.labels.unwrap_or_default();
    Some(labels.get("simctl.base").cloned().unwrap_or_else(|| "an unknown base".into()))
}

async fn without_command(docker: &Docker) -> anyhow::Result<()> {
    for image in [REDIS_IMAGE, POSTGRES_IMAGE] {
        if docker.inspect_image(image).await.is_err() {
            bail!(
                "the image {image} is missing and making it needs the docker command: \
                 install that, or use the process runtime"
            );
        }
    }
    Ok(())
}

fn unpack(dir: &Path) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for (path, text) in FILES {
            let path = dir.join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, text)?;
        }
        Ok(())
    };
    write().with_context(|| format!("write the recipe of the images to {}", dir.display()))
}

async fn run(script: &Path, progress: Progress<'_>) -> anyhow::Result<()> {
    let mut child = Command::new("sh")
        .arg(script)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("run the script that makes the lab's images")?;
    let mut last = String::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await? {
            last.clone_from(&line);
            progress(line);
        }
    }
    if !child.wait().await?.success() {
        bail!("{last}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_the_program_carries_is_all_of_the_recipe() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose");
        let mut found = BTreeSet::from(["images".to_owned()]);
        for dir in ["redis", "postgres"] {
            for entry in fs::read_dir(root.join(dir)).unwrap() {
                found.insert(format!("{dir}/{}", entry.unwrap().file_name().display()));
            }
        }
        let carried: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(carried, found);
    }
}
