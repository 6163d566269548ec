//! From a JSON value to a column's type. What does not fit becomes NULL and is counted; `_raw_data` keeps the truth.

use std::borrow::Cow;

use billhook_core::row::Value;
use billhook_core::table::{Column, ColumnType, Expression, Segment, Source};
use serde_json::value::RawValue;

use crate::object::{Fields, text_of};
use crate::projection::{ID_BYTES_MAX, Simple};

/// A converted value.
#[derive(Debug, PartialEq)]
pub enum Converted {
    /// It fits; a JSON `null` and an absent value are SQL NULL.
    Value(Value),
    /// It does not fit.
    Mismatch,
}

/// Converts a property that feeds a column directly. `object` is the text that the row keeps.
pub fn simple(column: &Column, kind: Simple, raw: &RawValue, object: &str) -> Converted {
    match kind {
        Simple::Value => value(column, raw, object),
        Simple::Id => reference(raw),
    }
}

/// Evaluates one way to compute a column. `object` is the text that the row keeps.
pub fn evaluate(column: &Column, expression: &Expression, fields: &Fields<'_>, object: &str) -> Converted {
    match expression {
        Expression::Value(path) => at(path, fields, |raw| value(column, raw, object)),
        Expression::Id(path) => at(path, fields, reference),
        Expression::Equals(path, literal) => at(path, fields, |raw| match text_of(raw) {
            Some(text) => Converted::Value(Value::Boolean(text == *literal)),
            None if raw.get() == "null" => Converted::Value(Value::Null),
            None => Converted::Mismatch,
        }),
        Expression::Sum(path) => {
            aggregate(path, fields, |numbers| numbers.iter().try_fold(0_i64, |sum, number| sum.checked_add(*number)))
        }
        Expression::Min(path) => aggregate(path, fields, |numbers| numbers.iter().min().copied()),
        Expression::Max(path) => aggregate(path, fields, |numbers| numbers.iter().max().copied()),
    }
}

/// The id of a reference: the string itself, or the `id` of an expanded or deleted object.
pub fn id_of(raw: &RawValue) -> Option<String> {
    match text_of(raw) {
        Some(text) => Some(text.into_owned()),
        None => Fields::parse(raw.get())?.text("id").map(Cow::into_owned),
    }
}

fn reference(raw: &RawValue) -> Converted {
    if raw.get() == "null" {
        return Converted::Value(Value::Null);
    }
    // Longer than any id can be: no row has it, and the index of the column could not hold it.
    let id = id_of(raw).filter(|id| id.len() <= ID_BYTES_MAX);
    id.map_or(Converted::Mismatch, |id| Converted::Value(Value::Text(id)))
}

fn at(path: &[Segment], fields: &Fields<'_>, convert: impl FnOnce(&RawValue) -> Converted) -> Converted {
    let mut result = Converted::Value(Value::Null);
    let mut convert = Some(convert);
    walk(path, fields, &mut |raw| {
        if let Some(convert) = convert.take() {
            result = convert(raw);
        }
    });
    result
}

fn aggregate(path: &[Segment], fields: &Fields<'_>, combine: impl FnOnce(&[i64]) -> Option<i64>) -> Converted {
    let mut numbers = Vec::new();
    let mut mismatch = false;
    walk(path, fields, &mut |raw| match raw.get().parse() {
        Ok(number) => numbers.push(number),
        Err(_) => mismatch |= raw.get() != "null",
    });
    match combine(&numbers) {
        _ if mismatch => Converted::Mismatch,
        _ if numbers.is_empty() => Converted::Value(Value::Null),
        Some(number) => Converted::Value(Value::BigInt(number)),
        None => Converted::Mismatch,
    }
}

/// Visits every value a path leads to. What is absent or of another shape is passed over.
fn walk(path: &[Segment], fields: &Fields<'_>, visit: &mut dyn FnMut(&RawValue)) {
    if let Some((Segment::Key(key), rest)) = path.split_first()
        && let Some(raw) = fields.get(key)
    {
        walk_value(rest, raw, visit);
    }
}

fn walk_value(path: &[Segment], raw: &RawValue, visit: &mut dyn FnMut(&RawValue)) {
    let Some((segment, rest)) = path.split_first() else { return visit(raw) };
    if let Segment::Key(_) = segment {
        if let Some(fields) = Fields::parse(raw.get()) {
            walk(path, &fields, visit);
        }
        return;
    }
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else { return };
    match segment {
        Segment::Index(index) => {
            if let Some(element) = elements.get(*index) {
                walk_value(rest, element, visit);
            }
        }
        _ => elements.into_iter().for_each(|element| walk_value(rest, element, visit)),
    }
}

fn value(column: &Column, raw: &RawValue, object: &str) -> Converted {
    let text = raw.get();
    if text == "null" {
        return Converted::Value(Value::Null);
    }
    let converted = match column.column_type {
        ColumnType::Json => Some(json(column, text, object)),
        ColumnType::Text => text_value(&column.name, raw).filter(|text| fits_index(column, text)),
        ColumnType::BigInt => integer(raw).map(Value::BigInt),
        ColumnType::Boolean => text.parse().ok().map(Value::Boolean),
        ColumnType::Numeric | ColumnType::Double => decimal(raw).map(Value::Decimal),
        // Only meta columns have this type, and the store fills them.
        ColumnType::Timestamp => None,
    };
    converted.map_or(Converted::Mismatch, Converted::Value)
}

