//! Lines of invoices.

use serde_json::{Value, json};

use crate::account::Account;
use crate::business::calendar::Interval;
use crate::business::fields::Fields;
use crate::business::money;
use crate::business::price::interval_of;
use crate::business::record::made;
use crate::business::shapes::Object;

/// What a price costs for a quantity, in minor units.
pub(in crate::business) fn amount_of(price: &Value, quantity: i64) -> i64 {
    match price.time("unit_amount") {
        Some(unit) => unit.saturating_mul(quantity),
        None => decimal_amount(price.text("unit_amount_decimal"), quantity),
    }
}

/// A decimal unit amount (`0.05`, up to 12 decimals) times a quantity, rounded half away from zero.
fn decimal_amount(decimal: &str, quantity: i64) -> i64 {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let fraction: String = fraction.chars().take(12).collect();
    let scale = 10_i64.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let digits: i64 = format!("{whole}{fraction}").parse().unwrap_or(0);
    money::share(digits, quantity, scale)
}

/// The line for a period of a subscription item.
pub(in crate::business) fn of_subscription_item(
    account: &mut Account,
    subscription: &Value,
    item: &Value,
    (start, end): (i64, i64),
    free: bool,
) -> Object {
    let price = item.value("price");
    let quantity = item.time("quantity").unwrap_or(1);
    let amount = if free { 0 } else { amount_of(price, quantity) };
    let with = json!({
        "amount": amount, "currency": subscription.value("currency"), "description": describe(account, price, quantity, free),
        "metadata": subscription.value("metadata"), "period": { "end": end, "start": start },
        "parent": {
            "invoice_item_details": null,
            "subscription_item_details": {
                "invoice_item": null, "proration": false, "proration_details": { "credited_items": null },
                "subscription": subscription.value("id"), "subscription_item": item.value("id"),
            },
            "type": "subscription_item_details",
        },
        "pricing": price_details(price), "quantity": quantity, "quantity_decimal": quantity.to_string(),
        "subscription": subscription.value("id"), "subtotal": amount,
    });
    made(account, "line_item", 0, with)
}

/// The line for an invoice item.
pub(in crate::business) fn of_invoice_item(account: &mut Account, item: &Value) -> Object {
    let subscription = item.value("parent").value("subscription_details").value("subscription");
    let with = json!({
        "amount": item.value("amount"), "currency": item.value("currency"), "description": item.value("description"),
        "discountable": item.value("discountable"), "metadata": item.value("metadata"), "period": item.value("period"),
        "parent": {
            "invoice_item_details": {
                "invoice_item": item.value("id"), "proration": item.value("proration"),
                "proration_details": { "credited_items": null }, "subscription": subscription,
            },
            "subscription_item_details": null,
            "type": "invoice_item_details",
        },
        "pricing": item.value("pricing"), "quantity": item.value("quantity"), "quantity_decimal": item.value("quantity_decimal"),
        "subscription": subscription, "subtotal": item.value("amount"),
    });
    made(account, "line_item", 0, with)
}

/// `pricing` of a line or an invoice item.
pub(in crate::business) fn price_details(price: &Value) -> Value {
    json!({
        "price_details": { "price": price.value("id"), "product": price.value("product") },
        "type": "price_details", "unit_amount_decimal": price.value("unit_amount_decimal"),
    })
}

/// `2 × Pro (at €29.00 / month)`.
fn describe(account: &Account, price: &Value, quantity: i64, free: bool) -> String {
    let product = product_name(account, price);
    if free {
        return format!("Trial period for {product}");
    }
    let amount = money::display(amount_of(price, 1), price.text("currency"));
    let every = match interval_of(price) {
        Some(Interval { unit, count: 1 }) => format!(" / {unit}"),
        Some(Interval { unit, count }) => format!(" / every {count} {unit}s"),
        None => String::new(),
    };
    format!("{quantity} × {product} (at {amount}{every})")
}

/// The name of a price's product; the price's id when it has none.
pub(in crate::business) fn product_name(account: &Account, price: &Value) -> String {
    let product = price.reference("product").and_then(|product| account.get("product", product));
    product.map_or_else(|| price.text("id").to_owned(), |product| product.text("name").to_owned())
}

#[cfg(test)]
mod tests {
    use super::decimal_amount;

    #[test]
    fn decimal_unit_amounts_are_multiplied_exactly() {
        assert_eq!(decimal_amount("0.05", 1_000), 50);
        assert_eq!(decimal_amount("0.05", 10), 1);
        assert_eq!(decimal_amount("12.345", 2), 25);
        assert_eq!(decimal_amount("7", 3), 21);
    }
}
