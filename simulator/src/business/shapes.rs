//! New objects, complete as Stripe sends them.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// An object's properties.
pub(crate) type Object = Map<String, Value>;

/// For each kind an object with every property that Stripe always sends, in the newest shape, at its default.
const TEXT: &str = include_str!("shapes.json");

static SHAPES: LazyLock<HashMap<String, Object>> = LazyLock::new(|| match serde_json::from_str(TEXT) {
    Ok(shapes) => shapes,
    Err(error) => unreachable!("the tests of this crate read the same text: {error}"),
});

/// A new object of a kind, without id and times, with some properties set. A kind without a template begins with `object` alone.
pub(crate) fn shape(kind: &str, with: Value) -> Object {
    let mut object = SHAPES.get(kind).cloned().unwrap_or_default();
    object.insert("object".to_owned(), Value::from(kind));
    set(&mut object, with);
    object
}

/// Sets properties of an object. `with` is a JSON object; anything else sets nothing.
pub(crate) fn set(object: &mut Object, with: Value) {
    if let Value::Object(with) = with {
        object.extend(with);
    }
}

/// Every kind that has a template, with the template. For tests.
pub fn templates() -> impl Iterator<Item = (&'static str, &'static Map<String, Value>)> {
    SHAPES.iter().map(|(kind, shape)| (kind.as_str(), shape))
}

/// A list of `data`, as it stands inside another object.
pub(crate) fn list(data: Vec<Value>, url: String) -> Value {
    serde_json::json!({ "object": "list", "data": data, "has_more": false, "url": url })
}
