//! Writes one by one: payments, refunds, disputes, checkout, invoices by hand, entitlements, test clocks.

use billhook_simulator::business::{complete_checkout, decide_dispute};
use serde_json::{Value, json};

use crate::books::{Books, DAY, START, assert_history, text};

#[test]
fn a_declined_card_is_an_error_and_leaves_a_failed_charge() {
    let mut books = Books::new();
    let form = [
        ("amount", "500"),
        ("currency", "usd"),
        ("payment_method", "pm_card_chargeDeclinedInsufficientFunds"),
        ("confirm", "true"),
    ];
    let error = books.try_post("/v1/payment_intents", &form).unwrap_err();
    assert_eq!((error.status, error.code.as_deref()), (402, Some("card_declined")));
    assert_eq!(error.more["decline_code"], "insufficient_funds");
    assert_eq!(error.more["payment_intent"]["status"], "requires_payment_method");
    let charge = books.get("charge", error.more["charge"].as_str().unwrap());
    assert_eq!((&charge["paid"], &charge["failure_code"]), (&json!(false), &json!("card_declined")));
    assert_history(
        &books.history(0, &[]),
        "0d00h payment_intent.created
         0d00h charge.failed
         0d00h payment_intent.payment_failed",
    );
    let error =
        books.try_post("/v1/payment_methods/pm_card_chargeDeclined/attach", &[("customer", "cus_none")]).unwrap_err();
    assert_eq!((error.status, error.code.as_deref()), (400, Some("resource_missing")));
    let customer = text(&books.post("/v1/customers", &[]), "id");
    let error =
        books.try_post("/v1/payment_methods/pm_card_chargeDeclined/attach", &[("customer", &customer)]).unwrap_err();
    assert_eq!(error.kind, "card_error");
}

#[test]
fn money_is_held_captured_in_part_and_given_back() {
    let mut books = Books::new();
    let form = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("capture_method", "manual"),
    ];
    let held = books.post("/v1/payment_intents", &form);
    assert_eq!((&held["status"], &held["amount_capturable"]), (&json!("requires_capture"), &json!(1_000)));
    assert_eq!(books.account.count("balance_transaction"), 0);
    let path = format!("/v1/payment_intents/{}/capture", text(&held, "id"));
    let paid = books.post(&path, &[("amount_to_capture", "700")]);
    assert_eq!((&paid["status"], &paid["amount_received"]), (&json!("succeeded"), &json!(700)));
    let charge = text(&paid, "latest_charge");
    assert_eq!(books.get("charge", &charge)["amount_refunded"], 300);
    let refund = books.post("/v1/refunds", &[("charge", &charge)]);
    assert_eq!(refund["amount"], 700);
    let charge = books.get("charge", &charge);
    assert_eq!((&charge["refunded"], &charge["amount_refunded"]), (&json!(true), &json!(1_000)));
    assert!(books.try_post("/v1/refunds", &[("payment_intent", &text(&paid, "id"))]).is_err());
    books.account.advance(6 * DAY);
    assert_eq!(
        books.last("refund.updated")["data"]["object"]["destination_details"]["card"]["reference_status"],
        "available"
    );
    books.last("charge.refund.updated");
}

#[test]
fn a_disputed_charge_costs_and_can_be_won_back() {
    let mut books = Books::new();
    let form =
        [("amount", "4000"), ("currency", "usd"), ("payment_method", "pm_card_createDispute"), ("confirm", "true")];
    let paid = books.post("/v1/payment_intents", &form);
    assert_history(
        &books.history(0, &[]),
        "0d00h payment_intent.created
         0d00h charge.succeeded
         0d00h charge.dispute.created
         0d00h charge.updated
         0d00h charge.dispute.funds_withdrawn
         0d00h payment_intent.succeeded",
    );
    let dispute = books.last("charge.dispute.funds_withdrawn")["data"]["object"].clone();
    assert_eq!(dispute["balance_transactions"][0]["net"], -6_000);
    assert!(books.try_post("/v1/refunds", &[("charge", &text(&paid, "latest_charge"))]).is_err());
    let id = text(&dispute, "id");
    let answered = books.post(&format!("/v1/disputes/{id}"), &[("evidence[uncategorized_text]", "They were there.")]);
    assert_eq!(answered["status"], "under_review");
    decide_dispute(&mut books.account, &id, true);
    let closed = books.get("dispute", &id);
    assert_eq!((&closed["status"], closed["balance_transactions"].as_array().unwrap().len()), (&json!("won"), 2));
    books.last("charge.dispute.funds_reinstated");
}

