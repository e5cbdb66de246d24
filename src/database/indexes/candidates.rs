//! Which indexes could help: out of the conditions, joins and sorts of real plans, never out of column types. Pure.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::Facts;
use crate::database::optimize::plan::{Node, Plan};
use crate::database::statement::Statement;
use crate::inspect::quoted;

/// Key columns of one index.
const WIDEST: usize = 3;
/// Candidates that are tried.
const MOST: usize = 60;

/// What one node of one plan would like to find by an index.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wish {
    pub(super) equal: Vec<String>,
    pub(super) range: Vec<String>,
    /// In the order of the first sort key, when nothing but this table's columns are sorted.
    pub(super) sort: Vec<String>,
    /// `@>` and the like.
    pub(super) contains: Vec<String>,
    /// LIKE.
    pub(super) like: Vec<String>,
    /// `a IS NULL`, a boolean column: the same in every call.
    pub(super) constant: Vec<String>,
    /// What else of the row is shown.
    pub(super) output: Vec<String>,
    pub(super) calls: f64,
}

/// An index that is tried.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) method: &'static str,
    pub(super) columns: Vec<String>,
    /// The operator class of the columns, where it is not the usual.
    pub(super) class: &'static str,
    pub(super) include: Vec<String>,
    pub(super) condition: Option<String>,
    pub(super) reason: String,
    /// Calls whose wish it meets.
    pub(super) calls: f64,
}

impl Candidate {
    /// `CREATE INDEX ON …`; `create` is how it is made.
    pub(super) fn ddl(&self, table: &str, create: &str) -> String {
        let class = if self.class.is_empty() { String::new() } else { format!(" {}", self.class) };
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{}{class}", quoted(column))).collect();
        let method =
            if self.method == "btree" { String::new() } else { format!(" USING {}", self.method) };
        let mut text = format!("{create} ON {table}{method} ({})", columns.join(", "));
        if !self.include.is_empty() {
            let include: Vec<String> = self.include.iter().map(|column| quoted(column)).collect();
            text.extend([format!(" INCLUDE ({})", include.join(", "))]);
        }
        if let Some(condition) = &self.condition {
            text.extend([" WHERE ", condition]);
        }
        text
    }
}

/// As SQL writes it.
pub(super) fn full_name(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// Whether a node reads more than it gives.
pub(super) fn is_wishing(node: &Node) -> bool {
    node.relation.is_some()
        && (node.text("Filter").is_some() || node.text("Recheck Cond").is_some())
}

const COLUMN: &str = r#"(?:[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")"#;

struct Patterns {
    literal: Regex,
    left: Regex,
    right: Regex,
    null: Regex,
    alone: Regex,
    qualified: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).expect("a pattern of ours");
    let column = format!("({COLUMN})\\.({COLUMN})");
    let cast = r"\)?(?:::[a-z_ ]+(?:\([0-9,]+\))?(?:\[\])?)?";
    Patterns {
        literal: regex(r"'(?:[^']|'')*'"),
        left: regex(&format!(r"{column}{cast} (=|<=|>=|<|>|@>|<@|\?|&&|~~\*?) ")),
        right: regex(&format!(r" (=|<=|>=|<|>) \(?{column}(?:[^a-z0-9_(.]|$)")),
        null: regex(&format!(r"\({column} IS NULL\)")),
        alone: regex(&format!(r"(?:^|AND )\(?{column}\)?(?:$| AND)")),
        qualified: regex(&format!("^{column}(?: DESC)?(?: NULLS (?:FIRST|LAST))?$")),
    }
});

