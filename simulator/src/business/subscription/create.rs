//! `POST /v1/subscriptions`.

use serde_json::{Value, json};

use super::{SETTABLE, cycle, items};
use crate::account::Account;
use crate::business::calendar::{DAY, period_end};
use crate::business::fields::Fields;
use crate::business::invoice::{self, Draft, amount_of};
use crate::business::record::{change, made, named};
use crate::business::shapes::{Object, set};
use crate::business::take::take;
use crate::business::test_cards::{Behaviour, behaviour_of, refusal};
use crate::business::timing::{later, now_of};
use crate::business::{calendar, discount, entitlement, payment_method};
use crate::error::ApiError;
use crate::params::Params;

/// Hours after which a subscription whose first invoice nobody paid is given up.
const INCOMPLETE_HOURS: i64 = 23;

/// Creates a subscription with its first invoice.
pub(in crate::business) fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let customer_id = params.required("customer")?;
    let customer = named(account, "customer", customer_id, "customer")?;
    let now = now_of(account, Some(customer_id));
    let items = items::wanted(account, params, now)?;
    let currency = items[0].value("price").text("currency").to_owned();
    check_currency(&customer, &currency)?;
    let coupon = discount::wanted(account, params)?;
    let trial_end = trial_end(params, &items, now)?;
    let mut subscription = made(account, "subscription", now, json!({ "currency": currency, "customer": customer_id }));
    take(params, SETTABLE, &mut subscription)?;
    adopt_payment_method(account, params, &mut subscription)?;
    let terms = terms(account, params, &customer, &subscription, now, trial_end)?;
    set(&mut subscription, terms);
    let subscription_id = subscription.text("id").to_owned();
    set(&mut subscription, json!({ "items": items::place(items, &subscription_id, (now, now)) }));
    let anchor = trial_end.unwrap_or(now);
    let end = trial_end.unwrap_or_else(|| {
        let view = Value::Object(subscription.clone());
        period_end(anchor, items::interval(&view), now)
    });
    place_in_period(&mut subscription, &subscription_id, (now, end));
    refuse_early(account, params, &customer, &subscription)?;
    begin(account, params, &customer, subscription, coupon.as_ref())
}

/// A customer pays in one currency.
fn check_currency(customer: &Value, currency: &str) -> Result<(), ApiError> {
    let standing = customer.value("currency").as_str();
    if standing.is_none_or(|standing| standing == currency) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "You cannot combine currencies on a single customer. This customer already has items in {}.",
        standing.unwrap_or_default()
    )))
}

/// The trial's end, from `trial_end`, `trial_period_days` or the plan's own trial.
fn trial_end(params: &Params, items: &[Value], now: i64) -> Result<Option<i64>, ApiError> {
    if params.text("trial_end") == Some("now") {
        return Ok(None);
    }
    if let Some(end) = params.integer("trial_end")? {
        if end <= now {
            return Err(ApiError::parameter("parameter_invalid", "trial_end", "trial_end has to be in the future."));
        }
        return Ok(Some(end));
    }
    let of_plan = || items[0].value("price").value("recurring").time("trial_period_days");
    let from_plan = params.boolean("trial_from_plan")? == Some(true);
    let days = params.integer("trial_period_days")?.or_else(|| if from_plan { of_plan() } else { None });
    Ok(days.filter(|days| *days > 0).map(|days| now + days * DAY))
}

/// `default_payment_method` is attached to the customer already, or is one of the test names.
fn adopt_payment_method(account: &mut Account, params: &Params, subscription: &mut Object) -> Result<(), ApiError> {
    let Some(method) = params.text("default_payment_method").filter(|method| !method.is_empty()) else { return Ok(()) };
    let customer = subscription.text("customer").to_owned();
    let mut method = payment_method::usable(account, method, "default_payment_method")?;
    if method.reference("customer").is_none() {
        method = payment_method::attach_to(account, method, &customer)?;
    }
    if method.reference("customer") != Some(&customer) {
        let message = format!("The customer does not have a payment method with the ID {}.", method.text("id"));
        return Err(ApiError::parameter("resource_missing", "default_payment_method", message));
    }
    set(subscription, json!({ "default_payment_method": method.value("id") }));
    Ok(())
}

/// Times, status and what else follows from the parameters.
fn terms(
    account: &Account,
    params: &Params,
    customer: &Value,
    subscription: &Object,
    now: i64,
    trial_end: Option<i64>,
) -> Result<Value, ApiError> {
    let status = match (trial_end, subscription.text("collection_method")) {
        (Some(_), _) => "trialing",
        (None, "send_invoice") => "active",
        (None, _) => "incomplete",
    };
    if subscription.text("collection_method") == "send_invoice" && !subscription.is_set("days_until_due") {
        return Err(ApiError::missing_parameter("days_until_due"));
    }
    let rates: Result<Vec<Value>, ApiError> = params
        .array("default_tax_rates")
        .iter()
        .filter_map(Value::as_str)
        .map(|rate| named(account, "tax_rate", rate, "default_tax_rates"))
        .collect();
    Ok(json!({
        "billing_cycle_anchor": trial_end.unwrap_or(now), "default_tax_rates": rates?, "start_date": now, "status": status,
        "test_clock": customer.value("test_clock"), "trial_end": trial_end, "trial_start": trial_end.map(|_| now),
    }))
}

