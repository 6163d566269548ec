//! Coupons, taxes and credit notes.

use serde_json::json;

use crate::books::{Books, DAY, text};

#[test]
fn a_coupon_for_once_takes_its_part_of_one_invoice() {
    let mut books = Books::new();
    books.post("/v1/coupons", &[("id", "QUARTER"), ("percent_off", "25"), ("duration", "once")]);
    let price = books.price("eur", "2999", "month");
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &price, &[("discounts[0][coupon]", "QUARTER")]);
    let first = books.get("invoice", &text(&held, "latest_invoice"));
    // 749.75 is rounded.
    assert_eq!(
        (&first["subtotal"], &first["total"], &first["amount_paid"]),
        (&json!(2_999), &json!(2_249), &json!(2_249))
    );
    assert_eq!(books.get("coupon", "QUARTER")["times_redeemed"], 1);
    assert_eq!(books.last("customer.discount.deleted")["data"]["object"]["source"]["coupon"], "QUARTER");
    books.account.advance(32 * DAY);
    assert_eq!(books.invoices(&customer).pop().unwrap()["total"], 2_999);
}

#[test]
fn a_fixed_discount_is_shared_by_the_lines() {
    let mut books = Books::new();
    books.post("/v1/coupons", &[("id", "TEN"), ("amount_off", "1000"), ("currency", "eur"), ("duration", "forever")]);
    let (one, other) = (books.price("eur", "2000", "month"), books.price("eur", "1000", "month"));
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &one, &[("items[1][price]", &other), ("discounts[0][coupon]", "TEN")]);
    let invoice = books.get("invoice", &text(&held, "latest_invoice"));
    let parts: Vec<_> = invoice["lines"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["discount_amounts"][0]["amount"].clone())
        .collect();
    assert_eq!((parts, &invoice["total"]), (vec![json!(667), json!(333)], &json!(2_000)));
}

#[test]
fn taxes_come_on_top() {
    let mut books = Books::new();
    let form = [("display_name", "VAT"), ("percentage", "7.7"), ("inclusive", "false"), ("country", "CH")];
    let rate = text(&books.post("/v1/tax_rates", &form), "id");
    let price = books.price("chf", "1000", "month");
    let customer = books.customer("pm_card_visa");
    let held = books.subscribe(&customer, &price, &[("default_tax_rates[0]", &rate)]);
    let invoice = books.get("invoice", &text(&held, "latest_invoice"));
    assert_eq!((&invoice["total"], &invoice["total_excluding_tax"]), (&json!(1_077), &json!(1_000)));
    assert_eq!(invoice["total_taxes"][0]["tax_rate_details"]["tax_rate"], json!(rate));
    assert_eq!(invoice["lines"]["data"][0]["taxes"][0]["amount"], 77);
}

#[test]
fn credit_notes_lower_what_is_open_and_refund_what_is_paid() {
    let mut books = Books::new();
    let customer = books.customer("pm_card_visa");
    let draft = text(&books.post("/v1/invoices", &[("customer", &customer), ("currency", "usd")]), "id");
    let item = [("customer", customer.as_str()), ("invoice", draft.as_str()), ("amount", "5000"), ("currency", "usd")];
    books.post("/v1/invoiceitems", &item);
    books.post(&format!("/v1/invoices/{draft}/finalize"), &[]);
    let note = books.post("/v1/credit_notes", &[("invoice", &draft), ("amount", "2000")]);
    assert_eq!(note["type"], "pre_payment");
    assert_eq!(books.get("invoice", &draft)["amount_due"], 3_000);
    books.post(&format!("/v1/invoices/{draft}/pay"), &[]);
    assert_eq!(books.last("charge.succeeded")["data"]["object"]["amount"], 3_000);
    let form = [("invoice", draft.as_str()), ("amount", "1000"), ("refund_amount", "1000")];
    let note = books.post("/v1/credit_notes", &form);
    assert_eq!((&note["type"], &note["refunds"][0]["amount_refunded"]), (&json!("post_payment"), &json!(1_000)));
    assert_eq!(books.last("charge.refunded")["data"]["previous_attributes"]["amount_refunded"], 0);
    assert!(books.try_post("/v1/credit_notes", &[("invoice", &draft), ("amount", "2001")]).is_err());
}
