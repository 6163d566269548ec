//! Thin events (W13): with the snapshot of the same change, in either order, they have one effect.

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::super::fixtures::event;
use super::super::mirror::Mirror;

fn thin(customer: &str, snapshot: Option<&str>) -> Value {
    json!({
        "id": fresh_id("evt_thin_"),
        "object": "v2.core.event",
        "type": "v1.customer.created",
        "created": "2026-01-02T03:04:05.000Z",
        "livemode": false,
        "related_object": { "id": customer, "type": "customer", "url": format!("/v1/customers/{customer}") },
        "snapshot_event": snapshot,
    })
}

fn snapshot(customer: &str) -> Value {
    event(&fresh_id("evt_1"), "customer.created", now(), json!({ "id": customer, "object": "customer", "name": "one" }))
}

fn waiting(mirror: &Mirror, customer: &str) -> i64 {
    mirror.number(&format!("SELECT count(*) AS marks FROM {} WHERE id = '{customer}'", mirror.own("dirty")))
}

pub(super) fn check(mirror: &Mirror) {
    let dialect = mirror.dialect();
    for thin_first in [true, false] {
        let customer = fresh_id("cus_");
        let snapshot = snapshot(&customer);
        let thin = thin(&customer, snapshot["id"].as_str());
        let (first, second) = if thin_first { (&thin, &snapshot) } else { (&snapshot, &thin) };
        mirror.accept_event(first);
        mirror.settle();
        mirror.accept_event(second);
        mirror.settle();
        assert_eq!(mirror.column("customers", &customer, "name"), "one", "thin first: {thin_first}, on {dialect}");
        assert_eq!(mirror.column("customers", &customer, "_source_event"), snapshot["id"], "thin first: {thin_first}");
        assert_eq!(waiting(mirror, &customer), 0, "nothing is left to read; thin first: {thin_first}, on {dialect}");
    }
    let alone = fresh_id("cus_");
    mirror.accept_event(&thin(&alone, None));
    let mut without_object = thin(&alone, None);
    without_object["type"] = "v1.invoice.upcoming".into();
    without_object["related_object"] = Value::Null;
    mirror.accept_event(&without_object);
    let mut brackets = thin(&alone, None);
    brackets["type"] = "v2.core.account[configuration.merchant].updated".into();
    brackets["related_object"]["type"] = "v2.core.account".into();
    mirror.accept_event(&brackets);
    mirror.settle();
    assert_eq!(waiting(mirror, &alone), 2, "a thin event without a snapshot leaves an object to be read, on {dialect}");
    for event in [&without_object, &brackets] {
        assert_eq!(mirror.quarantined(event["id"].as_str().unwrap()), None, "{} on {dialect}", event["type"]);
    }
}
