//! What a waiting expression says about where to look for it.

use jiff::Timestamp;
use serde_json::Value;

use super::evaluate::{Frame, evaluate};
use super::functions::Function;
use super::meter::Meter;
use super::tree::{Binary, Node, Tree};
use super::value::spelled;

/// An event can only make the expression true when it has this text at this path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// Names with dots between them, from the event down: `data.object.customer`.
    pub path: String,
    /// The text that has to stand there.
    pub value: String,
}

/// The text at a path such as `data.id`, if the event has one there.
///
/// ```
/// let event = serde_json::json!({"name": "invoice/paid", "data": {"object": {"customer": "cus_1"}}});
/// assert_eq!(billhook_flow::expression::at_path(&event, "data.object.customer"), Some("cus_1"));
/// assert_eq!(billhook_flow::expression::at_path(&event, "data.object"), None);
/// ```
pub fn at_path<'e>(event: &'e Value, path: &str) -> Option<&'e str> {
    path.split('.').try_fold(event, |at, name| at.as_object()?.get(name))?.as_str()
}

/// The first condition that compares a path of `async` with a text of the event. A text of the event comes before one of the expression
/// itself, which fits more events.
pub(super) fn correlation(tree: &Tree, event: &Value, now: Timestamp) -> Option<Correlation> {
    let mut conditions = Vec::new();
    conjuncts(tree, &mut conditions);
    let of_event = |side: &Tree| side.mentions(|node| matches!(node, Node::Event));
    conditions.sort_by_key(|(_, side)| !of_event(side));
    conditions.into_iter().find_map(|(path, side)| {
        let frame = Frame { event, other: None, now, meter: &Meter::new(), local: None };
        let value = evaluate(side, frame).ok()?;
        match value.value()? {
            // A text that is a number also equals the number, which is no text and would not be found.
            Value::String(text) if spelled(text).is_none() => Some(Correlation { path, value: text.clone() }),
            _ => None,
        }
    })
}

/// Conditions of the form `async.path == side` that all have to hold, from left to right.
fn conjuncts<'t>(tree: &'t Tree, found: &mut Vec<(String, &'t Tree)>) {
    match &tree.node {
        Node::All(parts) => parts.iter().for_each(|part| conjuncts(part, found)),
        Node::Binary(Binary::Equal, left, right) => {
            for (path, side) in [(left, right), (right, left)] {
                if let Some(path) = path_of_other(path)
                    && !side.mentions(varies)
                {
                    found.push((path, side));
                }
            }
        }
        _ => {}
    }
}

/// What is not the same when the wait begins and when the event comes.
fn varies(node: &Node) -> bool {
    matches!(node, Node::Other | Node::Call(Function::Now | Function::NowPlus | Function::NowMinus, _))
}

/// The path of `async.a.b`: names only, none with a dot in it.
fn path_of_other(tree: &Tree) -> Option<String> {
    let mut names = Vec::new();
    let mut at = tree;
    while let Node::Index(object, key) = &at.node {
        match &key.node {
            Node::Literal(Value::String(name)) if !name.contains('.') => names.push(name.as_str()),
            _ => return None,
        }
        at = object;
    }
    names.reverse();
    (matches!(at.node, Node::Other) && !names.is_empty()).then(|| names.join("."))
}
