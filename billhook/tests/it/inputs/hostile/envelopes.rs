//! Events with missing, mistyped or unknown parts (W8), impossible times (W10), and another mode or account (W12).

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::super::fixtures::event;
use super::{Case, Draft, Expected, ID_BYTES_MAX, row, shown};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = missing_parts();
    cases.extend(event_ids());
    cases.extend(object_ids());
    cases.extend(unknown_names());
    cases.extend(times());
    cases.extend(other_worlds());
    cases
}

fn remove(event: &mut Value, key: &str) {
    event.as_object_mut().unwrap().remove(key);
}

fn missing_parts() -> Vec<Case> {
    let mut cases = vec![Case::nameless("an empty object", "{}", "not_an_event")];
    let mut refuse = |name: &str, reason, change: &dyn Fn(&mut Value)| {
        cases.push(Draft::new().refused(name, reason, change));
    };
    refuse("no `object`", "not_an_event", &|event| remove(event, "object"));
    refuse("another `object`", "not_an_event", &|event| event["object"] = "charge".into());
    refuse("`object` is a number", "not_an_event", &|event| event["object"] = 1.into());
    refuse("no type", "missing_type", &|event| remove(event, "type"));
    for (name, value) in [
        ("number", json!(1)),
        ("array", json!(["customer.updated"])),
        ("null", Value::Null),
        ("empty", json!("")),
        ("64 kB", json!("t".repeat(65_536))),
        ("with a NUL", json!("customer\u{0}updated")),
    ] {
        refuse(&format!("type: {name}"), "missing_type", &|event| event["type"] = value.clone());
    }
    refuse("no data", "missing_object", &|event| remove(event, "data"));
    for (name, value) in [("null", Value::Null), ("array", json!([])), ("text", json!("x")), ("empty", json!({}))] {
        refuse(&format!("data: {name}"), "missing_object", &|event| event["data"] = value.clone());
        if name != "empty" {
            refuse(&format!("data.object: {name}"), "missing_object", &|event| event["data"]["object"] = value.clone());
        }
    }
    refuse("an empty data.object", "missing_kind", &|event| event["data"]["object"] = json!({}));
    for (name, value) in [
        ("number", json!(1)),
        ("null", Value::Null),
        ("empty", json!("")),
        ("an array", json!(["customer"])),
        ("300 characters", json!("k".repeat(300))),
        ("with a line break", json!("customer\n")),
    ] {
        refuse(&format!("kind: {name}"), "missing_kind", &|event| event["data"]["object"]["object"] = value.clone());
    }
    cases
}

fn event_ids() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("missing", None),
        ("number", Some(json!(7))),
        ("array", Some(json!(["evt_1"]))),
        ("object", Some(json!({ "id": "evt_1" }))),
        ("empty", Some(json!(""))),
        ("null", Some(Value::Null)),
        ("true", Some(json!(true))),
        ("64 kB", Some(json!("e".repeat(65_536)))),
        ("256 bytes", Some(json!("e".repeat(ID_BYTES_MAX + 1)))),
        ("with a line break", Some(json!("evt_\n1"))),
        ("with a NUL", Some(json!("evt_\u{0}1"))),
    ]
    .into_iter()
    .map(|(name, id)| {
        let case = Draft::new().refused(format!("event id: {name}"), "missing_event_id", |event| match id {
            None => remove(event, "id"),
            Some(id) => event["id"] = id,
        });
        // Under the digest of its bytes, since its own id is of no use.
        Case { event_id: String::new(), ..case }
    })
    .collect();
    for id in [format!("{:x<255}", fresh_id("evt_1")), format!("{}'; --\u{1f4a9}", fresh_id("evt_1"))] {
        cases.push(Draft::new().mirrored(format!("event id: {id}"), vec![], |event| event["id"] = id.into()));
    }
    cases
}

