//! Every kind by its own rules: omissions, parents, expansions, permissions.

use billhook_mirror::sync::Window;
use billhook_mirror::sync::names::everything;
use billhook_simulator::{ApiFault, Limit, Permission};
use billhook_store::SegmentEnd;
use jiff::Timestamp;
use serde_json::json;

use super::{Stripe, assert_done, assert_equal, ids, runs, wait};
use crate::harness::{Mirror, on_each_store};

#[test]
fn what_lists_leave_out_by_default_is_read_as_well() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            let created = account.now() - 100;
            let mut put = |object: serde_json::Value| account.insert(object, None);
            put(json!({ "id": "clock_1", "object": "test_helpers.test_clock", "created": created, "livemode": false }));
            for (id, clock) in [("cus_plain", json!(null)), ("cus_clock", json!("clock_1"))] {
                put(json!({ "id": id, "object": "customer", "created": created, "livemode": false, "test_clock": clock }));
            }
            for (id, status, clock) in [
                ("sub_active", "active", json!(null)),
                ("sub_canceled", "canceled", json!(null)),
                ("sub_clock", "active", json!("clock_1")),
            ] {
                put(json!({
                    "id": id, "object": "subscription", "created": created, "livemode": false, "status": status,
                    "customer": "cus_plain", "test_clock": clock,
                    "items": { "object": "list", "data": [], "has_more": false, "url": format!("/v1/subscription_items?subscription={id}") },
                }));
            }
            for (id, active) in [("price_on", true), ("price_off", false)] {
                put(json!({ "id": id, "object": "price", "created": created, "livemode": false, "active": active, "product": "prod_1" }));
            }
        });
        assert_done(&stripe.backfill(&mirror, &["customer", "subscription", "price"]).await);
        assert_eq!(ids(&mirror, "customers").await, ["cus_clock", "cus_plain"]);
        assert_eq!(ids(&mirror, "subscriptions").await, ["sub_active", "sub_canceled", "sub_clock"]);
        assert_eq!(ids(&mirror, "prices").await, ["price_off", "price_on"]);
        assert_eq!(ids(&mirror, "test_helpers_test_clocks").await, ["clock_1"], "its clock was needed");
    });
}

#[test]
fn lists_below_parents_are_read_for_each_of_them_when_named() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        let customers = stripe.simulator.account(|account| {
            let customers = account.fill_customers(25);
            for (number, customer) in customers.iter().enumerate() {
                let created = account.now() - 50;
                let owner = json!({ "type": "customer", "customer": customer });
                account.insert(
                    json!({ "id": format!("txi_{number:02}"), "object": "tax_id", "created": created, "livemode": false, "customer": customer, "owner": owner }),
                    None,
                );
            }
            customers
        });
        // Nobody has read the customers yet: they are read first.
        let runs = stripe.backfill(&mirror, &["tax_id"]).await;
        assert_done(&runs);
        assert!(runs.iter().any(|run| run.object == "customer"));
        assert_equal(&stripe, &mirror, "tax_id", "tax_ids").await;
        assert_eq!(ids(&mirror, "tax_ids").await.len(), 25);
        assert_eq!(stripe.requests_to("GET /v1/customers/{id}/tax_ids"), customers.len());
        let before = stripe.requests_to("GET /v1/customers/{id}/tax_ids");
        let unnamed = stripe.backfill(&mirror, &["all"]).await;
        assert!(unnamed.iter().any(|run| run.object == "tax_id"));
        assert_eq!(stripe.requests_to("GET /v1/customers/{id}/tax_ids"), before, "not one request a customer, unasked");
    });
}

