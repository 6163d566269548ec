//! What values mean: as a condition, as a number, as a text, beside each other.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Number, Value};

use super::meter::Meter;
use super::{ExpressionError, time};

/// A value during an evaluation. What the event already holds is not copied.
#[derive(Debug, Clone)]
pub(super) enum Data<'s> {
    Seen(&'s Value),
    Made(Value),
    Time(Timestamp),
}

impl Data<'_> {
    pub const NULL: Self = Data::Seen(&Value::Null);

    /// The value, unless it is a time.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Seen(value) => Some(value),
            Self::Made(value) => Some(value),
            Self::Time(_) => None,
        }
    }

    /// As JSON; a time as RFC 3339.
    pub fn into_value(self) -> Value {
        match self {
            Self::Seen(value) => value.clone(),
            Self::Made(value) => value,
            Self::Time(time) => Value::String(time.to_string()),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value(), Some(Value::Null))
    }

    /// As a condition, as in JavaScript: null, false, 0 and the empty text are not true, everything else is.
    pub fn is_true(&self) -> bool {
        match self.value() {
            None => true,
            Some(value) => is_true(value),
        }
    }

    /// The text of a text, number, boolean or time.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Time(time) => Some(time.to_string()),
            Self::Seen(value) => text(value),
            Self::Made(value) => text(value),
        }
    }

    /// The same as what a map is asked for. A text is not copied, since it may be long and this is not paid for.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        match self.value() {
            Some(Value::String(text)) => Some(Cow::Borrowed(text)),
            _ => self.text().map(Cow::Owned),
        }
    }

    /// For errors.
    pub fn kind(&self) -> &'static str {
        match self.value() {
            None => "a time",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "a boolean",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(_)) => "a text",
            Some(Value::Array(_)) => "a list",
            Some(Value::Object(_)) => "a map",
        }
    }
}

impl From<bool> for Data<'_> {
    fn from(value: bool) -> Self {
        Self::Made(Value::Bool(value))
    }
}

impl From<String> for Data<'_> {
    fn from(text: String) -> Self {
        Self::Made(Value::String(text))
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(_) => numeric(value).map(Numeric::text),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Most bytes of a text that is read as a number or a time. None that means one is longer, and reading is not paid for.
pub(super) const SPELLED_BYTES_MAX: usize = 64;

/// A number as it is calculated with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Numeric {
    /// Wide enough for every integer of JSON, and for their sums.
    Integer(i128),
    Float(f64),
}

/// Beyond this an integer of JSON is never found, so that floats may be compared as they are.
const FLOAT_AS_INTEGER_MAX: f64 = 1e30;

impl Numeric {
    /// Null when there is no such number in JSON: an integer beyond 64 bits, infinity.
    pub fn into_value(self) -> Option<Value> {
        match self {
            Self::Integer(integer) => Number::from_i128(integer).map(Value::Number),
            Self::Float(float) => Number::from_f64(float).map(Value::Number),
        }
    }

    pub fn as_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }

    /// A float without a fraction is written as an integer, so that 10 and 10.0 are one key.
    fn text(self) -> String {
        match self.whole() {
            Some(integer) => integer.to_string(),
            None => self.as_f64().to_string(),
        }
    }

    /// As an integer, if it is one.
    pub fn whole(self) -> Option<i128> {
        match self {
            Self::Integer(integer) => Some(integer),
            Self::Float(float) if float.fract() == 0.0 && float.abs() < FLOAT_AS_INTEGER_MAX => Some(float as i128),
            Self::Float(_) => None,
        }
    }

    fn order(self, other: Self) -> Option<Ordering> {
        match (self.whole(), other.whole()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => self.as_f64().partial_cmp(&other.as_f64()),
        }
    }
}

/// A number, or a text that is a number as JSON writes it.
pub(super) fn numeric(value: &Value) -> Option<Numeric> {
    let number = match value {
        Value::Number(number) => number,
        Value::String(text) => &spelled(text)?,
        _ => return None,
    };
    number.as_i128().map(Numeric::Integer).or_else(|| number.as_f64().map(Numeric::Float))
}

/// The number that a text spells, without anything around it. A longer text than [`SPELLED_BYTES_MAX`] spells none.
pub(super) fn spelled(text: &str) -> Option<Number> {
    if text.len() > SPELLED_BYTES_MAX {
        return None;
    }
    let plain = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    if plain && text.ends_with(|last: char| last.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Whether two values are equal: numbers by their size, also when one is spelled in a text; everything else only with its own kind.
pub(super) fn equal(left: &Value, right: &Value, meter: &Meter) -> Result<bool, ExpressionError> {
    meter.charge(1)?;
    match (left, right) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::String(left), Value::String(right)) => {
            meter.charge_text(left)?;
            Ok(left == right)
        }
        (Value::Array(left), Value::Array(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            all(left.iter().zip(right), |(left, right)| equal(left, right, meter))
        }
        (Value::Object(left), Value::Object(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            all(left, |(key, value)| {
                meter.charge_text(key)?;
                right.get(key).map_or(Ok(false), |other| equal(value, other, meter))
            })
        }
        (Value::Number(_), _) | (_, Value::Number(_)) => Ok(order(left, right, meter)? == Some(Ordering::Equal)),
        _ => Ok(false),
    }
}

fn all<T>(
    items: impl IntoIterator<Item = T>,
    mut holds: impl FnMut(T) -> Result<bool, ExpressionError>,
) -> Result<bool, ExpressionError> {
    for item in items {
        if !holds(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Which of two values is greater; none when they cannot be compared.
fn order(left: &Value, right: &Value, meter: &Meter) -> Result<Option<Ordering>, ExpressionError> {
    for text in [left, right].into_iter().filter_map(Value::as_str) {
        meter.charge_text(text)?;
    }
    Ok(match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => numeric(left).zip(numeric(right)).and_then(|(left, right)| left.order(right)),
    })
}

/// Whether two values are equal; a time also equals the texts and numbers that mean it.
pub(super) fn data_equal(left: &Data<'_>, right: &Data<'_>, meter: &Meter) -> Result<bool, ExpressionError> {
    match (left.value(), right.value()) {
        (Some(left), Some(right)) => equal(left, right, meter),
        _ => Ok(time::of(left).is_some_and(|left| time::of(right) == Some(left))),
    }
}

/// Which of two values is greater. With a time on one side, the other side is read as one.
pub(super) fn data_order(
    left: &Data<'_>,
    right: &Data<'_>,
    meter: &Meter,
) -> Result<Option<Ordering>, ExpressionError> {
    match (left.value(), right.value()) {
        (Some(left), Some(right)) => order(left, right, meter),
        _ => Ok(time::of(left).zip(time::of(right)).map(|(left, right)| left.cmp(&right))),
    }
}
