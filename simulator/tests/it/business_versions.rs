//! The shapes of API versions.

use billhook_simulator::story::Story;
use billhook_simulator::versions::{Alone, NEWEST, SHAPES, render};
use serde_json::{Value, json};

use crate::books::{Books, DAY, START, text};

/// A subscription that was paid: account, subscription and invoice.
fn paid() -> (Books, Value, Value) {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_visa");
    books.post("/v1/coupons", &[("id", "HALF"), ("percent_off", "50"), ("duration", "forever")]);
    let held = books.subscribe(&customer, &price, &[("discounts[0][coupon]", "HALF"), ("metadata[team]", "blue")]);
    let invoice = books.get("invoice", &text(&held, "latest_invoice"));
    (books, held, invoice)
}

#[test]
fn before_basil_a_subscription_has_its_period_plan_and_discount() {
    let (books, held, _) = paid();
    for version in ["2020-08-27", "2024-09-30.acacia", "2025-02-24.acacia"] {
        let old = render(&held, version, &books.account);
        assert_eq!(
            (&old["current_period_start"], &old["current_period_end"]),
            (&json!(START), &json!(START + 31 * DAY))
        );
        assert_eq!(old["plan"]["amount"], 2_900);
        assert_eq!(old["quantity"], 1);
        assert_eq!(old["discount"]["coupon"]["percent_off"], 50);
        let item = &old["items"]["data"][0];
        assert!(item.get("current_period_end").is_none() && item["plan"].is_object());
        assert_eq!(old["items"]["total_count"], 1);
    }
    let new = render(&held, "2025-03-31.basil", &books.account);
    assert!(new.get("current_period_end").is_none() && new.get("plan").is_none());
    assert_eq!(new["items"]["data"][0]["current_period_end"], START + 31 * DAY);
    assert!(new["items"].get("total_count").is_none());
}

#[test]
fn before_basil_an_invoice_names_its_subscription_charge_and_payment_intent() {
    let (books, held, invoice) = paid();
    let old = render(&invoice, "2024-09-30.acacia", &books.account);
    assert_eq!(old["subscription"], held["id"]);
    assert_eq!(old["subscription_details"], json!({"metadata": {"team": "blue"}}));
    assert_eq!((&old["paid"], &old["paid_out_of_band"], &old["tax"]), (&json!(true), &json!(false), &Value::Null));
    let intent = books.get("payment_intent", &text(&old, "payment_intent"));
    assert_eq!(old["charge"], intent["latest_charge"]);
    for gone in ["parent", "total_taxes", "payments", "confirmation_secret"] {
        assert!(old.get(gone).is_none(), "{gone}");
    }
    let line = &old["lines"]["data"][0];
    assert_eq!((&line["type"], &line["proration"]), (&json!("subscription"), &json!(false)));
    assert_eq!(line["subscription_item"], held["items"]["data"][0]["id"]);
    assert_eq!((&line["price"]["unit_amount"], &line["plan"]["interval"]), (&json!(2_900), &json!("month")));
    assert!(line.get("parent").is_none() && line.get("pricing").is_none() && line.get("taxes").is_none());
    let charge = books.get("charge", &text(&old, "charge"));
    assert_eq!(render(&charge, "2020-08-27", &books.account)["invoice"], invoice["id"]);
    assert_eq!(render(&intent, "2020-08-27", &books.account)["invoice"], invoice["id"]);
    assert!(render(&charge, "2025-03-31.basil", &books.account).get("invoice").is_none());
    let new = render(&invoice, "2025-03-31.basil", &books.account);
    assert_eq!(new["parent"]["subscription_details"]["subscription"], held["id"]);
    assert!(new.get("subscription").is_none() && new.get("paid").is_none());
}

