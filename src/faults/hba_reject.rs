//! Somebody puts a line first in pg_hba.conf that rejects the application: old sessions go on, nobody new gets in.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::marks::text;
use super::reach::{self, Closed, Session, postgres_link};
use super::{
    ANYWHERE, Class, Descriptor, Fault, FaultError, Grip, Params, Progress, Saved, Tier, standing,
};
use crate::domain::finding::FindingKind;
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::Server;
use crate::targets::postgres::PostgresLink;
use crate::targets::postgres::hba::hba_splice;

pub(super) struct HbaReject;

const LINE: &str = "line";
const SPLICE: &str = hba_splice!("$1::text", "$2::text", "$3::text");
/// How often the file is looked at again when somebody else was faster.
const TRIES: u32 = 3;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "hba-reject",
    aliases: &[],
    tier: Tier::Practical,
    runtimes: ANYWHERE,
    engine: Some(Engine::Postgres),
    class: Class::Persists,
    title: "pg_hba.conf rejects the application",
    about: "Puts a line first in pg_hba.conf that rejects the application's role in its database, and reloads. \
            Sessions that are there go on; every new one is refused, whatever its password.",
    finding: FindingKind::ProbeFailing,
    cause: "hba-reject",
    fixed_by: &["remove_hba_line"],
    params: &[],
    risk: Risk::Medium,
    untouched: &[
        "data",
        "sessions that are there",
        "every other line of pg_hba.conf",
        "other roles",
    ],
    undo: &["take the fault's own line out of pg_hba.conf, wherever it stands now, and reload"],
    takes_within: Duration::from_secs(3),
};

#[async_trait]
impl Fault for HbaReject {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn available(&self, server: &Server) -> Result<(), String> {
        standing::runs_in(server, DESCRIPTOR.runtimes)?;
        match File::of(server).await {
            Ok(file) if file.errors > 0 => Err("pg_hba.conf has errors already".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.in_words()),
        }
    }

    fn calls(&self, server: Option<&Server>, _params: &Params) -> Vec<String> {
        let link = server.and_then(|server| postgres_link(server).ok());
        let line = link.map_or_else(|| "host <database> <role> all reject".into(), own_line);
        vec![
            format!("as a superuser, by lo_export(): `{line}` as the first line of pg_hba.conf"),
            "SELECT pg_reload_conf(), if pg_hba_file_rules shows no error; else the file as it was"
                .into(),
        ]
    }

    async fn save(&self, server: &Server, _: &Params, _: u64) -> Result<Saved, FaultError> {
        let line = own_line(postgres_link(server)?);
        if File::of(server).await?.number_of(&line).is_some() {
            return Err(FaultError::Precondition(format!("`{line}` is in pg_hba.conf already")));
        }
        Ok(Saved::from([(LINE.into(), json!(line))]))
    }

    async fn inject(
        &self,
        server: &Server,
        _params: &Params,
        saved: &Saved,
        progress: Progress<'_>,
    ) -> Result<Grip, FaultError> {
        let line = text(saved, LINE)?;
        File::of(server).await?.splice(1, line).await?;
        progress(format!("`{line}` stands first"));
        Ok(Box::new(()))
    }

    async fn took(&self, server: &Server, _: &Params, _: &Saved) -> Result<String, FaultError> {
        let link = postgres_link(server)?;
        match reach::postgres(link, &link.app, reach::OURS).await {
            Ok(_) => Err(FaultError::Precondition("the application still gets in".into())),
            Err(Closed::Full(words)) => Err(FaultError::Precondition(words)),
            Err(Closed::Otherwise(error)) if error.in_words().contains("28000") => {
                Ok(error.in_words())
            }
            Err(Closed::Otherwise(error)) => Err(error),
        }
    }

    async fn revert(&self, server: &Server, _: &Params, saved: &Saved) -> Result<(), FaultError> {
        let line = text(saved, LINE)?;
        let mut last = Ok(());
        for _ in 0..TRIES {
            let file = File::of(server).await?;
            let Some(number) = file.number_of(line) else { return Ok(()) };
            last = file.splice(number, "").await;
            if last.is_ok() {
                return Ok(());
            }
        }
        last
    }
}

/// Ordinary, and not there before: what it says makes it the fault's own mark.
fn own_line(link: &PostgresLink) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("host {} {} all reject", quoted(&link.app.database), quoted(&link.app.user))
}

/// pg_hba.conf as it is now.
struct File {
    session: Session,
    digest: String,
    lines: Vec<String>,
    errors: i64,
}

impl File {
    async fn of(server: &Server) -> Result<Self, FaultError> {
        let session = reach::superuser_in(server, "postgres").await?;
        let sql = "select md5(was), string_to_array(was, chr(10)), \
                   (select count(*) from pg_hba_file_rules where type is null) \
                   from pg_read_file(current_setting('hba_file')) as was";
        let row = session.client.query_one(sql, &[]).await;
        let row = row.map_err(|e| reach::sql_failed("read pg_hba.conf", e))?;
        Ok(Self { session, digest: row.get(0), lines: row.get(1), errors: row.get(2) })
    }

    fn number_of(&self, line: &str) -> Option<usize> {
        self.lines.iter().position(|there| there == line).map(|at| at + 1)
    }

    /// Puts a line in at this place, or takes the one there out.
    async fn splice(&self, number: usize, put: &str) -> Result<(), FaultError> {
        let failed = |error| reach::sql_failed("change pg_hba.conf", error);
        let client = &self.session.client;
        let number = number.to_string();
        let rows = client.query(SPLICE, &[&self.digest, &number, &put]).await.map_err(failed)?;
        for row in rows {
            client.batch_execute(row.get(0)).await.map_err(failed)?;
        }
        Ok(())
    }
}
