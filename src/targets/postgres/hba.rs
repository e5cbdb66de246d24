//! pg_hba.conf, through the server's own file functions: which of its lines a new connection of the application meets,
//! and how one line is put in or taken out.

use tokio_postgres::types::{Json, ToSql};

use super::PostgresLink;
use super::connect::{Session, answer_of};
use crate::diagnose::facts::PgHba;
use crate::diagnose::source;
use crate::domain::sample::Answer;
use crate::ports::runtime::ExecLimits;
use crate::targets::dial::{self, Trust};
use crate::targets::notebook::Notebook;
use crate::targets::{Limit, Place};

/// Composes what takes one line out of pg_hba.conf or puts one in, checks what the server makes of the file, and only
/// then reloads; a file with errors is put back as it was. Arguments: the MD5 of the file as it was looked at, the
/// number of the line, the line to put in (empty: the one there goes).
///
/// A line that is no rule has no type; an error beside a rule only says that it never applies. The body is one line, because statements are told apart by their lines.
macro_rules! hba_splice {
    ($digest:literal, $line:literal, $put:literal) => {
        concat!(
            "select statement from (values (1, format('DO %L', format($body$",
            "declare file text := current_setting('hba_file'); was text := pg_read_file(file); ",
            "lines text[] := string_to_array(was, chr(10)); n int := %2$s; become text; o oid; begin ",
            "if md5(was) <> %1$L then raise exception 'pg_hba.conf has changed since it was looked at'; end if; ",
            "become := array_to_string(lines[1:n-1] || case when %3$L = '' then '{}'::text[] else array[%3$L] end ",
            "|| lines[n + (%3$L = '')::int:], chr(10)); ",
            "o := lo_from_bytea(0, convert_to(become, getdatabaseencoding())); ",
            "perform lo_export(o, file); perform lo_unlink(o); ",
            "if exists (select from pg_hba_file_rules where type is null) then ",
            "o := lo_from_bytea(0, convert_to(was, getdatabaseencoding())); ",
            "perform lo_export(o, file); perform lo_unlink(o); ",
            "raise exception 'pg_hba.conf would have errors, so it is as it was'; end if; ",
            "perform pg_reload_conf(); end$body$, ",
            $digest, ", ", $line, ", ", $put,
            "))), (2, 'SELECT true::text')) as both_of_them (n, statement) order by n"
        )
    };
}
pub(crate) use hba_splice;

/// The rules that fit the application's next connection, first to decide first. It comes from where this session
/// comes from. `$1` is its role, `$2` its database. Whether a host name is meant cannot be told from here.
const RULES: &str = "
WITH me AS (
    SELECT inet_client_addr() AS addr,
           coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS ssl,
           string_to_array(pg_read_file(current_setting('hba_file')), chr(10)) AS lines
), rule AS (
    SELECT r.line_number AS line, r.auth_method AS method,
           coalesce(to_jsonb(r)->>'file_name', current_setting('hba_file'))
               = current_setting('hba_file') AS is_main,
           CASE WHEN address = 'all' THEN true
                WHEN netmask IS NULL OR addr IS NULL THEN NULL
                WHEN family(netmask::inet) <> family(addr) THEN false
                ELSE host(addr & netmask::inet) = host(address::inet & netmask::inet) END AS is_near
      FROM pg_hba_file_rules r, me
     WHERE (type = 'host' OR type = 'hostssl' AND ssl OR type = 'hostnossl' AND NOT ssl)
       AND ('all' = ANY(database) OR $2::text = ANY(database)
            OR 'sameuser' = ANY(database) AND $1::text = $2
            OR EXISTS (SELECT FROM unnest(database) AS d WHERE d LIKE '/%' AND $2 ~ substr(d, 2)))
       AND ('all' = ANY(user_name) OR $1 = ANY(user_name)
            OR EXISTS (SELECT FROM unnest(user_name) AS u WHERE u LIKE '/%' AND $1 ~ substr(u, 2))
            OR EXISTS (SELECT FROM unnest(user_name) AS u JOIN pg_roles g ON u = '+' || g.rolname
                         JOIN pg_roles app ON app.rolname = $1
                        WHERE pg_has_role(app.oid, g.oid, 'MEMBER')))
)
SELECT json_build_object('address', coalesce(host(addr), ''),
  'errors', (SELECT count(*) FROM pg_hba_file_rules WHERE type IS NULL),
  'rules', coalesce((SELECT json_agg(json_build_object('line', line, 'method', method,
      'is_sure', is_near IS NOT NULL, 'text', CASE WHEN is_main THEN lines[line] END) ORDER BY line)
    FROM (SELECT * FROM rule WHERE is_near IS NOT false ORDER BY line LIMIT 5) AS fitting), '[]'::json))
  FROM me";

