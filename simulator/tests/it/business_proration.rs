//! Changes in the middle of a period.

use serde_json::{Value, json};

use crate::books::{Books, DAY, START, text};

fn amounts(invoice: &Value) -> Vec<i64> {
    invoice["lines"]["data"].as_array().unwrap().iter().map(|line| line["amount"].as_i64().unwrap()).collect()
}

#[test]
fn more_seats_wait_for_the_next_invoice() {
    let mut books = Books::new();
    let price = books.price("usd", "3100", "month");
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &price, &[("items[0][quantity]", "2")]);
    let (id, item) = (text(&held, "id"), text(&held["items"]["data"][0], "id"));
    // Ten of 31 days have passed.
    books.account.advance(10 * DAY);
    let mark = books.mark();
    books.post(&format!("/v1/subscriptions/{id}"), &[("items[0][id]", &item), ("items[0][quantity]", "5")]);
    crate::books::assert_history(
        &books.history(mark, &[]),
        "10d00h invoiceitem.created
         10d00h invoiceitem.created
         10d00h customer.subscription.updated",
    );
    let items = books.account.find("invoiceitem", "customer", &customer);
    let parts: Vec<_> =
        items.iter().map(|item| (item["amount"].as_i64().unwrap(), item["proration"].as_bool().unwrap())).collect();
    assert_eq!(parts, [(-4_200, true), (10_500, true)]);
    assert_eq!(items[0]["parent"]["subscription_details"]["subscription"], json!(id));
    let before = books.last("customer.subscription.updated");
    assert_eq!(before["data"]["previous_attributes"]["items"]["data"][0]["quantity"], 2);
    books.account.advance(22 * DAY);
    let renewal = books.invoices(&customer).pop().unwrap();
    assert_eq!(amounts(&renewal), [15_500, -4_200, 10_500]);
    assert_eq!((&renewal["total"], &renewal["status"]), (&json!(21_800), &json!("paid")));
    let line = &renewal["lines"]["data"][1];
    assert_eq!(line["parent"]["invoice_item_details"]["proration"], true);
    assert_eq!(books.get("invoiceitem", &text(&items[0], "id"))["invoice"], renewal["id"]);
}

#[test]
fn a_proration_can_be_billed_at_once_or_left_out() {
    let mut books = Books::new();
    let (small, large) = (books.price("eur", "1000", "month"), books.price("eur", "4100", "month"));
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &small, &[]);
    let (path, item) = (format!("/v1/subscriptions/{}", text(&held, "id")), text(&held["items"]["data"][0], "id"));
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", large.as_str()),
        ("proration_behavior", "always_invoice"),
    ];
    let changed = books.post(&path, &form);
    let now = books.get("invoice", &text(&changed, "latest_invoice"));
    assert_eq!(
        (amounts(&now), &now["billing_reason"], &now["status"]),
        (vec![-1_000, 4_100], &json!("subscription_update"), &json!("paid"))
    );
    let form = [("items[0][id]", item.as_str()), ("items[0][price]", small.as_str()), ("proration_behavior", "none")];
    books.post(&path, &form);
    assert_eq!(books.account.find("invoiceitem", "customer", &customer).len(), 2);
}

#[test]
fn another_interval_begins_a_new_period() {
    let mut books = Books::new();
    let (monthly, yearly) = (books.price("eur", "3100", "month"), books.price("eur", "30000", "year"));
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &monthly, &[]);
    let item = text(&held["items"]["data"][0], "id");
    books.account.advance(21 * DAY);
    let form = [("items[0][id]", item.as_str()), ("items[0][price]", yearly.as_str())];
    let changed = books.post(&format!("/v1/subscriptions/{}", text(&held, "id")), &form);
    let period = &changed["items"]["data"][0];
    assert_eq!(period["current_period_start"], START + 21 * DAY);
    assert_eq!(period["current_period_end"], START + (21 + 365) * DAY);
    let bill = books.get("invoice", &text(&changed, "latest_invoice"));
    assert_eq!(
        (amounts(&bill), &bill["total"], &bill["status"]),
        (vec![30_000, -1_000], &json!(29_000), &json!("paid"))
    );
    // The old period's end is no renewal any more.
    books.account.advance(30 * DAY);
    assert_eq!(books.invoices(&customer).len(), 2);
}

#[test]
fn what_is_too_much_is_kept_for_the_next_invoice() {
    let mut books = Books::new();
    let (small, large) = (books.price("kwd", "3100", "month"), books.price("kwd", "31000", "month"));
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &large, &[]);
    let item = text(&held["items"]["data"][0], "id");
    let form = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", small.as_str()),
        ("proration_behavior", "always_invoice"),
    ];
    let changed = books.post(&format!("/v1/subscriptions/{}", text(&held, "id")), &form);
    let credit = books.get("invoice", &text(&changed, "latest_invoice"));
    assert_eq!(
        (&credit["total"], &credit["amount_due"], &credit["ending_balance"]),
        (&json!(-27_900), &json!(0), &json!(-27_900))
    );
    assert_eq!(books.get("customer", &customer)["balance"], -27_900);
    books.account.advance(32 * DAY);
    let renewal = books.invoices(&customer).pop().unwrap();
    assert_eq!(
        (&renewal["amount_due"], &renewal["starting_balance"], &renewal["ending_balance"]),
        (&json!(0), &json!(-27_900), &json!(-24_800))
    );
    let moves: Vec<_> = books.account.find("customer_balance_transaction", "customer", &customer);
    assert_eq!(moves.iter().map(|moved| moved["amount"].as_i64().unwrap()).collect::<Vec<_>>(), [-27_900, 3_100]);
}
