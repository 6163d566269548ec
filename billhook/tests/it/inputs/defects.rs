//! The defects of the existing engines, A to K, none of which may come back. Each failed there with exactly this input.

use billhook_testkit::events::fresh_id;
use billhook_testkit::server::unused_address;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::fixtures::event;
use super::mirror::Mirror;

/// Delivers one event about `object` that happened `age` seconds ago, and waits for its effect.
fn deliver(mirror: &Mirror, event_type: &str, age: i64, object: Value) -> Value {
    deliver_update(mirror, event_type, now() - age, object, None)
}

fn deliver_update(mirror: &Mirror, event_type: &str, created: i64, object: Value, previous: Option<Value>) -> Value {
    let mut event = event(&fresh_id("evt_1"), event_type, created, object);
    if let Some(previous) = previous {
        event["data"]["previous_attributes"] = previous;
    }
    mirror.accept_event(&event);
    mirror.settle();
    event
}

fn subscription(id: &str, status: &str, items: &[&str], has_more: bool) -> Value {
    let items: Vec<Value> =
        items.iter().map(|item| json!({ "id": format!("{item}_{id}"), "object": "subscription_item" })).collect();
    json!({
        "id": id, "object": "subscription", "status": status, "customer": "cus_1",
        "items": { "object": "list", "data": items, "has_more": has_more, "url": "/v1/subscription_items" },
    })
}

/// Items of a subscription that are not marked as deleted, without its id.
fn living_items(mirror: &Mirror, subscription: &str) -> Vec<String> {
    let ids = mirror.ids("subscription_items", &format!("subscription = '{subscription}' AND NOT deleted"));
    ids.into_iter().map(|id| id.replace(&format!("_{subscription}"), "")).collect()
}

#[test]
fn a_two_events_of_one_second_end_in_the_newer_state() {
    Mirror::shared("defect A", |mirror| {
        for newer_first in [true, false] {
            let (id, second) = (fresh_id("sub_"), now());
            let older = || {
                let object = subscription(&id, "trialing", &["si_a"], false);
                deliver_update(mirror, "customer.subscription.trial_will_end", second, object, None);
            };
            let newer = || {
                let object = subscription(&id, "active", &["si_a"], false);
                let previous = Some(json!({ "status": "trialing" }));
                deliver_update(mirror, "customer.subscription.updated", second, object, previous);
            };
            if newer_first {
                newer();
                older();
            } else {
                older();
                newer();
            }
            let status = mirror.column("subscriptions", &id, "status");
            assert_eq!(status, "active", "newer first: {newer_first}, on {}", mirror.dialect());
        }
    });
}

#[test]
fn b_a_stale_event_leaves_the_items_alone() {
    Mirror::shared("defect B", |mirror| {
        let id = fresh_id("sub_");
        deliver(mirror, "customer.subscription.updated", 10, subscription(&id, "active", &["si_new"], false));
        deliver(mirror, "customer.subscription.updated", 20, subscription(&id, "active", &["si_old"], false));
        assert_eq!(living_items(mirror, &id), ["si_new"], "on {}", mirror.dialect());
    });
}

#[test]
fn c_a_truncated_list_deletes_no_item() {
    Mirror::shared("defect C", |mirror| {
        let id = fresh_id("sub_");
        deliver(mirror, "customer.subscription.created", 20, subscription(&id, "active", &["si_c1", "si_c2"], false));
        deliver(mirror, "customer.subscription.updated", 10, subscription(&id, "active", &["si_c1"], true));
        assert_eq!(living_items(mirror, &id), ["si_c1", "si_c2"], "on {}", mirror.dialect());
        deliver(mirror, "customer.subscription.updated", 5, subscription(&id, "active", &["si_c1"], false));
        assert_eq!(living_items(mirror, &id), ["si_c1"], "a complete list does, on {}", mirror.dialect());
    });
}

#[test]
fn d_a_late_update_does_not_revive_a_deleted_product() {
    Mirror::shared("defect D", |mirror| {
        let id = fresh_id("prod_");
        let product = |name: &str| json!({ "id": id, "object": "product", "name": name });
        deliver(mirror, "product.created", 30, product("one"));
        deliver(mirror, "product.deleted", 10, product("one"));
        deliver(mirror, "product.updated", 20, product("late"));
        assert_eq!(mirror.row("products", &id), None, "on {}", mirror.dialect());
        deliver(mirror, "product.created", 5, product("again"));
        assert_eq!(mirror.column("products", &id, "name"), "again", "a new creation does, on {}", mirror.dialect());
    });
}

