//! Building an index while its table is used, watched: CONCURRENTLY waits for transactions that may not end and leaves
//! an invalid index behind when it fails, so it is cancelled where it waits for too long, and what it left is dropped.

use std::pin::pin;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::channel::{Call, Channel, append, succeeded, within};
use super::checks::{announced, explain, progress};
use super::postgres::{database, look_in};
use super::{ActionError, Report};
use crate::domain::execution::Output;
use crate::targets::Server;

/// The engine gives an action up soon after this.
const LONGEST: Duration = Duration::from_secs(70);
/// The call itself, which by then was cancelled.
const CALL_DEADLINE: Duration = Duration::from_secs(80);
/// It may stand behind the same lock for so long: nobody else is held up, but nothing comes of it either.
const WAITS: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
/// What drops an index waits for whoever uses its table.
const DROP_DEADLINE: Duration = Duration::from_secs(25);
/// More than this is longer to read than the engine waits.
pub(super) const MOST_BYTES: u64 = 2 << 30;

/// The sessions that build for this action in this database; those that only look are no builds.
macro_rules! builds {
    () => {
        "from pg_stat_activity a left join pg_stat_progress_create_index p on p.pid = a.pid
where a.application_name = :'app' and a.datname = current_database() and a.state = 'active'
  and a.pid <> pg_backend_pid() and a.query ~ '^(CREATE|REINDEX)( UNIQUE)? INDEX '"
    };
}

const WATCH: &str = concat!(
    "select coalesce(json_agg(json_build_object('phase', p.phase,
  'percent', case when p.blocks_total > 0 then 100 * p.blocks_done / p.blocks_total end,
  'waits', a.wait_event_type = 'Lock', 'behind', pg_blocking_pids(a.pid)::text)), '[]'::json)::text ",
    builds!()
);

const CANCEL: &str = concat!("select pg_cancel_backend(a.pid)::text ", builds!());

/// Invalid indexes that a build of this one left: itself, or what a REINDEX made beside it. A long name was cut for the
/// ending, so there its beginning counts.
macro_rules! left_over {
    () => {
        "from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace,
  regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '') as base
where n.nspname = :'schema' and c.relkind = 'i' and not i.indisvalid
  and (c.relname = :'fresh' or (c.relname ~ '_cc(new|old)[0-9]*$' and (base = :'index'
    or (octet_length(c.relname) = 63 and starts_with(:'index', base)))))
  and not exists (select from pg_stat_progress_create_index p where p.relid = i.indrelid)"
    };
}

const LEFT: &str = concat!("select coalesce(json_agg(c.relname), '[]'::json)::text ", left_over!());

const DROP: &str = concat!(
    "select statement from (select 1 as n, 'SET lock_timeout = ''20s''' as statement union all
  select 2, format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) ",
    left_over!(),
    " union all select 3, 'SELECT true::text') as x order by n"
);

#[derive(Debug, Deserialize)]
struct Build {
    phase: Option<String>,
    percent: Option<u64>,
    waits: Option<bool>,
    behind: String,
}

/// One index, and what is to be done about it.
pub(super) struct Concurrently<'a> {
    pub(super) server: &'a Server,
    pub(super) action: &'static str,
    pub(super) schema: &'a str,
    pub(super) index: &'a str,
    /// The index itself is new: where the build fails, it goes too.
    pub(super) is_new: bool,
}

