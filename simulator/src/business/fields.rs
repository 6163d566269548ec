//! Reading the properties of objects.

use serde_json::{Map, Value};

/// Typed looks into an object. A property that is absent or of another type reads as empty.
pub(crate) trait Fields {
    /// A property as it stands; null when absent.
    fn value(&self, name: &str) -> &Value;

    /// A text, "" otherwise.
    fn text(&self, name: &str) -> &str {
        self.value(name).as_str().unwrap_or_default()
    }

    /// An integer, 0 otherwise.
    fn int(&self, name: &str) -> i64 {
        self.time(name).unwrap_or(0)
    }

    /// An integer that may be null, such as a time.
    fn time(&self, name: &str) -> Option<i64> {
        self.value(name).as_i64()
    }

    /// A boolean, false otherwise.
    fn flag(&self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or(false)
    }

    /// A reference: an id, or the id of what is expanded in its place.
    fn reference(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Value::String(id) => Some(id),
            Value::Object(expanded) => expanded.get("id")?.as_str(),
            _ => None,
        }
    }

    /// The elements of an embedded list or of an array.
    fn elements(&self, name: &str) -> &[Value] {
        let value = self.value(name);
        value.get("data").unwrap_or(value).as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether the property has a value.
    fn is_set(&self, name: &str) -> bool {
        !self.value(name).is_null()
    }
}

impl Fields for Map<String, Value> {
    fn value(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

impl Fields for Value {
    fn value(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}
