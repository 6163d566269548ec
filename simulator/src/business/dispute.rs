//! Disputes: opened by the special card or by the story, answered, closed.

use serde_json::{Value, json};

use super::balance::{self, Movement};
use super::calendar::DAY;
use super::fields::Fields;
use super::money;
use super::record::{add, change, made};
use super::take::{Take, take};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[post("/v1/disputes/{id}", update), post("/v1/disputes/{id}/close", close)];

/// Days to answer a dispute.
const DUE_DAYS: i64 = 9;
/// What a lost or open dispute costs, in whole units of the currency.
const FEE_UNITS: i64 = 20;

/// Opens a dispute about the whole of a charge and takes the money.
pub fn open(account: &mut Account, charge: &str, reason: &str) {
    let Some(charge) = account.get("charge", charge) else { return };
    let id = charge.text("id");
    if charge.flag("disputed") || charge.int("amount_refunded") > 0 {
        return;
    }
    let now = now_of(account, charge.reference("customer"));
    let card = charge.value("payment_method_details").value("card");
    let with = json!({
        "amount": charge.value("amount"), "charge": id, "currency": charge.value("currency"), "is_charge_refundable": false,
        "network_reason_code": "10.4", "payment_intent": charge.value("payment_intent"), "reason": reason,
        "payment_method_details": {
            "card": { "brand": card.value("brand"), "case_type": "chargeback", "network": card.value("brand"), "network_reason_code": "10.4" },
            "type": "card",
        },
    });
    let mut dispute = made(account, "dispute", now, with);
    if let Some(Value::Object(details)) = dispute.get_mut("evidence_details") {
        details.insert("due_by".to_owned(), (now + DUE_DAYS * DAY).into());
    }
    let dispute = add(account, dispute, Some("charge.dispute.created"));
    account.business.dispute_of_charge.insert(id.to_owned(), dispute.text("id").to_owned());
    change(account, "charge", id, Some("charge.updated"), json!({ "disputed": true }));
    let fee = FEE_UNITS * 10_i64.pow(money::decimals(dispute.text("currency")));
    move_money(account, &dispute, "dispute", -dispute.int("amount"), fee, "charge.dispute.funds_withdrawn");
}

fn move_money(account: &mut Account, dispute: &Value, category: &str, amount: i64, fee: i64, event: &str) {
    let description = format!("Chargeback for {}", dispute.text("charge"));
    let movement = Movement {
        kind: "adjustment",
        category,
        amount,
        currency: dispute.text("currency"),
        fee,
        source: dispute.text("id"),
        description: Some(&description),
        settles: false,
    };
    let transaction = balance::record(account, &movement);
    let transaction = account.get("balance_transaction", &transaction).unwrap_or_default();
    let mut all =
        account.get("dispute", dispute.text("id")).unwrap_or_default().elements("balance_transactions").to_vec();
    all.push(transaction);
    change(account, "dispute", dispute.text("id"), Some(event), json!({ "balance_transactions": all }));
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let dispute = account.require("dispute", id, "id")?;
    if has_ended(&dispute) {
        return Err(ApiError::invalid(format!("This dispute is already closed ({}).", dispute.text("status"))));
    }
    let Value::Object(mut changed) = dispute else { return Err(ApiError::no_such("dispute", id, "id")) };
    take(params, &[("evidence", Take::Merge), ("metadata", Take::Metadata)], &mut changed)?;
    let submitted = params.boolean("submit")? != Some(false) && params.has("evidence");
    if let (true, Some(Value::Object(details))) = (params.has("evidence"), changed.get_mut("evidence_details")) {
        let count = details.int("submission_count") + i64::from(submitted);
        super::shapes::set(details, json!({ "has_evidence": true, "submission_count": count }));
    }
    if submitted {
        changed.insert("status".to_owned(), "under_review".into());
    }
    account.update("dispute", id, Some("charge.dispute.updated"), |dispute| *dispute = changed)
}

/// `POST /v1/disputes/{id}/close`: the dispute is accepted as lost.
fn close(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let dispute = account.require("dispute", params.path("id"), "id")?;
    if has_ended(&dispute) {
        return Err(ApiError::invalid(format!("This dispute is already closed ({}).", dispute.text("status"))));
    }
    decide(account, dispute.text("id"), false);
    account.require("dispute", params.path("id"), "id")
}

fn has_ended(dispute: &Value) -> bool {
    matches!(dispute.text("status"), "lost" | "won" | "warning_closed" | "prevented")
}

/// The bank decides; when the account wins, the money comes back.
pub fn decide(account: &mut Account, id: &str, won: bool) {
    let Some(dispute) = account.get("dispute", id).filter(|dispute| !has_ended(dispute)) else { return };
    let status = if won { "won" } else { "lost" };
    let closed = change(account, "dispute", id, Some("charge.dispute.closed"), json!({ "status": status }));
    if won {
        move_money(account, &closed, "dispute_reversal", dispute.int("amount"), 0, "charge.dispute.funds_reinstated");
    }
}