#[test]
fn e_every_type_is_taken() {
    Mirror::shared("defect E", |mirror| {
        for (event_type, kind, table) in
            [("payout.paid", "payout", "payouts"), ("invoice.overdue", "invoice", "invoices")]
        {
            let id = fresh_id("case_");
            let event = deliver(mirror, event_type, 0, json!({ "id": id, "object": kind, "status": "x" }));
            assert_eq!(mirror.column(table, &id, "status"), "x", "{event_type} on {}", mirror.dialect());
            assert_eq!(mirror.quarantined(event["id"].as_str().unwrap()), None, "{event_type}");
        }
    });
}

#[test]
fn f_an_upcoming_invoice_has_no_row() {
    Mirror::shared("defect F", |mirror| {
        let customer = fresh_id("cus_");
        for object in [
            json!({ "object": "invoice", "customer": customer, "amount_due": 100 }),
            json!({ "id": fresh_id("upcoming_in_"), "object": "invoice", "customer": customer }),
            json!({ "id": null, "object": "invoice", "customer": customer }),
        ] {
            let event = deliver(mirror, "invoice.upcoming", 0, object);
            let id = event["id"].as_str().unwrap();
            assert_eq!((mirror.stored(id), mirror.quarantined(id)), (1, None), "on {}", mirror.dialect());
        }
        assert!(mirror.ids("invoices", &format!("customer = '{customer}'")).is_empty(), "on {}", mirror.dialect());
    });
}

#[test]
fn g_amounts_beyond_32_bits_are_kept() {
    Mirror::shared("defect G", |mirror| {
        for (kind, event_type, table, column) in [
            ("price", "price.updated", "prices", "unit_amount"),
            ("payment_intent", "payment_intent.succeeded", "payment_intents", "amount"),
            ("refund", "refund.updated", "refunds", "amount"),
            ("invoice", "invoice.updated", "invoices", "subtotal"),
            ("checkout.session", "checkout.session.completed", "checkout_sessions", "amount_total"),
        ] {
            let id = fresh_id("case_");
            let mut object = json!({ "id": id, "object": kind, "currency": "idr" });
            object[column] = 3_000_000_000_i64.into();
            deliver(mirror, event_type, 0, object);
            assert_eq!(
                mirror.column(table, &id, column),
                3_000_000_000_i64,
                "{table}.{column} on {}",
                mirror.dialect()
            );
        }
    });
}

#[test]
fn h_the_period_is_found_where_current_versions_keep_it() {
    Mirror::shared("defect H", |mirror| {
        let id = fresh_id("sub_");
        let mut object = subscription(&id, "active", &["si_a", "si_b"], false);
        for (at, (start, end)) in
            [(1_700_000_000, 1_702_592_000), (1_699_000_000, 1_701_592_000)].into_iter().enumerate()
        {
            object["items"]["data"][at]["current_period_start"] = start.into();
            object["items"]["data"][at]["current_period_end"] = end.into();
        }
        deliver(mirror, "customer.subscription.updated", 0, object);
        let row = mirror.row("subscriptions", &id).unwrap();
        let period = (&row["current_period_start"], &row["current_period_end"]);
        assert_eq!(period, (&json!(1_699_000_000), &json!(1_702_592_000)), "on {}", mirror.dialect());
    });
}

#[test]
fn i_an_expanded_reference_is_stored_as_its_id() {
    Mirror::shared("defect I", |mirror| {
        for customer in [
            json!("cus_i"),
            json!({ "id": "cus_i", "object": "customer", "email": null }),
            json!({ "id": "cus_i", "object": "customer", "deleted": true }),
        ] {
            let id = fresh_id("in_");
            deliver(mirror, "invoice.updated", 0, json!({ "id": id, "object": "invoice", "customer": customer }));
            assert_eq!(mirror.column("invoices", &id, "customer"), "cus_i", "{customer} on {}", mirror.dialect());
        }
    });
}

