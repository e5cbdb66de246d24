//! How full the volumes of tablespaces are: `df` inside what the server runs in, seldom, and what lies on them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::types::Json;

use super::PostgresLink;
use super::connect::{PgConnection, Session, answer_of};
use crate::diagnose::facts::{PgVolume, SizedTable};
use crate::diagnose::source;
use crate::domain::readings::Name;
use crate::domain::sample::{Answer, reading};
use crate::ports::runtime::ExecLimits;
use crate::targets::notebook::Notebook;
use crate::targets::{Limit, Place, dial};

/// A volume fills in seconds at the fastest, and looking starts a process.
const CALM_PERIOD: Duration = Duration::from_secs(10);
/// The second look that makes it certain should not be waited for so long.
const FULL_PERIOD: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(1);
/// Worth a second look.
const NEARLY_FULL_PERCENT: f64 = 90.0;
const KB: u64 = 1_024;

/// The tablespaces that somebody made, by their place in the file system.
const LOCATIONS: &str = "SELECT pg_tablespace_location(oid) FROM pg_tablespace \
                         WHERE spcname NOT IN ('pg_default', 'pg_global')";

/// Each such tablespace with the largest tables of this database in it.
const CONTENTS: &str = "
SELECT coalesce(json_agg(json_build_object(
    'tablespace', s.spcname, 'dir', pg_tablespace_location(s.oid), 'total', 0, 'available', 0,
    'tables', (SELECT coalesce(json_agg(json_build_object('schema', t.nspname, 'name', t.relname,
        'bytes', t.bytes) ORDER BY t.bytes DESC), '[]'::json)
      FROM (SELECT n.nspname, c.relname, pg_table_size(c.oid) AS bytes
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.reltablespace = s.oid AND c.relkind IN ('r', 'm')
        ORDER BY bytes DESC LIMIT 5) AS t))), '[]'::json)
  FROM pg_tablespace s WHERE s.spcname NOT IN ('pg_default', 'pg_global')";

/// The last look at the volumes of one server, for its probe.
#[derive(Default)]
pub(super) struct Volumes {
    place: Option<Place>,
    last: Mutex<Option<Look>>,
}

struct Look {
    next: Instant,
    readings: Vec<(Name, f64)>,
}

impl Volumes {
    pub(super) fn at(place: Option<Place>) -> Self {
        Self { place, last: Mutex::default() }
    }

    /// The last look as readings; a new one when it is time. Nothing where there are no such volumes.
    pub(super) async fn readings(&self, session: &PgConnection) -> Vec<(Name, f64)> {
        let Some(place) = &self.place else { return Vec::new() };
        let mut last = self.last.lock().await;
        if let Some(look) = last.as_ref().filter(|look| Instant::now() < look.next) {
            return look.readings.clone();
        }
        let looks = last.as_ref().and_then(|look| look.readings.first()).map_or(0.0, |(_, n)| *n);
        let readings = match measure(place, session).await {
            Ok(sizes) if sizes.is_empty() => Vec::new(),
            Ok(sizes) => as_readings(looks + 1.0, &sizes),
            Err(answer) => {
                tracing::debug!(answer = %answer.describe(), "volumes were not measured");
                Vec::new()
            }
        };
        let full = readings.iter().skip(1).any(|(_, percent)| *percent >= NEARLY_FULL_PERCENT);
        let next = Instant::now() + if full { FULL_PERIOD } else { CALM_PERIOD };
        *last = Some(Look { next, readings: readings.clone() });
        readings
    }
}

/// How often was looked comes first: samples share a look.
fn as_readings(looks: f64, sizes: &BTreeMap<String, (u64, u64)>) -> Vec<(Name, f64)> {
    let percent =
        |(total, available): (u64, u64)| 100.0 - 100.0 * available as f64 / (total as f64).max(1.0);
    let used = sizes.iter().map(|(dir, size)| {
        (format!("{}{dir}", reading::VOLUME_USED_PERCENT).into(), percent(*size))
    });
    std::iter::once((reading::VOLUME_LOOKS.into(), looks)).chain(used).collect()
}

