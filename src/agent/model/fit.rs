//! Makes what a look saw short enough: the longest list is halved until all fits, and each says how many it lost.

use super::node::{Lexicon, Mode, Node, Writer};
use super::redact::Redactor;

/// Of one look's result as JSON, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;
/// A list is cut to this at first; the writer would cut it a little later, and forget what was cut before.
const LONGEST_LIST: usize = 39;
const LEFT_OUT: &str = "left_out";

/// The same, short enough.
pub(super) fn fitted(mut node: Node, redactor: &Redactor) -> Node {
    shorten_all(&mut node);
    while length(&node, redactor) > LONGEST {
        let mut longest = (0, Vec::new());
        find_longest(&node, Vec::new(), &mut longest, redactor);
        let (count, at) = longest;
        let Some(list) = list_at(&mut node, &at).filter(|_| count > 0) else {
            let text = "it is too long; ask for less, by an argument or by another tool";
            return Node::map([("nothing", Node::ours(text))]);
        };
        shorten(list, count / 2);
    }
    node
}

fn length(node: &Node, redactor: &Redactor) -> usize {
    let mut apart = Lexicon::default();
    Writer { mode: Mode::Shown, redactor, lexicon: &mut apart }.write(node).to_string().len()
}

/// Goes down where most is, and finds the list with the most entries on the way. A list in a list is a row of a
/// table, which stays whole.
fn find_longest(node: &Node, at: Vec<usize>, found: &mut (usize, Vec<usize>), of: &Redactor) {
    if let Node::List(items) = node
        && entries(items) > found.0
    {
        *found = (entries(items), at.clone());
    }
    let longest = parts(node).into_iter().enumerate().max_by_key(|(_, part)| length(part, of));
    let Some((index, part)) = longest else { return };
    if !matches!((node, part), (Node::List(_), Node::List(_))) {
        find_longest(part, at.into_iter().chain([index]).collect(), found, of);
    }
}

fn parts(node: &Node) -> Vec<&Node> {
    match node {
        Node::List(items) => items.iter().collect(),
        Node::Map(parts) => parts.iter().map(|(_, part)| part).collect(),
        Node::Ours(_) | Node::Figure(_) | Node::Text(_) => Vec::new(),
    }
}

fn list_at<'a>(mut node: &'a mut Node, at: &[usize]) -> Option<&'a mut Vec<Node>> {
    for index in at {
        node = match node {
            Node::List(items) => items.get_mut(*index)?,
            Node::Map(parts) => &mut parts.get_mut(*index)?.1,
            Node::Ours(_) | Node::Figure(_) | Node::Text(_) => return None,
        };
    }
    if let Node::List(items) = node { Some(items) } else { None }
}

fn shorten_all(node: &mut Node) {
    match node {
        Node::List(items) => {
            shorten(items, LONGEST_LIST);
            items.iter_mut().for_each(shorten_all);
        }
        Node::Map(parts) => parts.iter_mut().for_each(|(_, part)| shorten_all(part)),
        Node::Ours(_) | Node::Figure(_) | Node::Text(_) => {}
    }
}

/// Keeps so many entries, and says how many are left out in all.
fn shorten(items: &mut Vec<Node>, keep: usize) {
    let before = left_out(items);
    let count = entries(items);
    if count <= keep {
        return;
    }
    items.truncate(keep);
    items.push(Node::map([(LEFT_OUT, Node::figure(before + (count - keep) as u64))]));
}

/// How many it has, without the word about those it lost.
fn entries(items: &[Node]) -> usize {
    items.len() - usize::from(left_out(items) > 0)
}

fn left_out(items: &[Node]) -> u64 {
    match items.last() {
        Some(Node::Map(parts)) => match parts.as_slice() {
            [(name, Node::Figure(count))] if name == LEFT_OUT => count.as_u64().unwrap_or(0),
            _ => 0,
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::agent::Share;

    fn fit(value: Value) -> Value {
        let redactor = Redactor::new([], Share::Evidence);
        let node = fitted(Node::observed(value), &redactor);
        let written =
            Writer { mode: Mode::Shown, redactor: &redactor, lexicon: &mut Lexicon::default() }
                .write(&node);
        assert!(written.to_string().len() <= LONGEST, "{} bytes", written.to_string().len());
        written
    }

    #[test]
    fn what_is_short_stays_as_it_is() {
        let small = json!({"figures": {"a": 1}, "rows": [[1, 2], [3, 4]]});
        assert_eq!(fit(small.clone()), small);
        assert_eq!(fit(json!({})), json!({}));
    }

    #[test]
    fn the_longest_list_gives_way_and_says_how_many_are_left_out() {
        let wide: Vec<Value> =
            (0..100).map(|n| json!(["x".repeat(200), n, "y".repeat(200)])).collect();
        let told = fit(json!({"parts": [{"short": [1, 2, 3]}, {"rows": wide}]}));
        assert_eq!(told["parts"][0]["short"], json!([1, 2, 3]));
        let rows = told["parts"][1]["rows"].as_array().unwrap();
        assert_eq!(rows[0].as_array().map(Vec::len), Some(3), "a row stays whole");
        let left_out = rows.last().unwrap()["left_out"].as_u64().unwrap();
        assert_eq!(rows.len() as u64 - 1 + left_out, 100);
        assert!(rows.len() > 10, "no more is cut than must be: {}", rows.len());
    }

    #[test]
    fn what_cannot_be_cut_says_so_instead() {
        let map: serde_json::Map<String, Value> =
            (0..200).map(|n| (format!("name_{n}"), json!("y".repeat(200)))).collect();
        assert!(fit(Value::Object(map))["nothing"].as_str().unwrap().starts_with("it is too long"));
        fit(json!({"deep": vec![vec![vec!["z".repeat(200); 39]; 39]; 39]}));
    }
}
