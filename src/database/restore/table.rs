//! One table out of a backup, into a schema of its own beside the live one: whoever wants rows back moves them. The
//! copy is one transaction of the live database: it is there whole and proven, or not at all.

use futures::{SinkExt as _, StreamExt as _, pin_mut};
use tokio_util::sync::CancellationToken;

use super::super::backup::catalogue::Entry;
use super::super::backup::manifest::TableSum;
use super::super::backup::progress::Progress;
use super::super::backup::record::{Level, Verified};
use super::super::backup::tools::Tools;
use super::super::backup::{Job, maintenance, name, scratch, settings, stopped, survey, verify};
use super::super::{As, Failure, Outcome};
use super::{RestoreRequest, RestoreResponse, checks};
use crate::inspect::quoted;
use crate::targets::postgres::{PgConnection, Session};

const TELL_EVERY: u64 = 4 << 20;

/// The columns as they can be written down anywhere: types with their schemas, collations that are not the type's.
const COLUMNS: &str = "
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(n.nspname) || '.' || quote_ident(l.collname) END
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = l.collnamespace
  WHERE a.attrelid = format('%I.%I', $1::text, $2::text)::regclass AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attnum";

struct Column {
    name: String,
    definition: String,
}

/// Restores the table that is named in the request.
pub(super) async fn restore(
    job: &Job<'_>,
    request: &RestoreRequest,
    entry: Entry,
    verified: Verified,
    stop: &CancellationToken,
) -> Outcome<RestoreResponse> {
    let table = meant(&entry, request.table.as_deref().unwrap_or_default())?.clone();
    let session = maintenance(job.bench, &[]).await?;
    checks::can_be_restored(
        job.bench,
        &session,
        &entry,
        &RestoreRequest { no_owner: true, ..request.clone() },
    )
    .await?;
    let at = (job.clock)();
    let copy = scratch::name(&entry.name, at);
    let schema = name::beside("", "restore", at).trim_start_matches('_').to_owned();
    let done = tokio::select! {
        done = Box::pin(async {
            scratch::create(&session, &copy, &entry.manifest.settings, at).await?;
            unpack(job, &entry, &table, &copy).await?;
            carry_over(job, &entry, &table, &copy, &schema).await
        }) => done,
        () = stop.cancelled() => Err(stopped("the restore")),
    };
    session.close().await;
    let session = maintenance(job.bench, &[]).await?;
    scratch::drop_database(&session, &copy).await?;
    session.close().await;
    done?;
    let restored_as = format!("{}.{}", quoted(&schema), quoted(&table.name));
    let verified = Verified { level: Level::Restored, at: (job.clock)(), ..verified };
    Ok(RestoreResponse { tables: 1, ..RestoreResponse::of(&entry, restored_as, verified) })
}

/// The table of that name, as SQL would write it, or bare when only one is called so.
pub(super) fn meant<'a>(entry: &'a Entry, wanted: &str) -> Outcome<&'a TableSum> {
    let all = &entry.manifest.contents.tables;
    let named: Vec<&TableSum> = all
        .iter()
        .filter(|one| one.shown() == wanted || format!("{}.{}", one.schema, one.name) == wanted)
        .collect();
    let bare: Vec<&TableSum> = all.iter().filter(|one| one.name == wanted).collect();
    let found = if named.is_empty() { bare } else { named };
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::invalid(
            format!("the backup {} has no table {wanted}", entry.name),
            "write its schema too, and quote what is not lower case: public.\"Orders\"",
        )),
        several => {
            let names: Vec<String> = several.iter().map(|one| one.shown()).collect();
            Err(Failure::invalid(
                format!("{wanted} may be {}", names.join(" or ")),
                "write its schema too",
            ))
        }
    }
}

/// Definitions of everything and the rows of the one table: types and functions that its columns take come first.
async fn unpack(job: &Job<'_>, entry: &Entry, table: &TableSum, copy: &str) -> Outcome<()> {
    let login = job.bench.login(As::Fixer, Some(copy))?;
    let tools = Tools::new(&job.bench.link, login, job.bench.place.as_ref(), 0);
    tools.version("pg_restore").await?;
    verify::preinstall(job.bench, entry, copy).await?;
    let (schema, name) = (format!("--schema={}", table.schema), format!("--table={}", table.name));
    for only in
        [vec!["--section=pre-data".to_owned()], vec!["--data-only".to_owned(), schema, name]]
    {
        job.teller.tell(Progress { at: Some(table.shown()), ..Progress::of("restore") });
        let fixed = ["--exit-on-error", "--no-password", "--no-owner", "--no-acl"];
        let mut args: Vec<String> = fixed.map(str::to_owned).to_vec();
        args.extend(["--no-subscriptions", "--no-publications"].map(str::to_owned));
        args.extend(only);
        args.push(Tools::dbname(copy));
        verify::restore_call(&tools, entry, args, &|_| {}).await?;
    }
    Ok(())
}

