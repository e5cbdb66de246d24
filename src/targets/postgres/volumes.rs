//! How full the volumes of tablespaces are: `df` inside what the server runs in, seldom, and what lies on them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::types::Json;
use tokio_util::task::AbortOnDropHandle;

use super::PostgresLink;
use super::connect::{PgConnection, Session, answer_of};
use crate::diagnose::facts::{PgVolume, SizedTable};
use crate::diagnose::source;
use crate::domain::readings::Name;
use crate::domain::sample::{Answer, reading};
use crate::targets::notebook::Notebook;
use crate::targets::{Place, disk};

/// A volume fills in seconds at the fastest, and looking starts a process.
const CALM_PERIOD: Duration = Duration::from_secs(10);
/// The second look that makes it certain should not be waited for so long.
const FULL_PERIOD: Duration = Duration::from_secs(1);
/// Worth a second look.
const NEARLY_FULL_PERCENT: f64 = 90.0;

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
    looks: Mutex<Looks>,
}

type Sizes = BTreeMap<String, (u64, u64)>;

#[derive(Default)]
struct Looks {
    /// How many have been taken.
    taken: f64,
    /// What the last one came to.
    readings: Vec<(Name, f64)>,
    /// `None`: never looked.
    next: Option<Instant>,
    /// One that is being taken; the probe does not wait for the process it starts.
    running: Option<AbortOnDropHandle<Result<Sizes, Answer>>>,
}

impl Volumes {
    pub(super) fn at(place: Option<Place>) -> Self {
        Self { place, looks: Mutex::default() }
    }

    /// The last look as readings; begins a new one when it is time. Nothing where there are no such volumes.
    pub(super) async fn readings(&self, session: &PgConnection) -> Vec<(Name, f64)> {
        let Some(place) = &self.place else { return Vec::new() };
        let mut looks = self.looks.lock().await;
        looks.collect();
        if looks.running.is_none() && looks.next.is_none_or(|next| next <= Instant::now()) {
            match locations(session).await {
                Ok(dirs) => looks.running = Some(begin(place.clone(), dirs)),
                Err(answer) => looks.end(Err(answer)),
            }
        }
        looks.readings.clone()
    }
}

impl Looks {
    /// Takes in a look that has ended.
    fn collect(&mut self) {
        if self.running.as_ref().is_some_and(AbortOnDropHandle::is_finished)
            && let Some(Some(Ok(sizes))) = self.running.take().map(FutureExt::now_or_never)
        {
            self.end(sizes);
        }
    }

    fn end(&mut self, sizes: Result<Sizes, Answer>) {
        self.readings = match sizes {
            Ok(sizes) if sizes.is_empty() => Vec::new(),
            Ok(sizes) => {
                self.taken += 1.0;
                as_readings(self.taken, &sizes)
            }
            Err(answer) => {
                tracing::debug!(answer = %answer.describe(), "volumes were not measured");
                Vec::new()
            }
        };
        let full = self.readings.iter().skip(1).any(|(_, used)| *used >= NEARLY_FULL_PERCENT);
        self.next = Some(Instant::now() + if full { FULL_PERIOD } else { CALM_PERIOD });
    }
}

#[expect(clippy::disallowed_methods, reason = "a look that takes long ends with its probe")]
fn begin(place: Place, dirs: Vec<String>) -> AbortOnDropHandle<Result<Sizes, Answer>> {
    AbortOnDropHandle::new(tokio::spawn(async move { disk::sizes(&place, &dirs).await }))
}

async fn locations(session: &PgConnection) -> Result<Vec<String>, Answer> {
    let rows = session.query(LOCATIONS, &[]).await.map_err(|error| answer_of(&error))?;
    Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
}

/// How often was looked comes first: samples share a look.
fn as_readings(looks: f64, sizes: &Sizes) -> Vec<(Name, f64)> {
    let percent =
        |(total, available): (u64, u64)| 100.0 - 100.0 * available as f64 / (total as f64).max(1.0);
    let used = sizes.iter().map(|(dir, size)| {
        (format!("{}{dir}", reading::VOLUME_USED_PERCENT).into(), percent(*size))
    });
    std::iter::once((reading::VOLUME_LOOKS.into(), looks)).chain(used).collect()
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
            let sizes = disk::sizes(place, &dirs).await?;
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
    fn sizes_are_told_in_percent_after_the_number_of_looks() {
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
