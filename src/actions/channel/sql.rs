//! One SQL statement with named variables: through psql inside the container (the fixer's session over the local
//! socket, which gets in when every ordinary slot is taken), or as a prepared statement over the fixer's login.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use tokio_postgres::types::ToSql;

use super::{run_inside, since, within};
use crate::actions::ActionError;
use crate::domain::execution::Output;
use crate::ports::runtime::Operation;
use crate::targets::Place;
use crate::targets::postgres::{Login, PostgresLink, Session};

/// Variables of a statement: `:'name'` in the text, the value bound, never spliced.
pub(in crate::actions) type Vars = Vec<(&'static str, String)>;

/// What psql's own exit code is when a script stopped at an error.
const SCRIPT_FAILED: i64 = 3;

/// The fixer's session, whatever the server's settings say. The first line lifts a statement_timeout that could
/// cut the others.
const SESSION: &str = "SET statement_timeout = 0;
SET lock_timeout = '2s';
SET idle_in_transaction_session_timeout = 0;
SET default_transaction_read_only = off;
SET search_path = pg_catalog;
SELECT current_setting('server_version_num')::int >= 140000 AS times_out_when_idle \\gset
\\if :times_out_when_idle
SET idle_session_timeout = 0;
\\endif
";

fn argv(place: &Place, vars: &Vars) -> Vec<String> {
    let mut argv = place.unit.client.clone();
    argv.extend(["-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"].map(String::from));
    for (name, value) in vars {
        argv.extend(["-v".to_owned(), format!("{name}={value}")]);
    }
    argv.extend(["-f", "-"].map(String::from));
    argv
}

fn script(action: &str, sql: &str) -> String {
    format!("{SESSION}SET application_name = 'simctl/{action}';\n{};\n", sql.trim())
}

pub(super) fn spell_exec(place: &Place, action: &str, sql: &str, vars: &Vars) -> String {
    let argv = argv(place, vars);
    let spelled = place.runtime.spell(&place.unit, Operation::Exec(&argv));
    format!("{spelled} <<'END'\n{}END", script(action, sql))
}

pub(super) fn spell_direct(link: &PostgresLink, sql: &str, vars: &Vars) -> String {
    let user = link.fixer.as_ref().map_or("(no fixer)", |login| login.user.as_str());
    let values: Vec<_> =
        vars.iter().map(|(name, value)| format!("-- {name} = {value}\n")).collect();
    format!(
        "postgresql://{user}@{}:{} <<'END'\n{}{};\nEND",
        link.host,
        link.port,
        values.concat(),
        sql.trim()
    )
}

pub(in crate::actions) async fn exec(
    place: &Place,
    action: &str,
    sql: &str,
    vars: &Vars,
    deadline: Duration,
) -> Result<Output, ActionError> {
    let script = script(action, sql);
    run_inside(place, &argv(place, vars), Some(script.as_bytes()), deadline).await
}

pub(super) async fn direct(
    link: &PostgresLink,
    action: &'static str,
    sql: &str,
    vars: &Vars,
    deadline: Duration,
) -> Result<Output, ActionError> {
    let login = link.fixer.as_ref().ok_or_else(|| {
        ActionError::Precondition(format!(
            "no login that may act on {} is configured; give the target a `fixer`",
            link.name
        ))
    })?;
    ask(link, login, action, Session::Fixer, (sql, vars), deadline).await
}

/// Runs one statement over a connection of its own.
pub(in crate::actions) async fn ask(
    link: &PostgresLink,
    login: &Login,
    action: &'static str,
    session: Session,
    (sql, vars): (&str, &Vars),
    deadline: Duration,
) -> Result<Output, ActionError> {
    let started = tokio::time::Instant::now();
    let doing = || format!("ask {}", link.name);
    let failed = |source: anyhow::Error| ActionError::Failed { doing: doing(), source };
    let (text, values) = numbered(sql, vars).map_err(failed)?;
    let work = async {
        let client = link.connect(login, action, session).await.map_err(|e| failed(anyhow!(e)))?;
        let values: Vec<_> = values.iter().map(|v| v as &(dyn ToSql + Sync)).collect();
        Ok(client.query(text.as_str(), &values).await)
    };
    let mut output = Output { exit_code: Some(0), ..Output::default() };
    match within(deadline, doing(), work).await? {
        Ok(rows) => {
            for row in rows {
                let line: Option<String> = row.try_get(0).map_err(|e| failed(e.into()))?;
                output.stdout.push_str(line.as_deref().unwrap_or_default());
                output.stdout.push('\n');
            }
        }
        Err(error) => match error.as_db_error() {
            Some(told) => {
                output.exit_code = Some(SCRIPT_FAILED);
                output.stderr =
                    format!("{}:  {} ({})\n", told.severity(), told.message(), told.code().code());
            }
            None => return Err(failed(error.into())),
        },
    }
    output.duration_ms = since(started);
    Ok(output)
}

/// The statement with `:'name'` turned into `$n::text`, and the values in that order.
fn numbered<'v>(sql: &str, vars: &'v Vars) -> Result<(String, Vec<&'v str>), anyhow::Error> {
    let mut text = String::with_capacity(sql.len());
    let mut used: Vec<&str> = Vec::new();
    let mut values = Vec::new();
    let mut rest = sql;
    while let Some(at) = rest.find(":'") {
        let after = &rest[at + 2..];
        let end = after.find('\'').ok_or_else(|| anyhow!("an unfinished variable in the SQL"))?;
        let name = &after[..end];
        let (_, value) = vars
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| anyhow!("the SQL names a variable `{name}` that has no value"))?;
        let place = used.iter().position(|known| *known == name).unwrap_or_else(|| {
            used.push(name);
            values.push(value.as_str());
            used.len() - 1
        });
        text.push_str(&rest[..at]);
        let _ = write!(text, "${}::text", place + 1);
        rest = &after[end + 1..];
    }
    text.push_str(rest);
    Ok((text, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_numbered_parameters_once_each() {
        let vars = vec![("a", "1".to_owned()), ("b", "x'y".to_owned())];
        let (text, values) =
            numbered("select :'b'::interval, :'a', :'b' from t where c::text = 'z'", &vars)
                .unwrap();
        assert_eq!(
            text,
            "select $1::text::interval, $2::text, $1::text from t where c::text = 'z'"
        );
        assert_eq!(values, ["x'y", "1"]);
    }

    #[test]
    fn a_variable_without_a_value_is_refused() {
        let error = numbered("select :'c'", &Vars::new()).unwrap_err().to_string();
        assert!(error.contains("`c`"), "{error}");
    }
}