#[test]
fn j_a_new_value_of_an_enumeration_is_stored() {
    Mirror::shared("defect J", |mirror| {
        for (kind, event_type, table) in [
            ("subscription", "customer.subscription.updated", "subscriptions"),
            ("invoice", "invoice.updated", "invoices"),
            ("subscription_schedule", "subscription_schedule.updated", "subscription_schedules"),
        ] {
            let id = fresh_id("case_");
            deliver(mirror, event_type, 0, json!({ "id": id, "object": kind, "status": "some_new" }));
            assert_eq!(mirror.column(table, &id, "status"), "some_new", "{table} on {}", mirror.dialect());
        }
    });
}

#[test]
fn k_a_checkout_session_needs_no_answer_from_stripe() {
    let nowhere = format!("http://{}", unused_address().unwrap());
    let settings = |settings: billhook_testkit::ServerSettings| {
        settings
            .set("STRIPE_API_BASE", &nowhere)
            .set("STRIPE_SECRET_KEY", "sk_test_0123456789abcdef01234567")
            .set("AUTO_EXPAND_LISTS", "true")
            .set("BACKFILL_RELATED_ENTITIES", "true")
            .set("REVALIDATE_OBJECTS_VIA_STRIPE_API", "customer,invoice")
    };
    Mirror::on_each("defect K", settings, |mirror| {
        let id = fresh_id("cs_test_");
        let session =
            json!({ "id": id, "object": "checkout.session", "status": "complete", "customer": "cus_unknown" });
        deliver(mirror, "checkout.session.completed", 0, session);
        assert_eq!(mirror.column("checkout_sessions", &id, "status"), "complete", "on {}", mirror.dialect());
    });
}

#[test]
fn line_items_that_came_with_their_session_are_rows() {
    Mirror::shared("line items of a session", |mirror| {
        let id = fresh_id("cs_test_");
        let line = format!("li_{id}");
        let session = json!({
            "id": id, "object": "checkout.session",
            "line_items": {
                "object": "list", "has_more": false,
                "data": [{ "id": line, "object": "item", "price": { "id": "price_k", "object": "price" }, "quantity": 2 }],
            },
        });
        deliver(mirror, "checkout.session.completed", 0, session);
        let row = mirror.row("checkout_session_line_items", &line).unwrap();
        let shown = (&row["price"], &row["checkout_session"], &row["quantity"]);
        assert_eq!(shown, (&json!("price_k"), &json!(id), &json!(2)), "on {}", mirror.dialect());
    });
}

#[test]
fn an_older_event_is_acknowledged_and_changes_nothing() {
    Mirror::shared("an older event", |mirror| {
        let id = fresh_id("cus_");
        let customer = |name: &str| json!({ "id": id, "object": "customer", "name": name });
        let newer = deliver(mirror, "customer.updated", 10, customer("newer"));
        deliver(mirror, "customer.updated", 20, customer("older"));
        let row = mirror.row("customers", &id).unwrap();
        assert_eq!(row["name"], "newer", "on {}", mirror.dialect());
        assert_eq!(super::compare::seconds(&row["last_synced_at"]), newer["created"].as_i64());
    });
}

#[test]
fn entitlements_that_a_summary_no_longer_names_are_gone() {
    Mirror::shared("entitlements of a summary", |mirror| {
        let customer = fresh_id("cus_");
        let summary = |names: &[&str]| {
            let data: Vec<Value> = names
                .iter()
                .map(|name| {
                    let id = format!("ent_{name}_{customer}");
                    json!({ "id": id, "object": "entitlements.active_entitlement", "feature": "feat_1", "lookup_key": name })
                })
                .collect();
            json!({
                "object": "entitlements.active_entitlement_summary", "customer": customer,
                "entitlements": { "object": "list", "data": data, "has_more": false },
            })
        };
        let event_type = "entitlements.active_entitlement_summary.updated";
        let held = || mirror.ids("active_entitlements", &format!("customer = '{customer}'")).len();
        deliver(mirror, event_type, 30, summary(&["a", "b"]));
        assert_eq!(held(), 2, "on {}", mirror.dialect());
        deliver(mirror, event_type, 10, summary(&["b"]));
        assert_eq!(held(), 1, "on {}", mirror.dialect());
        deliver(mirror, event_type, 20, summary(&["a", "b"]));
        assert_eq!(held(), 1, "an older summary changes nothing, on {}", mirror.dialect());
        deliver(mirror, event_type, 5, summary(&[]));
        assert_eq!(held(), 0, "on {}", mirror.dialect());
    });
}
