//! Statements that take no variables (ALTER SYSTEM, ALTER ROLE, GRANT): the server composes them with `format`,
//! which quotes names and values, and they are run one after the other. psql does it with `\\gexec`.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::anyhow;
use tokio_postgres::SimpleQueryMessage;

use super::{SCRIPT_FAILED, SESSION, Vars, argv, ask, fixer};
use crate::actions::ActionError;
use crate::actions::channel::{run_inside, since, succeeded, within};
use crate::domain::execution::Output;
use crate::ports::runtime::Operation;
use crate::targets::Place;
use crate::targets::postgres::{PgConnection, PostgresLink, Session, answer_of};

/// What an output says when the question composed nothing.
const NOTHING: &str = "nothing was done: what it depends on has changed since it was looked at\n";

/// The same place, where the client asks in another database.
pub(in crate::actions) fn place_in(place: &Place, database: &str) -> Place {
    let mut other = place.clone();
    // The last one counts.
    other.unit.client.extend(["-d".to_owned(), database.to_owned()]);
    other
}

pub(in crate::actions::channel) fn place_of<'p>(
    place: &'p Place,
    database: Option<&str>,
) -> Cow<'p, Place> {
    database.map_or(Cow::Borrowed(place), |name| Cow::Owned(place_in(place, name)))
}

fn script(action: &str, sql: &str) -> String {
    format!("{SESSION}SET application_name = 'simctl/{action}';\n{} \\gexec\n", sql.trim())
}

pub(in crate::actions::channel) fn spell_exec(
    place: &Place,
    action: &str,
    sql: &str,
    vars: &Vars,
) -> String {
    let argv = argv(place, None, vars);
    let spelled = place.runtime.spell(&place.unit, Operation::Exec(&argv));
    format!("{spelled} <<'END'\n{}END", script(action, sql))
}

pub(in crate::actions::channel) fn spell_direct(
    link: &PostgresLink,
    database: Option<&str>,
    sql: &str,
    vars: &Vars,
) -> String {
    let user = link.fixer.as_ref().map_or("(no fixer)", |login| login.user.as_str());
    let values: Vec<_> =
        vars.iter().map(|(name, value)| format!("\\set {name} {value}\n")).collect();
    format!(
        "psql postgresql://{user}@{}:{}{} <<'END'\n{}{} \\gexec\nEND",
        link.host,
        link.port,
        database.map(|name| format!("/{name}")).unwrap_or_default(),
        values.concat(),
        sql.trim()
    )
}

pub(in crate::actions::channel) async fn exec(
    place: &Place,
    action: &str,
    sql: &str,
    vars: &Vars,
    deadline: Duration,
) -> Result<Output, ActionError> {
    let script = script(action, sql);
    let output =
        run_inside(place, &argv(place, None, vars), Some(script.as_bytes()), deadline).await?;
    Ok(unless_nothing(output))
}

pub(in crate::actions::channel) async fn direct(
    link: &PostgresLink,
    database: Option<&str>,
    action: &'static str,
    (sql, vars): (&str, &Vars),
    deadline: Duration,
) -> Result<Output, ActionError> {
    let mut login = fixer(link)?.clone();
    if let Some(database) = database {
        database.clone_into(&mut login.database);
    }
    let login = &login;
    let mut output = ask(link, login, action, Session::Fixer, (sql, vars), deadline).await?;
    if !succeeded(&output) {
        return Ok(output);
    }
    let statements: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
    output.stdout.clear();
    let started = tokio::time::Instant::now();
    let doing = || format!("ask {}", link.name);
    let work = async {
        let session = link.connect(login, action, Session::Fixer).await;
        let session =
            session.map_err(|e| ActionError::Failed { doing: doing(), source: anyhow!(e) })?;
        one_by_one(&session, &statements, &mut output).await;
        Ok(())
    };
    within(deadline, doing(), work).await?;
    output.duration_ms += since(started);
    Ok(unless_nothing(output))
}

/// Stops at the first that is refused.
async fn one_by_one(session: &PgConnection, statements: &[String], output: &mut Output) {
    for statement in statements {
        match session.simple_query(statement).await {
            Ok(messages) => {
                for message in messages {
                    if let SimpleQueryMessage::Row(row) = message {
                        output.stdout.push_str(row.get(0).unwrap_or_default());
                        output.stdout.push('\n');
                    }
                }
            }
            Err(error) => {
                output.exit_code = Some(SCRIPT_FAILED);
                output.stderr = format!("{}\n", answer_of(&error).describe());
                return;
            }
        }
    }
}

/// The last statement of each composition answers a row, so silence means that there was none.
fn unless_nothing(mut output: Output) -> Output {
    if succeeded(&output) && output.stdout.trim().is_empty() {
        output.exit_code = Some(SCRIPT_FAILED);
        NOTHING.clone_into(&mut output.stderr);
    }
    output
}
