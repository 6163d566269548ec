//! What one change between two API versions does to an object, undone.

use serde_json::{Map, Value};

use super::Related;

/// Computes an older property from the object in its newest shape.
pub(super) type Derivation = fn(&Map<String, Value>, &dyn Related) -> Value;

/// How an older shape differs from the newest. Values are always taken from the newest shape, so that the order does not matter.
pub(super) enum Rule {
    /// A property the older shape does not have.
    Drop(&'static str),
    /// An older property whose value now stands elsewhere: the first of the paths (`parent.quote_details.quote`, `refunds.0.refund`) with a
    /// value, else null.
    Copy(&'static str, &'static [&'static str]),
    /// An older property that was always null for what the simulator does.
    Null(&'static str),
    /// An older property that only other objects know.
    Link(&'static str),
    /// An older property that holds a whole object where the newest shape has its id: property, kind, path of the id.
    Inline(&'static str, &'static str, &'static str),
    /// An older property that is computed.
    Derive(&'static str, Derivation),
    /// A property whose values were renamed: (newest, older).
    Values(&'static str, &'static [(&'static str, &'static str)]),
}

impl Rule {
    /// Applies the rule to `target`, a copy of `source` of this kind.
    pub(super) fn apply(
        &self,
        kind: &str,
        source: &Map<String, Value>,
        target: &mut Map<String, Value>,
        related: &dyn Related,
    ) {
        let (property, value) = match *self {
            Self::Drop(property) => {
                target.remove(property);
                return;
            }
            Self::Copy(property, paths) => (property, first_value(source, paths)),
            Self::Null(property) => (property, Value::Null),
            Self::Link(property) => (property, related.link(kind, text(source, "id"), property)),
            Self::Inline(property, other, path) => (property, inline(source, other, path, related)),
            Self::Derive(property, derivation) => (property, derivation(source, related)),
            Self::Values(property, names) => (property, renamed(source, property, names)),
        };
        target.insert(property.to_owned(), value);
    }
}

/// The value at a dotted path; a number is a position in an array.
pub(super) fn at<'a>(source: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut steps = path.split('.');
    let first = source.get(steps.next()?)?;
    steps.try_fold(first, |value, step| match value {
        Value::Object(map) => map.get(step),
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A text property; "" when it is absent or no text.
pub(super) fn text<'a>(source: &'a Map<String, Value>, property: &str) -> &'a str {
    source.get(property).and_then(Value::as_str).unwrap_or_default()
}

fn first_value(source: &Map<String, Value>, paths: &[&str]) -> Value {
    paths.iter().filter_map(|path| at(source, path)).find(|value| !value.is_null()).cloned().unwrap_or(Value::Null)
}

fn inline(source: &Map<String, Value>, kind: &str, path: &str, related: &dyn Related) -> Value {
    match at(source, path) {
        Some(Value::String(id)) => related.object(kind, id).unwrap_or(Value::Null),
        Some(expanded) => expanded.clone(),
        None => Value::Null,
    }
}

fn renamed(source: &Map<String, Value>, property: &str, names: &[(&str, &str)]) -> Value {
    let value = source.get(property).cloned().unwrap_or(Value::Null);
    let older = names.iter().find(|(newest, _)| value.as_str() == Some(newest));
    older.map_or(value, |(_, older)| Value::from(*older))
}
