//! Numbers that fit no type (W7): the column is null, the row is there, and `_raw_data` keeps the digits.

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::super::fixtures::event;
use super::{Case, row};

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("2^53 + 1", "9007199254740993", json!(9_007_199_254_740_993_i64)),
        ("2^63 - 1", "9223372036854775807", json!(i64::MAX)),
        ("-2^63", "-9223372036854775808", json!(i64::MIN)),
        ("2^63", "9223372036854775808", Value::Null),
        ("2^64", "18446744073709551616", Value::Null),
        ("10^30", "1000000000000000000000000000000", Value::Null),
        ("-0", "-0", json!(0)),
        ("a fraction", "12.5", Value::Null),
        ("1e400", "1e400", Value::Null),
        ("-1e400", "-1E+400", Value::Null),
        ("1e-400", "1e-400", Value::Null),
        ("1e131000", "1e131000", Value::Null),
        ("1e9999999999999999999", "1e9999999999999999999", Value::Null),
        ("a text", "\"12 apples\"", Value::Null),
        ("an integer in a text", "\"1200\"", json!(1200)),
        ("true", "true", Value::Null),
        ("an array", "[1]", Value::Null),
        ("an object", "{\"amount\":1}", Value::Null),
    ]
    .into_iter()
    .map(|(name, text, wanted)| amount(format!("amount {name}"), text, wanted))
    .collect();
    cases.push(amount("amount of 1,000 digits".into(), &"7".repeat(1_000), Value::Null));
    cases.push(amount("amount of 100,000 digits".into(), &"7".repeat(100_000), Value::Null));
    cases.push(amount(
        "amount of 1,000 digits after the point".into(),
        &format!("0.{}", "3".repeat(1_000)),
        Value::Null,
    ));
    cases.extend(decimals());
    cases.extend(misfits());
    cases
}

/// A charge whose amount is this text.
fn amount(name: String, text: &str, wanted: Value) -> Case {
    let id = fresh_id("ch_");
    let object = json!({ "id": id, "object": "charge", "amount": "AMOUNT", "currency": "usd", "paid": true });
    let event = event(&fresh_id("evt_1"), "charge.updated", now(), object);
    // What stands beside the number is not lost with it.
    let columns = vec![("amount", wanted), ("currency", json!("usd"))];
    let event_id = event["id"].as_str().unwrap_or_default().to_owned();
    let body = event.to_string().replace("\"AMOUNT\"", text).into_bytes();
    Case { name, body, event_id, expected: row("charges", id, columns) }
}

/// Percentages of tax rates.
fn decimals() -> Vec<Case> {
    let decimal = |name: &str, text: &str, wanted: Value| {
        let id = fresh_id("txr_");
        let object = json!({ "id": id, "object": "tax_rate", "percentage": "PERCENTAGE", "active": true });
        let event = event(&fresh_id("evt_1"), "tax_rate.updated", now(), object);
        let body = event.to_string().replace("\"PERCENTAGE\"", text).into_bytes();
        let event_id = event["id"].as_str().unwrap_or_default().to_owned();
        let name = format!("percentage {name}");
        Case { name, body, event_id, expected: row("tax_rates", id, vec![("percentage", wanted)]) }
    };
    vec![
        decimal("8.875", "8.875", json!(8.875)),
        decimal("1e400", "1e400", Value::Null),
        decimal("1e131000 in a text", "\"1e131000\"", Value::Null),
        decimal("NaN in a text", "\"NaN\"", Value::Null),
        decimal("Infinity in a text", "\"Infinity\"", Value::Null),
        decimal("a word", "\"high\"", Value::Null),
        decimal("a hundred digits", &"9".repeat(100), Value::Null),
    ]
}

/// Values of another shape than their column.
fn misfits() -> Vec<Case> {
    let misfit = |name: &str, property: &str, value: Value, column: &'static str, wanted: Value| {
        let id = fresh_id("ch_");
        let mut object = json!({ "id": id, "object": "charge", "currency": "usd" });
        object[property] = value;
        let event = event(&fresh_id("evt_1"), "charge.updated", now(), object);
        Case::event(name, row("charges", id, vec![(column, wanted), ("currency", json!("usd"))]), &event)
    };
    vec![
        misfit("a reference that is a number", "customer", json!(7), "customer", Value::Null),
        misfit("a reference that is an array", "customer", json!(["cus_1"]), "customer", Value::Null),
        misfit("an expanded reference without an id", "customer", json!({ "name": "x" }), "customer", Value::Null),
        misfit("a boolean that is a text", "paid", json!("true"), "paid", Value::Null),
        misfit("a time that is a text", "created", json!("yesterday"), "created", Value::Null),
    ]
}
