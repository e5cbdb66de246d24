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

pub(in crate::actions) mod composed;

/// Variables of a statement: `:'name'` in the text is a value, `:"name"` an identifier, quoted by psql or by us.
pub(in crate::actions) type Vars = Vec<(&'static str, String)>;

/// What psql's own exit code is when a script stopped at an error.
const SCRIPT_FAILED: i64 = 3;

/// The fixer's session, whatever the server's settings say. The first line lifts a statement_timeout that could
/// cut the others.
const SESSION: &str = "SET statement_timeout = 0;
SET lock_timeout = '2s';
SET idle_in_transaction_session_timeout = 0;
SET default_transaction_read_only = off;
SET synchronous_commit = local;
SET search_path = pg_catalog;
SELECT current_setting('server_version_num')::int >= 140000 AS times_out_when_idle \\gset
\\if :times_out_when_idle
SET idle_session_timeout = 0;
\\endif
";

fn argv(place: &Place, database: Option<&str>, vars: &Vars) -> Vec<String> {
    let mut argv = place.unit.client.clone();
    if let Some(database) = database {
        // The last one counts.
        argv.extend(["-d".to_owned(), database.to_owned()]);
    }
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

pub(super) fn spell_exec(
    place: &Place,
    database: Option<&str>,
    action: &str,
    sql: &str,
    vars: &Vars,
) -> String {
    let argv = argv(place, database, vars);
    let spelled = place.runtime.spell(&place.unit, Operation::Exec(&argv));
    format!("{spelled} <<'END'\n{}END", script(action, sql))
}

pub(super) fn spell_direct(
    link: &PostgresLink,
    database: Option<&str>,
    sql: &str,
    vars: &Vars,
) -> String {
    let user = link.fixer.as_ref().map_or("(no fixer)", |login| login.user.as_str());
    let values: Vec<_> =
        vars.iter().map(|(name, value)| format!("-- {name} = {value}\n")).collect();
    format!(
        "postgresql://{user}@{}:{}{} <<'END'\n{}{};\nEND",
        link.host,
        link.port,
        database.map(|name| format!("/{name}")).unwrap_or_default(),
        values.concat(),
        sql.trim()
    )
}

pub(in crate::actions) async fn exec(
    place: &Place,
    database: Option<&str>,
    action: &str,
    (sql, vars): (&str, &Vars),
    deadline: Duration,
) -> Result<Output, ActionError> {
    let script = script(action, sql);
    run_inside(place, &argv(place, database, vars), Some(script.as_bytes()), deadline).await
}

pub(super) async fn direct(
    link: &PostgresLink,
    database: Option<&str>,
    action: &'static str,
    (sql, vars): (&str, &Vars),
    deadline: Duration,
) -> Result<Output, ActionError> {
    let login = in_database(fixer(link)?, database);
    ask(link, &login, action, Session::Fixer, (sql, vars), deadline).await
}

/// The login, for another database where one is named.
pub(in crate::actions) fn in_database(login: &Login, database: Option<&str>) -> Login {
    let database = database.unwrap_or(&login.database).to_owned();
    Login { database, ..login.clone() }
}

/// Who may act.
pub(in crate::actions) fn fixer(link: &PostgresLink) -> Result<&Login, ActionError> {
    link.fixer.as_ref().ok_or_else(|| {
        ActionError::Precondition(format!(
            "no login that may act on {} is configured; give the target a `fixer`",
            link.name
        ))
    })
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

/// The statement with `:'name'` turned into `$n::text` and `:"name"` into a quoted identifier, and the values in
/// that order.
fn numbered<'v>(sql: &str, vars: &'v Vars) -> Result<(String, Vec<&'v str>), anyhow::Error> {
    let mut text = String::with_capacity(sql.len());
    let mut used: Vec<&str> = Vec::new();
    let mut values = Vec::new();
    let mut rest = sql;
    while let Some((at, quote)) = next_variable(rest) {
        let after = &rest[at + 2..];
        let end = after.find(quote).ok_or_else(|| anyhow!("an unfinished variable in the SQL"))?;
        let name = &after[..end];
        let (_, value) = vars
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| anyhow!("the SQL names a variable `{name}` that has no value"))?;
        text.push_str(&rest[..at]);
        if quote == '"' {
            text.push_str(&quoted(value));
        } else {
            let place = used.iter().position(|known| *known == name).unwrap_or_else(|| {
                used.push(name);
                values.push(value.as_str());
                used.len() - 1
            });
            let _ = write!(text, "${}::text", place + 1);
        }
        rest = &after[end + 1..];
    }
    text.push_str(rest);
    Ok((text, values))
}

/// Where the next variable begins, and which quote it is written in.
fn next_variable(sql: &str) -> Option<(usize, char)> {
    let value = sql.find(":'").map(|at| (at, '\''));
    let identifier = sql.find(":\"").map(|at| (at, '"'));
    [value, identifier].into_iter().flatten().min()
}

/// As PostgreSQL reads a name: any text is one, when its quotes are doubled.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
    fn identifiers_are_quoted_and_never_end_their_quotes() {
        let vars = vec![("t", "a\"; drop table b; --".to_owned()), ("v", "1".to_owned())];
        let (text, values) = numbered("vacuum :\"t\" where x = :'v'", &vars).unwrap();
        assert_eq!(text, "vacuum \"a\"\"; drop table b; --\" where x = $1::text");
        assert_eq!(values, ["1"]);
        assert!(numbered("vacuum :\"t", &vars).is_err());
    }

    #[test]
    fn a_variable_without_a_value_is_refused() {
        let error = numbered("select :'c'", &Vars::new()).unwrap_err().to_string();
        assert!(error.contains("`c`"), "{error}");
    }
}
