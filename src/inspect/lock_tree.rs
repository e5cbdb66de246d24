//! Who waits for whom, as a forest: true roots, whom each holds up, and for how long. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One wait: this session waits for that one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Edge {
    pub(super) waiter: i32,
    pub(super) waiter_start: Option<String>,
    pub(super) waiter_query_start: Option<String>,
    pub(super) waiter_query: Option<String>,
    pub(super) waiter_type: Option<String>,
    pub(super) waiter_leader: Option<i32>,
    /// 0: a prepared transaction.
    pub(super) blocker: i32,
    pub(super) blocker_start: Option<String>,
    pub(super) blocker_state: Option<String>,
    pub(super) blocker_query: Option<String>,
    pub(super) blocker_type: Option<String>,
    pub(super) blocker_user: Option<String>,
    pub(super) blocker_app: Option<String>,
    pub(super) blocker_database: Option<String>,
    pub(super) blocker_xact_s: Option<f64>,
    pub(super) blocker_has_written: Option<bool>,
    pub(super) blocker_prevents_wraparound: Option<bool>,
    pub(super) prepared_gid: Option<String>,
    pub(super) prepared_at: Option<String>,
    pub(super) prepared_owner: Option<String>,
    pub(super) locktype: String,
    pub(super) mode: String,
    pub(super) lock_database: Option<String>,
    pub(super) lock_relation_oid: Option<String>,
    pub(super) lock_relation: Option<String>,
    pub(super) advisory_key: Option<String>,
    pub(super) wait_s: Option<f64>,
    pub(super) wait_s_is_upper_bound: bool,
    pub(super) waiters_total: i64,
}

/// Who holds or waits. A prepared transaction has no session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Session(i32),
    Prepared(String),
}

impl Edge {
    /// A parallel worker waits on behalf of its leader.
    pub(super) fn waiting(&self) -> Who {
        Who::Session(self.waiter_leader.unwrap_or(self.waiter))
    }

    pub(super) fn holding(&self) -> Who {
        match (self.blocker, &self.prepared_gid) {
            (0, gid) => Who::Prepared(gid.clone().unwrap_or_default()),
            (pid, _) => Who::Session(pid),
        }
    }

    /// What is waited for.
    pub(super) fn lock(&self) -> String {
        let object = match (&self.lock_relation, &self.advisory_key, &self.lock_relation_oid) {
            (Some(relation), ..) => relation.clone(),
            (_, Some(key), _) => format!("key {key}"),
            (_, _, Some(oid)) => {
                format!(
                    "oid {oid} in {}",
                    self.lock_database.as_deref().unwrap_or("another database")
                )
            }
            _ => return self.locktype.clone(),
        };
        format!("{} {object}", self.locktype)
    }
}

/// A blocker that waits for nobody, or one of a cycle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Root {
    pub(super) who: Who,
    /// Everyone who waits for it, directly or behind others.
    pub(super) victims: BTreeSet<Who>,
    pub(super) longest_wait_s: f64,
    /// Part of a deadlock, which the server ends by itself.
    pub(super) in_cycle: bool,
}

/// The roots, those that cost others most first.
pub(super) fn roots(edges: &[Edge]) -> Vec<Root> {
    let mut behind: BTreeMap<Who, BTreeSet<Who>> = BTreeMap::new();
    let mut waits: BTreeMap<Who, f64> = BTreeMap::new();
    for edge in edges {
        let (waiter, holder) = (edge.waiting(), edge.holding());
        if waiter == holder {
            continue;
        }
        let wait = waits.entry(waiter.clone()).or_default();
        *wait = wait.max(edge.wait_s.unwrap_or_default());
        behind.entry(holder).or_default().insert(waiter);
    }
    let free = behind.keys().filter(|who| !waits.contains_key(*who)).cloned();
    let mut roots: Vec<Root> = free.map(|who| root(who, false, &behind, &waits)).collect();
    let reached: BTreeSet<Who> = roots.iter().flat_map(|root| root.victims.clone()).collect();
    let cycles: Vec<Who> = behind
        .keys()
        .filter(|who| waits.contains_key(*who) && !reached.contains(*who))
        .cloned()
        .collect();
    let mut told: BTreeSet<Who> = BTreeSet::new();
    for who in cycles {
        let cycle = root(who.clone(), true, &behind, &waits);
        // One of a cycle stands for all of it; who only waits behind one is no root.
        if cycle.victims.contains(&who) && !told.contains(&who) {
            told.extend(cycle.victims.iter().cloned());
            roots.push(cycle);
        }
    }
    roots.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then_with(|| a.who.cmp(&b.who)));
    roots
}

