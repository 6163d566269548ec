//! Whether two JSON texts describe the same state of one object.
//!
//! A stored row and a fresh read rarely agree byte for byte: PostgreSQL reorders keys and rewrites numbers, an event shows a
//! reference as an id where a list shows it expanded, and embedded lists are cut. What is compared is what the texts mean.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use billhook_stripe::json::sanitise;
use serde_json::value::RawValue;

use crate::object::{Fields, ListObject, text_of};

/// Whether the two texts were rendered by the same version of Stripe's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shapes {
    /// Same version, or unknown: a property that only one side has is a difference.
    Same,
    /// Different versions: only what both sides show can be compared.
    Different,
}

/// Properties whose value Stripe makes anew with every read: links that carry a fresh signature.
const SIGNED_LINKS: &[(&str, &str)] = &[
    ("charge", "receipt_url"),
    ("invoice", "hosted_invoice_url"),
    ("invoice", "invoice_pdf"),
    ("credit_note", "pdf"),
    ("checkout.session", "url"),
    ("file", "url"),
    ("identity.verification_session", "url"),
];

/// What only keys with write access see: null to all others, whatever its value.
const WITHHELD: &str = "client_secret";

/// Names of the top-level properties that differ, in order; empty when both texts describe the same state.
///
/// Of no weight are: the order of keys, the form of numbers and escapes, `null` or nothing, a reference or the object it leads
/// to, an embedded list that only one side was asked for, elements beyond the end of a list that says that it goes on, and
/// links that are signed anew with every read. Texts that are no JSON objects differ in `""` unless they are equal.
pub fn differing(kind: &str, stored: &str, read: &str, shapes: Shapes) -> Vec<String> {
    if stored == read {
        return Vec::new();
    }
    let (stored, read) = (storable(stored), storable(read));
    let (Some(stored), Some(read)) = (Fields::parse(&stored), Fields::parse(&read)) else {
        return vec![String::new()];
    };
    pairs(&stored, &read)
        .into_iter()
        .filter(|(name, (stored, read))| !is_same_property(kind, name, *stored, *read, shapes))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The text as a database holds it; what cannot be stored is compared as it is.
fn storable(text: &str) -> Cow<'_, str> {
    sanitise(text).map_or(Cow::Borrowed(text), |sanitised| sanitised.text)
}

type Sides<'a> = (Option<&'a RawValue>, Option<&'a RawValue>);

/// Every property that one of the objects has, with both values. A `null` is no value.
fn pairs<'a>(stored: &'a Fields<'_>, read: &'a Fields<'_>) -> BTreeMap<&'a str, Sides<'a>> {
    let value = |raw: &'a RawValue| (raw.get() != "null").then_some(raw);
    let mut pairs: BTreeMap<&str, Sides<'_>> = BTreeMap::new();
    // Of duplicate keys the last wins, so each assignment replaces the one before.
    for (name, raw) in stored.iter() {
        pairs.entry(name).or_default().0 = value(raw);
    }
    for (name, raw) in read.iter() {
        pairs.entry(name).or_default().1 = value(raw);
    }
    pairs
}

fn is_same_property(
    kind: &str,
    name: &str,
    stored: Option<&RawValue>,
    read: Option<&RawValue>,
    shapes: Shapes,
) -> bool {
    match (stored, read) {
        (None, None) => true,
        (Some(stored), Some(read)) => {
            (SIGNED_LINKS.contains(&(kind, name)) && is_text(stored) && is_text(read)) || is_same(stored, read, shapes)
        }
        (Some(only), None) | (None, Some(only)) => {
            shapes == Shapes::Different || name == WITHHELD || is_list_object(only)
        }
    }
}

fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// Whether two values mean the same. The recursion ends at the depth of nesting that a database takes.
fn is_same(stored: &RawValue, read: &RawValue, shapes: Shapes) -> bool {
    if stored.get() == read.get() {
        return true;
    }
    match (Value::of(stored), Value::of(read)) {
        (Value::Object(stored), Value::Object(read)) => is_same_object(&stored, &read, shapes),
        (Value::Array(stored), Value::Array(read)) => {
            stored.len() == read.len() && stored.iter().zip(&read).all(|(stored, read)| is_same(stored, read, shapes))
        }
        (Value::List(stored), Value::List(read)) => is_same_list(&stored, &read, shapes),
        (Value::Text(stored), Value::Text(read)) => stored == read,
        (Value::Text(id), Value::Object(object)) | (Value::Object(object), Value::Text(id)) => {
            object.text("id").is_some_and(|own| own == id)
        }
        (Value::Number(stored), Value::Number(read)) => stored == read,
        _ => false,
    }
}

