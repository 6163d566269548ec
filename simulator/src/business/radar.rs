//! Reviews and early fraud warnings.

use serde_json::{Value, json};

use super::fields::Fields;
use super::record::{add, change, made};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[post("/v1/reviews/{id}/approve", approve)];

/// The card's issuer suspects fraud.
pub(super) fn warn(account: &mut Account, charge: &Value) {
    let with = json!({ "charge": charge.value("id"), "payment_intent": charge.value("payment_intent") });
    let now = now_of(account, charge.reference("customer"));
    let warning = made(account, "radar.early_fraud_warning", now, with);
    add(account, warning, Some("radar.early_fraud_warning.created"));
}

/// A rule wants a person to look at a payment.
pub(super) fn open_review(account: &mut Account, charge: &Value) {
    let with = json!({ "charge": charge.value("id"), "payment_intent": charge.value("payment_intent") });
    let now = now_of(account, charge.reference("customer"));
    let review = made(account, "review", now, with);
    let review = add(account, review, Some("review.opened"));
    let with = json!({ "review": review.value("id") });
    change(account, "charge", charge.text("id"), Some("charge.updated"), with.clone());
    if let Some(intent) = charge.reference("payment_intent") {
        // Its event follows at once: the payment is being made.
        change(account, "payment_intent", intent, None, with);
    }
}

fn approve(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let review = account.require("review", id, "id")?;
    if !review.flag("open") {
        return Err(ApiError::invalid("This review is already closed."));
    }
    let with = json!({ "closed_reason": "approved", "open": false, "reason": "approved" });
    let closed = change(account, "review", id, Some("review.closed"), with);
    if let Some(charge) = review.reference("charge") {
        change(account, "charge", charge, Some("charge.updated"), json!({ "review": null }));
    }
    if let Some(intent) = review.reference("payment_intent") {
        change(account, "payment_intent", intent, None, json!({ "review": null }));
    }
    Ok(closed)
}