fn weight(root: &Root) -> f64 {
    root.victims.len() as f64 * root.longest_wait_s
}

fn root(
    who: Who,
    in_cycle: bool,
    behind: &BTreeMap<Who, BTreeSet<Who>>,
    waits: &BTreeMap<Who, f64>,
) -> Root {
    let mut victims = BTreeSet::new();
    let mut next = vec![who.clone()];
    while let Some(holder) = next.pop() {
        for waiter in behind.get(&holder).into_iter().flatten() {
            if victims.insert(waiter.clone()) {
                next.push(waiter.clone());
            }
        }
    }
    let longest = victims.iter().filter_map(|who| waits.get(who)).copied().fold(0.0, f64::max);
    Root { who, victims, longest_wait_s: longest, in_cycle }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(waiter: i32, blocker: i32, wait_s: f64) -> Edge {
        Edge { waiter, blocker, wait_s: Some(wait_s), ..Edge::default() }
    }

    fn told(edges: &[Edge]) -> Vec<(Who, usize)> {
        roots(edges).into_iter().map(|root| (root.who, root.victims.len())).collect()
    }

    #[test]
    fn two_pairs_have_two_roots_and_the_dearer_is_first() {
        let edges = [edge(2, 1, 3.0), edge(4, 3, 9.0)];
        assert_eq!(told(&edges), [(Who::Session(3), 1), (Who::Session(1), 1)]);
    }

    #[test]
    fn a_queue_has_one_root_however_long() {
        // A reader, DDL behind it, everybody else behind the DDL.
        let edges = [edge(2, 1, 9.0), edge(3, 2, 5.0), edge(4, 2, 4.0), edge(4, 3, 4.0)];
        assert_eq!(told(&edges), [(Who::Session(1), 3)]);
    }

    #[test]
    fn a_prepared_transaction_is_a_root_by_its_name() {
        let mut prepared = edge(2, 0, 1.0);
        prepared.prepared_gid = Some("gid-7".into());
        assert_eq!(told(&[prepared]), [(Who::Prepared("gid-7".into()), 1)]);
    }

    #[test]
    fn a_worker_is_its_leader_and_nobody_waits_for_himself() {
        let worker = Edge { waiter_leader: Some(7), ..edge(8, 1, 1.0) };
        assert_eq!(told(&[worker]), [(Who::Session(1), 1)]);
        let own = Edge { waiter_leader: Some(7), ..edge(8, 7, 1.0) };
        assert_eq!(told(&[own]), []);
    }

    #[test]
    fn a_cycle_is_told_once_and_who_waits_behind_it_is_no_root() {
        let edges = [edge(1, 2, 1.0), edge(2, 1, 1.0), edge(3, 1, 1.0)];
        let found = roots(&edges);
        assert_eq!(found.len(), 1);
        assert!(found[0].in_cycle && found[0].victims.contains(&Who::Session(3)));
    }

    #[test]
    fn what_is_locked_is_named_as_far_as_this_database_knows() {
        let here = Edge {
            locktype: "relation".into(),
            lock_relation: Some("t".into()),
            ..Edge::default()
        };
        assert_eq!(here.lock(), "relation t");
        let there = Edge {
            locktype: "relation".into(),
            lock_relation_oid: Some("5".into()),
            lock_database: Some("shop".into()),
            ..Edge::default()
        };
        assert_eq!(there.lock(), "relation oid 5 in shop");
        let row = Edge { locktype: "transactionid".into(), ..Edge::default() };
        assert_eq!(row.lock(), "transactionid");
    }
}