fn is_same_object(stored: &Fields<'_>, read: &Fields<'_>, shapes: Shapes) -> bool {
    let kind = stored.text("object").unwrap_or_default();
    pairs(stored, read).into_iter().all(|(name, (stored, read))| is_same_property(&kind, name, stored, read, shapes))
}

/// Embedded lists are compared element by element, by id. An element that one side lacks is a difference only when that side
/// claims to show them all.
fn is_same_list(stored: &ListObject<'_>, read: &ListObject<'_>, shapes: Shapes) -> bool {
    let (Some(stored_by_id), Some(read_by_id)) = (by_id(stored), by_id(read)) else {
        let all = !stored.truncated && !read.truncated;
        return (!all || stored.elements.len() == read.elements.len())
            && stored.elements.iter().zip(&read.elements).all(|(stored, read)| is_same(stored, read, shapes));
    };
    let ids: BTreeSet<&Cow<'_, str>> = stored_by_id.keys().chain(read_by_id.keys()).collect();
    ids.into_iter().all(|id| match (stored_by_id.get(id), read_by_id.get(id)) {
        (Some(stored), Some(read)) => is_same(stored, read, shapes),
        (Some(_), None) => read.truncated,
        (None, _) => stored.truncated,
    })
}

/// The elements by id; `None` when one has no id or shares it with another.
fn by_id<'a>(list: &ListObject<'a>) -> Option<BTreeMap<Cow<'a, str>, &'a RawValue>> {
    let mut elements = BTreeMap::new();
    for element in &list.elements {
        let id = Fields::parse(element.get())?.text("id")?.into_owned();
        if elements.insert(Cow::Owned(id), *element).is_some() {
            return None;
        }
    }
    Some(elements)
}

fn is_list_object(raw: &RawValue) -> bool {
    matches!(Value::of(raw), Value::List(_))
}

/// A value, read one level deep.
enum Value<'a> {
    Object(Fields<'a>),
    List(ListObject<'a>),
    Array(Vec<&'a RawValue>),
    Text(Cow<'a, str>),
    Number(Decimal<'a>),
    Other,
}

impl<'a> Value<'a> {
    fn of(raw: &'a RawValue) -> Self {
        let text = raw.get();
        let value = match text.as_bytes().first() {
            Some(b'{') => Fields::parse(text).map(|fields| match is_list(&fields).then(|| ListObject::parse(raw)) {
                Some(Some(list)) => Self::List(list),
                _ => Self::Object(fields),
            }),
            Some(b'[') => serde_json::from_str(text).ok().map(Self::Array),
            Some(b'"') => text_of(raw).map(Self::Text),
            Some(b'-' | b'0'..=b'9') => Decimal::parse(text).map(Self::Number),
            _ => None,
        };
        value.unwrap_or(Self::Other)
    }
}

fn is_list(fields: &Fields<'_>) -> bool {
    fields.text("object").is_some_and(|object| object == "list")
}

/// A number as its sign, its significant digits and the power of ten they are multiplied with. Exact at any length.
#[derive(Debug, PartialEq, Eq)]
struct Decimal<'a> {
    negative: bool,
    digits: Cow<'a, str>,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (digits, decimals) = match mantissa.split_once('.') {
            Some((whole, decimals)) => (Cow::Owned(format!("{whole}{decimals}")), decimals.len()),
            None => (Cow::Borrowed(mantissa), 0),
        };
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { negative: false, digits: Cow::Borrowed(""), exponent: 0 });
        }
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        let exponent =
            exponent.checked_sub(i64::try_from(decimals).ok()?)?.checked_add(i64::try_from(trailing).ok()?)?;
        Some(Self { negative, digits: Cow::Owned(significant.to_owned()), exponent })
    }
}

#[cfg(test)]
mod tests;
