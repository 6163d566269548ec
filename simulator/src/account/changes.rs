//! `data.previous_attributes`: what an object had before.

use serde_json::{Map, Value};

/// The properties of `before` that `after` has no longer or has otherwise. Hashes are compared inside; of an array that changed the
/// whole previous one is given; a property that is new has the value null.
pub(crate) fn previous_attributes(before: &Value, after: &Value) -> Map<String, Value> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => difference(before, after),
        _ => Map::new(),
    }
}

fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut changed = Map::new();
    for (name, old) in before {
        match (old, after.get(name)) {
            (_, Some(new)) if old == new => {}
            (Value::Object(old), Some(Value::Object(new))) if same_object(old, new) => {
                changed.insert(name.clone(), Value::Object(difference(old, new)));
            }
            _ => {
                changed.insert(name.clone(), old.clone());
            }
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        changed.insert(name.clone(), Value::Null);
    }
    changed
}

/// Whether two hashes are states of one thing. An embedded object that was replaced by another is given whole.
fn same_object(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    old.get("id") == new.get("id")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_is_named() {
        let before =
            json!({"a": 1, "b": null, "m": {"x": "1", "y": "2"}, "l": [1, 2], "p": {"id": "p1", "v": 1}, "gone": 3});
        let after = json!({"a": 1, "b": 5, "m": {"x": "1", "z": "3"}, "l": [1], "p": {"id": "p2", "v": 1}, "new": 4});
        assert_eq!(
            Value::Object(previous_attributes(&before, &after)),
            json!({"b": null, "m": {"y": "2", "z": null}, "l": [1, 2], "p": {"id": "p1", "v": 1}, "gone": 3, "new": null})
        );
        assert!(previous_attributes(&before, &before).is_empty());
    }
}