/// A name without its quotes.
fn bare(name: &str) -> String {
    match name.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

/// What the nodes of a plan wish for that read `table` (as SQL writes it, with its schema).
pub(super) fn wishes(plan: &Plan, table: &str, calls: f64) -> Vec<Wish> {
    let nodes = plan.root.all();
    let is_ours = |node: &&Node| {
        let (schema, name) = super::workload::split(table);
        node.relation.as_deref() == Some(name.as_str())
            && node.schema.as_deref() == Some(schema.as_str())
    };
    let mut found = Vec::new();
    for node in nodes.iter().copied().filter(|node| is_ours(node)) {
        let alias = node.alias.clone().unwrap_or_default();
        let mut wish = Wish { calls, ..Wish::default() };
        for name in ["Filter", "Index Cond", "Recheck Cond"] {
            conditions(node.text(name).unwrap_or_default(), &alias, &mut wish);
        }
        // What joins and sorts it stands above it.
        for other in &nodes {
            for name in ["Hash Cond", "Merge Cond", "Join Filter"] {
                conditions(other.text(name).unwrap_or_default(), &alias, &mut wish);
            }
            if wish.sort.is_empty() {
                wish.sort = sorted(other, &alias);
            }
        }
        wish.output = listed(node, "Output", &alias);
        let empty = wish.equal.is_empty() && wish.range.is_empty() && wish.sort.is_empty();
        if !empty || !wish.contains.is_empty() || !wish.like.is_empty() || !wish.constant.is_empty()
        {
            found.push(wish);
        }
    }
    found
}

fn conditions(text: &str, alias: &str, wish: &mut Wish) {
    let text = PATTERNS.literal.replace_all(text, "''");
    let of_alias = |name: &str| bare(name) == alias;
    for found in PATTERNS.left.captures_iter(&text).filter(|found| of_alias(&found[1])) {
        let list = match &found[3] {
            "=" => &mut wish.equal,
            "@>" | "<@" | "?" | "&&" => &mut wish.contains,
            "~~" | "~~*" => &mut wish.like,
            _ => &mut wish.range,
        };
        push(list, bare(&found[2]));
    }
    for found in PATTERNS.right.captures_iter(&text).filter(|found| of_alias(&found[2])) {
        let list = if &found[1] == "=" { &mut wish.equal } else { &mut wish.range };
        push(list, bare(&found[3]));
    }
    for found in PATTERNS.null.captures_iter(&text).filter(|found| of_alias(&found[1])) {
        push(&mut wish.constant, format!("{} IS NULL", quoted(&bare(&found[2]))));
    }
    for found in PATTERNS.alone.captures_iter(&text).filter(|found| of_alias(&found[1])) {
        push(&mut wish.constant, quoted(&bare(&found[2])));
    }
}

fn push(list: &mut Vec<String>, column: String) {
    if !list.contains(&column) {
        list.push(column);
    }
}

fn sorted(node: &Node, alias: &str) -> Vec<String> {
    let keys = node.more.get("Sort Key").and_then(|keys| keys.as_array());
    let all = keys.map_or(0, Vec::len);
    let ours = listed(node, "Sort Key", alias);
    if ours.len() == all { ours } else { Vec::new() }
}

/// The plain columns of that table in a list of a node.
fn listed(node: &Node, list: &str, alias: &str) -> Vec<String> {
    let items = node.more.get(list).and_then(|items| items.as_array());
    let items = items.into_iter().flatten().filter_map(|item| item.as_str());
    items
        .filter_map(|item| PATTERNS.qualified.captures(item))
        .filter(|found| bare(&found[1]) == alias)
        .map(|found| bare(&found[2]))
        .collect()
}

/// The columns that a statement sets: an index on one of them makes its updates touch every index.
pub(super) fn updated(statement: &Statement) -> Vec<String> {
    static SET: LazyLock<[Regex; 2]> = LazyLock::new(|| {
        let regex = |text: &str| Regex::new(text).expect("a pattern of ours");
        [
            regex(r"(?is)\bset\b(.*?)(?:\bwhere\b|\bfrom\b|\breturning\b|$)"),
            regex(&format!(r"(?i)(?:^|,)\s*({COLUMN})\s*=")),
        ]
    });
    if statement.word != "UPDATE" {
        return Vec::new();
    }
    let set = SET[0].captures(&statement.text).map(|found| found[1].to_owned());
    let set = set.unwrap_or_default();
    let columns = SET[1].captures_iter(&set).map(|found| {
        let name = &found[1];
        if name.starts_with('"') { bare(name) } else { name.to_lowercase() }
    });
    columns.collect()
}

/// Candidates, the most wanted first: what is compared for equality, then one range or the order of a sort.
pub(super) fn candidates(wishes: &[Wish], facts: &Facts, updated: &[String]) -> Vec<Candidate> {
    let mut wanted: BTreeMap<String, f64> = BTreeMap::new();
    for wish in wishes {
        for column in &wish.equal {
            *wanted.entry(column.clone()).or_default() += wish.calls;
        }
    }
    let mut found: Vec<Candidate> = Vec::new();
    for wish in wishes {
        for candidate in of_wish(wish, &wanted) {
            add(&mut found, candidate);
        }
    }
    let hot = facts.hot_updates > 0.0;
    found.retain(|one| {
        let known = one.columns.iter().all(|column| facts.columns.contains(column));
        let breaks_hot = hot && one.columns.iter().any(|column| updated.contains(column));
        known && !breaks_hot && !is_there(one, facts)
    });
    found.sort_by(|a, b| b.calls.total_cmp(&a.calls).then(b.columns.len().cmp(&a.columns.len())));
    found.truncate(MOST);
    found
}

fn add(found: &mut Vec<Candidate>, candidate: Candidate) {
    let same = |one: &&mut Candidate| {
        (&one.columns, one.method, &one.condition)
            == (&candidate.columns, candidate.method, &candidate.condition)
    };
    match found.iter_mut().find(same) {
        Some(one) => one.calls += candidate.calls,
        None => found.push(candidate),
    }
}

/// An index whose first columns are these does the same already.
fn is_there(candidate: &Candidate, facts: &Facts) -> bool {
    candidate.method == "btree"
        && candidate.condition.is_none()
        && facts.indexes.iter().any(|keys| keys.starts_with(&candidate.columns))
}

fn of_wish(wish: &Wish, wanted: &BTreeMap<String, f64>) -> Vec<Candidate> {
    let mut equal = wish.equal.clone();
    // What more statements compare goes first, so that one index serves them too.
    let weight = |column: &String| wanted.get(column).copied().unwrap_or_default();
    equal.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then(a.cmp(b)));
    equal.truncate(WIDEST);
    let last: Vec<&String> = wish.range.iter().chain(wish.sort.first()).collect();
    let mut found = Vec::new();
    for order in permuted(&equal) {
        for tail in last.iter().map(Some).chain([None]) {
            let mut columns = order.clone();
            if let Some(tail) = tail
                && !columns.contains(tail)
                && columns.len() < WIDEST
            {
                columns.push((**tail).clone());
            }
            if !columns.is_empty() {
                found.push(btree(wish, &equal, columns));
            }
        }
    }
    for column in &wish.contains {
        found.push(gin(wish, column, "", format!("{column} is searched for what it contains")));
    }
    for column in &wish.like {
        let reason = format!("{column} is searched with LIKE; needs the extension pg_trgm");
        found.push(gin(wish, column, "gin_trgm_ops", reason));
    }
    partial(wish, &mut found);
    found
}

