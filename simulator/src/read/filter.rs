//! Which objects a list's filters let through.

use serde_json::{Map, Value};

use super::query::range;
use crate::account::collection::Entry;

/// Filters that steer a computation and select nothing.
const STEERING: [&str; 8] = [
    "order_by",
    "include",
    "start_time",
    "end_time",
    "value_grouping_window",
    "ownership",
    "starting_after",
    "refresh",
];

/// Whether the value of a filter is found through an index: a plain text that is compared with a property.
pub(crate) fn is_indexable(kind: &str, name: &str, value: &Value) -> bool {
    let plain = value.as_str().is_some_and(|text| !matches!(text, "true" | "false" | "" | "null"));
    let special = matches!(
        (kind, name),
        ("subscription", "status" | "price" | "plan" | "test_clock")
            | ("customer" | "quote", "test_clock")
            | ("promotion_code", "coupon")
            | ("radar.value_list", "contains")
            | ("payment_record", _)
    );
    // Times and amounts are numbers in the object.
    plain && !special && !STEERING.contains(&name) && value.as_str().is_some_and(|text| text.parse::<i64>().is_err())
}

/// Whether an object passes all filters.
pub(crate) fn passes(
    kind: &str,
    object: &Value,
    entry: Option<&Entry>,
    filters: &Map<String, Value>,
    now: i64,
) -> bool {
    filters.iter().all(|(name, wanted)| passes_one(kind, object, entry, name, wanted, now))
}

fn passes_one(kind: &str, object: &Value, entry: Option<&Entry>, name: &str, wanted: &Value, now: i64) -> bool {
    let any_item = |property: &str| {
        let items = object["items"]["data"].as_array().map_or(&[][..], Vec::as_slice);
        items.iter().any(|item| matches(&item[property], wanted))
    };
    match (kind, name) {
        _ if STEERING.contains(&name) => true,
        ("subscription", "status") => match wanted.as_str() {
            Some("all") => true,
            Some("ended") => matches!(object["status"].as_str(), Some("canceled" | "incomplete_expired")),
            _ => matches(&object["status"], wanted),
        },
        ("subscription", "price" | "plan" | "current_period_start" | "current_period_end") => any_item(name),
        ("invoice", "subscription") if object["subscription"].is_null() => {
            matches(&object["parent"]["subscription_details"]["subscription"], wanted)
        }
        ("invoiceitem", "pending") => says(wanted, object["invoice"].is_null()),
        ("subscription_schedule", "scheduled") => says(wanted, object["status"] == "not_started"),
        ("file_link", "expired") => says(wanted, object["expires_at"].as_i64().is_some_and(|at| at <= now)),
        ("promotion_code", "coupon") => matches(&object["promotion"]["coupon"], wanted),
        ("payment_record", "created_after") => object["created"].as_i64() > text_number(wanted),
        ("payment_record", "created_before") => object["created"].as_i64() < text_number(wanted),
        ("radar.value_list", "contains") => {
            let items = object["list_items"]["data"].as_array().map_or(&[][..], Vec::as_slice);
            items.iter().any(|item| matches(&item["value"], wanted))
        }
        // The account's own tax ids have no owner object of their own in the filter.
        ("tax_id", "owner") => wanted
            .as_object()
            .is_some_and(|wanted| wanted.iter().all(|(name, wanted)| matches(&object["owner"][name], wanted))),
        _ => {
            let parent = entry.and_then(|entry| entry.parent.as_deref());
            match property_of(object, name) {
                Some(value) => matches(value, wanted),
                None => parent.is_some() && parent == wanted.as_str(),
            }
        }
    }
}

/// The property that a filter is about: of its own name, or singular for a filter that takes several values.
fn property_of<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let singular = match name {
        "statuses" => "status",
        _ => name.strip_suffix('s').unwrap_or(name),
    };
    object.get(name).or_else(|| object.get(singular))
}

/// Whether a value is the wanted one: equal as text, inside the wanted range, one of the wanted values, or equal in every wanted
/// property.
fn matches(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Array(several) => several.iter().any(|wanted| matches(value, wanted)),
        Value::Object(limits) if limits.keys().any(|key| matches!(key.as_str(), "gt" | "gte" | "lt" | "lte")) => {
            let inside = |(low, high): (i64, i64)| value.as_i64().is_some_and(|at| low <= at && at <= high);
            range(Some(wanted), "").is_ok_and(inside)
        }
        Value::Object(properties) => properties.iter().all(|(name, wanted)| matches(&value[name], wanted)),
        Value::String(text) => match value {
            Value::String(value) => value == text,
            Value::Object(expanded) => expanded.get("id").and_then(Value::as_str) == Some(text),
            Value::Array(several) => several.iter().any(|value| matches(value, wanted)),
            Value::Bool(value) => text.as_str() == if *value { "true" } else { "false" },
            Value::Number(number) => number.to_string().as_str() == text.as_str(),
            Value::Null => text == "null",
        },
        other => value == other,
    }
}

fn says(wanted: &Value, fact: bool) -> bool {
    wanted.as_str() == Some(if fact { "true" } else { "false" })
}

fn text_number(value: &Value) -> Option<i64> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// Whether a list leaves out an object that lists omit by default, although nothing asks for it.
pub(crate) fn is_left_out(kind: &str, object: &Value, filters: &Map<String, Value>, below_parent: bool) -> bool {
    let asked = |name: &str| filters.contains_key(name);
    let under_clock = !object["test_clock"].is_null() && !asked("test_clock");
    match kind {
        "customer" | "quote" => under_clock,
        "subscription" => under_clock || (object["status"] == "canceled" && !asked("status")),
        "price" => object["active"] == false && !asked("active"),
        "payment_method" => object["type"] == "custom" && !asked("type"),
        "tax_id" => !below_parent && !asked("owner"),
        _ => true,
    }
}
