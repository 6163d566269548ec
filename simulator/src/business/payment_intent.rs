//! Payment intents.

use serde_json::{Value, json};

use super::charge::{self, Ask, Outcome, check_amount};
use super::fields::Fields;
use super::invoice;
use super::payment_method;
use super::record::{add, change, made, named};
use super::shapes::set;
use super::take::{Take, take};
use super::test_cards::{Behaviour, behaviour_of};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/payment_intents", create),
    post("/v1/payment_intents/{id}", update),
    post("/v1/payment_intents/{id}/confirm", confirm),
    post("/v1/payment_intents/{id}/capture", capture),
    post("/v1/payment_intents/{id}/cancel", cancel),
];

const SETTABLE: &[(&str, Take)] = &[
    ("capture_method", Take::Text),
    ("description", Take::Text),
    ("metadata", Take::Metadata),
    ("receipt_email", Take::Text),
    ("setup_future_usage", Take::Text),
    ("shipping", Take::Json),
    ("statement_descriptor", Take::Text),
    ("statement_descriptor_suffix", Take::Text),
    ("transfer_group", Take::Text),
];

/// A new payment intent, with its event.
pub(super) fn make(account: &mut Account, amount: i64, currency: &str, customer: Option<&str>, with: Value) -> Value {
    let now = now_of(account, customer);
    let mut intent = made(account, "payment_intent", now, with);
    let mut secret = format!("{}_secret_", intent.text("id"));
    account.random().push_letters(&mut secret, 25);
    set(&mut intent, json!({ "amount": amount, "client_secret": secret, "currency": currency, "customer": customer }));
    add(account, intent, Some("payment_intent.created"))
}

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let amount = params.integer("amount")?.ok_or_else(|| ApiError::missing_parameter("amount"))?;
    let currency = params.required("currency")?.to_lowercase();
    check_amount(amount, &currency)?;
    let customer = params.text("customer").filter(|customer| !customer.is_empty());
    if let Some(customer) = customer {
        named(account, "customer", customer, "customer")?;
    }
    let mut with = serde_json::Map::new();
    take(params, SETTABLE, &mut with)?;
    if params.hash("automatic_payment_methods").is_some() {
        set(&mut with, json!({ "automatic_payment_methods": { "allow_redirects": "always", "enabled": true } }));
    }
    if let Some(method) = params.text("payment_method") {
        let method = payment_method::usable(account, method, "payment_method")?;
        set(&mut with, json!({ "payment_method": method.value("id"), "status": "requires_confirmation" }));
    }
    let intent = make(account, amount, &currency, customer, Value::Object(with));
    if params.boolean("confirm")? == Some(true) {
        return pay(account, intent.text("id"), params.boolean("off_session")? == Some(true));
    }
    Ok(intent)
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let Value::Object(mut changed) = account.require("payment_intent", id, "id")? else {
        return Err(ApiError::no_such("payment_intent", id, "id"));
    };
    take(params, &[SETTABLE, &[("amount", Take::Integer), ("customer", Take::Text)]].concat(), &mut changed)?;
    if let Some(method) = params.text("payment_method") {
        let method = payment_method::usable(account, method, "payment_method")?;
        set(&mut changed, json!({ "payment_method": method.value("id"), "status": "requires_confirmation" }));
    }
    // Stripe has no event for this.
    account.update("payment_intent", id, None, |intent| *intent = changed)
}

fn confirm(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let intent = account.require("payment_intent", id, "id")?;
    let status = intent.text("status");
    if matches!(status, "succeeded" | "canceled" | "requires_capture") {
        let message = format!("You cannot confirm this PaymentIntent because it has a status of {status}.");
        return Err(ApiError {
            code: Some("payment_intent_unexpected_state".to_owned()),
            ..ApiError::invalid(message)
        });
    }
    if let Some(method) = params.text("payment_method") {
        let method = payment_method::usable(account, method, "payment_method")?;
        let with = json!({ "payment_method": method.value("id"), "status": "requires_confirmation" });
        change(account, "payment_intent", id, None, with);
    }
    pay(account, id, params.boolean("off_session")? == Some(true))
}

/// Pays a payment intent with its payment method; an invoice that it belongs to follows.
///
/// # Errors
/// 402 when the bank refuses, with `charge` and `payment_intent`; 400 without a payment method.
pub(super) fn pay(account: &mut Account, id: &str, off_session: bool) -> Result<Value, ApiError> {
    let intent = account.require("payment_intent", id, "id")?;
    let method = intent.reference("payment_method").map(str::to_owned);
    let method =
        method.and_then(|method| account.get("payment_method", &method).or_else(|| account.get("card", &method)));
    let Some(method) = method else {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method.";
        return Err(ApiError {
            code: Some("payment_intent_unexpected_state".to_owned()),
            ..ApiError::invalid(message)
        });
    };
    let ask = Ask {
        amount: intent.int("amount"),
        currency: intent.text("currency"),
        customer: intent.reference("customer"),
        intent: Some(id),
        description: intent.value("description").as_str(),
        capture: intent.text("capture_method") != "manual",
        off_session,
    };
    // An intent that waits for authentication is confirmed again: the customer has done it.
    let authenticated = intent.text("status") == "requires_action" && behaviour_of(&method) == Behaviour::Authenticates;
    if authenticated {
        let charge = charge::charge_authenticated(account, &method, &ask);
        return succeeded(account, &intent, &method, &charge);
    }
    match charge::charge(account, &method, &ask) {
        Outcome::Paid(charge) => succeeded(account, &intent, &method, &charge),
        Outcome::Refused(charge, error) => Err(failed(account, id, &method, &charge, error)),
        Outcome::Authenticate => {
            let with = json!({ "next_action": { "type": "use_stripe_sdk", "use_stripe_sdk": {} }, "status": "requires_action" });
            let intent = change(account, "payment_intent", id, Some("payment_intent.requires_action"), with);
            invoice::payment_needs_action(account, id);
            Ok(intent)
        }
    }
}

