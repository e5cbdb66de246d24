//! Gives one PostgreSQL role a connection limit, so that a program that leaks can fill no more than its share.

use super::connection_limit::{Kind, Limiting, NONE, Seen, Wanted, shown};
use super::{Arg, Descriptor, Need};
use crate::domain::proposal::Risk;
use crate::domain::target::Engine;
use crate::targets::{Link, Server};

pub(super) const ACTION: Limiting = Limiting { descriptor: &DESCRIPTOR, refuses };

static DESCRIPTOR: Descriptor = Descriptor {
    id: "limit_role",
    aliases: &[],
    engine: Some(Engine::Postgres),
    needs_runtime: false,
    risk: Risk::Medium,
    title: "Limit the connections of a role",
    about: "ALTER ROLE … CONNECTION LIMIT below what the role has. Right when a program with a role of its own takes every \
            slot again as soon as its sessions are ended; sessions that are there stay.",
    args: &[
        Arg::text("role", "the role of that program"),
        Arg::whole("limit", "how many connections it may have, 1 or more"),
    ],
    needs: &[Need::PgSuperuser("ALTER ROLE and ALTER DATABASE … CONNECTION LIMIT")],
    verify: "the limit reads back as it was set",
};

/// A role that others need, or that has a smaller limit, is let be.
fn refuses(server: &Server, wanted: &Wanted, seen: &Seen) -> Option<String> {
    let what = wanted.described();
    if wanted.kind != Kind::Role {
        return Some(format!("{what} is no role"));
    }
    if wanted.limit < 1 {
        return Some(format!("a limit of {} would close {what} altogether", wanted.limit));
    }
    if seen.limit != NONE && seen.limit < wanted.limit {
        return Some(format!("{what} has a smaller limit already, {}", shown(seen.limit)));
    }
    if seen.is_superuser {
        return Some(format!("{what} is a superuser, for whom no limit counts"));
    }
    let Link::Postgres(link) = &server.link else { return None };
    let needed = [&link.app, &link.monitor].into_iter().chain(&link.fixer);
    needed.into_iter().any(|login| login.user == wanted.name).then(|| {
        format!(
            "{what} is one that simctl or its application logs in as; it would be turned away too"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_set_only_where_it_is_lower_and_nobody_else_needs_the_role() {
        let server = crate::faults::spec::tests::server();
        let refused = |name: &str, limit, seen, is_superuser| {
            let wanted = Wanted { kind: Kind::Role, name: name.into(), limit };
            refuses(&server, &wanted, &Seen { limit: seen, is_superuser }).is_some()
        };
        assert!(!refused("reports", 4, NONE, false) && !refused("reports", 4, 9, false));
        assert!(refused("reports", 4, 2, false), "less already");
        assert!(refused("reports", 0, NONE, false), "closed altogether");
        assert!(refused("root", 4, NONE, true), "a superuser");
        for ours in ["app", "monitor", "postgres"] {
            assert!(refused(ours, 4, NONE, false), "{ours}");
        }
    }
}