#[test]
fn a_checkout_makes_the_customer_and_the_subscription_and_then_completes() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let form = [
        ("mode", "subscription"),
        ("line_items[0][price]", price.as_str()),
        ("line_items[0][quantity]", "2"),
        ("success_url", "https://example.com"),
        ("subscription_data[metadata][plan]", "x"),
    ];
    let session = text(&books.post("/v1/checkout/sessions", &form), "id");
    let mark = books.mark();
    let done = complete_checkout(&mut books.account, &session, "Eve Novak", "eve@example.com", "pm_card_visa").unwrap();
    assert_eq!(
        (&done["status"], &done["payment_status"], &done["amount_total"]),
        (&json!("complete"), &json!("paid"), &json!(5_800))
    );
    let history = books.history(mark, &[]);
    assert!(
        history.starts_with("0d00h customer.created\n")
            && history.ends_with("customer.subscription.created\n0d00h checkout.session.completed\n"),
        "{history}"
    );
    assert_eq!(books.get("subscription", &text(&done, "subscription"))["metadata"]["plan"], "x");
    // One that nobody completes expires; one that is refused stays open.
    let left = text(&books.post("/v1/checkout/sessions", &form), "id");
    assert!(complete_checkout(&mut books.account, &left, "Eve", "eve@example.com", "pm_card_chargeDeclined").is_err());
    assert_eq!(books.get("checkout.session", &left)["status"], "open");
    books.account.advance(DAY);
    assert_eq!(books.get("checkout.session", &left)["status"], "expired");
}

#[test]
fn an_invoice_by_hand_is_paid_outside_voided_given_up_or_deleted() {
    let mut books = Books::new();
    let customer = books.customer("pm_card_visa");
    let invoice = |books: &mut Books| {
        let item = [("customer", customer.as_str()), ("amount", "900"), ("currency", "usd")];
        books.post("/v1/invoiceitems", &item);
        let form =
            [("customer", customer.as_str()), ("currency", "usd"), ("pending_invoice_items_behavior", "include")];
        text(&books.post("/v1/invoices", &form), "id")
    };
    let outside = invoice(&mut books);
    let mark = books.mark();
    let paid = books.post(&format!("/v1/invoices/{outside}/pay"), &[("paid_out_of_band", "true")]);
    assert_eq!((&paid["status"], &paid["amount_remaining"]), (&json!("paid"), &json!(0)));
    let history = books.history(mark, &[]);
    assert!(history.contains("invoice.paid") && !history.contains("payment_succeeded"), "{history}");
    let voided = invoice(&mut books);
    books.post(&format!("/v1/invoices/{voided}/finalize"), &[]);
    assert_eq!(books.post(&format!("/v1/invoices/{voided}/void"), &[])["status"], "void");
    let given_up = invoice(&mut books);
    books.post(&format!("/v1/invoices/{given_up}/finalize"), &[]);
    assert_eq!(books.post(&format!("/v1/invoices/{given_up}/mark_uncollectible"), &[])["status"], "uncollectible");
    assert!(books.try_post(&format!("/v1/invoices/{given_up}/finalize"), &[]).is_err());
    let deleted = invoice(&mut books);
    books.delete(&format!("/v1/invoices/{deleted}"));
    assert!(books.account.get("invoice", &deleted).is_none());
    // What was on the deleted draft waits again.
    let again = invoice(&mut books);
    assert_eq!(books.get("invoice", &again)["total"], 1_800);
    let numbers: Vec<Value> =
        [&outside, &voided, &given_up].iter().map(|id| books.get("invoice", id)["number"].clone()).collect();
    assert!(numbers.iter().all(|number| number.as_str().is_some_and(|number| number.contains("-000"))), "{numbers:?}");
}

