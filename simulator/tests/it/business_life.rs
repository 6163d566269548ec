//! Subscriptions from the first day to the last, event by event.

use crate::books::{Books, DAY, START, assert_history, text};

/// What a payment has in events; tests about something else leave them out.
const PAYMENT: [&str; 4] = ["charge.", "payment_intent.", "invoice_payment.", "customer.updated"];
const BANK: [&str; 2] = ["balance.", "payout."];

#[test]
fn a_trial_becomes_a_subscription_renews_and_ends_as_planned() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_visa");
    let mark = books.mark();
    let held = books.subscribe(&customer, &price, &[("trial_period_days", "14")]);
    let id = text(&held, "id");
    assert_eq!((&held["status"], &held["trial_end"]), (&"trialing".into(), &(START + 14 * DAY).into()));
    books.account.advance(40 * DAY);
    books.post(&format!("/v1/subscriptions/{id}"), &[("cancel_at_period_end", "true")]);
    books.account.advance(10 * DAY);
    assert_eq!(books.account.get("subscription", &id).unwrap()["status"], "canceled");
    let without = [&PAYMENT[..], &BANK[..]].concat();
    assert_history(
        &books.history(mark, &without),
        "0d00h invoice.created
         0d00h invoice.finalized
         0d00h invoice.updated
         0d00h invoice.paid
         0d00h invoice.payment_succeeded
         0d00h customer.subscription.created
         7d00h invoice.upcoming
         11d00h customer.subscription.trial_will_end
         14d00h invoice.created
         14d00h customer.subscription.updated
         14d01h invoice.finalized
         14d01h invoice.updated
         14d01h invoice.paid
         14d01h invoice.payment_succeeded
         38d00h invoice.upcoming
         40d00h customer.subscription.updated
         45d00h customer.subscription.deleted",
    );
    let bills: Vec<_> =
        books.invoices(&customer).iter().map(|bill| (bill["billing_reason"].clone(), bill["total"].clone())).collect();
    assert_eq!(bills, [("subscription_create".into(), 0.into()), ("subscription_cycle".into(), 2_900.into())]);
}

#[test]
fn a_payment_has_its_events_in_the_second_of_the_subscription() {
    let mut books = Books::new();
    let price = books.price("jpy", "500", "year");
    let customer = books.customer("pm_card_visa");
    let mark = books.mark();
    let held = books.subscribe(&customer, &price, &[]);
    assert_history(
        &books.history(mark, &[]),
        "0d00h invoice.created
         0d00h customer.updated
         0d00h invoice.finalized
         0d00h payment_intent.created
         0d00h charge.succeeded
         0d00h payment_intent.succeeded
         0d00h invoice_payment.paid
         0d00h invoice.updated
         0d00h invoice.paid
         0d00h invoice.payment_succeeded
         0d00h customer.subscription.created",
    );
    assert_eq!(held["status"], "active");
    assert_eq!(books.last("customer.subscription.created")["data"]["object"]["status"], "active");
    let paid = books.last("charge.succeeded");
    assert_eq!((&paid["data"]["object"]["amount"], &paid["data"]["object"]["currency"]), (&500.into(), &"jpy".into()));
    let updated = books.last("invoice.updated");
    assert_eq!(updated["data"]["previous_attributes"]["status"], "open");
    assert_eq!(updated["data"]["previous_attributes"]["amount_paid"], 0);
}

#[test]
fn an_unpaid_first_invoice_leaves_the_subscription_incomplete_for_a_day() {
    let mut books = Books::new();
    let price = books.price("usd", "1000", "month");
    let customer = books.customer("pm_card_chargeCustomerFail");
    let held = books.subscribe(&customer, &price, &[]);
    assert_eq!(held["status"], "incomplete");
    let invoice = text(&held, "latest_invoice");
    books.account.advance(DAY);
    assert_eq!(books.get("subscription", &text(&held, "id"))["status"], "incomplete_expired");
    assert_eq!(books.get("invoice", &invoice)["status"], "void");
    // Who wants an error gets one, and nothing is made.
    let mark = books.mark();
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", price.as_str()),
        ("payment_behavior", "error_if_incomplete"),
    ];
    let error = books.try_post("/v1/subscriptions", &form).unwrap_err();
    assert_eq!((error.status, error.kind, error.code.as_deref()), (402, "card_error", Some("card_declined")));
    assert_eq!(books.mark(), mark);
}

#[test]
fn an_incomplete_subscription_begins_when_its_invoice_is_paid() {
    let mut books = Books::new();
    let price = books.price("usd", "1000", "month");
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &price, &[("payment_behavior", "default_incomplete")]);
    assert_eq!(held["status"], "incomplete");
    let mark = books.mark();
    books.post(&format!("/v1/invoices/{}/pay", text(&held, "latest_invoice")), &[]);
    assert_eq!(books.get("subscription", &text(&held, "id"))["status"], "active");
    assert_history(
        &books.history(mark, &["charge", "payment_intent", "invoice_payment"]),
        "0d00h invoice.updated
         0d00h invoice.paid
         0d00h invoice.payment_succeeded
         0d00h customer.subscription.updated",
    );
}

#[test]
fn a_trial_without_a_card_can_pause_and_be_resumed() {
    let mut books = Books::new();
    let price = books.price("eur", "700", "month");
    let customer = text(&books.post("/v1/customers", &[("name", "Nobody")]), "id");
    let more = [("trial_period_days", "5"), ("trial_settings[end_behavior][missing_payment_method]", "pause")];
    let id = text(&books.subscribe(&customer, &price, &more), "id");
    books.account.advance(6 * DAY);
    assert_eq!(books.get("subscription", &id)["status"], "paused");
    assert_eq!(books.last("customer.subscription.paused")["data"]["previous_attributes"]["status"], "trialing");
    books.new_card(&customer, "pm_card_visa");
    let resumed = books.post(&format!("/v1/subscriptions/{id}/resume"), &[]);
    assert_eq!(resumed["status"], "active");
    assert_eq!(books.invoices(&customer).last().unwrap()["status"], "paid");
}

#[test]
fn a_deleted_customer_takes_subscriptions_and_cards_along() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &price, &[]);
    let mark = books.mark();
    let stub = books.delete(&format!("/v1/customers/{customer}"));
    assert_eq!(stub, serde_json::json!({"id": customer, "object": "customer", "deleted": true}));
    assert_history(
        &books.history(mark, &[]),
        "0d00h customer.subscription.deleted
         0d00h customer.updated
         0d00h payment_method.detached
         0d00h customer.deleted",
    );
    let held = books.get("subscription", &text(&held, "id"));
    assert_eq!((&held["status"], &held["ended_at"]), (&"canceled".into(), &START.into()));
    // Nothing renews.
    let mark = books.mark();
    books.account.advance(60 * DAY);
    assert_history(&books.history(mark, &BANK), "");
    assert!(books.try_post(&format!("/v1/customers/{customer}"), &[("name", "x")]).is_err());
}

#[test]
fn the_request_is_named_only_for_what_it_caused() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_visa");
    books.subscribe(&customer, &price, &[]);
    books.account.advance(40 * DAY);
    let renewal = books.last("invoice.paid");
    assert!(renewal["request"]["id"].is_null());
}
