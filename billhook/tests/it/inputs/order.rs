//! Events of one object in any order (W2) end in one state. The exhaustive test of the law is the mirror's own; here the whole
//! way is taken, each event in a transaction of its own or all in one.

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::fixtures::event;
use super::mirror::Mirror;

/// Orders of five events: sorted, reversed, rotated, and the last one in the middle.
const ORDERS: [[usize; 5]; 10] = [
    [0, 1, 2, 3, 4],
    [4, 3, 2, 1, 0],
    [1, 2, 3, 4, 0],
    [2, 3, 4, 0, 1],
    [3, 4, 0, 1, 2],
    [4, 0, 1, 2, 3],
    [1, 0, 3, 2, 4],
    [0, 4, 1, 3, 2],
    [2, 4, 0, 3, 1],
    [3, 1, 4, 0, 2],
];

/// A subscription's life: the second of each event after the first, with the state it shows.
type History = [(i64, &'static str, Value, Option<Value>); 5];

fn state(status: &str, quantity: i64, items: &[&str]) -> Value {
    let items: Vec<Value> = items.iter().map(|item| json!({ "item": item })).collect();
    json!({ "status": status, "quantity": quantity, "items": items })
}

fn histories(seconds: [i64; 5]) -> [(&'static str, History); 2] {
    let [a, b, c, d, e] = seconds;
    let grown = [
        (a, "customer.subscription.created", state("incomplete", 1, &["a"]), None),
        (b, "customer.subscription.updated", state("trialing", 1, &["a"]), Some(json!({ "status": "incomplete" }))),
        (c, "customer.subscription.updated", state("active", 1, &["a"]), Some(json!({ "status": "trialing" }))),
        (d, "customer.subscription.updated", state("active", 2, &["a", "b"]), Some(json!({ "quantity": 1 }))),
        (e, "customer.subscription.updated", state("active", 3, &["b"]), Some(json!({ "quantity": 2 }))),
    ];
    let ended = [
        (a, "customer.subscription.created", state("active", 1, &["a"]), None),
        (b, "customer.subscription.updated", state("active", 5, &["a"]), Some(json!({ "quantity": 1 }))),
        (c, "customer.subscription.updated", state("past_due", 5, &["a"]), Some(json!({ "status": "active" }))),
        (d, "customer.subscription.updated", state("unpaid", 5, &["a"]), Some(json!({ "status": "past_due" }))),
        (e, "customer.subscription.deleted", state("canceled", 5, &["a"]), None),
    ];
    [("grown", grown), ("ended", ended)]
}

/// The object that a state describes.
fn subscription(id: &str, state: &Value) -> Value {
    let item = |item: &Value| {
        let id = format!("si_{}_{id}", item["item"].as_str().unwrap());
        json!({ "id": id, "object": "subscription_item", "subscription": null, "quantity": 1 })
    };
    let items: Vec<Value> = state["items"].as_array().unwrap().iter().map(item).collect();
    json!({
        "id": id, "object": "subscription", "status": state["status"], "quantity": state["quantity"],
        "items": { "object": "list", "data": items, "has_more": false, "url": "/v1/subscription_items" },
    })
}

/// Delivers a history in one order and says which subscription it was.
fn deliver(mirror: &Mirror, history: &History, order: [usize; 5], start: i64, one_by_one: bool) -> String {
    let id = fresh_id("sub_");
    for position in order {
        let (second, event_type, state, previous) = &history[position];
        let mut event = event(&fresh_id("evt_1"), event_type, start + second, subscription(&id, state));
        if let Some(previous) = previous {
            event["data"]["previous_attributes"] = previous.clone();
        }
        mirror.accept_event(&event);
        if one_by_one {
            mirror.settle();
        }
    }
    id
}

#[test]
fn every_order_of_events_ends_in_the_last_state() {
    Mirror::shared("every_order_of_events", |mirror| {
        let start = now() - 100;
        let mut expected = Vec::new();
        for seconds in [[0, 1, 2, 3, 4], [0, 0, 1, 1, 2], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]] {
            for (name, history) in &histories(seconds) {
                for (at, order) in ORDERS.into_iter().enumerate() {
                    let one_by_one = at % 3 == 0;
                    let id = deliver(mirror, history, order, start, one_by_one);
                    expected.push((
                        format!("{name} in seconds {seconds:?} in order {order:?}"),
                        id,
                        history[4].2.clone(),
                    ));
                }
            }
        }
        mirror.settle();
        let (rows, items) = (mirror.rows("subscriptions"), mirror.rows("subscription_items"));
        for (name, id, state) in expected {
            let (row, dialect) = (&rows[&id], mirror.dialect());
            assert_eq!(row["status"], state["status"], "{name} on {dialect}");
            let quantity = super::compare::as_json(mirror, &row["_raw_data"])["quantity"].clone();
            assert_eq!(quantity, state["quantity"], "{name} on {dialect}");
            let living: Vec<&str> = items
                .values()
                .filter(|item| item["subscription"] == id.as_str() && !super::compare::is_true(&item["deleted"]))
                .filter_map(|item| item["id"].as_str()?.split('_').nth(1))
                .collect();
            let wanted: Vec<&str> =
                state["items"].as_array().unwrap().iter().filter_map(|item| item["item"].as_str()).collect();
            assert_eq!(living, wanted, "items of {name} on {dialect}");
        }
    });
}