fn btree(wish: &Wish, equal: &[String], columns: Vec<String>) -> Candidate {
    let (same, rest): (Vec<&String>, Vec<&String>) =
        columns.iter().partition(|one| equal.contains(one));
    let list = |columns: &[&String]| {
        columns.iter().map(|column| column.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut reasons = Vec::new();
    if !same.is_empty() {
        reasons.push(format!("{} compared for equality", list(&same)));
    }
    for column in rest {
        let how = if wish.range.contains(column) { "compared as a range" } else { "sorted by" };
        reasons.push(format!("{column} {how}"));
    }
    Candidate {
        method: "btree",
        columns,
        class: "",
        include: Vec::new(),
        condition: None,
        reason: reasons.join(", then "),
        calls: wish.calls,
    }
}

fn gin(wish: &Wish, column: &str, class: &'static str, reason: String) -> Candidate {
    Candidate {
        method: "gin",
        columns: vec![column.to_owned()],
        class,
        include: Vec::new(),
        condition: None,
        reason,
        calls: wish.calls,
    }
}

/// A condition that is the same in every call can be the index's own.
fn partial(wish: &Wish, found: &mut Vec<Candidate>) {
    if wish.constant.is_empty() {
        return;
    }
    let condition = wish.constant.join(" AND ");
    let mut more: Vec<Candidate> =
        found.iter().filter(|one| one.method == "btree").cloned().collect();
    for one in &mut more {
        one.reason = format!("{}, only where {condition}", one.reason);
        one.condition = Some(condition.clone());
    }
    found.extend(more);
}

/// Every order of at most three columns, the given one first.
fn permuted(columns: &[String]) -> Vec<Vec<String>> {
    if columns.len() <= 1 {
        return vec![columns.to_vec()];
    }
    let mut found = Vec::new();
    for (at, first) in columns.iter().enumerate() {
        let mut rest = columns.to_vec();
        rest.remove(at);
        for mut order in permuted(&rest) {
            order.insert(0, first.clone());
            found.push(order);
        }
    }
    found
}

#[cfg(test)]
mod tests;
