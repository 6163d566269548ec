//! Compares a mirrored row with the object it came from, column by column.
//!
//! Written from the contract and independent of the code under test: the database says how a column is stored, the object
//! says what belongs into it.

use billhook_testkit::sign::now;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::mirror::Mirror;

/// How a database stores a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Boolean,
    Decimal,
    Json,
    Time,
}

impl Kind {
    /// From the name that PostgreSQL or SQLite gives the type.
    pub fn of(data_type: &str) -> Self {
        match data_type.to_ascii_lowercase().as_str() {
            "text" => Self::Text,
            "bigint" | "integer" | "smallint" => Self::Integer,
            "boolean" => Self::Boolean,
            "numeric" | "decimal" | "double precision" | "real" => Self::Decimal,
            "jsonb" => Self::Json,
            "timestamp with time zone" | "datetime" => Self::Time,
            other => panic!("a column has the type {other}, which no test knows"),
        }
    }
}

/// An event and the object it carries.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    pub event: &'a Value,
    /// Whether the event deletes the object and the row stays.
    pub deletes: bool,
}

impl Carried<'_> {
    fn object(&self) -> &Value {
        &self.event["data"]["object"]
    }
}

/// Asserts that a row shows its object: every column of the row is looked at.
pub fn assert_row(name: &str, mirror: &Mirror, table: &str, row: &Value, carried: Carried<'_>) {
    let columns = mirror.layout().get(table).unwrap_or_else(|| panic!("{name}: there is no table {table}"));
    let differences: Vec<String> = columns
        .iter()
        .filter_map(|(column, kind)| {
            let found = &row[column.as_str()];
            let wanted = difference(mirror, table, column, *kind, found, carried)?;
            Some(format!("  {column}: {wanted} and found {found}"))
        })
        .collect();
    let dialect = mirror.dialect();
    assert!(differences.is_empty(), "{name} in {table} on {dialect}:\n{}", differences.join("\n"));
}

/// What was wanted instead of `found`; `None` when it is right.
fn difference(
    mirror: &Mirror,
    table: &str,
    column: &str,
    kind: Kind,
    found: &Value,
    carried: Carried<'_>,
) -> Option<String> {
    let (event, object) = (carried.event, carried.object());
    let right = match column {
        "_raw_data" => as_json(mirror, found) == *object,
        "_account_id" => found == "",
        "last_synced_at" | "_last_synced_at" | "_updated_at" => seconds(found) == event["created"].as_i64(),
        "updated_at" => seconds(found).is_some_and(|at| at <= now() + 1),
        "_version_time" => *found == event["created"],
        "_version_rank" => *found == 1,
        "_source_event" => *found == event["id"],
        "deleted" => is_true(found) == (carried.deletes || object["deleted"] == true),
        // A singleton's key is not a property of its object.
        "id" if object["id"].is_null() => found.is_string(),
        _ => {
            let wanted = match &object[column] {
                Value::Null => derived(table, column, object).unwrap_or_default(),
                own => own.clone(),
            };
            if (wanted.is_null() && is_linked(table, column)) || shows(mirror, kind, &wanted, found) {
                return None;
            }
            return Some(format!("wanted {wanted} as {kind:?}"));
        }
    };
    (!right).then(|| format!("wanted what event {} says", event["id"]))
}

/// Whether a column of this kind shows the property. What does not fit its column is null there.
fn shows(mirror: &Mirror, kind: Kind, wanted: &Value, found: &Value) -> bool {
    match (kind, wanted) {
        (_, Value::Null) => found.is_null(),
        (Kind::Json, _) => as_json(mirror, found) == *wanted,
        (Kind::Text, Value::Object(_)) => found.is_string() && (*found == wanted["id"] || parsed(found) == *wanted),
        (Kind::Text, Value::Array(_)) => found.is_null(),
        (Kind::Text, Value::String(_)) => found == wanted,
        (Kind::Text, _) => found.as_str() == Some(&wanted.to_string()),
        (Kind::Integer, Value::String(text)) => *found == text.parse::<i64>().map_or(Value::Null, Value::from),
        (Kind::Integer, Value::Number(number)) => *found == number.as_i64().map_or(Value::Null, Value::from),
        (Kind::Decimal, Value::String(text)) => number(found) == text.parse::<f64>().ok(),
        (Kind::Decimal, Value::Number(_)) => number(found) == wanted.as_f64(),
        (Kind::Boolean, Value::Bool(truth)) => !found.is_null() && is_true(found) == *truth,
        _ => found.is_null(),
    }
}