fn place_in_period(subscription: &mut Object, id: &str, period: (i64, i64)) {
    let placed = items::place(subscription.elements("items").to_vec(), id, period);
    set(subscription, json!({ "items": placed }));
}

/// With `error_if_incomplete` a card that will be refused makes the whole request fail, and nothing is created.
fn refuse_early(account: &Account, params: &Params, customer: &Value, subscription: &Object) -> Result<(), ApiError> {
    if params.text("payment_behavior") != Some("error_if_incomplete") || subscription.text("status") != "incomplete" {
        return Ok(());
    }
    let view = Value::Object(subscription.clone());
    let method = payment_method::default_of(account, Some(&view), customer);
    let behaviour = method.as_ref().map(behaviour_of);
    match behaviour {
        None => Err(ApiError::parameter(
            "resource_missing",
            "default_payment_method",
            "This customer has no attached payment source or default payment method.",
        )),
        Some(Behaviour::Declines(code, decline_code)) => Err(refusal(code, decline_code)),
        Some(Behaviour::DeclinesPayments) => Err(refusal("card_declined", Some("generic_decline"))),
        Some(Behaviour::Authenticates) => Err(refusal("authentication_required", Some("authentication_required"))),
        Some(_) if account.business.refused.contains(customer.text("id")) => {
            Err(refusal("card_declined", Some("insufficient_funds")))
        }
        Some(_) => Ok(()),
    }
}

/// Stores the subscription and makes its first invoice. The event about the subscription comes last and shows how that went.
fn begin(
    account: &mut Account,
    params: &Params,
    customer: &Value,
    subscription: Object,
    coupon: Option<&(Value, Option<String>)>,
) -> Result<Value, ApiError> {
    let (id, customer_id) = (subscription.text("id").to_owned(), customer.text("id"));
    let now = now_of(account, Some(customer_id));
    account.insert(Value::Object(subscription), None);
    account.business.creating = Some(id.clone());
    if let Some(coupon) = coupon {
        let discount = discount::give(account, customer_id, Some(&id), coupon);
        change(account, "subscription", &id, None, json!({ "discounts": [discount.value("id")] }));
    }
    let is_first_left_open = params.text("payment_behavior") == Some("default_incomplete");
    first_invoice(account, params, customer, &id, is_first_left_open);
    account.business.creating = None;
    let subscription = account.require("subscription", &id, "id")?;
    account.emit("customer.subscription.created", &subscription, None);
    if subscription.text("status") == "incomplete" {
        let expired = id.clone();
        later(account, Some(customer_id), now + INCOMPLETE_HOURS * calendar::HOUR, move |account| {
            expire(account, &expired)
        });
    } else {
        entitlement::refresh(account, customer_id);
    }
    cycle::plan(account, &subscription);
    Ok(subscription)
}

fn first_invoice(account: &mut Account, params: &Params, customer: &Value, id: &str, leave_open: bool) {
    let subscription = account.get("subscription", id).unwrap_or_default();
    let trial = subscription.text("status") == "trialing";
    let sends = subscription.text("collection_method") == "send_invoice";
    let period = items::period(&subscription);
    let mut lines = Vec::new();
    for item in subscription.elements("items") {
        lines.push(invoice::of_subscription_item(account, &subscription, item, period, trial));
    }
    lines.extend(extra_lines(account, params, customer.text("id")));
    let about = Draft {
        customer,
        subscription: Some(&subscription),
        currency: subscription.text("currency"),
        reason: "subscription_create",
        period: (period.0, period.0),
        auto_advance: true,
        with: json!({}),
    };
    let draft = invoice::draft(account, &about, lines);
    let invoice_id = draft.text("id").to_owned();
    change(account, "subscription", id, None, json!({ "latest_invoice": invoice_id }));
    if sends {
        invoice::advance_later(account, &draft);
        return;
    }
    invoice::finalize(account, &invoice_id);
    if !leave_open {
        // A refusal leaves the subscription incomplete; it has its events.
        let _ = invoice::attempt(account, &invoice_id, None, false);
    }
}

/// `add_invoice_items[]`: one-time prices on the first invoice.
fn extra_lines(account: &mut Account, params: &Params, customer: &str) -> Vec<Object> {
    let now = now_of(account, Some(customer));
    let mut lines = Vec::new();
    for sent in params.array("add_invoice_items") {
        let Some(price) = sent.reference("price").and_then(|price| account.get("price", price)) else { continue };
        let quantity = sent.text("quantity").parse().unwrap_or(1);
        let amount = amount_of(&price, quantity);
        let with = json!({
            "amount": amount, "currency": price.value("currency"),
            "description": invoice::product_name(account, &price), "period": { "end": now, "start": now },
            "pricing": invoice::price_details(&price), "quantity": quantity, "quantity_decimal": quantity.to_string(), "subtotal": amount,
        });
        lines.push(made(account, "line_item", 0, with));
    }
    lines
}

/// Nobody paid the first invoice: it is voided and the subscription ends without having begun.
fn expire(account: &mut Account, id: &str) {
    let Some(subscription) = account.get("subscription", id).filter(|held| held.text("status") == "incomplete") else {
        return;
    };
    if let Some(invoice) = subscription.reference("latest_invoice") {
        invoice::void(account, invoice);
    }
    let now = now_of(account, subscription.reference("customer"));
    let with = json!({ "ended_at": now, "status": "incomplete_expired" });
    change(account, "subscription", id, Some("customer.subscription.updated"), with);
}
