//! Checkout sessions.

use serde_json::{Map, Value, json};

use super::calendar::DAY;
use super::fields::Fields;
use super::invoice::amount_of;
use super::record::{add, change, made, named};
use super::shapes::{list, set};
use super::take::{Take, take};
use super::timing::{later, now_of};
use super::{payment_intent, payment_method, price, subscription};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::{Params, integer};
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/checkout/sessions", create),
    post("/v1/checkout/sessions/{id}", update),
    post("/v1/checkout/sessions/{id}/expire", expire_now),
];

/// Days until a session that nobody completes expires.
const EXPIRES_DAYS: i64 = 1;

const SETTABLE: &[(&str, Take)] = &[
    ("allow_promotion_codes", Take::Boolean),
    ("cancel_url", Take::Text),
    ("client_reference_id", Take::Text),
    ("customer_creation", Take::Text),
    ("customer_email", Take::Text),
    ("locale", Take::Text),
    ("metadata", Take::Metadata),
    ("success_url", Take::Text),
    ("ui_mode", Take::Text),
];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let mode = params.required("mode")?;
    if !matches!(mode, "payment" | "setup" | "subscription") {
        return Err(ApiError::parameter("parameter_invalid", "mode", "mode has to be payment, setup or subscription."));
    }
    let customer = params.text("customer").filter(|customer| !customer.is_empty());
    if let Some(customer) = customer {
        named(account, "customer", customer, "customer")?;
    }
    let now = now_of(account, customer);
    let items = line_items(account, params)?;
    if items.is_empty() && mode != "setup" {
        return Err(ApiError::missing_parameter("line_items"));
    }
    let mut id = if account.livemode() { "cs_live_" } else { "cs_test_" }.to_owned();
    account.random().push_letters(&mut id, 58);
    let total: i64 = items.iter().map(|item| item.int("amount_total")).sum();
    let currency = items.first().map(|item| item.value("currency").clone()).unwrap_or_default();
    let amount = (mode != "setup").then_some(total);
    let with = json!({
        "amount_subtotal": amount, "amount_total": amount, "currency": currency, "customer": customer,
        "expires_at": params.integer("expires_at")?.unwrap_or(now + EXPIRES_DAYS * DAY), "id": id,
        "line_items": list(items, format!("/v1/checkout/sessions/{id}/line_items")), "mode": mode,
        "payment_status": if mode == "setup" { "no_payment_required" } else { "unpaid" },
        "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 },
        "url": format!("https://checkout.stripe.com/c/pay/{id}"),
    });
    let mut session = made(account, "checkout.session", now, with);
    take(params, SETTABLE, &mut session)?;
    let extra = params.hash("subscription_data").cloned().unwrap_or_default();
    if !extra.is_empty() {
        account.business.subscription_data.insert(id.clone(), extra);
    }
    // Stripe has no event for a new session.
    let session = add(account, session, None);
    later(account, customer, session.int("expires_at"), move |account| expire(account, &id));
    Ok(session)
}

fn line_items(account: &mut Account, params: &Params) -> Result<Vec<Value>, ApiError> {
    let mut items = Vec::new();
    for (index, sent) in params.array("line_items").iter().enumerate() {
        let price = match (sent.reference("price"), sent.value("price_data").as_object()) {
            (Some(id), _) => named(account, "price", id, &format!("line_items[{index}][price]"))?,
            (None, Some(data)) => inline_price(account, params, data)?,
            (None, None) => return Err(ApiError::missing_parameter(&format!("line_items[{index}][price]"))),
        };
        let quantity = integer(sent.get("quantity"), "line_items[quantity]")?.unwrap_or(1);
        let amount = amount_of(&price, quantity);
        let with = json!({
            "amount_subtotal": amount, "amount_total": amount, "currency": price.value("currency"),
            "description": super::invoice::product_name(account, &price), "price": price, "quantity": quantity,
        });
        items.push(Value::Object(made(account, "item", 0, with)));
    }
    Ok(items)
}

fn inline_price(account: &mut Account, params: &Params, data: &Map<String, Value>) -> Result<Value, ApiError> {
    let product = match data.get("product").and_then(Value::as_str) {
        Some(product) => named(account, "product", product, "line_items[price_data][product]")?,
        None => {
            let name = data.value("product_data").value("name").clone();
            let now = account.now();
            let product = made(account, "product", now, json!({ "name": name, "updated": now }));
            add(account, product, Some("product.created"))
        }
    };
    price::make(account, &params.nested(data), product.text("id"))
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    super::plain::update(account, params, "checkout.session", None, &[("metadata", Take::Metadata)])
}