/// Columns that another object may fill when this one is silent: which one came first does not matter.
fn is_linked(table: &str, column: &str) -> bool {
    const LINKED: &[(&str, &str)] = &[
        ("charges", "invoice"),
        ("charges", "dispute"),
        ("payment_intents", "invoice"),
        ("invoices", "charge"),
        ("invoices", "payment_intent"),
    ];
    LINKED.contains(&(table, column))
}

/// Where today's objects keep what older versions showed at the top.
fn derived(table: &str, column: &str, object: &Value) -> Option<Value> {
    let at = |pointer: &str| object.pointer(pointer).filter(|value| !value.is_null()).cloned();
    let numbers = |list: &str, property: &str| -> Vec<i64> {
        let elements = object.pointer(list).and_then(Value::as_array);
        elements.into_iter().flatten().filter_map(|element| element[property].as_i64()).collect()
    };
    match (table, column) {
        ("invoices", "subscription") => at("/parent/subscription_details/subscription"),
        ("invoices", "quote") => at("/parent/quote_details/quote"),
        ("invoices", "paid") => at("/status").map(|status| json!(status == "paid")),
        ("invoices", "charge") => at("/payments/data/0/payment/charge"),
        ("invoices", "payment_intent") => at("/payments/data/0/payment/payment_intent"),
        ("invoices", "tax") => numbers("/total_taxes", "amount").into_iter().reduce(|a, b| a + b).map(Value::from),
        ("invoices", "total_tax_amounts") => at("/total_taxes"),
        ("invoices" | "subscriptions", "discount") => at("/discounts/0"),
        ("subscriptions", "current_period_start") => {
            numbers("/items/data", "current_period_start").into_iter().min().map(Value::from)
        }
        ("subscriptions", "current_period_end") => {
            numbers("/items/data", "current_period_end").into_iter().max().map(Value::from)
        }
        ("subscriptions", "plan") => at("/items/data/0/plan"),
        ("charges", "destination") => at("/transfer_data/destination"),
        ("credit_notes", "refund") => at("/refunds/0/refund"),
        ("credit_notes", "tax_amounts") => at("/total_taxes"),
        ("checkout_sessions", "shipping_details") => at("/collected_information/shipping_details"),
        ("coupons", "percent_off_precise") => at("/percent_off"),
        ("discounts", "coupon") => at("/source/coupon"),
        ("promotion_codes", "coupon") => at("/promotion/coupon"),
        ("invoiceitems", "subscription") => at("/parent/subscription_details/subscription"),
        ("invoiceitems" | "invoice_line_items", "price") => at("/pricing/price_details/price"),
        ("invoiceitems" | "invoice_line_items", "product") => {
            at("/price/product").or_else(|| at("/pricing/price_details/product"))
        }
        ("invoice_line_items", "subscription") => at("/parent/subscription_item_details/subscription")
            .or_else(|| at("/parent/invoice_item_details/subscription")),
        ("invoice_line_items", "subscription_item") => at("/parent/subscription_item_details/subscription_item"),
        ("invoice_line_items", "invoice_item") => at("/parent/invoice_item_details/invoice_item")
            .or_else(|| at("/parent/subscription_item_details/invoice_item")),
        ("invoice_line_items", "proration") => {
            at("/parent/subscription_item_details/proration").or_else(|| at("/parent/invoice_item_details/proration"))
        }
        _ => None,
    }
}

/// SQLite keeps JSON as text, and a JSON number as a number.
pub fn as_json(mirror: &Mirror, found: &Value) -> Value {
    if mirror.is_postgres() || found.is_number() { found.clone() } else { parsed(found) }
}

fn parsed(found: &Value) -> Value {
    found.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn number(found: &Value) -> Option<f64> {
    found.as_f64().or_else(|| found.as_str()?.parse().ok())
}

/// Whole Unix seconds of a time as either database shows it.
pub fn seconds(found: &Value) -> Option<i64> {
    Some(found.as_str()?.parse::<Timestamp>().ok()?.as_second())
}

/// A boolean of either database; null counts as false.
pub fn is_true(found: &Value) -> bool {
    *found == true || *found == 1
}