#[test]
fn features_follow_the_subscription() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let product = text(&books.get("price", &price), "product");
    let feature = text(&books.post("/v1/entitlements/features", &[("name", "Export"), ("lookup_key", "export")]), "id");
    books.post(&format!("/v1/products/{product}/features"), &[("entitlement_feature", &feature)]);
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &price, &[]);
    let granted = books.last("entitlements.active_entitlement_summary.updated");
    assert_eq!(granted["data"]["object"]["customer"], json!(customer));
    assert_eq!(granted["data"]["object"]["entitlements"]["data"][0]["lookup_key"], "export");
    assert_eq!(granted["data"]["previous_attributes"]["entitlements"]["data"], json!([]));
    books.delete(&format!("/v1/subscriptions/{}", text(&held, "id")));
    let taken = books.last("entitlements.active_entitlement_summary.updated");
    assert_eq!(taken["data"]["object"]["entitlements"]["data"], json!([]));
    assert_eq!(books.account.count("entitlements.active_entitlement"), 0);
}

#[test]
fn a_test_clock_has_a_time_of_its_own() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let frozen = START + 1_000 * DAY;
    let clock = text(&books.post("/v1/test_helpers/test_clocks", &[("frozen_time", &frozen.to_string())]), "id");
    let customer =
        text(&books.post("/v1/customers", &[("test_clock", &clock), ("payment_method", "pm_card_visa")]), "id");
    let method = text(&books.account.find("payment_method", "customer", &customer)[0], "id");
    let held = books.subscribe(&customer, &price, &[("default_payment_method", &method)]);
    assert_eq!(held["created"], frozen);
    books.account.advance(90 * DAY);
    assert_eq!(books.invoices(&customer).len(), 1);
    let to = (frozen + 70 * DAY).to_string();
    let answer = books.post(&format!("/v1/test_helpers/test_clocks/{clock}/advance"), &[("frozen_time", &to)]);
    assert_eq!(answer["status"], "advancing");
    assert_eq!(books.get("test_helpers.test_clock", &clock)["status"], "ready");
    let bills = books.invoices(&customer);
    assert_eq!(bills.len(), 3);
    assert!(bills.iter().all(|bill| bill["status"] == "paid" && bill["created"].as_i64().unwrap() >= frozen));
}

#[test]
fn parameters_that_cannot_be_are_refused() {
    let mut books = Books::new();
    let customer = books.customer("pm_card_visa");
    let one_time = {
        let product = text(&books.post("/v1/products", &[("name", "Once")]), "id");
        text(&books.post("/v1/prices", &[("product", &product), ("currency", "usd"), ("unit_amount", "5")]), "id")
    };
    let cases: [(&str, &[(&str, &str)], Option<&str>); 8] = [
        ("/v1/products", &[], Some("parameter_missing")),
        (
            "/v1/prices",
            &[("product", "prod_none"), ("currency", "usd"), ("unit_amount", "5")],
            Some("resource_missing"),
        ),
        ("/v1/subscriptions", &[("customer", "cus_none"), ("items[0][price]", "p")], Some("resource_missing")),
        ("/v1/subscriptions", &[("customer", &customer), ("items[0][price]", &one_time)], None),
        ("/v1/payment_intents", &[("amount", "abc"), ("currency", "usd")], Some("parameter_invalid_integer")),
        (
            "/v1/payment_intents",
            &[("amount", "5124"), ("currency", "kwd")],
            Some("invalid_charge_amount_no_decimal_compatible"),
        ),
        (
            "/v1/payment_intents",
            &[("amount", "150"), ("currency", "isk")],
            Some("invalid_charge_amount_no_decimal_compatible"),
        ),
        ("/v1/coupons", &[("percent_off", "10"), ("amount_off", "10")], None),
    ];
    for (path, form, code) in cases {
        let error = books.try_post(path, form).unwrap_err();
        assert_eq!((error.status, error.code.as_deref()), (400, code), "{path} {form:?}: {error}");
    }
    let long = "x".repeat(501);
    assert!(books.try_post("/v1/customers", &[("metadata[key]", &long)]).is_err());
}