#[test]
fn everything_that_can_be_listed_is_read() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_customers(30);
            account.fill_invoices(20, 2);
            let created = account.now() - 10;
            for (kind, id) in [
                ("coupon", "SUMMER 25%/A"),
                ("payment_link", "plink_1"),
                ("billing.meter", "mtr_1"),
                ("country_spec", "DE"),
                ("reporting.report_type", "balance.summary.1"),
                ("v2.core.event_destination", "ed_1"),
                ("charge", "ch_1"),
                ("balance_transaction", "txn_1"),
            ] {
                account.insert(json!({ "id": id, "object": kind, "created": created, "livemode": false }), None);
            }
            account.insert(json!({ "object": "balance", "livemode": false, "available": [] }), None);
        });
        let request = runs::Request {
            targets: everything(),
            window: Window::default(),
            trigger: "command",
            related: false,
            livemode: Some(false),
        };
        let started = runs::start(&mirror.store, &request, Timestamp::now()).await.expect("started");
        let started: Vec<i64> = started.iter().map(|started| started.run.run()).collect();
        let running = stripe.syncer(&mirror, 8);
        let over = wait(&mirror, &started).await;
        running.stop().await;
        for run in &over {
            let fine = matches!(run.end, Some(SegmentEnd::Done | SegmentEnd::NotAvailable));
            assert!(fine, "{run:?}");
        }
        assert_eq!(ids(&mirror, "coupons").await, ["SUMMER 25%/A"]);
        assert_eq!(ids(&mirror, "v2_core_event_destinations").await, ["ed_1"]);
        assert_eq!(ids(&mirror, "balances").await.len(), 1);
        assert_eq!(ids(&mirror, "reporting_report_types").await, ["balance.summary.1"]);
        assert_equal(&stripe, &mirror, "customer", "customers").await;
        assert_equal(&stripe, &mirror, "invoice", "invoices").await;
    });
}

#[test]
fn a_kind_without_permission_is_marked_so_and_the_others_go_on() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_customers(120);
            account.fill_invoices(20, 1);
            account.add_restricted_key("rk_test_1", Permission::Read, &[("invoice", Permission::None)]);
        });
        let runs = super::start(&mirror, &["customer", "invoice"], Window::default()).await;
        let running = stripe.syncer_named(&mirror, 4, "node-1", stripe.api_with_key("rk_test_1"));
        let over = wait(&mirror, &runs).await;
        running.stop().await;
        let end = |object: &str| over.iter().find(|run| run.object == object).expect("the run").end;
        assert_eq!((end("customer"), end("invoice")), (Some(SegmentEnd::Done), Some(SegmentEnd::NoPermission)));
        assert_equal(&stripe, &mirror, "customer", "customers").await;
    });
}

#[test]
fn objects_without_a_row_are_named_and_left_out() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_customers(20);
            let created = account.now() - 5;
            let long = "x".repeat(300);
            account.insert(
                json!({ "id": long, "object": "customer", "created": created, "livemode": false, "test_clock": null }),
                None,
            );
        });
        let runs = stripe.backfill(&mirror, &["customer"]).await;
        let run = runs.iter().find(|run| run.object == "customer").expect("the run");
        assert_eq!(run.end, Some(SegmentEnd::Done));
        assert!(run.message.contains("1 object") && run.message.contains("no row"), "{}", run.message);
        assert_eq!(ids(&mirror, "customers").await.len(), 20);
    });
}

#[test]
fn line_items_of_checkout_sessions_come_along() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            let created = account.now() - 5;
            let items: Vec<_> =
                (0..3).map(|number| json!({ "id": format!("li_{number}"), "object": "item", "quantity": 1 })).collect();
            account.insert(
                json!({
                    "id": "cs_test_1", "object": "checkout.session", "created": created, "livemode": false,
                    "line_items": { "object": "list", "data": items, "has_more": false, "url": "/v1/checkout/sessions/cs_test_1/line_items" },
                }),
                None,
            );
        });
        assert_done(&stripe.backfill(&mirror, &["checkout_sessions"]).await);
        assert_eq!(ids(&mirror, "checkout_session_line_items").await, ["li_0", "li_1", "li_2"]);
        // Where Stripe does not expand it, the sessions are read all the same.
        stripe.simulator.faults().api("/v1/checkout/sessions", ApiFault::Reset, Limit::Next(1));
        assert_done(&stripe.backfill(&mirror, &["checkout_sessions"]).await);
    });
}