impl PostgresLink {
    /// How pg_hba.conf meets the application; only a superuser may look. From inside what the server runs in where
    /// the superuser is turned away too.
    pub(in crate::targets) async fn hba(
        &self,
        place: Option<&Place>,
        notebook: &mut Notebook<'_>,
    ) -> Option<PgHba> {
        let asked = async {
            match (self.hba_from_here().await, place) {
                (Err(Answer::Error { .. }), Some(place)) => self.hba_inside(place).await,
                (seen, _) => seen,
            }
        };
        notebook.ask(source::PG_HBA, self.deadline, asked, words).await
    }

    async fn hba_from_here(&self) -> Result<PgHba, Answer> {
        let no_login = || dial::failed("LOGIN", "there is no superuser login to look with");
        let fixer = self.fixer.as_ref().ok_or_else(no_login)?;
        let (limit, trust) = (Limit::of(self.deadline), Trust::default());
        let session = self.open(fixer, "facts", Session::Monitor, &trust, limit).await?;
        let names: [&(dyn ToSql + Sync); 2] = [&self.app.user, &self.app.database];
        let row = session.query_one(RULES, &names).await.map_err(|e| answer_of(&e))?;
        let Json(seen) = row.try_get(0).map_err(|error| answer_of(&error))?;
        session.close().await;
        Ok(seen)
    }

    /// Over the server's own socket, whose rules are others. Where the application comes from is not known there.
    async fn hba_inside(&self, place: &Place) -> Result<PgHba, Answer> {
        let mut argv = place.unit.client.clone();
        argv.extend(["-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"].map(String::from));
        for (name, value) in [("role", &self.app.user), ("database", &self.app.database)] {
            argv.extend(["-v".to_owned(), format!("{name}={value}")]);
        }
        argv.extend(["-f", "-"].map(String::from));
        let script = format!(
            "PREPARE rules (text, text) AS {RULES};\nEXECUTE rules(:'role', :'database');\n"
        );
        let limits = ExecLimits { deadline: self.deadline, ..ExecLimits::default() };
        let ran = place.runtime.exec(&place.unit, &argv, Some(script.as_bytes()), limits).await;
        let ran = ran.map_err(|error| dial::failed("RUNTIME", error.to_string()))?;
        serde_json::from_str(ran.stdout.trim())
            .map_err(|_| dial::failed("PSQL", ran.stderr.trim().to_owned()))
    }
}

fn words(seen: &PgHba) -> String {
    let rules: Vec<String> = seen
        .rules
        .iter()
        .map(|rule| {
            let text = rule.text.as_deref().unwrap_or("of an included file").trim_end();
            format!("line {} ({text}): {}", rule.line, rule.method)
        })
        .collect();
    let rules = if rules.is_empty() { "none".to_owned() } else { rules.join("; ") };
    format!(
        "lines that fit the application{}: {rules}; {} lines cannot be read",
        if seen.address.is_empty() { String::new() } else { format!(" from {}", seen.address) },
        seen.errors
    )
}
