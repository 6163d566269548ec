//! Payment methods: making, attaching and detaching them, and legacy cards.

use serde_json::{Map, Value, json};

use super::calendar::date;
use super::fields::Fields;
use super::record::{add, change, deleted, made, named};
use super::shapes::set;
use super::take::{Take, take};
use super::test_cards::{self, Behaviour, Card, behaviour_of, refusal};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::{Params, integer};
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/payment_methods", create),
    post("/v1/payment_methods/{id}", update),
    post("/v1/payment_methods/{id}/attach", attach),
    post("/v1/payment_methods/{id}/detach", detach),
    post("/v1/customers/{id}/sources", create_source),
    post("/v1/customers/{id}/sources/{source}", update_source),
    delete("/v1/customers/{id}/sources/{source}", remove_source),
];

const SETTABLE: &[(&str, Take)] =
    &[("allow_redisplay", Take::Text), ("billing_details", Take::Merge), ("metadata", Take::Metadata)];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let kind = params.required("type")?;
    if kind != "card" {
        return Err(ApiError::parameter(
            "parameter_invalid",
            "type",
            "The simulator makes payment methods of type card only.",
        ));
    }
    let details = params.hash("card").ok_or_else(|| ApiError::missing_parameter("card"))?;
    let method = from_details(account, details)?;
    let mut method = method;
    take(params, SETTABLE, &mut method)?;
    Ok(add(account, method, None))
}

/// A card from `card[number]` or `card[token]`.
fn from_details(account: &mut Account, details: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let text = |name: &str| details.get(name).and_then(Value::as_str);
    let card = match (text("number"), text("token")) {
        (Some(number), _) => test_cards::by_number(number)
            .ok_or_else(|| ApiError { param: Some("number".to_owned()), ..refusal("incorrect_number", None) })?,
        (None, Some(token)) => {
            test_cards::by_token(token).ok_or_else(|| ApiError::no_such_reference("token", token, "card[token]"))?
        }
        (None, None) => return Err(ApiError::missing_parameter("card[number]")),
    };
    let month = integer(details.get("exp_month"), "card[exp_month]")?;
    let year = integer(details.get("exp_year"), "card[exp_year]")?;
    Ok(of_card(account, card, month, year))
}

fn of_card(account: &mut Account, card: &Card, month: Option<i64>, year: Option<i64>) -> Map<String, Value> {
    let now = account.now();
    let today = date(now);
    let month = month.unwrap_or_else(|| i64::from(today.month()));
    let year = year.unwrap_or_else(|| i64::from(today.year()) + 3);
    made(account, "payment_method", now, json!({ "card": card.details(month, year) }))
}

/// The payment method that a parameter names; a name such as `pm_card_visa` makes a new one.
///
/// # Errors
/// 400 `resource_missing`.
pub(super) fn usable(account: &mut Account, id: &str, param: &str) -> Result<Value, ApiError> {
    match test_cards::by_token(id) {
        Some(card) => {
            let method = of_card(account, card, None, None);
            Ok(add(account, method, None))
        }
        None => named(account, "payment_method", id, param),
    }
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    super::plain::update(account, params, "payment_method", Some("payment_method.updated"), SETTABLE)
}

fn attach(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let customer = params.required("customer")?;
    named(account, "customer", customer, "customer")?;
    let method = usable(account, params.path("id"), "payment_method")?;
    attach_to(account, method, customer)
}

/// Attaches a payment method to a customer.
///
/// # Errors
/// 402 for a card that the bank refuses outright; 400 when it belongs to another customer.
pub(super) fn attach_to(account: &mut Account, method: Value, customer: &str) -> Result<Value, ApiError> {
    match method.reference("customer") {
        Some(owner) if owner == customer => return Ok(method),
        Some(_) => {
            return Err(ApiError::invalid("The payment method you provided has already been attached to a customer."));
        }
        None => {}
    }
    if let Behaviour::Declines(code, decline_code) = behaviour_of(&method) {
        return Err(refusal(code, decline_code));
    }
    let id = method.text("id");
    Ok(change(account, "payment_method", id, Some("payment_method.attached"), json!({ "customer": customer })))
}

