//! MTTR over time: equal stretches with the mean of what ended in each.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{mean, seconds, took};
use crate::ports::store::IncidentTimes;

/// More stretches than this are never looked at one by one.
const MOST: i64 = 31;

/// Widths of a stretch that people think in, with their words.
const WIDTHS: [(i64, &str); 7] = [
    (3_600, "hour"),
    (6 * 3_600, "6 hours"),
    (86_400, "day"),
    (7 * 86_400, "week"),
    (30 * 86_400, "30 days"),
    (90 * 86_400, "90 days"),
    (365 * 86_400, "year"),
];

/// The stretches, oldest first; the last one ends now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    /// What one stretch is, in words: `hour`.
    pub each: Cow<'static, str>,
    pub each_s: i64,
    pub mean_s: Vec<Option<f64>>,
}

/// The narrowest stretches that are not too many; none when nothing says from when on.
pub(super) fn of(
    times: &[IncidentTimes],
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Buckets> {
    let since = since.or_else(|| times.iter().map(|t| t.opened_at).min())?;
    let span = (now - since).num_seconds().max(1);
    let count = |width: i64| (span + width - 1) / width;
    let (each_s, each) =
        WIDTHS.into_iter().find(|(width, _)| count(*width) <= MOST).unwrap_or(WIDTHS[6]);
    let stretches = usize::try_from(count(each_s).min(MOST)).unwrap_or(1);
    let mut ended: Vec<Vec<f64>> = vec![Vec::new(); stretches];
    for times in times {
        let (Some(took), Some(at)) = (took(times), times.resolved_at) else { continue };
        if let Some(bucket) = place(now - at, each_s, stretches) {
            ended[bucket].push(seconds(took));
        }
    }
    let mean_s = ended.into_iter().map(|durations| mean(durations.into_iter())).collect();
    Some(Buckets { each: each.into(), each_s, mean_s })
}

fn place(age: TimeDelta, each_s: i64, stretches: usize) -> Option<usize> {
    let back = usize::try_from(age.num_seconds().max(0) / each_s).ok()?;
    (stretches - 1).checked_sub(back)
}
