//! Invoice items: what waits for a customer's next invoice.

use serde_json::{Value, json};

use super::{line, totals};
use crate::account::Account;
use crate::business::fields::Fields;
use crate::business::record::{add, change, deleted, made, named};
use crate::business::shapes::set;
use crate::business::take::{Take, take};
use crate::business::timing::now_of;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(in crate::business) static ROUTES: &[WriteRoute] =
    &[post("/v1/invoiceitems", create), post("/v1/invoiceitems/{id}", update), delete("/v1/invoiceitems/{id}", remove)];

const SETTABLE: &[(&str, Take)] =
    &[("description", Take::Text), ("discountable", Take::Boolean), ("metadata", Take::Metadata)];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    named(account, "customer", customer, "customer")?;
    let now = now_of(account, Some(customer));
    let quantity = params.integer("quantity")?.unwrap_or(1);
    let price = price_of(account, params)?;
    let (amount, currency) = match &price {
        Some(price) => (line::amount_of(price, quantity), price.text("currency").to_owned()),
        None => {
            let amount = params.integer("amount")?.ok_or_else(|| ApiError::missing_parameter("amount"))?;
            (amount, params.required("currency")?.to_lowercase())
        }
    };
    let invoice = params.text("invoice").filter(|invoice| !invoice.is_empty());
    if let Some(invoice) = invoice {
        let standing = named(account, "invoice", invoice, "invoice")?;
        if standing.text("status") != "draft" {
            let message = format!("The invoice {invoice} is not a draft: items can only be added to drafts.");
            return Err(ApiError::parameter("invoice_not_editable", "invoice", message));
        }
    }
    let subscription = params.text("subscription").filter(|subscription| !subscription.is_empty());
    let unit = price.as_ref().map_or_else(
        || json!({ "price_details": null, "type": "price_details", "unit_amount_decimal": amount.to_string() }),
        line::price_details,
    );
    let with = json!({
        "amount": amount, "currency": currency, "customer": customer, "date": now, "invoice": invoice, "net_amount": amount,
        "parent": subscription.map(of_subscription), "period": { "end": now, "start": now }, "pricing": unit, "quantity": quantity,
        "quantity_decimal": quantity.to_string(),
    });
    let mut item = made(account, "invoiceitem", now, with);
    take(params, SETTABLE, &mut item)?;
    let item = add(account, item, Some("invoiceitem.created"));
    if let Some(invoice) = invoice {
        join(account, &item, invoice);
    }
    Ok(item)
}

fn price_of(account: &Account, params: &Params) -> Result<Option<Value>, ApiError> {
    let within = params.hash("pricing").and_then(|pricing| pricing.get("price")).and_then(Value::as_str);
    within.or_else(|| params.text("price")).map(|price| named(account, "price", price, "price")).transpose()
}

/// `parent` of an item that belongs to a subscription.
fn of_subscription(subscription: &str) -> Value {
    json!({ "subscription_details": { "subscription": subscription, "subscription_item": null }, "type": "subscription_details" })
}

/// A proration: credit for what was not used, or the cost of what is used from now on.
pub(in crate::business) fn prorate(account: &mut Account, subscription: &Value, part: &Proration<'_>) -> Value {
    let customer = subscription.reference("customer").unwrap_or_default();
    let with = json!({
        "amount": part.amount, "currency": subscription.value("currency"), "customer": customer, "date": part.at,
        "description": part.description, "discountable": false, "net_amount": part.amount,
        "parent": {
            "subscription_details": { "subscription": subscription.value("id"), "subscription_item": part.item },
            "type": "subscription_details",
        },
        "period": { "end": part.end, "start": part.at }, "pricing": line::price_details(part.price), "proration": true,
        "quantity": part.quantity, "quantity_decimal": part.quantity.to_string(),
    });
    let item = made(account, "invoiceitem", part.at, with);
    add(account, item, Some("invoiceitem.created"))
}

/// One side of a proration.
pub(in crate::business) struct Proration<'a> {
    pub(in crate::business) amount: i64,
    pub(in crate::business) at: i64,
    pub(in crate::business) end: i64,
    pub(in crate::business) description: String,
    pub(in crate::business) item: &'a str,
    pub(in crate::business) price: &'a Value,
    pub(in crate::business) quantity: i64,
}

/// The items that wait for an invoice of a customer: those of the subscription (`None` for an invoice without one), and those of none.
pub(super) fn pending(account: &mut Account, customer: &str, subscription: Option<&str>, currency: &str) -> Vec<Value> {
    let mut items = account.find("invoiceitem", "customer", customer);
    items.retain(|item| {
        let of = item.value("parent").value("subscription_details").reference("subscription");
        !item.is_set("invoice") && item.text("currency") == currency && (of.is_none() || of == subscription)
    });
    items
}

/// Puts an item on a draft.
fn join(account: &mut Account, item: &Value, invoice: &str) {
    let Some(Value::Object(mut draft)) = account.get("invoice", invoice) else { return };
    let mut line = line::of_invoice_item(account, item);
    set(&mut line, json!({ "invoice": invoice }));
    if let Some(Value::Array(lines)) = draft.get_mut("lines").and_then(|list| list.get_mut("data")) {
        lines.push(Value::Object(line));
    }
    totals::compute(account, &mut draft);
    let _ = account.update("invoice", invoice, Some("invoice.updated"), |invoice| *invoice = draft);
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let item = editable(account, id)?;
    let changed = crate::business::plain::update(account, params, "invoiceitem", None, SETTABLE)?;
    let quantity = params.integer("quantity")?.unwrap_or_else(|| item.int("quantity"));
    let amount = match params.integer("amount")? {
        Some(amount) => amount,
        None if params.has("quantity") => item.int("amount") / item.int("quantity").max(1) * quantity,
        None => changed.int("amount"),
    };
    let with = json!({
        "amount": amount, "net_amount": amount, "quantity": quantity, "quantity_decimal": quantity.to_string(),
    });
    Ok(change(account, "invoiceitem", id, None, with))
}

fn remove(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    editable(account, id)?;
    account.remove("invoiceitem", id, Some("invoiceitem.deleted"))?;
    Ok(deleted("invoiceitem", id))
}

/// An item that is on no invoice yet.
fn editable(account: &Account, id: &str) -> Result<Value, ApiError> {
    let item = account.require("invoiceitem", id, "id")?;
    if item.is_set("invoice") {
        let message = "This invoice item is part of an invoice and cannot be changed.";
        return Err(ApiError { code: Some("invoice_not_editable".to_owned()), ..ApiError::invalid(message) });
    }
    Ok(item)
}
