//! Hashes of files, read back from the disk after they were synced to it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::manifest::FileSum;
use crate::domain::proposal::hex;

const CHUNK: usize = 1 << 20;

/// One file; `path` is its bare name.
pub(crate) fn file(path: &Path) -> io::Result<FileSum> {
    let mut file = File::open(path)?;
    let (mut sum, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => {
                sum.update(&chunk[..read]);
                bytes += u64::try_from(read).unwrap_or_default();
            }
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(FileSum { path: name, bytes, sha256: hex(&sum.finalize()) })
}

/// Every file below a folder, by path, each synced first.
pub(crate) fn folder(dir: &Path) -> io::Result<Vec<FileSum>> {
    let mut sums = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            let below = |sum: FileSum| FileSum { path: format!("{name}/{}", sum.path), ..sum };
            sums.extend(folder(&entry.path())?.into_iter().map(below));
            File::open(entry.path())?.sync_all()?;
        } else {
            File::open(entry.path())?.sync_all()?;
            sums.push(file(&entry.path())?);
        }
    }
    sums.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sums)
}

/// What is not as it was written, a sentence each.
pub(crate) fn problems(dir: &Path, files: &[FileSum]) -> Vec<String> {
    files.iter().filter_map(|wanted| problem(dir, wanted)).collect()
}

fn problem(dir: &Path, wanted: &FileSum) -> Option<String> {
    let found = match file(&dir.join(&wanted.path)) {
        Ok(found) => found,
        Err(error) => return Some(format!("{}: {error}", wanted.path)),
    };
    if found.bytes < wanted.bytes {
        let (is, was) = (found.bytes, wanted.bytes);
        return Some(format!("{}: it was cut short, {is} of {was} bytes are left", wanted.path));
    }
    (found.sha256 != wanted.sha256).then(|| {
        format!("{}: its hash is not the one that was written down: it was changed", wanted.path)
    })
}