fn detach(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let method = account.require("payment_method", id, "id")?;
    if method.reference("customer").is_none() {
        return Err(ApiError::invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
        ));
    }
    Ok(detach_from(account, id))
}

/// Detaches a payment method; what used it as the default has none afterwards.
pub(super) fn detach_from(account: &mut Account, id: &str) -> Value {
    let method = account.get("payment_method", id).unwrap_or_default();
    if let Some(customer) = method.reference("customer") {
        forget_default(account, customer, id);
    }
    change(account, "payment_method", id, Some("payment_method.detached"), json!({ "customer": null }))
}

fn forget_default(account: &mut Account, customer: &str, id: &str) {
    let _ = account.update("customer", customer, Some("customer.updated"), |customer| {
        if let Some(Value::Object(settings)) = customer.get_mut("invoice_settings")
            && settings.get("default_payment_method").and_then(Value::as_str) == Some(id)
        {
            set(settings, json!({ "default_payment_method": null }));
        }
    });
    for subscription in account.find("subscription", "customer", customer) {
        if subscription.reference("default_payment_method") == Some(id)
            && !super::subscription::has_ended(&subscription)
        {
            let with = json!({ "default_payment_method": null });
            change(account, "subscription", subscription.text("id"), Some("customer.subscription.updated"), with);
        }
    }
}

/// The payment method with which a customer's invoices are paid: that of the subscription, else the customer's, else a legacy card.
pub(super) fn default_of(account: &Account, subscription: Option<&Value>, customer: &Value) -> Option<Value> {
    let own = subscription.and_then(|subscription| subscription.reference("default_payment_method"));
    let settings = customer.value("invoice_settings");
    if let Some(id) = own.or_else(|| settings.reference("default_payment_method")) {
        return account.get("payment_method", id);
    }
    account.get("card", customer.reference("default_source")?)
}

fn create_source(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let customer = params.path("id");
    account.require("customer", customer, "id")?;
    let source = params.required("source")?;
    add_card(account, customer, source)
}

/// Adds a legacy card, from a token such as `tok_visa`, and makes it the default source if there is none.
pub(super) fn add_card(account: &mut Account, customer: &str, token: &str) -> Result<Value, ApiError> {
    let card = test_cards::by_token(token).ok_or_else(|| ApiError::no_such_reference("token", token, "source"))?;
    if let Behaviour::Declines(code, decline_code) = card.behaviour {
        return Err(refusal(code, decline_code));
    }
    let now = now_of(account, Some(customer));
    let details = card.details(12, i64::from(date(now).year()) + 3);
    let mut source = account.plain("card");
    for name in ["brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "regulated_status"] {
        source.insert(name.to_owned(), details.value(name).clone());
    }
    // A card is none of the kinds that have these.
    for name in
        ["account", "available_payout_methods", "created", "livemode", "networks", "description", "iin", "issuer"]
    {
        source.remove(name);
    }
    set(&mut source, json!({ "customer": customer, "cvc_check": "pass" }));
    let source = add(account, source, Some("customer.source.created"));
    let standing = account.get("customer", customer).unwrap_or_default();
    if !standing.is_set("default_source") {
        let with = json!({ "default_source": source.text("id") });
        change(account, "customer", customer, Some("customer.updated"), with);
    }
    Ok(source)
}

fn update_source(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    const CARD: &[(&str, Take)] = &[
        ("name", Take::Text),
        ("exp_month", Take::Integer),
        ("exp_year", Take::Integer),
        ("metadata", Take::Metadata),
    ];
    let id = params.path("source");
    let Value::Object(mut changed) = account.require("card", id, "id")? else {
        return Err(ApiError::no_such("source", id, "id"));
    };
    take(params, CARD, &mut changed)?;
    account.update("card", id, Some("customer.source.updated"), |card| *card = changed)
}

fn remove_source(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let (customer, id) = (params.path("id"), params.path("source"));
    account.require("card", id, "id")?;
    let standing = account.require("customer", customer, "id")?;
    if standing.reference("default_source") == Some(id) {
        change(account, "customer", customer, Some("customer.updated"), json!({ "default_source": null }));
    }
    account.remove("card", id, Some("customer.source.deleted"))?;
    Ok(deleted("card", id))
}
