//! What belongs to a database itself and is in no dump: its owner, its place among languages, who may use it, and the
//! settings that hold in it. Read for the manifest, made again around a copy.

use tokio_postgres::types::Json;

use super::super::{Failure, Outcome};
use super::manifest::{Override, Settings};
use crate::inspect::quoted;
use crate::targets::postgres::PgConnection;

/// Younger columns are read through JSON, so that one text serves every version.
const READ: &str = "
SELECT json_build_object(
    'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
    'collate', d.datcollate, 'ctype', d.datctype, 'connection_limit', d.datconnlimit,
    'provider', to_jsonb(d) ->> 'datlocprovider',
    'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
    'icu_rules', to_jsonb(d) ->> 'daticurules',
    'comment', shobj_description(d.oid, 'pg_database'),
    'grants', CASE WHEN d.datacl IS NULL THEN NULL ELSE (
      SELECT coalesce(json_agg(json_build_object('to', r.rolname, 'right', a.privilege_type,
          'grantable', a.is_grantable) ORDER BY r.rolname, a.privilege_type), '[]')
        FROM aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE a.grantee = 0 OR r.rolname IS NOT NULL) END,
    'overrides', (SELECT coalesce(json_agg(json_build_object('role', r.rolname,
          'name', left(setting, strpos(setting, '=') - 1), 'value', substr(setting, strpos(setting, '=') + 1))
          ORDER BY r.rolname, setting), '[]')
        FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
        LEFT JOIN pg_roles r ON r.oid = s.setrole
        WHERE s.setdatabase = d.oid AND (s.setrole = 0 OR r.rolname IS NOT NULL)))
  FROM pg_database d WHERE d.datname = $1";

/// Reads them; none where there is no such database.
pub(crate) async fn read(session: &PgConnection, database: &str) -> Outcome<Option<Settings>> {
    let row = session.query_opt(READ, &[&database]).await;
    let row = row.map_err(|error| Failure::of_postgres(&error))?;
    Ok(row.map(|row| row.get::<_, Json<Settings>>(0).0))
}

/// Makes an empty database like it, with the comment that tells what it is for.
pub(crate) async fn create(
    session: &PgConnection,
    name: &str,
    like: &Settings,
    comment: &str,
) -> Outcome<()> {
    run(session, &create_sql(name, like)).await?;
    run(session, &format!("COMMENT ON DATABASE {} IS {}", quoted(name), literal(comment))).await
}

fn create_sql(name: &str, like: &Settings) -> String {
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quoted(name),
        literal(&like.encoding),
        literal(&like.collate),
        literal(&like.ctype)
    );
    let provider = match like.provider.as_deref() {
        Some("i") => Some(("icu", "ICU_LOCALE")),
        Some("b") => Some(("builtin", "BUILTIN_LOCALE")),
        _ => None,
    };
    if let Some((provider, locale)) = provider {
        sql.push_str(" LOCALE_PROVIDER ");
        sql.push_str(provider);
        for (word, value) in [(locale, &like.locale), ("ICU_RULES", &like.icu_rules)] {
            if let Some(value) = value {
                sql.extend([format!(" {word} {}", literal(value))]);
            }
        }
    }
    sql
}

/// Gives a database what the dump does not: owner, rights, limit, settings.
pub(crate) async fn apply(session: &PgConnection, name: &str, wanted: &Settings) -> Outcome<()> {
    for sql in apply_sql(name, wanted) {
        run(session, &sql).await?;
    }
    for one in &wanted.overrides {
        set(session, name, one).await?;
    }
    Ok(())
}

