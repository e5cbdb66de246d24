//! A private file with a copy of Redis keys (DUMP and expiry, any byte): what `undo` restores from.
//!
//! Layout: magic, run id, then per key: database, absolute expiry in ms (0: none), key, dump; at the end a marker,
//! the number of keys and a SHA-256 over everything before. It is written beside and renamed, so a file with that
//! name is complete. One action on one target with the same arguments has one file: the newest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, anyhow, bail, ensure};
use sha2::{Digest, Sha256};

use super::{ActionError, failed};
use crate::domain::proposal::hex;

const MAGIC: &[u8; 16] = b"simctl-undo-v1\r\n";
const END: u32 = u32::MAX;

static UNDO_DIR: OnceLock<PathBuf> = OnceLock::new();

/// Says where undo files go: a private directory under the state directory. The first call counts.
pub fn set_undo_dir(dir: PathBuf) {
    let _ = UNDO_DIR.set(dir);
}

/// The file for one action on one target with one set of arguments.
pub(super) fn path_for(action: &str, target: &str, about: &str) -> Result<PathBuf, ActionError> {
    let dir = UNDO_DIR.get().ok_or_else(|| {
        ActionError::Precondition("no directory for undo data is set, so nothing is removed".into())
    })?;
    let digest = hex(&Sha256::digest(format!("{action}\0{target}\0{about}")));
    Ok(dir.join(format!("{action}-{}.undo", &digest[..16])))
}

/// One key in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) database: u32,
    /// Unix time in milliseconds; 0 without a time to live.
    pub(super) expires_at_ms: u64,
    pub(super) key: Vec<u8>,
    pub(super) dump: Vec<u8>,
}

/// Writes a file; nothing is there under its name before [`Writer::finish`].
pub(super) struct Writer {
    file: BufWriter<File>,
    digest: Sha256,
    target: PathBuf,
    partial: PathBuf,
    pub(super) keys: u64,
    pub(super) bytes: u64,
}

impl Writer {
    pub(super) fn create(path: &Path, run_id: &str) -> anyhow::Result<Self> {
        let dir = path.parent().ok_or_else(|| anyhow!("{} has no directory", path.display()))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let partial = path.with_extension("partial");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .with_context(|| format!("create {}", partial.display()))?;
        let mut writer = Self {
            file: BufWriter::new(file),
            digest: Sha256::new(),
            target: path.to_owned(),
            partial,
            keys: 0,
            bytes: 0,
        };
        writer.put(MAGIC)?;
        writer.put_sized(run_id.as_bytes())?;
        Ok(writer)
    }

    pub(super) fn add(&mut self, entry: &Entry) -> anyhow::Result<()> {
        ensure!(entry.database != END, "no database has that number");
        self.put(&entry.database.to_le_bytes())?;
        self.put(&entry.expires_at_ms.to_le_bytes())?;
        self.put_sized(&entry.key)?;
        self.put_sized(&entry.dump)?;
        self.keys += 1;
        Ok(())
    }

    /// Makes it durable under its name.
    pub(super) fn finish(mut self) -> anyhow::Result<u64> {
        self.put(&END.to_le_bytes())?;
        let keys = self.keys;
        self.put(&keys.to_le_bytes())?;
        let digest = std::mem::take(&mut self.digest).finalize();
        self.file.write_all(&digest)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.partial, &self.target)?;
        if let Some(dir) = self.target.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(keys)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn put_sized(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.put(&u32::try_from(bytes.len()).context("a key over 4 GB")?.to_le_bytes())?;
        Ok(self.put(bytes)?)
    }
}

/// Reads a file, entry by entry.
pub(super) struct Reader {
    file: BufReader<File>,
    digest: Sha256,
    pub(super) run_id: String,
    keys: u64,
    done: bool,
}

impl Reader {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let mut reader = Self {
            file: BufReader::with_capacity(1 << 16, file),
            digest: Sha256::new(),
            run_id: String::new(),
            keys: 0,
            done: false,
        };
        ensure!(reader.get::<16>()? == *MAGIC, "{} is no undo file", path.display());
        reader.run_id = String::from_utf8(reader.get_sized()?)?;
        Ok(reader)
    }

    /// The next key; at the end the checksum is compared.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        if self.done {
            return Ok(None);
        }
        let database = u32::from_le_bytes(self.get()?);
        if database == END {
            self.check_end()?;
            self.done = true;
            return Ok(None);
        }
        let expires_at_ms = u64::from_le_bytes(self.get()?);
        let (key, dump) = (self.get_sized()?, self.get_sized()?);
        self.keys += 1;
        Ok(Some(Entry { database, expires_at_ms, key, dump }))
    }

    fn check_end(&mut self) -> anyhow::Result<()> {
        let keys = u64::from_le_bytes(self.get()?);
        ensure!(keys == self.keys, "the undo file names {keys} keys and holds {}", self.keys);
        let expected = std::mem::take(&mut self.digest).finalize();
        let mut found = [0u8; 32];
        self.file.read_exact(&mut found)?;
        if found[..] != expected[..] {
            bail!("the undo file's checksum does not match: it was changed or damaged");
        }
        Ok(())
    }

    fn get<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let mut bytes = [0u8; N];
        self.file.read_exact(&mut bytes).context("the undo file ends too early")?;
        self.digest.update(bytes);
        Ok(bytes)
    }

    fn get_sized(&mut self) -> anyhow::Result<Vec<u8>> {
        let size = u64::from(u32::from_le_bytes(self.get()?));
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(size).read_to_end(&mut bytes)?;
        ensure!(read as u64 == size, "the undo file ends too early");
        self.digest.update(&bytes);
        Ok(bytes)
    }
}

/// The same errors as an action's.
pub(super) fn trouble(doing: &str, path: &Path, error: anyhow::Error) -> ActionError {
    failed(format!("{doing} the undo file {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8]) -> Entry {
        Entry { database: 3, expires_at_ms: 12, key: key.to_vec(), dump: b"\0\xff".to_vec() }
    }

    fn written(dir: &Path) -> PathBuf {
        let path = dir.join("deep").join("x.undo");
        let mut writer = Writer::create(&path, "run").unwrap();
        writer.add(&entry(b"a\n\0")).unwrap();
        writer.add(&entry(b"")).unwrap();
        assert!(!path.exists(), "an unfinished copy must not look like one");
        assert_eq!(writer.finish().unwrap(), 2);
        path
    }

    fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
        let mut reader = Reader::open(path)?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn what_was_written_is_read_back_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        assert_eq!(Reader::open(&path).unwrap().run_id, "run");
        assert_eq!(read(&path).unwrap(), [entry(b"a\n\0"), entry(b"")]);
    }

    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_damaged_file_is_noticed_wherever_it_was_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            assert!(read(&path).is_err(), "byte {at} was changed");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
        }
    }
}