async fn carry_over(
    job: &Job<'_>,
    entry: &Entry,
    table: &TableSum,
    copy: &str,
    schema: &str,
) -> Outcome<()> {
    let bench = job.bench;
    let live = Some(entry.manifest.database.as_str());
    let from = bench.connect(As::Fixer, Some(copy), Session::Fixer, "restore").await?;
    let to = bench.connect(As::Fixer, live, Session::Fixer, "restore").await?;
    survey::begin(&from).await?;
    let columns = columns(&from, table).await?;
    settings::run(&to, "BEGIN").await?;
    survey::fix(&to).await?;
    let target = format!("{}.{}", quoted(schema), quoted(&table.name));
    settings::run(&to, &format!("CREATE SCHEMA {}", quoted(schema))).await?;
    let defined: Vec<&str> = columns.iter().map(|column| column.definition.as_str()).collect();
    settings::run(&to, &format!("CREATE TABLE {target} ({})", defined.join(", "))).await?;
    pour(job, &from, &to, table, &columns, &target).await?;
    prove(&to, table, &columns, schema).await?;
    settings::run(&to, "COMMIT").await?;
    for session in [from, to] {
        session.close().await;
    }
    Ok(())
}

async fn columns(from: &PgConnection, table: &TableSum) -> Outcome<Vec<Column>> {
    let rows = from.query(COLUMNS, &[&table.schema, &table.name]).await;
    let rows = rows.map_err(|error| Failure::of_postgres(&error))?;
    let column = |row: &tokio_postgres::Row| {
        let (name, kind, collation): (String, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        let collated =
            collation.map_or_else(String::new, |collation| format!(" COLLATE {collation}"));
        Column { definition: format!("{} {kind}{collated}", quoted(&name)), name }
    };
    Ok(rows.iter().map(column).collect())
}

/// Streams the rows from one database into the other, in the server's own text.
async fn pour(
    job: &Job<'_>,
    from: &PgConnection,
    to: &PgConnection,
    table: &TableSum,
    columns: &[Column],
    target: &str,
) -> Outcome<()> {
    let failed = |error| Failure::of_postgres(&error);
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let (schema, name) = (quoted(&table.schema), quoted(&table.name));
    let out = format!("COPY (SELECT {} FROM ONLY {schema}.{name}) TO STDOUT", names.join(", "));
    let rows = from.copy_out(&out).await.map_err(failed)?;
    let sink = to.copy_in(&format!("COPY {target} FROM STDIN")).await.map_err(failed)?;
    pin_mut!(rows, sink);
    let (mut moved, mut told) = (0u64, 0u64);
    while let Some(chunk) = rows.next().await {
        let chunk = chunk.map_err(failed)?;
        moved += u64::try_from(chunk.len()).unwrap_or_default();
        if moved >= told + TELL_EVERY {
            told = moved;
            job.teller.tell(Progress::sized("copy", moved, Some(table.bytes)));
        }
        sink.send(chunk).await.map_err(failed)?;
    }
    sink.finish().await.map_err(failed)?;
    Ok(())
}

async fn prove(
    to: &PgConnection,
    table: &TableSum,
    columns: &[Column],
    schema: &str,
) -> Outcome<()> {
    let mut names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    names.sort();
    let copied = TableSum { schema: schema.to_owned(), ..table.clone() };
    let (rows, hash) = survey::sum(to, &copied, &names).await?;
    let is_same = table.hash.as_ref().is_none_or(|wanted| *wanted == hash)
        && table.rows.is_none_or(|wanted| wanted == rows);
    if is_same {
        return Ok(());
    }
    let was = table.rows.map_or_else(|| "?".into(), |rows| rows.to_string());
    let message = format!("{} does not come back as it was: {rows} of {was} rows", table.shown());
    Err(Failure::refused(message, "nothing was kept; restore another backup"))
}
