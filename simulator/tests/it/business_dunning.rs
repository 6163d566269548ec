//! What happens when a renewal is not paid.

use crate::books::{Books, DAY, HOUR, START, assert_history, text};

const BANK: [&str; 2] = ["balance.", "payout."];

/// A subscriber who paid once and whose card is refused from now on.
fn refused(books: &mut Books) -> (String, String) {
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_visa");
    let held = text(&books.subscribe(&customer, &price, &[]), "id");
    books.new_card(&customer, "pm_card_chargeCustomerFail");
    (customer, held)
}

#[test]
fn four_retries_then_the_end() {
    let mut books = Books::new();
    let (customer, id) = refused(&mut books);
    let mark = books.mark();
    books.account.advance(60 * DAY);
    let held = books.get("subscription", &id);
    assert_eq!(
        (&held["status"], &held["cancellation_details"]["reason"]),
        (&"canceled".into(), &"payment_failed".into())
    );
    assert_history(
        &books.history(mark, &[&BANK[..], &["charge.", "payment_intent.", "invoice_payment."]].concat()),
        "24d00h invoice.upcoming
         31d00h invoice.created
         31d00h customer.subscription.updated
         31d01h customer.updated
         31d01h invoice.finalized
         31d01h invoice.updated
         31d01h invoice.payment_failed
         31d01h customer.subscription.updated
         31d01h customer.updated
         32d01h invoice.updated
         32d01h invoice.payment_failed
         35d01h invoice.updated
         35d01h invoice.payment_failed
         40d01h invoice.updated
         40d01h invoice.payment_failed
         47d01h invoice.updated
         47d01h invoice.payment_failed
         47d01h customer.subscription.deleted
         47d01h invoice.updated",
    );
    let invoice = books.invoices(&customer).pop().unwrap();
    assert_eq!((&invoice["status"], &invoice["attempt_count"]), (&"open".into(), &5.into()));
    assert!(invoice["next_payment_attempt"].is_null());
    assert_eq!(
        books
            .account
            .find("charge", "customer", &customer)
            .iter()
            .filter(|charge| charge["status"] == "failed")
            .count(),
        5
    );
    assert_eq!(books.get("customer", &customer)["delinquent"], true);
}

#[test]
fn a_new_card_brings_the_subscription_back() {
    let mut books = Books::new();
    let (customer, id) = refused(&mut books);
    books.account.advance(32 * DAY);
    assert_eq!(books.get("subscription", &id)["status"], "past_due");
    let open = books.invoices(&customer).pop().unwrap();
    // One hour as a draft, then a day until the next attempt.
    assert_eq!(open["next_payment_attempt"], START + 32 * DAY + HOUR);
    books.new_card(&customer, "pm_card_mastercard");
    books.account.advance(2 * HOUR);
    assert_eq!(books.get("subscription", &id)["status"], "active");
    assert_eq!(books.get("invoice", &text(&open, "id"))["status"], "paid");
    assert_eq!(books.get("customer", &customer)["delinquent"], false);
    let back = books.last("customer.subscription.updated");
    assert_eq!(back["data"]["previous_attributes"], serde_json::json!({"status": "past_due"}));
}

#[test]
fn a_customer_without_a_card_fails_without_a_charge() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_visa");
    books.subscribe(&customer, &price, &[("trial_period_days", "2")]);
    let method = text(&books.account.find("payment_method", "customer", &customer)[0], "id");
    books.post(&format!("/v1/payment_methods/{method}/detach"), &[]);
    let mark = books.mark();
    books.account.advance(3 * DAY);
    let history = books.history(mark, &[]);
    assert!(history.contains("invoice.payment_failed") && !history.contains("charge."), "{history}");
}

#[test]
fn authentication_is_asked_for_when_somebody_is_there() {
    let mut books = Books::new();
    let price = books.price("eur", "2900", "month");
    let customer = books.customer("pm_card_authenticationRequired");
    let held = books.subscribe(&customer, &price, &[]);
    assert_eq!(held["status"], "incomplete");
    books.last("invoice.payment_action_required");
    let intent = text(&books.last("payment_intent.requires_action")["data"]["object"], "id");
    assert_eq!(books.post(&format!("/v1/payment_intents/{intent}/confirm"), &[])["status"], "succeeded");
    assert_eq!(books.get("subscription", &text(&held, "id"))["status"], "active");
    // Nobody is there at the renewal.
    books.account.advance(32 * DAY);
    let failed = books.last("charge.failed");
    assert_eq!(failed["data"]["object"]["failure_code"], "authentication_required");
}