fn expire_now(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    open(account, id)?;
    expire(account, id);
    account.require("checkout.session", id, "id")
}

fn open(account: &Account, id: &str) -> Result<Value, ApiError> {
    let session = account.require("checkout.session", id, "id")?;
    if session.text("status") == "open" {
        return Ok(session);
    }
    Err(ApiError::invalid(format!(
        "Only Checkout Sessions with a status in [\"open\"] can be changed; this one is {}.",
        session.text("status")
    )))
}

fn expire(account: &mut Account, id: &str) {
    if open(account, id).is_ok() {
        let with = json!({ "status": "expired", "url": null });
        change(account, "checkout.session", id, Some("checkout.session.expired"), with);
    }
}

/// What a customer does on the page: enters a name, a mail address and a card, and pays.
///
/// # Errors
/// 402 when the card is refused: the session stays open; 400 when it is not open.
pub fn complete(account: &mut Account, id: &str, name: &str, email: &str, card: &str) -> Result<Value, ApiError> {
    let session = open(account, id)?;
    let method = payment_method::usable(account, card, "payment_method")?;
    let customer = match session.reference("customer") {
        Some(customer) => Some(customer.to_owned()),
        None if session.text("mode") != "payment" || session.text("customer_creation") == "always" => {
            let now = account.now();
            let mut prefix = String::new();
            account.random().push_letters(&mut prefix, 8);
            let with = json!({ "email": email, "invoice_prefix": prefix.to_uppercase(), "name": name });
            let customer = made(account, "customer", now, with);
            Some(add(account, customer, Some("customer.created")).text("id").to_owned())
        }
        None => None,
    };
    let details = json!({
        "address": method.value("billing_details").value("address"), "business_name": null, "email": email,
        "individual_name": null, "name": name, "phone": null, "tax_exempt": "none", "tax_ids": [],
    });
    let mut with = json!({ "customer": customer, "customer_details": details, "status": "complete", "url": null });
    let done = match session.text("mode") {
        "payment" => pay(account, &session, customer.as_deref(), &method)?,
        "subscription" => subscribe(account, &session, customer.as_deref().unwrap_or_default(), method)?,
        _ => set_up(account, customer.as_deref().unwrap_or_default(), method)?,
    };
    if let (Value::Object(with), Value::Object(done)) = (&mut with, done) {
        with.extend(done);
    }
    Ok(change(account, "checkout.session", id, Some("checkout.session.completed"), with))
}

fn pay(account: &mut Account, session: &Value, customer: Option<&str>, method: &Value) -> Result<Value, ApiError> {
    let with = json!({ "metadata": {}, "payment_method": method.value("id"), "status": "requires_confirmation" });
    let intent = payment_intent::make(account, session.int("amount_total"), session.text("currency"), customer, with);
    payment_intent::pay(account, intent.text("id"), false)?;
    Ok(json!({ "payment_intent": intent.value("id"), "payment_status": "paid" }))
}

fn subscribe(account: &mut Account, session: &Value, customer: &str, method: Value) -> Result<Value, ApiError> {
    let method = payment_method::attach_to(account, method, customer)?;
    let items: Vec<Value> = session
        .elements("line_items")
        .iter()
        .map(|item| json!({ "price": item.value("price").value("id"), "quantity": item.value("quantity") }))
        .collect();
    let mut sent = account.business.subscription_data.get(session.text("id")).cloned().unwrap_or_default();
    set(
        &mut sent,
        json!({
            "customer": customer, "default_payment_method": method.value("id"), "items": items,
            "payment_behavior": "error_if_incomplete",
        }),
    );
    let held = subscription::create(account, &Params::new(Vec::new(), sent))?;
    let paid = if held.text("status") == "trialing" { "no_payment_required" } else { "paid" };
    Ok(json!({ "invoice": held.value("latest_invoice"), "payment_status": paid, "subscription": held.value("id") }))
}

fn set_up(account: &mut Account, customer: &str, method: Value) -> Result<Value, ApiError> {
    let sent = json!({ "confirm": true, "customer": customer, "payment_method": method.value("id") });
    let sent = sent.as_object().cloned().unwrap_or_default();
    let intent = super::setup_intent::create(account, &Params::new(Vec::new(), sent))?;
    Ok(json!({ "setup_intent": intent.value("id") }))
}
