//! Invoices.

mod draft;
mod item;
mod line;
mod settle;
mod totals;

use serde_json::{Value, json};

use super::fields::Fields;
use super::record::{change, deleted, named};
use super::take::{Take, take};
use super::timing::{later, now_of};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) use draft::{DRAFT_HOURS, Draft, create as draft, finalize, subscription_of};
pub(super) use item::{Proration, ROUTES as ITEM_ROUTES, prorate};
pub(super) use line::{amount_of, of_subscription_item, price_details, product_name};
pub(super) use settle::{
    attempt, mark_uncollectible, payment_failed, payment_needs_action, payment_succeeded, request_less,
    stop_collecting, void,
};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/invoices", create),
    post("/v1/invoices/{id}", update),
    delete("/v1/invoices/{id}", remove),
    post("/v1/invoices/{id}/finalize", finalize_now),
    post("/v1/invoices/{id}/pay", pay),
    post("/v1/invoices/{id}/send", send),
    post("/v1/invoices/{id}/void", void_now),
    post("/v1/invoices/{id}/mark_uncollectible", give_up),
];

const SETTABLE: &[(&str, Take)] = &[
    ("auto_advance", Take::Boolean),
    ("collection_method", Take::Text),
    ("custom_fields", Take::Json),
    ("default_payment_method", Take::Text),
    ("description", Take::Text),
    ("due_date", Take::Integer),
    ("footer", Take::Text),
    ("metadata", Take::Metadata),
    ("statement_descriptor", Take::Text),
];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.required("customer")?;
    let customer = named(account, "customer", id, "customer")?;
    let subscription =
        params.text("subscription").map(|id| named(account, "subscription", id, "subscription")).transpose()?;
    let now = now_of(account, Some(id));
    let mut with = serde_json::Map::new();
    take(params, &[SETTABLE, &[("pending_invoice_items_behavior", Take::Text)]].concat(), &mut with)?;
    if let Some(days) = params.integer("days_until_due")? {
        with.insert("due_date".to_owned(), (now + days * super::calendar::DAY).into());
    }
    // Since 2022 items that wait are left for the next invoice of a subscription unless asked for.
    if !with.contains_key("pending_invoice_items_behavior") && subscription.is_none() {
        with.insert("pending_invoice_items_behavior".to_owned(), "exclude".into());
    }
    let currency =
        params.text("currency").or_else(|| customer.value("currency").as_str()).unwrap_or("usd").to_lowercase();
    let about = Draft {
        customer: &customer,
        subscription: subscription.as_ref(),
        currency: &currency,
        reason: "manual",
        period: (now, now),
        auto_advance: params.boolean("auto_advance")? == Some(true),
        with: Value::Object(with),
    };
    let invoice = draft(account, &about, Vec::new());
    if invoice.flag("auto_advance") {
        advance_later(account, &invoice);
    }
    Ok(invoice)
}

/// Lets a draft become final and be collected by itself after an hour.
pub(super) fn advance_later(account: &mut Account, invoice: &Value) {
    let Some(at) = invoice.time("automatically_finalizes_at") else { return };
    let id = invoice.text("id").to_owned();
    let customer = invoice.reference("customer").map(str::to_owned);
    later(account, customer.as_deref(), at, move |account| {
        if account.get("invoice", &id).is_some_and(|invoice| invoice.time("automatically_finalizes_at") == Some(at)) {
            finalize(account, &id);
            collect(account, &id);
        }
    });
}

/// Collects or sends an open invoice, as its collection method says. A refusal has its events.
pub(super) fn collect(account: &mut Account, id: &str) {
    let Some(invoice) = account.get("invoice", id).filter(|invoice| invoice.text("status") == "open") else { return };
    if invoice.text("collection_method") == "send_invoice" {
        account.emit("invoice.sent", &invoice, None);
    } else {
        let _ = attempt(account, id, None, true);
    }
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let invoice = account.require("invoice", params.path("id"), "id")?;
    let table: &[(&str, Take)] = if invoice.text("status") == "draft" {
        SETTABLE
    } else {
        &[("auto_advance", Take::Boolean), ("metadata", Take::Metadata), ("default_payment_method", Take::Text)]
    };
    super::plain::update(account, params, "invoice", Some("invoice.updated"), table)
}

/// Only drafts can be deleted; what was on them waits again.
fn remove(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    expect_status(account, id, &["draft"], "deleted")?;
    for item in account.find("invoiceitem", "invoice", id) {
        change(account, "invoiceitem", item.text("id"), None, json!({ "invoice": null }));
    }
    account.remove("invoice", id, Some("invoice.deleted"))?;
    Ok(deleted("invoice", id))
}

fn expect_status(account: &Account, id: &str, allowed: &[&str], verb: &str) -> Result<Value, ApiError> {
    let invoice = account.require("invoice", id, "id")?;
    let status = invoice.text("status");
    if allowed.contains(&status) {
        return Ok(invoice);
    }
    let message = format!("This invoice cannot be {verb} because its status is {status}.");
    Err(ApiError { code: Some("invoice_not_editable".to_owned()), ..ApiError::invalid(message) })
}

fn finalize_now(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    expect_status(account, id, &["draft"], "finalized")?;
    if params.has("auto_advance") {
        super::plain::update(account, params, "invoice", None, &[("auto_advance", Take::Boolean)])?;
    }
    Ok(finalize(account, id))
}

fn pay(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    expect_status(account, id, &["draft", "open", "uncollectible"], "paid")?;
    finalize(account, id);
    if params.boolean("paid_out_of_band")? == Some(true) {
        settle::pay_out_of_band(account, id);
    } else {
        let method = match params.text("payment_method") {
            Some(method) => {
                Some(super::payment_method::usable(account, method, "payment_method")?.text("id").to_owned())
            }
            None => None,
        };
        attempt(account, id, method.as_deref(), params.boolean("off_session")?.unwrap_or(true))?;
    }
    account.require("invoice", id, "id")
}

fn send(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    expect_status(account, id, &["draft", "open"], "sent")?;
    let invoice = finalize(account, id);
    account.emit("invoice.sent", &invoice, None);
    Ok(invoice)
}

fn void_now(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    expect_status(account, id, &["open", "uncollectible"], "voided")?;
    Ok(void(account, id))
}

fn give_up(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    expect_status(account, id, &["open"], "marked as uncollectible")?;
    Ok(mark_uncollectible(account, id))
}