fn succeeded(account: &mut Account, intent: &Value, method: &Value, charge: &Value) -> Result<Value, ApiError> {
    let id = intent.text("id");
    let amount = intent.int("amount");
    let mut with = json!({
        "last_payment_error": null, "latest_charge": charge.value("id"), "next_action": null, "payment_method": method.value("id"),
    });
    let event = if charge.flag("captured") {
        with["amount_received"] = amount.into();
        with["status"] = "succeeded".into();
        "payment_intent.succeeded"
    } else {
        with["amount_capturable"] = amount.into();
        with["status"] = "requires_capture".into();
        "payment_intent.amount_capturable_updated"
    };
    let paid = change(account, "payment_intent", id, Some(event), with);
    if intent.is_set("setup_future_usage")
        && let (Some(customer), "payment_method") = (intent.reference("customer"), method.text("object"))
    {
        payment_method::attach_to(account, method.clone(), customer)?;
    }
    if charge.flag("captured") {
        invoice::payment_succeeded(account, id);
    }
    Ok(paid)
}

fn failed(account: &mut Account, id: &str, method: &Value, charge: &Value, mut error: ApiError) -> ApiError {
    error.more.insert("charge".to_owned(), charge.value("id").clone());
    let mut last = error.body().value("error").clone();
    last["payment_method"] = method.clone();
    let with = json!({
        "last_payment_error": last, "latest_charge": charge.value("id"), "next_action": null, "payment_method": null,
        "status": "requires_payment_method",
    });
    let intent = change(account, "payment_intent", id, Some("payment_intent.payment_failed"), with);
    error.more.insert("payment_intent".to_owned(), intent);
    error.more.insert("payment_method".to_owned(), method.clone());
    invoice::payment_failed(account, id);
    error
}

fn capture(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let intent = account.require("payment_intent", id, "id")?;
    if intent.text("status") != "requires_capture" {
        let message =
            format!("This PaymentIntent could not be captured because it has a status of {}.", intent.text("status"));
        return Err(ApiError {
            code: Some("payment_intent_unexpected_state".to_owned()),
            ..ApiError::invalid(message)
        });
    }
    let amount = params.integer("amount_to_capture")?.unwrap_or_else(|| intent.int("amount_capturable"));
    if amount < 1 || amount > intent.int("amount_capturable") {
        let message = "The amount could not be captured because it is greater than the remaining amount.";
        return Err(ApiError::parameter("amount_too_large", "amount_to_capture", message));
    }
    if let Some(charge) = intent.reference("latest_charge") {
        charge::capture_charge(account, charge, amount);
    }
    let with = json!({ "amount_capturable": 0, "amount_received": amount, "status": "succeeded" });
    let intent = change(account, "payment_intent", id, Some("payment_intent.succeeded"), with);
    invoice::payment_succeeded(account, id);
    Ok(intent)
}

fn cancel(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let intent = account.require("payment_intent", id, "id")?;
    if matches!(intent.text("status"), "succeeded" | "canceled") {
        let message =
            format!("You cannot cancel this PaymentIntent because it has a status of {}.", intent.text("status"));
        return Err(ApiError {
            code: Some("payment_intent_unexpected_state".to_owned()),
            ..ApiError::invalid(message)
        });
    }
    if account.business.invoice_of_intent.contains_key(id) {
        return Err(ApiError::invalid(
            "You cannot cancel this PaymentIntent because it was created by an invoice; void the invoice.",
        ));
    }
    Ok(cancel_intent(account, id, params.text("cancellation_reason")))
}

/// Cancels a payment intent and gives back what was authorised.
pub(super) fn cancel_intent(account: &mut Account, id: &str, reason: Option<&str>) -> Value {
    let intent = account.get("payment_intent", id).unwrap_or_default();
    if intent.text("status") == "requires_capture"
        && let Some(charge) = intent.reference("latest_charge")
    {
        let with = json!({ "amount_refunded": intent.int("amount"), "refunded": true });
        change(account, "charge", charge, Some("charge.refunded"), with);
    }
    let now = now_of(account, intent.reference("customer"));
    let with =
        json!({ "amount_capturable": 0, "canceled_at": now, "cancellation_reason": reason, "status": "canceled" });
    change(account, "payment_intent", id, Some("payment_intent.canceled"), with)
}
