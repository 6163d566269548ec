//! Values of older shapes that have to be computed from the newest.

use serde_json::{Map, Value, json};

use super::Related;
use super::rule::at;

type Source = Map<String, Value>;

/// Elements of an embedded list or array at a path.
fn elements<'a>(source: &'a Source, path: &str) -> &'a [Value] {
    at(source, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn integer(value: &Value, property: &str) -> Option<i64> {
    value.get(property)?.as_i64()
}

pub(super) fn period_start(source: &Source, _: &dyn Related) -> Value {
    elements(source, "items.data").iter().filter_map(|item| integer(item, "current_period_start")).min().into()
}

pub(super) fn period_end(source: &Source, _: &dyn Related) -> Value {
    elements(source, "items.data").iter().filter_map(|item| integer(item, "current_period_end")).max().into()
}

/// A subscription had a plan of its own only while it had one item.
pub(super) fn only_plan(source: &Source, _: &dyn Related) -> Value {
    of_only_item(source, "plan")
}

/// As [`only_plan`], for the quantity.
pub(super) fn only_quantity(source: &Source, _: &dyn Related) -> Value {
    of_only_item(source, "quantity")
}

fn of_only_item(source: &Source, property: &str) -> Value {
    match elements(source, "items.data") {
        [item] => item.get(property).cloned().unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

pub(super) fn subscription_details(source: &Source, _: &dyn Related) -> Value {
    match at(source, "parent.subscription_details") {
        Some(Value::Object(details)) => json!({ "metadata": details.get("metadata") }),
        _ => Value::Null,
    }
}

pub(super) fn paid(source: &Source, _: &dyn Related) -> Value {
    (source.get("status").and_then(Value::as_str) == Some("paid")).into()
}

/// The sum of all taxes; null when there are none.
pub(super) fn tax(source: &Source, _: &dyn Related) -> Value {
    match elements(source, "total_taxes") {
        [] => Value::Null,
        taxes => taxes.iter().filter_map(|tax| integer(tax, "amount")).sum::<i64>().into(),
    }
}

pub(super) fn total_tax_amounts(source: &Source, _: &dyn Related) -> Value {
    elements(source, "total_taxes").iter().map(tax_amount).collect()
}

pub(super) fn line_tax_amounts(source: &Source, _: &dyn Related) -> Value {
    elements(source, "taxes").iter().map(tax_amount).collect()
}

fn tax_amount(tax: &Value) -> Value {
    json!({
        "amount": tax.get("amount"),
        "inclusive": tax.get("tax_behavior").and_then(Value::as_str) == Some("inclusive"),
        "tax_rate": tax.pointer("/tax_rate_details/tax_rate"),
        "taxability_reason": tax.get("taxability_reason"),
        "taxable_amount": tax.get("taxable_amount"),
    })
}

/// Details of a line's parent, whichever of the two kinds it is.
fn line_parent<'a>(source: &'a Source, property: &str) -> Option<&'a Value> {
    ["parent.subscription_item_details", "parent.invoice_item_details"]
        .iter()
        .find_map(|path| at(source, path)?.get(property))
}

pub(super) fn line_proration(source: &Source, _: &dyn Related) -> Value {
    line_parent(source, "proration").cloned().unwrap_or(Value::Bool(false))
}

pub(super) fn line_proration_details(source: &Source, _: &dyn Related) -> Value {
    line_parent(source, "proration_details").cloned().unwrap_or_else(|| json!({ "credited_items": null }))
}

pub(super) fn line_type(source: &Source, _: &dyn Related) -> Value {
    match at(source, "parent.type").and_then(Value::as_str) {
        Some("subscription_item_details") => "subscription".into(),
        _ => "invoiceitem".into(),
    }
}

/// The amount without its inclusive taxes; the simulator's taxes come on top.
pub(super) fn line_amount_excluding_tax(source: &Source, _: &dyn Related) -> Value {
    source.get("amount").cloned().unwrap_or(Value::Null)
}

/// The unit amount of an invoice item as an integer; null when it has a fraction.
pub(super) fn unit_amount(source: &Source, _: &dyn Related) -> Value {
    at(source, "pricing.unit_amount_decimal").and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok()).into()
}

/// A price's terms with the way in which usage records were added up.
pub(super) fn recurring_with_usage(source: &Source, _: &dyn Related) -> Value {
    let mut recurring = source.get("recurring").cloned().unwrap_or(Value::Null);
    if let Some(terms) = recurring.as_object_mut() {
        terms.insert("aggregate_usage".to_owned(), Value::Null);
    }
    recurring
}

/// How many elements a list has; null when it holds only a part of them.
pub(super) fn total_count(source: &Source, _: &dyn Related) -> Value {
    match source.get("has_more") {
        Some(Value::Bool(true)) => Value::Null,
        _ => elements(source, "data").len().into(),
    }
}

pub(super) fn no_values(_: &Source, _: &dyn Related) -> Value {
    Value::Array(Vec::new())
}
