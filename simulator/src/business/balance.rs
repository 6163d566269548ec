//! The account's money: balance transactions, the balance, and when money becomes available.

use serde_json::{Value, json};

use super::calendar::{DAY, next_midnight};
use super::fields::Fields;
use super::money;
use super::payout;
use super::record::{add, change, made};
use crate::account::Account;

/// Days until the money of a charge is available.
const SETTLING_DAYS: i64 = 2;
/// Stripe's share of a charge, in tenths of a percent.
const FEE_PER_MILLE: i64 = 15;
/// Stripe's fixed fee for a charge, in hundredths of a unit.
const FEE_FIXED_HUNDREDTHS: i64 = 25;

/// A movement of money.
pub(crate) struct Movement<'a> {
    /// `charge`, `refund`, `adjustment`, `payout`.
    pub(crate) kind: &'a str,
    pub(crate) category: &'a str,
    pub(crate) amount: i64,
    pub(crate) currency: &'a str,
    pub(crate) fee: i64,
    pub(crate) source: &'a str,
    pub(crate) description: Option<&'a str>,
    /// Whether the money waits before it is available.
    pub(crate) settles: bool,
}

/// What Stripe takes for a charge.
pub(crate) fn fee_of_charge(amount: i64, currency: &str) -> i64 {
    let fixed = FEE_FIXED_HUNDREDTHS * 10_i64.pow(money::decimals(currency)) / 100;
    (money::share(amount, FEE_PER_MILLE, 1_000) + fixed).min(amount)
}

/// Records a movement as a balance transaction and in the balance. Gives the transaction's id.
pub(crate) fn record(account: &mut Account, movement: &Movement<'_>) -> String {
    let now = account.now();
    let available_on = if movement.settles { next_midnight(now) + SETTLING_DAYS * DAY } else { now };
    let net = movement.amount - movement.fee;
    let fees = match movement.fee {
        0 => json!([]),
        fee => json!([{
            "amount": fee, "application": null, "currency": movement.currency,
            "description": "Stripe processing fees", "type": "stripe_fee",
        }]),
    };
    let with = json!({
        "amount": movement.amount, "available_on": available_on, "currency": movement.currency,
        "description": movement.description, "fee": movement.fee, "fee_details": fees, "net": net,
        "reporting_category": movement.category, "source": movement.source,
        "status": if movement.settles { "pending" } else { "available" }, "type": movement.kind,
    });
    let transaction = made(account, "balance_transaction", now, with);
    let id = transaction.text("id").to_owned();
    add(account, transaction, None);
    add_to(account, if movement.settles { "pending" } else { "available" }, movement.currency, net);
    if movement.settles {
        wait_for(account, available_on, id.clone());
    }
    id
}

fn wait_for(account: &mut Account, available_on: i64, id: String) {
    let waiting = account.business.settling.entry(available_on).or_default();
    waiting.push(id);
    if waiting.len() == 1 {
        account.at(available_on, move |account| settle(account, available_on));
    }
}

/// Makes the money of a day available, and pays out what is there.
fn settle(account: &mut Account, day: i64) {
    for id in account.business.settling.remove(&day).unwrap_or_default() {
        let transaction = change(account, "balance_transaction", &id, None, json!({ "status": "available" }));
        let (currency, net) = (transaction.text("currency").to_owned(), transaction.int("net"));
        add_to(account, "pending", &currency, -net);
        add_to(account, "available", &currency, net);
    }
    let balance = current(account);
    account.emit("balance.available", &balance, None);
    payout::pay_out_everything(account);
}

/// The balance; empty at first.
pub(crate) fn current(account: &mut Account) -> Value {
    match account.get("balance", "self") {
        Some(balance) => balance,
        None => {
            let empty = made(account, "balance", 0, json!({}));
            add(account, empty, None)
        }
    }
}

/// Adds to `available` or `pending` of the balance.
fn add_to(account: &mut Account, part: &str, currency: &str, amount: i64) {
    let mut sums: Vec<Value> = current(account).elements(part).to_vec();
    let at = sums.iter().position(|sum| sum.text("currency") == currency).unwrap_or(sums.len());
    let sum = amount + sums.get(at).map_or(0, |sum| sum.int("amount"));
    let entry = json!({ "amount": sum, "currency": currency, "source_types": { "card": sum } });
    match sums.get_mut(at) {
        Some(standing) => *standing = entry,
        None => sums.push(entry),
    }
    let with = serde_json::Map::from_iter([(part.to_owned(), Value::from(sums))]);
    change(account, "balance", "self", None, Value::Object(with));
}
