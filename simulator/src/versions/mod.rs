//! Objects in the shapes of older API versions.
//!
//! The account stores every object in the newest shape. [`render`] gives the shape another version has: what has moved, was removed or
//! renamed since then is data in `drift`, the few values that have to be computed stand in `derive`. Nested objects are rendered too.
//! Properties that were merely added later stay, because Stripe adds them to every version.

mod derive;
mod drift;
mod rule;

use serde_json::{Map, Value};

/// The version whose shape is stored; rendering it changes nothing.
pub const NEWEST: &str = "2026-10-28.endive";

/// The versions the simulator's deliveries are tested with, oldest first.
pub const SHAPES: [&str; 5] = ["2020-08-27", "2024-09-30.acacia", "2025-03-31.basil", "2026-03-25.dahlia", NEWEST];

/// What an older shape says about an object and the object itself no longer holds.
pub trait Related {
    /// Another object in its newest shape, for shapes that carry it inside (`discount.coupon`); `None` when there is none.
    fn object(&self, kind: &str, id: &str) -> Option<Value>;

    /// The value of an older property of one object (`invoice` of a charge); null when there is none.
    fn link(&self, kind: &str, id: &str, property: &str) -> Value;
}

/// Knows no other objects: every link is null. For objects that stand alone, and for tests.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Related for Alone {
    fn object(&self, _kind: &str, _id: &str) -> Option<Value> {
        None
    }

    fn link(&self, _kind: &str, _id: &str, _property: &str) -> Value {
        Value::Null
    }
}

/// Renders an object of the newest shape, with everything inside it, as `version` (`2025-03-31.basil`) has it.
///
/// A version between two known ones gets the shape of its time: what changed after its date is undone.
pub fn render(object: &Value, version: &str, related: &dyn Related) -> Value {
    let mut rendered = object.clone();
    if !is_newest(version) {
        downgrade(&mut rendered, version, related);
    }
    rendered
}

/// Whether objects look the same in a version as in the newest, so that stored bytes can be sent as they are.
pub fn is_newest(version: &str) -> bool {
    date_of(version) >= drift::LAST_BREAK
}

/// `2025-03-31` of `2025-03-31.basil`: versions are ordered by their date.
fn date_of(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn downgrade(value: &mut Value, version: &str, related: &dyn Related) {
    match value {
        Value::Object(map) => {
            if !is_deletion_stub(map) {
                drift::undo(map, date_of(version), related);
            }
            map.values_mut().for_each(|inner| downgrade(inner, version, related));
        }
        Value::Array(values) => values.iter_mut().for_each(|inner| downgrade(inner, version, related)),
        _ => {}
    }
}

/// `{id, object, deleted: true}` has no other properties in any version.
fn is_deletion_stub(map: &Map<String, Value>) -> bool {
    map.len() <= 3 && map.get("deleted") == Some(&Value::Bool(true))
}
