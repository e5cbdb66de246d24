//! The file system a server keeps its data on, asked from inside what the server runs in, and the lab's own spare
//! files there: ballast of a fault and the reserve that its keeper laid by.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Place, dial};
use crate::diagnose::facts::{Disk, SpareFile};
use crate::domain::execution::Output;
use crate::domain::sample::Answer;
use crate::domain::words::bytes;
use crate::ports::runtime::ExecLimits;

/// What a fault fills a volume with.
pub const BALLAST: &str = ".simctl-ballast";
/// What the keeper of the lab's volumes lays by, so that a full one can be repaired.
pub const RESERVE: &str = ".simctl-reserve";

const DEADLINE: Duration = Duration::from_secs(5);
const KB: u64 = 1_024;

/// How full it is, and what of it is the lab's own.
pub async fn look(place: &Place, dir: &str) -> Result<Disk, Answer> {
    let sizes = sizes(place, std::slice::from_ref(&dir.to_owned())).await?;
    let (total, available) = sizes.get(dir).copied().unwrap_or_default();
    Ok(Disk { dir: dir.to_owned(), total, available, spare: spare_files(place, dir).await? })
}

/// Size and free bytes of the file systems below these directories, by directory.
pub async fn sizes(place: &Place, dirs: &[String]) -> Result<BTreeMap<String, (u64, u64)>, Answer> {
    if dirs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let argv: Vec<&str> =
        ["df", "-P", "-k"].into_iter().chain(dirs.iter().map(String::as_str)).collect();
    let told = run(place, &argv).await?;
    by_directory(dirs, &told.stdout).ok_or_else(|| dial::failed("DF", told.stderr.trim()))
}

/// The spare files that are there now.
pub async fn spare_files(place: &Place, dir: &str) -> Result<Vec<SpareFile>, Answer> {
    let [ballast, reserve] = [BALLAST, RESERVE].map(|name| path(dir, name));
    // It fails for the one that is not there and still tells the other.
    Ok(listed(&run(place, &["stat", "-c", "%s %n", &ballast, &reserve]).await?.stdout))
}

/// A file of the directory.
pub fn path(dir: &str, name: &str) -> String {
    format!("{}/{name}", dir.trim_end_matches('/'))
}

async fn run(place: &Place, argv: &[&str]) -> Result<Output, Answer> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let limits = ExecLimits { deadline: DEADLINE, ..ExecLimits::default() };
    let ran = place.runtime.exec(&place.unit, &argv, None, limits).await;
    ran.map_err(|error| dial::failed("RUNTIME", error.to_string()))
}

/// One line for each that was asked for, in that order, below the headings; a missing one leaves its line out.
fn by_directory(dirs: &[String], told: &str) -> Option<BTreeMap<String, (u64, u64)>> {
    let lines: Vec<(u64, u64)> = told.lines().skip(1).map(size).collect::<Option<_>>()?;
    (lines.len() == dirs.len()).then(|| dirs.iter().cloned().zip(lines).collect())
}

/// (total, available) in bytes, from a line of `df -P -k`.
fn size(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace().skip(1);
    let total: u64 = fields.next()?.parse().ok()?;
    let available: u64 = fields.nth(1)?.parse().ok()?;
    Some((total * KB, available * KB))
}

fn listed(told: &str) -> Vec<SpareFile> {
    let file = |line: &str| {
        let (size, path) = line.split_once(' ')?;
        Some(SpareFile { path: path.to_owned(), bytes: size.parse().ok()? })
    };
    told.lines().filter_map(file).collect()
}

/// For a person.
pub(super) fn words(disk: &Disk) -> String {
    let mut text =
        format!("{} of {} free below {}", bytes(disk.available), bytes(disk.total), disk.dir);
    for file in &disk.spare {
        text = format!("{text}; {} takes {}", file.path, bytes(file.bytes));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_and_stat_are_read_by_their_columns() {
        let df = "Filesystem     1024-blocks  Used Available Capacity Mounted on\n\
                  tmpfs                 6144  6100        44     100% /data\n\
                  tmpfs                32768    8     32760     1% /tablespace\n";
        let dirs = ["/data", "/tablespace"].map(str::to_owned);
        let sizes = by_directory(&dirs, df).unwrap();
        assert_eq!(sizes["/data"], (6_144 * KB, 44 * KB));
        assert_eq!(sizes["/tablespace"], (32_768 * KB, 32_760 * KB));
        let three = [dirs[0].clone(), "/nowhere".to_owned(), dirs[1].clone()];
        assert_eq!(by_directory(&three, df), None, "whose line is whose is not known");
        assert_eq!(by_directory(&dirs, "df: /nowhere: No such file or directory\n"), None);
        let files = listed("5500928 /data/.simctl-ballast\n524288 /data/.simctl-reserve\n");
        assert_eq!(files.len(), 2);
        assert_eq!((files[0].bytes, files[1].path.as_str()), (5_500_928, "/data/.simctl-reserve"));
    }
}