impl Concurrently<'_> {
    fn vars(&self) -> super::channel::Vars {
        let fresh = if self.is_new { self.index } else { "" };
        vec![
            ("schema", self.schema.to_owned()),
            ("index", self.index.to_owned()),
            ("fresh", fresh.to_owned()),
            ("app", format!("simctl/{}", self.action)),
        ]
    }

    /// Runs the call to its end, and leaves no half of an index behind.
    pub(super) async fn carry_out(
        &self,
        call: &Call,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let channel = Channel::new(self.server, self.action);
        report(announced(channel.spell(call)));
        let mut building = pin!(channel.perform(call, CALL_DEADLINE));
        let (ended, stopped) = tokio::select! {
            ended = &mut building => (ended, None),
            why = self.watch(report) => (building.await, Some(why)),
        };
        match ended {
            Ok(output) if succeeded(&output) => Ok(output),
            Ok(mut output) => {
                if let Some(why) = stopped {
                    output.stderr.push_str(&why);
                    output.stderr.push('\n');
                }
                let left = self.clear_up(report).await;
                append(&mut output, &left);
                Ok(output)
            }
            Err(error) => {
                self.clear_up(report).await;
                Err(error)
            }
        }
    }

    /// Tells how far it is. Returns once it has cancelled the build, with the reason.
    async fn watch(&self, report: Report<'_>) -> String {
        let began = Instant::now();
        let (mut waits_since, mut told) = (None, String::new());
        loop {
            sleep(LOOK_EVERY).await;
            // What cannot be looked at goes on; its deadline holds all the same.
            let builds: Vec<Build> = self.look(WATCH).await.unwrap_or_default();
            let now = builds.iter().map(Build::told).collect::<Vec<_>>().join(", ");
            if !now.is_empty() && now != told {
                report(progress(now.clone()));
                told = now;
            }
            let waiting = builds.iter().find(|build| build.waits == Some(true));
            match waiting {
                Some(_) => {
                    waits_since.get_or_insert_with(Instant::now);
                }
                None => waits_since = None,
            }
            let late = began.elapsed() > LONGEST;
            let stuck = waits_since.is_some_and(|since: Instant| since.elapsed() > WAITS);
            if late || stuck {
                self.cancel().await;
                let behind = waiting.map_or_else(String::new, |build| {
                    format!(", still behind pid {}", build.behind.trim_matches(['{', '}']))
                });
                let after = began.elapsed().as_secs();
                return format!("cancelled after {after} s{behind}; nothing of it stays");
            }
        }
    }

    /// Ends a build that still runs, and drops what is left of it.
    pub(super) async fn clear_up(&self, report: Report<'_>) -> Output {
        self.cancel().await;
        let names = match self.left_over().await {
            Ok(names) if names.is_empty() => return Output::default(),
            Ok(names) => names.join(", "),
            Err(error) => return said(&format!("what it left is not known: {}", explain(&error))),
        };
        report(progress(format!("dropping what it left: {names}")));
        let dropped = match self.drop_call() {
            Ok(call) => Channel::new(self.server, self.action).perform(&call, DROP_DEADLINE).await,
            Err(error) => Err(error),
        };
        match dropped {
            Ok(output) if succeeded(&output) => said(&format!("what it left is dropped: {names}")),
            Ok(output) => said(&format!("{names} is left, invalid: {}", output.stderr.trim())),
            Err(error) => said(&format!("{names} is left, invalid: {}", explain(&error))),
        }
    }

    /// The names of invalid indexes that a build of this one left.
    pub(super) async fn left_over(&self) -> Result<Vec<String>, ActionError> {
        self.look(LEFT).await
    }

    async fn look<T: serde::de::DeserializeOwned>(
        &self,
        question: &'static str,
    ) -> Result<T, ActionError> {
        let (database, vars) = (database(self.server)?, self.vars());
        let looking = look_in(self.server, Some(database.as_str()), self.action, question, &vars);
        within(LOOK_DEADLINE, "look at the build", looking).await
    }

    async fn cancel(&self) {
        let Ok(database) = database(self.server) else { return };
        let call = Call::SqlIn { database, sql: CANCEL.into(), vars: self.vars() };
        let cancelled = Channel::new(self.server, self.action).perform(&call, LOOK_DEADLINE).await;
        if let Err(error) = cancelled {
            tracing::warn!(%error, action = self.action, "a build could not be cancelled");
        }
    }

    fn drop_call(&self) -> Result<Call, ActionError> {
        let database = Some(database(self.server)?);
        Ok(Call::Composed { database, sql: DROP, vars: self.vars() })
    }
}

impl Build {
    fn told(&self) -> String {
        let phase = self.phase.as_deref().unwrap_or("waiting for the table");
        let percent = self.percent.map_or_else(String::new, |percent| format!(", {percent} %"));
        let behind = self.behind.trim_matches(['{', '}']);
        let behind = match (self.waits, behind.is_empty()) {
            (Some(true), false) => format!(", behind pid {behind}"),
            _ => String::new(),
        };
        format!("{phase}{percent}{behind}")
    }
}

fn said(text: &str) -> Output {
    Output { stderr: format!("{text}\n"), ..Output::default() }
}

/// Why this server builds no index beside its users.
pub(super) fn version_refusal(version: i64) -> Option<&'static str> {
    // Until 14.4 a concurrent build could leave out rows that were being pruned.
    (140_000..140_004).contains(&version).then_some(
        "14.0 to 14.3 can build a corrupt index CONCURRENTLY; update the server to 14.4 or later",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_tells_its_phase_and_whom_it_waits_for() {
        let build = |phase: Option<&str>, percent, waits, behind: &str| Build {
            phase: phase.map(str::to_owned),
            percent,
            waits,
            behind: behind.into(),
        };
        let scanning = build(Some("building index: scanning table"), Some(40), None, "{}");
        assert_eq!(scanning.told(), "building index: scanning table, 40 %");
        let waiting = build(Some("waiting for old snapshots"), None, Some(true), "{812,9}");
        assert_eq!(waiting.told(), "waiting for old snapshots, behind pid 812,9");
        assert_eq!(
            build(None, None, Some(true), "{7}").told(),
            "waiting for the table, behind pid 7"
        );
    }

    #[test]
    fn the_versions_with_the_corrupting_build_are_refused() {
        for (version, refused) in
            [(130_010, false), (140_000, true), (140_003, true), (140_004, false), (150_005, false)]
        {
            assert_eq!(version_refusal(version).is_some(), refused, "{version}");
        }
    }
}
