//! Customers, their tax ids and their balance.

use serde_json::{Value, json};

use super::discount;
use super::fields::Fields;
use super::payment_method;
use super::record::{add, change, deleted, made, named};
use super::shapes::set;
use super::subscription;
use super::take::{Take, take};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/customers", create),
    post("/v1/customers/{id}", update),
    delete("/v1/customers/{id}", remove),
    delete("/v1/customers/{id}/discount", remove_discount),
    post("/v1/customers/{id}/balance_transactions", adjust_balance),
];

const SETTABLE: &[(&str, Take)] = &[
    ("address", Take::Json),
    ("balance", Take::Integer),
    ("business_name", Take::Text),
    ("description", Take::Text),
    ("email", Take::Text),
    ("individual_name", Take::Text),
    ("invoice_prefix", Take::Text),
    ("invoice_settings", Take::Merge),
    ("metadata", Take::Metadata),
    ("name", Take::Text),
    ("next_invoice_sequence", Take::Integer),
    ("phone", Take::Text),
    ("preferred_locales", Take::Json),
    ("shipping", Take::Json),
    ("tax_exempt", Take::Text),
];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let clock = params.text("test_clock").filter(|clock| !clock.is_empty());
    let at = match clock {
        Some(clock) => named(account, "test_helpers.test_clock", clock, "test_clock")?.int("frozen_time"),
        None => account.now(),
    };
    let mut prefix = String::new();
    account.random().push_letters(&mut prefix, 8);
    let with = json!({ "invoice_prefix": prefix.to_uppercase(), "test_clock": clock });
    let mut customer = made(account, "customer", at, with);
    take(params, SETTABLE, &mut customer)?;
    let method = params
        .text("payment_method")
        .map(|method| payment_method::usable(account, method, "payment_method"))
        .transpose()?;
    let customer = add(account, customer, Some("customer.created"));
    let id = customer.text("id");
    if let Some(method) = method {
        payment_method::attach_to(account, method, id)?;
    }
    if let Some(source) = params.text("source").filter(|source| !source.is_empty()) {
        payment_method::add_card(account, id, source)?;
    }
    account.require("customer", id, "id")
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let customer = account.require("customer", id, "id")?;
    if let Some(method) = params.hash("invoice_settings").and_then(|settings| settings.get("default_payment_method")) {
        check_default(account, &customer, method)?;
    }
    if let Some(source) = params.text("source").filter(|source| !source.is_empty()) {
        payment_method::add_card(account, id, source)?;
    }
    super::plain::update(
        account,
        params,
        "customer",
        Some("customer.updated"),
        &[SETTABLE, &[("default_source", Take::Text)]].concat(),
    )
}

/// Only a payment method that is attached to the customer can be the default.
fn check_default(account: &Account, customer: &Value, method: &Value) -> Result<(), ApiError> {
    let Some(id) = method.as_str().filter(|id| !id.is_empty()) else { return Ok(()) };
    let param = "invoice_settings[default_payment_method]";
    let method = named(account, "payment_method", id, param)?;
    if method.reference("customer") == customer.reference("id") {
        return Ok(());
    }
    let message = format!(
        "The customer does not have a payment method with the ID {id}. The payment method must be attached to the customer."
    );
    Err(ApiError::parameter("resource_missing", param, message))
}

/// Deleting a customer cancels the subscriptions and detaches the payment methods at once.
fn remove(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    account.require("customer", id, "id")?;
    for held in account.find("subscription", "customer", id) {
        if !subscription::has_ended(&held) {
            subscription::end(account, held.text("id"), "cancellation_requested");
        }
    }
    for method in account.find("payment_method", "customer", id) {
        payment_method::detach_from(account, method.text("id"));
    }
    for card in account.find("card", "customer", id) {
        account.remove("card", card.text("id"), Some("customer.source.deleted"))?;
    }
    for tax_id in account.find("tax_id", "customer", id) {
        account.remove("tax_id", tax_id.text("id"), Some("customer.tax_id.deleted"))?;
    }
    account.remove("customer", id, Some("customer.deleted"))?;
    Ok(deleted("customer", id))
}

fn remove_discount(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let customer = account.require("customer", params.path("id"), "id")?;
    let discount = customer.value("discount");
    let Some(id) = discount.reference("id") else {
        return Err(ApiError::no_such("discount", "", "id"));
    };
    discount::end(account, id);
    Ok(deleted("discount", id))
}

fn adjust_balance(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    account.require("customer", id, "id")?;
    let amount = params.integer("amount")?.ok_or_else(|| ApiError::missing_parameter("amount"))?;
    let currency = params.required("currency")?.to_lowercase();
    let description = params.text("description").map(str::to_owned);
    let with = json!({ "type": "adjustment", "description": description });
    Ok(move_balance(account, id, amount, &currency, with))
}

/// Changes what a customer owes (positive) or has in credit (negative), and records why.
pub(super) fn move_balance(account: &mut Account, customer: &str, amount: i64, currency: &str, with: Value) -> Value {
    let at = now_of(account, Some(customer));
    let standing = account.get("customer", customer).unwrap_or_default();
    let ending = standing.int("balance") + amount;
    change(account, "customer", customer, Some("customer.updated"), json!({ "balance": ending, "currency": currency }));
    let mut transaction = made(account, "customer_balance_transaction", at, with);
    set(
        &mut transaction,
        json!({ "amount": amount, "currency": currency, "customer": customer, "ending_balance": ending }),
    );
    add(account, transaction, None)
}
