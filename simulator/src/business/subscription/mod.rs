//! Subscriptions.

mod change;
mod create;
mod cycle;
mod item_api;
mod items;

use serde_json::{Value, json};

use super::entitlement;
use super::fields::Fields;
use super::invoice;
use super::record;
use super::take::Take;
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) use create::create;
pub(super) use item_api::ROUTES as ITEM_ROUTES;

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/subscriptions", create),
    post("/v1/subscriptions/{id}", change::update),
    delete("/v1/subscriptions/{id}", cancel),
    post("/v1/subscriptions/{id}/resume", resume),
    delete("/v1/subscriptions/{id}/discount", remove_discount),
];

/// Parameters that only set a property.
const SETTABLE: &[(&str, Take)] = &[
    ("cancel_at_period_end", Take::Boolean),
    ("cancellation_details", Take::Merge),
    ("collection_method", Take::Text),
    ("days_until_due", Take::Integer),
    ("description", Take::Text),
    ("metadata", Take::Metadata),
    ("payment_settings", Take::Merge),
    ("trial_settings", Take::Merge),
];

/// Whether a subscription is over for good.
pub(super) fn has_ended(subscription: &Value) -> bool {
    matches!(subscription.text("status"), "canceled" | "incomplete_expired")
}

/// The event for a change, unless the subscription is just being created: its first event shows it whole.
pub(super) fn updated(account: &Account, id: &str) -> Option<&'static str> {
    let is_new = account.business.creating.as_deref() == Some(id);
    (!is_new).then_some("customer.subscription.updated")
}

/// Ends a subscription at once; what is open is no longer collected by itself.
pub(super) fn end(account: &mut Account, id: &str, reason: &str) {
    let Some(subscription) = account.get("subscription", id) else { return };
    let customer = subscription.reference("customer").unwrap_or_default();
    let now = now_of(account, Some(customer));
    let mut details = subscription.value("cancellation_details").clone();
    details["reason"] = reason.into();
    let with = json!({
        "canceled_at": subscription.time("canceled_at").unwrap_or(now), "cancel_at_period_end": false,
        "cancellation_details": details, "ended_at": now, "status": "canceled",
    });
    record::change(account, "subscription", id, Some("customer.subscription.deleted"), with);
    if let Some(invoice) = subscription.reference("latest_invoice") {
        invoice::stop_collecting(account, invoice);
    }
    entitlement::refresh(account, customer);
}

fn cancel(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let subscription = account.require("subscription", id, "id")?;
    if has_ended(&subscription) {
        return Err(ApiError::no_such("subscription", id, "id"));
    }
    if params.boolean("prorate")? == Some(true) {
        change::credit_rest(account, &subscription);
    }
    let details = params.hash("cancellation_details").cloned().unwrap_or_default();
    if !details.is_empty() {
        let _ = account.update("subscription", id, None, |subscription| {
            let mut all = subscription.value("cancellation_details").as_object().cloned().unwrap_or_default();
            all.extend(details);
            subscription.insert("cancellation_details".to_owned(), Value::Object(all));
        });
    }
    end(account, id, "cancellation_requested");
    if params.boolean("invoice_now")? == Some(true) {
        change::bill_pending(account, id)?;
    }
    account.require("subscription", id, "id")
}

/// A paused subscription begins a new cycle.
fn resume(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let subscription = account.require("subscription", id, "id")?;
    if subscription.text("status") != "paused" {
        return Err(ApiError::invalid(format!(
            "You can only resume subscriptions in the `paused` status. Its status is {}.",
            subscription.text("status")
        )));
    }
    change::begin_cycle(account, &subscription, json!({ "status": "active" }), "customer.subscription.resumed")
}

fn remove_discount(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let subscription = account.require("subscription", params.path("id"), "id")?;
    let discount = subscription.elements("discounts").first().and_then(Value::as_str).map(str::to_owned);
    let discount = discount.ok_or_else(|| ApiError::no_such("discount", "", "id"))?;
    super::discount::end(account, &discount);
    Ok(record::deleted("discount", &discount))
}

/// An invoice of a subscription was paid: what was waiting for that goes on.
pub(super) fn invoice_paid(account: &mut Account, invoice: &Value) {
    let Some(id) = invoice::subscription_of(invoice) else { return };
    let Some(subscription) = account.get("subscription", id) else { return };
    let is_latest = subscription.reference("latest_invoice").is_none_or(|latest| latest == invoice.text("id"));
    let customer = subscription.reference("customer").unwrap_or_default();
    if is_latest && matches!(subscription.text("status"), "incomplete" | "past_due" | "unpaid") {
        let event = updated(account, id);
        record::change(account, "subscription", id, event, json!({ "status": "active" }));
        set_delinquent(account, customer, false);
        if event.is_some() {
            entitlement::refresh(account, customer);
        }
    }
}

/// A payment for a subscription was refused. `given_up` when there will be no further attempt.
pub(super) fn invoice_failed(account: &mut Account, invoice: &Value, given_up: bool) {
    let Some(id) = invoice::subscription_of(invoice) else { return };
    let Some(subscription) = account.get("subscription", id) else { return };
    if subscription.text("status") == "active" {
        let event = updated(account, id);
        record::change(account, "subscription", id, event, json!({ "status": "past_due" }));
    }
    if matches!(subscription.text("status"), "active" | "past_due") {
        set_delinquent(account, subscription.reference("customer").unwrap_or_default(), true);
    }
    if given_up && subscription.text("status") == "past_due" {
        if account.business.keeps_unpaid {
            let event = updated(account, id);
            record::change(account, "subscription", id, event, json!({ "status": "unpaid" }));
            entitlement::refresh(account, subscription.reference("customer").unwrap_or_default());
        } else {
            end(account, id, "payment_failed");
        }
    }
}

fn set_delinquent(account: &mut Account, customer: &str, delinquent: bool) {
    record::change(account, "customer", customer, Some("customer.updated"), json!({ "delinquent": delinquent }));
}
