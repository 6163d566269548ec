//! What single events do to rows: derived columns, children, deletions, singletons, unknown kinds, thin events.

use billhook_mirror::quarantine::Reason;
use serde_json::{Value, json};

use crate::harness::{Mirror, event, on_each_store};

const T: i64 = 1_700_000_000;

fn subscription(status: &str, items: &[&str], has_more: bool) -> Value {
    let data: Vec<Value> = items
        .iter()
        .map(|id| json!({ "id": id, "object": "subscription_item", "quantity": 1, "current_period_end": T + 10 }))
        .collect();
    json!({
        "id": "sub_1", "object": "subscription", "status": status, "customer": { "id": "cus_1", "object": "customer" },
        "items": { "object": "list", "data": data, "has_more": has_more, "url": "/v1/subscription_items" },
    })
}

async fn live_items(mirror: &Mirror) -> Vec<String> {
    let rows = mirror.rows("subscription_items").await;
    let deleted = mirror.deleted_ids("subscription_items").await;
    rows.into_iter().map(|row| row.id).filter(|id| !deleted.contains(id)).collect()
}

#[test]
fn children_follow_the_parent_that_won() {
    on_each_store(async |mirror: Mirror| {
        let update = |id, created, items: &[&str]| {
            event(id, "customer.subscription.updated", created, subscription("active", items, false), None)
        };
        mirror.deliver(&[update("evt_2", T + 2, &["si_new", "si_both"])]).await;
        mirror.deliver(&[update("evt_1", T + 1, &["si_old", "si_both"])]).await;
        assert_eq!(live_items(&mirror).await, ["si_both", "si_new"], "a stale event changed the items");
        mirror.deliver(&[update("evt_3", T + 3, &["si_both"])]).await;
        assert_eq!(live_items(&mirror).await, ["si_both"]);
        assert_eq!(mirror.rows("subscription_items").await.len(), 2, "a removed item stays, flagged");
    });
}

#[test]
fn a_truncated_list_deletes_no_child_and_asks_for_a_read() {
    on_each_store(async |mirror: Mirror| {
        let full = subscription("active", &["si_1", "si_2"], false);
        mirror.deliver(&[event("evt_1", "customer.subscription.created", T, full, None)]).await;
        let truncated = subscription("active", &["si_1"], true);
        mirror.deliver(&[event("evt_2", "customer.subscription.updated", T + 1, truncated, None)]).await;
        assert_eq!(live_items(&mirror).await, ["si_1", "si_2"]);
        assert_eq!(mirror.dirty().await, [("sub_1".into(), "truncated_list".into())]);
    });
}

#[test]
fn two_events_of_one_second_end_in_the_later_state() {
    on_each_store(async |mirror: Mirror| {
        let active = subscription("active", &["si_1"], false);
        let trialing = subscription("trialing", &["si_1"], false);
        let updated = event("evt_a", "customer.subscription.updated", T, active, Some(json!({ "status": "trialing" })));
        let will_end = event("evt_b", "customer.subscription.trial_will_end", T, trialing, None);
        mirror.deliver(&[updated]).await;
        let outcome = mirror.deliver(&[will_end]).await;
        assert_eq!(mirror.object("subscriptions", "sub_1").await.unwrap()["status"], "active");
        assert_eq!((outcome.ties_decided, outcome.ties_dirty), (1, 0));
    });
}

#[test]
fn an_undecidable_second_marks_the_object_dirty() {
    on_each_store(async |mirror: Mirror| {
        let object = |name: &str| json!({ "id": "prod_1", "object": "product", "name": name });
        mirror.deliver(&[event("evt_a", "product.updated", T, object("one"), None)]).await;
        let outcome = mirror.deliver(&[event("evt_b", "product.updated", T, object("two"), None)]).await;
        assert_eq!((outcome.ties_decided, outcome.ties_dirty), (0, 1));
        assert_eq!(mirror.dirty().await, [("prod_1".into(), "tie".into())]);
    });
}

#[test]
fn a_late_update_never_revives_a_deleted_row_and_a_new_creation_does() {
    on_each_store(async |mirror: Mirror| {
        let object = |name: &str| json!({ "id": "prod_1", "object": "product", "name": name });
        mirror.deliver(&[event("evt_1", "product.created", T, object("one"), None)]).await;
        mirror.deliver(&[event("evt_3", "product.deleted", T + 3, object("one"), None)]).await;
        mirror.deliver(&[event("evt_2", "product.updated", T + 2, object("late"), None)]).await;
        mirror.deliver(&[event("evt_3b", "product.updated", T + 3, object("same second"), None)]).await;
        assert_eq!(mirror.object("products", "prod_1").await, None);
        mirror.deliver(&[event("evt_5", "product.updated", T + 5, object("newest"), None)]).await;
        assert_eq!(mirror.object("products", "prod_1").await, None, "an update is no creation");
        mirror.deliver(&[event("evt_4", "product.created", T + 4, object("again"), None)]).await;
        mirror.drain().await;
        assert_eq!(mirror.object("products", "prod_1").await.unwrap()["name"], "newest");
    });
}