/// A document. What is a part of the text that the row keeps is not copied: its place says enough.
fn json(column: &Column, text: &str, object: &str) -> Value {
    let place = || {
        let start = text.as_ptr().addr().checked_sub(object.as_ptr().addr())?;
        let range = start..start.checked_add(text.len())?;
        // Two texts that lie side by side in memory are not one in the other.
        (object.get(range.clone())?.as_ptr() == text.as_ptr()).then_some(range)
    };
    let is_own = matches!(column.source, Source::Object(_));
    match place().filter(|_| is_own) {
        Some(range) => Value::InRaw(range),
        None => Value::Json(text.to_owned()),
    }
}

/// Greatest length of a text in an indexed column, in bytes: an entry of PostgreSQL's index ends at 2,704.
const INDEXED_TEXT_BYTES_MAX: usize = 2_000;

fn fits_index(column: &Column, text: &Value) -> bool {
    !column.indexed || !matches!(text, Value::Text(text) if text.len() > INDEXED_TEXT_BYTES_MAX)
}

/// Text columns of the existing engines that hold JSON (`payment_intents`, `plans`, `reviews`).
const JSON_TEXT_COLUMNS: &[&str] =
    &["automatic_payment_methods", "last_payment_error", "next_action", "processing", "transform_usage", "session"];

fn text_value(column: &str, raw: &RawValue) -> Option<Value> {
    match raw.get().as_bytes().first()? {
        b'"' => text_of(raw).map(|text| Value::Text(text.into_owned())),
        b'{' if JSON_TEXT_COLUMNS.contains(&column) => Some(Value::Text(raw.get().to_owned())),
        // An object where an id was expected was expanded on request.
        b'{' => id_of(raw).map(Value::Text),
        b'[' => None,
        // Numbers and booleans read as text: `payouts.arrival_date`, `credit_notes.voided_at`.
        _ => Some(Value::Text(raw.get().to_owned())),
    }
}

fn integer(raw: &RawValue) -> Option<i64> {
    // v2 sends 64-bit integers as strings.
    let text = text_of(raw).unwrap_or(Cow::Borrowed(raw.get()));
    text.parse().ok()
}

/// Greatest length of a decimal, in bytes: far above Stripe's 12 decimals, far below PostgreSQL's 131,072 digits.
const DECIMAL_BYTES_MAX: usize = 80;

fn decimal(raw: &RawValue) -> Option<String> {
    let text = text_of(raw).unwrap_or(Cow::Borrowed(raw.get()));
    let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    (finite && plain && text.len() <= DECIMAL_BYTES_MAX).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_column(indexed: bool) -> Column {
        Column { name: "status".into(), column_type: ColumnType::Text, indexed, source: Source::Null }
    }

    fn quoted(bytes: usize) -> Box<RawValue> {
        RawValue::from_string(format!("{:?}", "x".repeat(bytes))).unwrap()
    }

    #[test]
    fn a_text_too_long_for_an_index_is_null_there_and_kept_elsewhere() {
        let (longest, longer) = (quoted(INDEXED_TEXT_BYTES_MAX), quoted(INDEXED_TEXT_BYTES_MAX + 1));
        assert_ne!(simple(&text_column(true), Simple::Value, &longest, ""), Converted::Mismatch);
        assert_eq!(simple(&text_column(true), Simple::Value, &longer, ""), Converted::Mismatch);
        assert_ne!(simple(&text_column(false), Simple::Value, &longer, ""), Converted::Mismatch);
    }

    #[test]
    fn a_reference_is_no_longer_than_an_id() {
        let column = text_column(false);
        assert_ne!(simple(&column, Simple::Id, &quoted(ID_BYTES_MAX), ""), Converted::Mismatch);
        assert_eq!(simple(&column, Simple::Id, &quoted(ID_BYTES_MAX + 1), ""), Converted::Mismatch);
    }

    #[test]
    fn a_document_of_the_object_is_named_by_its_place() {
        let column = |source| Column { name: "metadata".into(), column_type: ColumnType::Json, indexed: false, source };
        let text = r#"{"id":"cus_1","metadata":{"a":1},"name":"x"}"#;
        let fields = Fields::parse(text).unwrap();
        let metadata = fields.get("metadata").unwrap();
        let own = column(Source::Object(vec![Expression::Value(vec![Segment::Key("metadata".into())])]));
        let Converted::Value(Value::InRaw(range)) = simple(&own, Simple::Value, metadata, text) else {
            panic!("a part")
        };
        assert_eq!(&text[range], r#"{"a":1}"#);

        let copied = Converted::Value(Value::Json(r#"{"a":1}"#.into()));
        let elsewhere = column(Source::Parent(vec!["metadata".into()]));
        assert_eq!(simple(&elsewhere, Simple::Value, metadata, text), copied);
        let another = text.to_owned();
        assert_eq!(simple(&own, Simple::Value, metadata, &another), copied);
        assert_eq!(simple(&own, Simple::Value, metadata, ""), copied);
    }
}