async fn measure(
    place: &Place,
    session: &PgConnection,
) -> Result<BTreeMap<String, (u64, u64)>, Answer> {
    let asked = async {
        let rows = session.query(LOCATIONS, &[]).await.map_err(|error| answer_of(&error))?;
        let dirs: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        df(place, &dirs).await
    };
    Limit::of(DEADLINE).run(asked).await
}

/// Size and free bytes of the file systems below these directories.
async fn df(place: &Place, dirs: &[String]) -> Result<BTreeMap<String, (u64, u64)>, Answer> {
    if dirs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let argv: Vec<String> =
        ["df", "-P", "-k"].into_iter().map(str::to_owned).chain(dirs.iter().cloned()).collect();
    let limits = ExecLimits { deadline: DEADLINE, ..ExecLimits::default() };
    let ran = place.runtime.exec(&place.unit, &argv, None, limits).await;
    let told = ran.map_err(|error| dial::failed("RUNTIME", error.to_string()))?;
    // One line for each that was asked for, in that order, below the headings.
    Ok(dirs.iter().cloned().zip(told.stdout.lines().skip(1).filter_map(sizes)).collect())
}

/// (total, available) in bytes.
fn sizes(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace().skip(1);
    let total: u64 = fields.next()?.parse().ok()?;
    let available: u64 = fields.nth(1)?.parse().ok()?;
    Some((total * KB, available * KB))
}

impl PostgresLink {
    /// The volumes of tablespaces with what fills them.
    pub(in crate::targets) async fn volumes(
        &self,
        place: &Place,
        notebook: &mut Notebook<'_>,
    ) -> Option<Vec<PgVolume>> {
        let asked = async {
            let session = self.connect(&self.monitor, "facts", Session::Monitor).await;
            let session = session.map_err(|error| crate::targets::felt(&error))?;
            let row = session.query_one(CONTENTS, &[]).await.map_err(|e| answer_of(&e))?;
            session.close().await;
            let Json(mut volumes): Json<Vec<PgVolume>> =
                row.try_get(0).map_err(|error| answer_of(&error))?;
            let dirs: Vec<String> = volumes.iter().map(|volume| volume.dir.clone()).collect();
            let sizes = df(place, &dirs).await?;
            for volume in &mut volumes {
                (volume.total, volume.available) =
                    sizes.get(&volume.dir).copied().unwrap_or_default();
            }
            Ok(volumes)
        };
        notebook.ask(source::PG_VOLUMES, self.deadline, asked, |found| words(found)).await
    }
}

fn words(volumes: &[PgVolume]) -> String {
    use crate::domain::words::bytes;
    let table =
        |table: &SizedTable| format!("{}.{} {}", table.schema, table.name, bytes(table.bytes));
    let one = |volume: &PgVolume| {
        let tables: Vec<String> = volume.tables.iter().map(table).collect();
        format!(
            "tablespace {} at {}: {} of {} free; {}",
            volume.tablespace,
            volume.dir,
            bytes(volume.available),
            bytes(volume.total),
            if tables.is_empty() { "no tables".to_owned() } else { tables.join(", ") }
        )
    };
    if volumes.is_empty() {
        return "no tablespaces besides the default ones".to_owned();
    }
    volumes.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_is_read_by_its_columns_and_told_in_percent() {
        assert_eq!(sizes("tmpfs 32768 32760 8 100% /tablespace"), Some((32_768 * KB, 8 * KB)));
        assert_eq!(sizes("df: /nowhere: No such file or directory"), None);
        let sizes = [("/t".to_owned(), (32_768, 0)), ("/u".to_owned(), (100, 75))].into();
        let readings = as_readings(3.0, &sizes);
        let told: Vec<(&str, f64)> = readings.iter().map(|(name, n)| (&**name, *n)).collect();
        assert_eq!(
            told,
            [
                ("volume_looks", 3.0),
                ("volume_used_percent:/t", 100.0),
                ("volume_used_percent:/u", 25.0)
            ]
        );
    }
}
