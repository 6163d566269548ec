//! Values that one database would take and the other not: texts too long for an index, decimals too small for a float, lists of
//! thousands. The outcome has to be the same on both.

use billhook_testkit::events::fresh_id;
use billhook_testkit::random::push_letters;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::super::fixtures::event;
use super::{Case, row};

/// Longer than an index entry of PostgreSQL, in bytes, and random so that compression does not help.
const LONG_TEXT_BYTES: usize = 20_000;
const ITEMS: usize = 3_000;

fn long_text() -> String {
    let mut letters = Vec::new();
    push_letters(&mut letters, 4711, LONG_TEXT_BYTES);
    String::from_utf8(letters).unwrap()
}

fn case(name: &str, event_type: &str, table: &'static str, object: Value, columns: Vec<(&'static str, Value)>) -> Case {
    let id = object["id"].as_str().unwrap_or_default().to_owned();
    let event = event(&fresh_id("evt_1"), event_type, now(), object);
    Case::event(name, row(table, id, columns), &event)
}

pub(super) fn cases() -> Vec<Case> {
    let text = long_text();
    let mut cases = vec![
        case(
            "a reference of 20 kB",
            "invoice.updated",
            "invoices",
            json!({ "id": fresh_id("in_"), "object": "invoice", "customer": text, "currency": "usd" }),
            vec![("currency", json!("usd"))],
        ),
        case(
            "an expanded reference with an id of 20 kB",
            "invoice.updated",
            "invoices",
            json!({ "id": fresh_id("in_"), "object": "invoice", "customer": { "id": text }, "currency": "usd" }),
            vec![("currency", json!("usd"))],
        ),
        case(
            "a status of 20 kB",
            "invoice.updated",
            "invoices",
            json!({ "id": fresh_id("in_"), "object": "invoice", "status": text, "currency": "usd" }),
            vec![("currency", json!("usd"))],
        ),
        case(
            "a description of 20 kB",
            "invoice.updated",
            "invoices",
            json!({ "id": fresh_id("in_"), "object": "invoice", "description": text }),
            vec![("description", json!(text))],
        ),
    ];
    for percent in
        ["1e-400", "\"1e-400\"", "1e-300", "\"1e-20000\"", "\"1e-99999999999\"", "1e300", "\"0x10\"", "\"  7\""]
    {
        let object =
            json!({ "id": fresh_id("coupon_"), "object": "coupon", "percent_off": "PERCENT", "currency": "usd" });
        let mut case = case(
            &format!("percent off {percent}"),
            "coupon.updated",
            "coupons",
            object,
            vec![("currency", json!("usd"))],
        );
        case.body = String::from_utf8(case.body).unwrap().replace("\"PERCENT\"", percent).into_bytes();
        cases.push(case);
    }
    cases.extend(lists());
    cases
}

fn lists() -> Vec<Case> {
    let list = |data: Vec<Value>| json!({ "object": "list", "data": data, "has_more": false });
    let item = |id: String| json!({ "id": id, "object": "subscription_item", "quantity": 1 });
    let subscription = |name: &str, items: Value| {
        let object = json!({ "id": fresh_id("sub_"), "object": "subscription", "status": "active", "items": items });
        case(name, "customer.subscription.updated", "subscriptions", object, vec![("status", json!("active"))])
    };
    let run = fresh_id("si_");
    let many = (0..ITEMS).map(|number| item(format!("{run}_{number}"))).collect();
    let mut strange = vec![json!(null), json!(1), json!([]), json!({}), json!({ "id": 7 }), item(String::new())];
    strange.push(item("i".repeat(300)));
    strange.push(json!({ "id": fresh_id("cus_"), "object": "customer" }));
    strange.push(json!({ "id": fresh_id("wid_"), "object": "widget" }));
    let twice = fresh_id("si_");
    vec![
        subscription("3,000 items", list(many)),
        subscription("strange items", list(strange)),
        subscription("one item twice", list(vec![item(twice.clone()), item(twice)])),
        subscription("items that are no list", json!("none")),
        subscription("items without data", json!({ "object": "list", "has_more": false })),
        subscription("items whose data is an object", json!({ "object": "list", "data": {}, "has_more": false })),
        subscription("items with has_more as a text", json!({ "object": "list", "data": [], "has_more": "false" })),
    ]
}