#[test]
fn a_deleted_customer_stays_as_a_row_with_its_columns() {
    on_each_store(async |mirror: Mirror| {
        let full = json!({ "id": "cus_1", "object": "customer", "email": "a@example.com" });
        let stub = json!({ "id": "cus_1", "object": "customer", "deleted": true });
        mirror.deliver(&[event("evt_2", "customer.deleted", T + 2, stub, None)]).await;
        mirror.deliver(&[event("evt_1", "customer.created", T, full, None)]).await;
        assert_eq!(mirror.object("customers", "cus_1").await.unwrap()["email"], "a@example.com");
        assert_eq!(mirror.deleted_ids("customers").await, ["cus_1"]);
    });
}

#[test]
fn an_ended_subscription_is_a_state_and_no_deletion() {
    on_each_store(async |mirror: Mirror| {
        let ended = subscription("canceled", &["si_1"], false);
        mirror.deliver(&[event("evt_1", "customer.subscription.deleted", T, ended, None)]).await;
        assert_eq!(mirror.object("subscriptions", "sub_1").await.unwrap()["status"], "canceled");
    });
}

#[test]
fn objects_without_ids_are_no_error() {
    on_each_store(async |mirror: Mirror| {
        let balance = json!({ "object": "balance", "available": [] });
        let upcoming = json!({ "object": "invoice", "customer": "cus_1" });
        let invented = json!({ "id": "upcoming_in_1", "object": "invoice", "customer": "cus_1" });
        let entitlement = json!({ "id": "ent_1", "object": "entitlements.active_entitlement", "feature": "feat_1" });
        let summary = |elements: &[&Value]| {
            json!({
                "object": "entitlements.active_entitlement_summary", "customer": "cus_1",
                "entitlements": { "object": "list", "data": elements, "has_more": false },
            })
        };
        let summary_type = "entitlements.active_entitlement_summary.updated";
        let outcome = mirror
            .deliver(&[
                event("evt_1", "balance.available", T, balance, None),
                event("evt_2", "invoice.upcoming", T, upcoming, None),
                event("evt_3", "invoice.upcoming", T, invented, None),
                event("evt_4", summary_type, T, summary(&[&entitlement]), None),
            ])
            .await;
        assert_eq!(outcome.quarantined, []);
        assert_eq!(mirror.rows("balances").await.len(), 1);
        assert_eq!(mirror.rows("invoices").await.len(), 0);
        assert_eq!(mirror.rows("active_entitlements").await.len(), 1);
        mirror.deliver(&[event("evt_5", summary_type, T + 1, summary(&[]), None)]).await;
        assert_eq!(mirror.rows("active_entitlements").await.len(), 0);
    });
}

#[test]
fn unknown_kinds_and_types_are_mirrored_and_shown() {
    on_each_store(async |mirror: Mirror| {
        let widget = json!({ "id": "wid_1", "object": "pg_class", "status": "new" });
        let customer = json!({ "id": "cus_1", "object": "customer" });
        let outcome = mirror
            .deliver(&[
                event("evt_1", "widget.created", T, widget, None),
                event("evt_2", "customer.celebrated", T, customer, None),
            ])
            .await;
        assert_eq!(outcome.quarantined, [Reason::UnknownObject, Reason::UnknownType]);
        assert_eq!(mirror.rows("other_objects").await.len(), 1);
        assert_eq!(mirror.rows("customers").await.len(), 1);
        let shown = mirror.store.list_quarantine(10).await.unwrap();
        assert!(shown.iter().all(|entry| entry.applied), "{shown:?}");
    });
}

#[test]
fn a_thin_event_and_its_snapshot_have_one_effect_in_either_order() {
    on_each_store(async |mirror: Mirror| {
        let thin = |id: &str, customer: &str, snapshot: &str| {
            json!({
                "id": id, "object": "v2.core.event", "type": "v1.customer.created", "created": "2023-11-14T22:13:20.000Z",
                "livemode": false, "snapshot_event": snapshot,
                "related_object": { "id": customer, "type": "customer", "url": format!("/v1/customers/{customer}") },
            })
        };
        let full = |id: &str, customer: &str| {
            event(id, "customer.created", T, json!({ "id": customer, "object": "customer" }), None)
        };
        mirror.deliver(&[thin("evt_thin_1", "cus_1", "evt_1")]).await;
        assert_eq!(mirror.dirty().await.len(), 1);
        mirror.deliver(&[full("evt_1", "cus_1")]).await;
        mirror.deliver(&[full("evt_2", "cus_2")]).await;
        mirror.deliver(&[thin("evt_thin_2", "cus_2", "evt_2")]).await;
        mirror.deliver(&[full("evt_3", "cus_3"), thin("evt_thin_3", "cus_3", "evt_3")]).await;
        assert_eq!(mirror.dirty().await, []);
        assert_eq!(mirror.rows("customers").await.len(), 3);
    });
}

#[test]
fn a_replayed_event_changes_nothing() {
    on_each_store(async |mirror: Mirror| {
        let object = |name: &str| json!({ "id": "prod_1", "object": "product", "name": name });
        mirror.deliver(&[event("evt_1", "product.created", T, object("one"), None)]).await;
        mirror.deliver(&[event("evt_2", "product.updated", T + 1, object("two"), None)]).await;
        let before = mirror.rows("products").await;
        assert_eq!(mirror.store.replay(&["evt_1".into(), "evt_2".into()]).await.unwrap(), 2);
        mirror.drain().await;
        assert_eq!(mirror.rows("products").await, before);
    });
}
