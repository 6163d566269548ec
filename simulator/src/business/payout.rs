//! Payouts to the account's bank: by themselves every day, and on request.

use serde_json::{Value, json};

use super::balance::{self, Movement};
use super::calendar::{DAY, HOUR, next_midnight};
use super::fields::Fields;
use super::record::{add, change, made};
use super::take::{Take, take};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] =
    &[post("/v1/payouts", create), post("/v1/payouts/{id}", update), post("/v1/payouts/{id}/cancel", cancel)];

/// The bank account of every payout.
const DESTINATION: &str = "ba_1SimulatedBankAccount0001";

/// Pays out the available balance in every currency.
pub(super) fn pay_out_everything(account: &mut Account) {
    let available = balance::current(account).elements("available").to_vec();
    for sum in available {
        let currency = sum.text("currency");
        let amount = sum.int("amount") - sum.int("amount").rem_euclid(payout_step(currency));
        if amount > 0 {
            begin(account, amount, currency, json!({ "automatic": true }));
        }
    }
}

/// Some currencies are paid out in whole units only, although they are charged with decimals.
fn payout_step(currency: &str) -> i64 {
    if matches!(currency, "huf" | "twd" | "isk") { 100 } else { super::money::step(currency) }
}

fn begin(account: &mut Account, amount: i64, currency: &str, with: Value) -> Value {
    let now = account.now();
    let arrival = next_midnight(now) + DAY;
    let mut payout = made(account, "payout", now, with);
    super::shapes::set(
        &mut payout,
        json!({
            "amount": amount, "arrival_date": arrival, "currency": currency,
            "description": "STRIPE PAYOUT", "destination": DESTINATION,
        }),
    );
    let id = payout.text("id").to_owned();
    let movement = Movement {
        kind: "payout",
        category: "payout",
        amount: -amount,
        currency,
        fee: 0,
        source: &id,
        description: Some("STRIPE PAYOUT"),
        settles: false,
    };
    let transaction = balance::record(account, &movement);
    payout.insert("balance_transaction".to_owned(), transaction.into());
    let payout = add(account, payout, Some("payout.created"));
    let sent = id.clone();
    account.at(now + HOUR, move |account| send(account, &sent));
    account.at(arrival, move |account| arrive(account, &id));
    payout
}

fn send(account: &mut Account, id: &str) {
    if account.get("payout", id).is_some_and(|payout| payout.text("status") == "pending") {
        change(account, "payout", id, Some("payout.updated"), json!({ "status": "in_transit" }));
    }
}

fn arrive(account: &mut Account, id: &str) {
    if account.get("payout", id).is_some_and(|payout| payout.text("status") == "in_transit") {
        let with = json!({ "status": "paid", "trace_id": { "status": "supported", "value": id } });
        change(account, "payout", id, Some("payout.paid"), with);
        let with = json!({ "reconciliation_status": "completed" });
        change(account, "payout", id, Some("payout.reconciliation_completed"), with);
    }
}

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let amount = params.integer("amount")?.ok_or_else(|| ApiError::missing_parameter("amount"))?;
    let currency = params.required("currency")?.to_lowercase();
    let available = balance::current(account);
    let there = available
        .elements("available")
        .iter()
        .find(|sum| sum.text("currency") == currency)
        .map_or(0, |sum| sum.int("amount"));
    if amount <= 0 || amount > there {
        return Err(ApiError::parameter(
            "balance_insufficient",
            "amount",
            "You have insufficient funds in your Stripe account for this transfer.",
        ));
    }
    let mut with = serde_json::Map::new();
    take(params, &[("metadata", Take::Metadata), ("statement_descriptor", Take::Text)], &mut with)?;
    with.insert("automatic".to_owned(), false.into());
    with.insert("reconciliation_status".to_owned(), "not_applicable".into());
    Ok(begin(account, amount, &currency, Value::Object(with)))
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    super::plain::update(account, params, "payout", Some("payout.updated"), &[("metadata", Take::Metadata)])
}

fn cancel(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let payout = account.require("payout", params.path("id"), "id")?;
    if payout.text("status") != "pending" {
        return Err(ApiError::invalid("Payouts can only be canceled while they are pending."));
    }
    let (id, currency) = (payout.text("id"), payout.text("currency"));
    let movement = Movement {
        kind: "payout_cancel",
        category: "payout_reversal",
        amount: payout.int("amount"),
        currency,
        fee: 0,
        source: id,
        description: None,
        settles: false,
    };
    let transaction = balance::record(account, &movement);
    let with = json!({ "status": "canceled", "failure_balance_transaction": transaction });
    Ok(change(account, "payout", id, Some("payout.canceled"), with))
}
