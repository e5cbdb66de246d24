//! `redis persistence`: whether what is in memory would survive, and since when it would not.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::redis::RedisDesk;
use super::report::{Check, Column, Draft, Grade, Unit};
use super::unknown::Unknown;
use super::words::value;
use super::{Ask, Given, Inspection};
use crate::actions::Need;

pub(super) static INSPECTION: Inspection = Inspection {
    id: "check_redis_persistence",
    verb: "persistence",
    title: "Persistence",
    about: "Snapshots and the append-only file: what is switched on, whether the last one worked, and how many changes \
            would be lost by a crash now. A status of ok is no backup: a flush rewrites the file and stays ok.",
    args: &[],
    needs: &[Need::Redis(&["info", "config|get", "time"])],
    offers: &["save_redis"],
    budget: Duration::from_secs(5),
    example: "simctl redis persistence",
    ask: Ask::Redis(|desk, given| Box::pin(look(desk, given))),
};

#[derive(Clone, Debug, Default, Serialize)]
struct Persistence {
    save: Option<String>,
    appendonly: bool,
    last_save_ok: bool,
    last_save_age_s: Option<f64>,
    changes_since_save: u64,
    append_ok: bool,
    rewrite_ok: bool,
    cow_bytes: u64,
    loading: bool,
    stops_writes_on_error: Option<bool>,
}

const FIGURES: &[Column] = &[
    ("save", Unit::None),
    ("appendonly", Unit::None),
    ("last_save_ok", Unit::None),
    ("last_save_age_s", Unit::Seconds),
    ("changes_since_save", Unit::Count),
    ("append_ok", Unit::None),
    ("rewrite_ok", Unit::None),
    ("cow_bytes", Unit::Bytes),
    ("loading", Unit::None),
    ("stops_writes_on_error", Unit::None),
];

async fn look(desk: &mut RedisDesk, _given: &Given) -> Draft {
    let mut draft = Draft::default();
    let persistence = read(desk).await;
    if let Ok(persistence) = &persistence {
        draft.judge(judge(persistence));
    }
    draft.figures("persistence", "Persistence", &persistence, FIGURES);
    draft
}

async fn read(desk: &mut RedisDesk) -> Result<Persistence, Unknown> {
    let info = desk.info().await?;
    // The server's clock, not ours.
    let (now, _): (u64, u64) = desk.ask(&redis::cmd("TIME")).await?;
    let whole = |field: &str| info.whole(field).unwrap_or_default();
    let ok = |field: &str| info.text(field) != Some("err");
    Ok(Persistence {
        save: desk.setting("save").await?,
        appendonly: whole("aof_enabled") == 1,
        last_save_ok: ok("rdb_last_bgsave_status"),
        last_save_age_s: info.whole("rdb_last_save_time").map(|at| now.saturating_sub(at) as f64),
        changes_since_save: whole("rdb_changes_since_last_save"),
        append_ok: ok("aof_last_write_status"),
        rewrite_ok: ok("aof_last_bgrewrite_status"),
        cow_bytes: whole("rdb_last_cow_size"),
        loading: whole("loading") == 1,
        stops_writes_on_error: desk
            .setting("stop-writes-on-bgsave-error")
            .await?
            .map(|set| set == "yes"),
    })
}

impl Persistence {
    fn snapshots(&self) -> bool {
        self.save.as_deref().is_some_and(|save| !save.is_empty())
    }

    /// The longest time after which the server itself would have saved.
    fn saves_within_s(&self) -> Option<f64> {
        let rules = self.save.as_deref()?.split_whitespace();
        rules.step_by(2).filter_map(|seconds| seconds.parse().ok()).max_by(f64::total_cmp)
    }
}

fn judge(p: &Persistence) -> Vec<Check> {
    let bad = |failed: bool| if failed { Grade::Crit } else { Grade::Ok };
    let age = p.last_save_age_s.unwrap_or_default();
    let late =
        p.saves_within_s().is_some_and(|within| age > 2.0 * within) && p.changes_since_save > 0;
    let unsaved = p.changes_since_save;
    vec![
        Check::graded("snapshot", bad(p.snapshots() && !p.last_save_ok))
            .because(format!(
                "the last snapshot {}",
                if p.last_save_ok { "worked" } else { "failed" }
            ))
            .advise(
                "the server's log says why: usually a full disk or no memory to fork; then save",
            )
            .offer("save_redis", json!({})),
        Check::graded("append_only_file", bad(p.appendonly && !(p.append_ok && p.rewrite_ok)))
            .because(if p.appendonly { "switched on" } else { "switched off" })
            .advise("writes are refused until the disk takes them again"),
        Check::graded("unsaved", if late { Grade::Warn } else { Grade::Ok })
            .because(match (p.snapshots(), p.appendonly) {
                (_, true) => "every write is on disk".to_owned(),
                (true, _) => format!(
                    "{unsaved} changes in {} would be lost by a crash",
                    value(age, Unit::Seconds)
                ),
                _ => "nothing is kept on disk, by its settings: a restart begins empty".to_owned(),
            })
            .advise("it should have been saved by its own rules")
            .offer("save_redis", json!({})),
        Check::graded(
            "stops_writes_on_error",
            if p.snapshots() && p.stops_writes_on_error == Some(false) {
                Grade::Warn
            } else {
                Grade::Ok
            },
        )
        .because("whether a failed snapshot stops writes, so that somebody notices")
        .advise("CONFIG SET stop-writes-on-bgsave-error yes"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Persistence {
        Persistence {
            save: Some("3600 1 300 100".into()),
            last_save_ok: true,
            append_ok: true,
            rewrite_ok: true,
            last_save_age_s: Some(100.0),
            changes_since_save: 5,
            stops_writes_on_error: Some(true),
            ..Persistence::default()
        }
    }

    fn bad(p: &Persistence) -> Vec<&'static str> {
        judge(p)
            .into_iter()
            .filter(|check| check.grade != Grade::Ok)
            .map(|check| check.id)
            .collect()
    }

    #[test]
    fn what_failed_is_told_and_what_is_switched_off_is_not_a_failure() {
        assert!(bad(&saved()).is_empty());
        assert_eq!(bad(&Persistence { last_save_ok: false, ..saved() }), ["snapshot"]);
        let off = Persistence { save: Some(String::new()), last_save_ok: false, ..saved() };
        assert!(bad(&off).is_empty(), "a cache without snapshots");
        let append = Persistence { appendonly: true, append_ok: false, ..saved() };
        assert_eq!(bad(&append), ["append_only_file"]);
    }

    #[test]
    fn changes_are_late_by_the_servers_own_rules() {
        assert_eq!(bad(&Persistence { last_save_age_s: Some(7_201.0), ..saved() }), ["unsaved"]);
        let nothing = Persistence { last_save_age_s: Some(9e9), changes_since_save: 0, ..saved() };
        assert!(bad(&nothing).is_empty(), "nothing changed");
    }
}
