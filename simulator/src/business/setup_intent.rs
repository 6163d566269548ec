//! Setup intents: a payment method is saved without a payment.

use serde_json::{Value, json};

use super::fields::Fields;
use super::payment_method;
use super::record::{add, change, made, named};
use super::take::{Take, take};
use super::test_cards::{Behaviour, behaviour_of, refusal};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/setup_intents", create),
    post("/v1/setup_intents/{id}", update),
    post("/v1/setup_intents/{id}/confirm", confirm),
    post("/v1/setup_intents/{id}/cancel", cancel),
];

const SETTABLE: &[(&str, Take)] = &[
    ("description", Take::Text),
    ("metadata", Take::Metadata),
    ("payment_method_types", Take::Json),
    ("usage", Take::Text),
    ("customer", Take::Text),
];

pub(super) fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let customer = params.text("customer").filter(|customer| !customer.is_empty());
    if let Some(customer) = customer {
        named(account, "customer", customer, "customer")?;
    }
    let now = now_of(account, customer);
    let mut intent = made(account, "setup_intent", now, json!({}));
    take(params, SETTABLE, &mut intent)?;
    let secret = format!("{}_secret_{}", intent.text("id"), account.new_id(""));
    super::shapes::set(&mut intent, json!({ "client_secret": secret, "payment_method_types": ["card"] }));
    if let Some(method) = params.text("payment_method") {
        let method = payment_method::usable(account, method, "payment_method")?;
        let with = json!({ "payment_method": method.text("id"), "status": "requires_confirmation" });
        super::shapes::set(&mut intent, with);
    }
    let intent = add(account, intent, Some("setup_intent.created"));
    if params.boolean("confirm")? == Some(true) { perform(account, intent.text("id")) } else { Ok(intent) }
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    super::plain::update(account, params, "setup_intent", None, SETTABLE)
}

fn confirm(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let intent = account.require("setup_intent", id, "id")?;
    if matches!(intent.text("status"), "succeeded" | "canceled") {
        return Err(ApiError::parameter(
            "setup_intent_unexpected_state",
            "id",
            "This SetupIntent cannot be confirmed any more.",
        ));
    }
    if let Some(method) = params.text("payment_method") {
        let method = payment_method::usable(account, method, "payment_method")?;
        change(account, "setup_intent", id, None, json!({ "payment_method": method.text("id") }));
    }
    perform(account, id)
}

fn perform(account: &mut Account, id: &str) -> Result<Value, ApiError> {
    let intent = account.require("setup_intent", id, "id")?;
    let method = intent.reference("payment_method").and_then(|method| account.get("payment_method", method));
    let Some(method) = method else {
        return Err(ApiError::missing_parameter("payment_method"));
    };
    if let Behaviour::Declines(code, decline_code) = behaviour_of(&method) {
        let error = refusal(code, decline_code);
        let attempt = attempt(account, &intent, &method, "failed", error.body().value("error").clone());
        let with = json!({
            "last_setup_error": error.body().value("error"), "latest_attempt": attempt, "payment_method": null,
            "status": "requires_payment_method",
        });
        change(account, "setup_intent", id, Some("setup_intent.setup_failed"), with);
        return Err(error);
    }
    let attempt = attempt(account, &intent, &method, "succeeded", Value::Null);
    let with = json!({ "latest_attempt": attempt, "last_setup_error": null, "status": "succeeded" });
    let intent = change(account, "setup_intent", id, Some("setup_intent.succeeded"), with);
    if let Some(customer) = intent.reference("customer") {
        payment_method::attach_to(account, method, customer)?;
    }
    Ok(intent)
}

fn attempt(account: &mut Account, intent: &Value, method: &Value, status: &str, error: Value) -> String {
    let with = json!({
        "customer": intent.value("customer"), "payment_method": method.value("id"), "setup_error": error,
        "setup_intent": intent.value("id"), "status": status, "usage": intent.value("usage"),
    });
    let now = now_of(account, intent.reference("customer"));
    let attempt = made(account, "setup_attempt", now, with);
    add(account, attempt, None).text("id").to_owned()
}

fn cancel(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let intent = account.require("setup_intent", id, "id")?;
    if matches!(intent.text("status"), "succeeded" | "canceled") {
        return Err(ApiError::parameter(
            "setup_intent_unexpected_state",
            "id",
            "This SetupIntent cannot be canceled any more.",
        ));
    }
    let with = json!({ "status": "canceled", "cancellation_reason": params.text("cancellation_reason") });
    Ok(change(account, "setup_intent", id, Some("setup_intent.canceled"), with))
}