#[test]
fn before_clover_a_discount_carries_its_coupon() {
    let (mut books, held, _) = paid();
    let promotion = books.post("/v1/promotion_codes", &[("promotion[coupon]", "HALF"), ("code", "FALL")]);
    let discount = books.get("discount", held["discounts"][0].as_str().unwrap());
    for object in [&discount, &promotion] {
        let old = render(object, "2025-03-31.basil", &books.account);
        assert_eq!(old["coupon"]["id"], "HALF");
        assert!(old.get("source").is_none() && old.get("promotion").is_none());
        let new = render(object, "2025-09-30.clover", &books.account);
        assert!(new.get("coupon").is_none());
    }
}

#[test]
fn before_dahlia_checkout_has_other_modes_and_lines_no_decimal_quantity() {
    let session =
        json!({"id": "cs_1", "object": "checkout.session", "ui_mode": "embedded_page", "collected_information": null});
    assert_eq!(render(&session, "2025-03-31.basil", &Alone)["ui_mode"], "embedded");
    assert_eq!(render(&session, "2026-03-25.dahlia", &Alone)["ui_mode"], "embedded_page");
    let line = json!({"id": "il_1", "object": "line_item", "quantity": 1, "quantity_decimal": "1"});
    assert!(render(&line, "2025-09-30.clover", &Alone).get("quantity_decimal").is_none());
    assert_eq!(render(&line, "2026-07-29.dahlia", &Alone)["quantity_decimal"], "1");
}

#[test]
fn taxes_and_credit_notes_before_basil() {
    let taxes = json!([
        {"amount": 19, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": "txr_1"}, "taxability_reason": "not_available", "taxable_amount": 100},
        {"amount": 5, "tax_behavior": "inclusive", "tax_rate_details": {"tax_rate": "txr_2"}, "taxability_reason": "not_available", "taxable_amount": 95},
    ]);
    let invoice = json!({"id": "in_1", "object": "invoice", "status": "open", "total_taxes": taxes});
    let old = render(&invoice, "2024-09-30.acacia", &Alone);
    assert_eq!(old["tax"], 24);
    assert_eq!(
        old["total_tax_amounts"][1],
        json!({"amount": 5, "inclusive": true, "tax_rate": "txr_2", "taxability_reason": "not_available", "taxable_amount": 95})
    );
    let note = json!({"id": "cn_1", "object": "credit_note", "refunds": [{"amount_refunded": 5, "refund": "re_1"}], "total_taxes": []});
    let old = render(&note, "2024-09-30.acacia", &Alone);
    assert_eq!((&old["refund"], &old["tax_amounts"]), (&json!("re_1"), &json!([])));
}

#[test]
fn the_newest_shape_and_deletion_stubs_are_left_alone() {
    let mut books = Books::new();
    Story::new(4).run(&mut books.account, 20);
    for kind in ["customer", "invoice", "subscription", "charge", "payment_intent"] {
        for object in books.account.all(kind) {
            for version in ["2026-03-25.dahlia", "2026-09-30.endive", NEWEST] {
                assert_eq!(render(&object, version, &books.account), object);
            }
        }
    }
    let stub = json!({"id": "in_1", "object": "invoice", "deleted": true});
    assert!(SHAPES.iter().all(|version| render(&stub, version, &Alone) == stub));
}

#[test]
fn previous_attributes_are_in_the_shape_of_the_delivery() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_visa");
    books.subscribe(&customer, &price, &[]);
    books.account.advance(32 * DAY);
    let event = books.account.events().rev().find(|event| event.event_type == "customer.subscription.updated").unwrap();
    let data = |version: &str| {
        let body: Value = serde_json::from_slice(&event.render(version, false, &books.account)).unwrap();
        assert_eq!(body["api_version"], version);
        body["data"]["previous_attributes"].clone()
    };
    let old = data("2024-09-30.acacia");
    assert_eq!((&old["current_period_start"], &old["current_period_end"]), (&json!(START), &json!(START + 31 * DAY)));
    assert!(old["items"].is_null());
    let new = data(NEWEST);
    assert_eq!(new["items"]["data"][0]["current_period_start"], START);
    assert!(new.get("current_period_start").is_none());
}
