//! A PostgreSQL login, by what the server says of its role.

use tokio_postgres::Row;

use super::{PostgresLink, Session, answer_of};
use crate::actions::Rights;
use crate::targets::rights::{Compared, needed_by};
use crate::targets::{Limit, felt};

/// The role itself: what it is called, and attributes that let it do more than its memberships say.
const ROLE: &str = "
SELECT rolname::text, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
  FROM pg_catalog.pg_roles WHERE rolname = current_user";

/// Every role it is a member of, through others too.
const MEMBER_OF: &str = "
SELECT rolname::text FROM pg_catalog.pg_roles
 WHERE pg_catalog.pg_has_role(current_user, oid, 'MEMBER') AND rolname <> current_user
 ORDER BY rolname";

const ATTRIBUTES: [&str; 4] = ["createrole", "createdb", "replication", "bypassrls"];

impl PostgresLink {
    /// Compares the login that acts; a superuser is what some actions need, and so is no excess where they exist.
    pub(in crate::targets) async fn compare_rights(
        &self,
        wanted: &Rights,
    ) -> Result<Compared, String> {
        let login = self.fixer.as_ref().unwrap_or(&self.monitor);
        let session = self
            .connect(login, "rights", Session::Monitor)
            .await
            .map_err(|error| felt(&error).describe())?;
        let asked = Limit::of(self.deadline)
            .run(async {
                let role = session.query_one(ROLE, &[]).await.map_err(|e| answer_of(&e))?;
                let roles = session.query(MEMBER_OF, &[]).await.map_err(|e| answer_of(&e))?;
                Ok((role, roles))
            })
            .await;
        session.close().await;
        let (role, roles) = asked.map_err(|answer| answer.describe())?;
        Ok(compared(&role, &roles, wanted))
    }
}

fn compared(role: &Row, roles: &[Row], wanted: &Rights) -> Compared {
    let has = |column: usize| role.try_get::<_, bool>(column).unwrap_or_default();
    let login = role.try_get(0).unwrap_or_default();
    let mut compared = Compared { login, ..Compared::default() };
    if has(1) {
        if wanted.pg_superuser.is_empty() {
            compared.more.push("superuser".into());
        }
        return compared;
    }
    for (what, who) in &wanted.pg_superuser {
        compared.missing.push(needed_by(&format!("superuser to {what}"), who));
    }
    let attributes = ATTRIBUTES.iter().enumerate().filter(|(at, _)| has(at + 2));
    compared.more.extend(attributes.map(|(_, name)| (*name).to_owned()));
    let member_of: Vec<String> = roles.iter().filter_map(|row| row.try_get(0).ok()).collect();
    for (role, who) in &wanted.pg_roles {
        if !member_of.iter().any(|member| member == role) {
            compared.missing.push(needed_by(role, who));
        }
    }
    let needed = |member: &String| wanted.pg_roles.contains_key(member.as_str());
    compared.more.extend(member_of.into_iter().filter(|member| !needed(member)));
    compared
}