fn object_ids() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("missing", None),
        ("number", Some(json!(7))),
        ("array", Some(json!(["cus_1"]))),
        ("object", Some(json!({ "id": "cus_1" }))),
        ("empty", Some(json!(""))),
        ("null", Some(Value::Null)),
        ("64 kB", Some(json!("c".repeat(65_536)))),
        ("256 bytes", Some(json!("c".repeat(ID_BYTES_MAX + 1)))),
    ]
    .into_iter()
    .map(|(name, id)| {
        Draft::new().refused(format!("object id: {name}"), "missing_object_id", |event| match id {
            None => remove(&mut event["data"]["object"], "id"),
            Some(id) => event["data"]["object"]["id"] = id,
        })
    })
    .collect();
    for id in [
        format!("{:x<255}", fresh_id("cus_")),
        format!("{}'; DROP TABLE customers; --", fresh_id("cus_")),
        format!("{}\" OR \"\"=\"", fresh_id("cus_")),
        format!("../../{}", fresh_id("cus_")),
        format!("{} \u{202e}\u{1f600}", fresh_id("cus_")),
        format!("{}%_\\", fresh_id("cus_")),
    ] {
        let mut draft = Draft::new();
        draft.id.clone_from(&id);
        cases.push(
            draft.mirrored(format!("object id: {id}"), vec![], |event| event["data"]["object"]["id"] = id.into()),
        );
    }
    cases
}

fn unknown_names() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "k".repeat(70);
    for kind in [
        "widget",
        "__proto__",
        "constructor",
        "pg_class",
        "billhook_inbox",
        "customers",
        "Customer",
        "customer ",
        "customers\"; DROP TABLE customers; --",
        "../etc/passwd",
        &long,
    ] {
        let id = fresh_id("wid_");
        let object = json!({ "id": id, "object": kind, "status": "new", "customer": "cus_of_a_widget" });
        let event = event(&fresh_id("evt_1"), "widget.created", now(), object);
        let expected = Expected::Row {
            table: "other_objects",
            id,
            columns: vec![("object", json!(kind)), ("status", json!("new")), ("customer", json!("cus_of_a_widget"))],
            shown: Some("unknown_object"),
        };
        cases.push(Case::event(format!("kind {kind}"), expected, &event));
    }
    for event_type in ["customer.celebrated", "customer.updated'; --", "__proto__", "*", "\u{1f600}", &long] {
        let mut draft = Draft::new();
        draft.event["type"] = event_type.into();
        let expected = shown("unknown_type", "customers", draft.id);
        cases.push(Case::event(format!("type {event_type}"), expected, &draft.event));
    }
    cases
}

fn times() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("-1", "-1"),
        ("the first second of the year 10000", "253402300800"),
        ("2^53", "9007199254740992"),
        ("2^63 - 1", "9223372036854775807"),
        ("-2^63", "-9223372036854775808"),
        ("2^64", "18446744073709551616"),
        ("a fraction", "1700000000.5"),
        ("an exponent", "1.7e9"),
        ("a number in a text", "\"1700000000\""),
        ("a date", "\"2026-01-01T00:00:00Z\""),
        ("null", "null"),
        ("true", "true"),
        ("an array", "[1700000000]"),
    ]
    .into_iter()
    .map(|(name, text)| {
        let case =
            Draft::new().refused(format!("created: {name}"), "invalid_created", |event| event["created"] = "AT".into());
        let body = String::from_utf8(case.body).unwrap().replace("\"AT\"", text).into_bytes();
        Case { body, ..case }
    })
    .collect();
    cases.push(Draft::new().refused("created: missing", "invalid_created", |event| remove(event, "created")));
    for at in [0_i64, 1, 2_147_483_647, 2_147_483_648, 253_402_300_799] {
        let columns = vec![("_version_time", json!(at))];
        cases.push(Draft::new().mirrored(format!("created: {at}"), columns, |event| event["created"] = at.into()));
    }
    cases
}

fn other_worlds() -> Vec<Case> {
    let mut cases = vec![
        Draft::new().refused("live mode", "wrong_mode", |event| event["livemode"] = true.into()),
        Draft::new().refused("another account", "wrong_account", |event| event["account"] = "acct_other".into()),
        Draft::new().mirrored("no account", vec![], |event| event["account"] = Value::Null),
        Draft::new().mirrored("no mode", vec![], |event| remove(event, "livemode")),
        Draft::new().mirrored("a mode that is a text", vec![], |event| event["livemode"] = "true".into()),
    ];
    // The mode is the event's; what the object says is a column like others.
    let id = fresh_id("cus_");
    let object = json!({ "id": id, "object": "customer", "livemode": true });
    let event = event(&fresh_id("evt_1"), "customer.updated", now(), object);
    cases.push(Case::event("a live object in a test event", row("customers", id, vec![]), &event));
    let upcoming = json!({ "object": "invoice", "customer": "cus_1" });
    let event = super::super::fixtures::event(&fresh_id("evt_1"), "invoice.upcoming", now(), upcoming);
    cases.push(Case::event("an event without a row", Expected::NoRow, &event));
    cases
}