fn apply_sql(name: &str, wanted: &Settings) -> Vec<String> {
    let database = quoted(name);
    let mut all = vec![
        format!("ALTER DATABASE {database} OWNER TO {}", quoted(&wanted.owner)),
        format!("ALTER DATABASE {database} CONNECTION LIMIT {}", wanted.connection_limit),
    ];
    if let Some(grants) = &wanted.grants {
        let owner = quoted(&wanted.owner);
        all.push(format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC, {owner}"));
        for grant in grants {
            let to = grant.to.as_deref().map_or_else(|| "PUBLIC".into(), quoted);
            let option = if grant.grantable { " WITH GRANT OPTION" } else { "" };
            // The server's own word out of a closed list, so it needs no quotes and may have none.
            let right: String = grant.right.chars().filter(char::is_ascii_alphabetic).collect();
            all.push(format!("GRANT {right} ON DATABASE {database} TO {to}{option}"));
        }
    }
    all
}

/// A list like `"$user", public` must not become one name: the server writes down the value as it holds it. What a
/// session cannot set is written as one text.
async fn set(session: &PgConnection, database: &str, one: &Override) -> Outcome<()> {
    let whose = match &one.role {
        None => format!("ALTER DATABASE {}", quoted(database)),
        Some(role) => format!("ALTER ROLE {} IN DATABASE {}", quoted(role), quoted(database)),
    };
    let name: Vec<String> = one.name.split('.').map(quoted).collect();
    let name = name.join(".");
    let as_held = async {
        run(session, "BEGIN").await?;
        let held = session.query("SELECT set_config($1, $2, true)", &[&one.name, &one.value]).await;
        held.map_err(|error| Failure::of_postgres(&error))?;
        run(session, &format!("{whose} SET {name} FROM CURRENT")).await?;
        run(session, "COMMIT").await
    };
    if as_held.await.is_ok() {
        return Ok(());
    }
    run(session, "ROLLBACK").await?;
    run(session, &format!("{whose} SET {name} TO {}", literal(&one.value))).await
}

pub(crate) async fn run(session: &PgConnection, sql: &str) -> Outcome<()> {
    session.batch_execute(sql).await.map_err(|error| Failure::of_postgres(&error))
}

/// A text as a literal, for statements that take no parameters.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{quoted}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::backup::manifest::Grant;

    fn settings() -> Settings {
        Settings {
            owner: "o\"wner".into(),
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "en_US'.utf8\\".into(),
            connection_limit: -1,
            ..Settings::default()
        }
    }

    #[test]
    fn whatever_is_in_a_name_or_a_value_it_stays_one() {
        let sql = create_sql("a\"; DROP", &settings());
        assert_eq!(
            sql,
            "CREATE DATABASE \"a\"\"; DROP\" TEMPLATE template0 ENCODING E'UTF8' LC_COLLATE E'C' \
             LC_CTYPE E'en_US''.utf8\\\\'"
        );
        let like = Settings { provider: Some("i".into()), locale: Some("de".into()), ..settings() };
        assert!(create_sql("a", &like).ends_with("LOCALE_PROVIDER icu ICU_LOCALE E'de'"));
    }

    #[test]
    fn rights_are_made_anew_only_where_they_were_not_the_default() {
        assert_eq!(apply_sql("d", &settings()).len(), 2);
        let grant = |to: Option<&str>, grantable| Grant {
            to: to.map(str::to_owned),
            right: "CONNECT".into(),
            grantable,
        };
        let with = Settings {
            grants: Some(vec![grant(None, false), grant(Some("app"), true)]),
            ..settings()
        };
        let all = apply_sql("d", &with);
        assert_eq!(all[2], "REVOKE ALL ON DATABASE \"d\" FROM PUBLIC, \"o\"\"wner\"");
        assert_eq!(all[3], "GRANT CONNECT ON DATABASE \"d\" TO PUBLIC");
        assert_eq!(all[4], "GRANT CONNECT ON DATABASE \"d\" TO \"app\" WITH GRANT OPTION");
        let none = Settings { grants: Some(Vec::new()), ..settings() };
        assert_eq!(apply_sql("d", &none).len(), 3, "nobody may use it: that is kept too");
    }
}
