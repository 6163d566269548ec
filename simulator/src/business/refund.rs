//! Refunds.

use serde_json::{Value, json};

use super::balance::{self, Movement};
use super::calendar::DAY;
use super::fields::Fields;
use super::record::{add, change, made};
use super::take::{Take, take};
use super::test_cards::{Behaviour, behaviour_of};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[post("/v1/refunds", create), post("/v1/refunds/{id}", update)];

/// Days until the bank gives a refund its reference.
const REFERENCE_DAYS: i64 = 5;

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let charge = match (params.text("charge"), params.text("payment_intent")) {
        (Some(charge), _) => account.require("charge", charge, "charge")?,
        (None, Some(intent)) => {
            let intent = account.require("payment_intent", intent, "payment_intent")?;
            let charge = intent.reference("latest_charge").ok_or_else(|| {
                ApiError::parameter(
                    "payment_intent_unexpected_state",
                    "payment_intent",
                    "This PaymentIntent has no successful charge to refund.",
                )
            })?;
            account.require("charge", charge, "charge")?
        }
        (None, None) => return Err(ApiError::missing_parameter("charge")),
    };
    let mut with = serde_json::Map::new();
    take(params, &[("metadata", Take::Metadata), ("reason", Take::Text)], &mut with)?;
    of_charge(account, &charge, params.integer("amount")?, Value::Object(with))
}

/// Refunds a charge, in whole when no amount is given.
pub(super) fn of_charge(
    account: &mut Account,
    charge: &Value,
    amount: Option<i64>,
    with: Value,
) -> Result<Value, ApiError> {
    let id = charge.text("id");
    let left = charge.int("amount_captured").max(charge.int("amount")) - charge.int("amount_refunded");
    let amount = amount.unwrap_or(left);
    if charge.text("status") != "succeeded" {
        return Err(ApiError::parameter("charge_not_refundable", "charge", format!("Charge {id} has not succeeded.")));
    }
    if left == 0 {
        let message = format!("Charge {id} has already been refunded.");
        return Err(ApiError { code: Some("charge_already_refunded".to_owned()), ..ApiError::invalid(message) });
    }
    if amount < 1 || amount > left {
        let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
        return Err(ApiError::parameter("amount_too_large", "amount", message));
    }
    if charge.flag("disputed") {
        let message = format!("Charge {id} has been charged back; cannot issue a refund.");
        return Err(ApiError { code: Some("charge_disputed".to_owned()), ..ApiError::invalid(message) });
    }
    Ok(perform(account, charge, amount, with))
}

fn perform(account: &mut Account, charge: &Value, amount: i64, with: Value) -> Value {
    let charge_id = charge.text("id");
    let now = now_of(account, charge.reference("customer"));
    let mut refund = made(account, "refund", now, with);
    let id = refund.text("id").to_owned();
    let transaction = give_back(account, &id, "refund", charge, -amount);
    super::shapes::set(
        &mut refund,
        json!({
            "amount": amount, "balance_transaction": transaction, "charge": charge_id, "currency": charge.value("currency"),
            "customer": charge.value("customer"), "payment_intent": charge.value("payment_intent"),
            "payment_method": charge.value("payment_method"),
        }),
    );
    let refund = add(account, refund, Some("refund.created"));
    account.business.refunds_of_charge.entry(charge_id.to_owned()).or_default().push(id.clone());
    set_refunded(account, charge, charge.int("amount_refunded") + amount, "charge.refunded");
    let at = account.now() + REFERENCE_DAYS * DAY;
    account.at(at, move |account| complete(account, &id));
    refund
}

fn set_refunded(account: &mut Account, charge: &Value, refunded: i64, event: &str) {
    let with = json!({ "amount_refunded": refunded, "refunded": refunded >= charge.int("amount") });
    change(account, "charge", charge.text("id"), Some(event), with);
}

fn give_back(account: &mut Account, source: &str, kind: &str, charge: &Value, amount: i64) -> String {
    let description = charge.value("description").as_str().map(|text| format!("REFUND FOR CHARGE ({text})"));
    let movement = Movement {
        kind,
        category: kind,
        amount,
        currency: charge.text("currency"),
        fee: 0,
        source,
        description: description.as_deref(),
        settles: false,
    };
    balance::record(account, &movement)
}

/// The customer's bank has taken the refund, or has not.
fn complete(account: &mut Account, id: &str) {
    let Some(refund) = account.get("refund", id) else { return };
    let method = refund.reference("payment_method").and_then(|method| account.get("payment_method", method));
    let fails = method.is_some_and(|method| behaviour_of(&method) == Behaviour::RefundsFail);
    if !fails {
        let details = json!({
            "card": {
                "reference": format!("7{:011}", refund.int("created")), "reference_status": "available",
                "reference_type": "acquirer_reference_number", "type": "refund",
            },
            "type": "card",
        });
        updated(account, id, json!({ "destination_details": details }), "refund.updated");
        return;
    }
    let Some(charge) = refund.reference("charge").and_then(|charge| account.get("charge", charge)) else { return };
    let transaction = give_back(account, id, "refund_failure", &charge, refund.int("amount"));
    let with = json!({
        "failure_balance_transaction": transaction, "failure_reason": "expired_or_canceled_card", "status": "failed",
    });
    updated(account, id, with, "refund.failed");
    set_refunded(account, &charge, charge.int("amount_refunded") - refund.int("amount"), "charge.updated");
}

/// A change of a refund has two events: its own, and the one from before refunds had their own.
fn updated(account: &mut Account, id: &str, with: Value, event: &str) {
    let before = account.get("refund", id);
    let after = change(account, "refund", id, Some(event), with);
    account.emit("charge.refund.updated", &after, before.as_ref());
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let before = account.require("refund", params.path("id"), "id")?;
    let after =
        super::plain::update(account, params, "refund", Some("refund.updated"), &[("metadata", Take::Metadata)])?;
    if before != after {
        account.emit("charge.refund.updated", &after, Some(&before));
    }
    Ok(after)
}
