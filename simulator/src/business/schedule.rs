//! Subscription schedules, as plain objects: they plan phases, and do not act on them.

use serde_json::{Value, json};

use super::fields::Fields;
use super::record::{add, change, made, named};
use super::shapes::set;
use super::take::{Take, take};
use super::timing::now_of;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::{Params, integer};
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/subscription_schedules", create),
    post("/v1/subscription_schedules/{id}", update),
    post("/v1/subscription_schedules/{id}/cancel", cancel),
    post("/v1/subscription_schedules/{id}/release", release),
];

const KIND: &str = "subscription_schedule";
const SETTABLE: &[(&str, Take)] = &[("end_behavior", Take::Text), ("metadata", Take::Metadata)];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let from = params
        .text("from_subscription")
        .map(|id| named(account, "subscription", id, "from_subscription"))
        .transpose()?;
    let customer = match &from {
        Some(subscription) => subscription.text("customer").to_owned(),
        None => named(account, "customer", params.required("customer")?, "customer")?.text("id").to_owned(),
    };
    let now = now_of(account, Some(&customer));
    let start = params.integer("start_date").ok().flatten().unwrap_or(now);
    let with = json!({ "customer": customer });
    let mut schedule = made(account, KIND, now, with);
    take(params, SETTABLE, &mut schedule)?;
    let phases = match &from {
        Some(subscription) => vec![phase_of(subscription)],
        None => phases(account, params, start)?,
    };
    let is_active = from.is_some() || start <= now;
    let current = phases.first().filter(|_| is_active);
    let current =
        current.map(|phase| json!({ "end_date": phase.value("end_date"), "start_date": phase.value("start_date") }));
    set(
        &mut schedule,
        json!({
            "current_phase": current, "phases": phases, "status": if is_active { "active" } else { "not_started" },
            "subscription": from.as_ref().map(|subscription| subscription.value("id")),
        }),
    );
    let schedule = add(account, schedule, Some("subscription_schedule.created"));
    if let Some(subscription) = from {
        let with = json!({ "schedule": schedule.value("id") });
        change(account, "subscription", subscription.text("id"), Some("customer.subscription.updated"), with);
    }
    Ok(schedule)
}

fn phase(currency: &Value, items: Vec<Value>, start: i64, end: i64) -> Value {
    json!({
        "add_invoice_items": [], "application_fee_percent": null, "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
        "billing_cycle_anchor": null, "billing_thresholds": null, "collection_method": null, "currency": currency,
        "default_payment_method": null, "default_tax_rates": [], "description": null, "discounts": [], "end_date": end,
        "invoice_settings": null, "items": items, "metadata": {}, "on_behalf_of": null, "proration_behavior": "create_prorations",
        "start_date": start, "transfer_data": null, "trial_end": null,
    })
}

fn phase_item(price: &Value, quantity: i64) -> Value {
    json!({
        "billing_thresholds": null, "discounts": [], "metadata": {}, "plan": price.value("id"), "price": price.value("id"),
        "quantity": quantity, "tax_rates": [],
    })
}

fn phase_of(subscription: &Value) -> Value {
    let items = subscription.elements("items");
    let first = items.first().cloned().unwrap_or_default();
    let all = items.iter().map(|item| phase_item(item.value("price"), item.int("quantity"))).collect();
    phase(subscription.value("currency"), all, first.int("current_period_start"), first.int("current_period_end"))
}

/// Phases one after the other; each lasts until its `end_date`, else one interval of its first price.
fn phases(account: &Account, params: &Params, start: i64) -> Result<Vec<Value>, ApiError> {
    let mut from = start;
    let mut phases = Vec::new();
    for (index, sent) in params.array("phases").iter().enumerate() {
        let mut items = Vec::new();
        let mut first = Value::Null;
        for (at, item) in sent.elements("items").iter().enumerate() {
            let param = format!("phases[{index}][items][{at}][price]");
            let price = item.reference("price").ok_or_else(|| ApiError::missing_parameter(&param))?;
            let price = named(account, "price", price, &param)?;
            items.push(phase_item(&price, integer(item.get("quantity"), &param)?.unwrap_or(1)));
            if first.is_null() {
                first = price;
            }
        }
        let times = integer(sent.get("iterations"), "phases[iterations]")?.unwrap_or(1);
        let by_interval =
            super::price::interval_of(&first).map(|interval| super::calendar::plus(from, interval, times));
        let end = integer(sent.get("end_date"), "phases[end_date]")?.or(by_interval);
        let end = end.ok_or_else(|| ApiError::missing_parameter(&format!("phases[{index}][items]")))?;
        phases.push(phase(first.value("currency"), items, from, end));
        from = end;
    }
    if phases.is_empty() {
        return Err(ApiError::missing_parameter("phases"));
    }
    Ok(phases)
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    super::plain::update(account, params, KIND, Some("subscription_schedule.updated"), SETTABLE)
}

fn standing(account: &Account, id: &str) -> Result<Value, ApiError> {
    let schedule = account.require(KIND, id, "id")?;
    if matches!(schedule.text("status"), "active" | "not_started") {
        return Ok(schedule);
    }
    Err(ApiError::invalid(format!("This schedule is already {}.", schedule.text("status"))))
}

/// Canceling a schedule cancels its subscription.
fn cancel(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let schedule = standing(account, params.path("id"))?;
    let now = now_of(account, schedule.reference("customer"));
    if let Some(subscription) = schedule.reference("subscription") {
        super::subscription::end(account, subscription, "cancellation_requested");
    }
    let with = json!({ "canceled_at": now, "current_phase": null, "status": "canceled" });
    Ok(change(account, KIND, schedule.text("id"), Some("subscription_schedule.canceled"), with))
}

/// A released schedule leaves its subscription as it is.
fn release(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let schedule = standing(account, params.path("id"))?;
    let now = now_of(account, schedule.reference("customer"));
    if let Some(subscription) = schedule.reference("subscription") {
        change(
            account,
            "subscription",
            subscription,
            Some("customer.subscription.updated"),
            json!({ "schedule": null }),
        );
    }
    let with = json!({
        "current_phase": null, "released_at": now, "released_subscription": schedule.value("subscription"),
        "status": "released", "subscription": null,
    });
    Ok(change(account, KIND, schedule.text("id"), Some("subscription_schedule.released"), with))
}
